package cellctl

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/secret"
)

// cells of the platform that runs here, as clients of one of their services, in the order of the map.
type cells[C any] struct {
	names   []string
	clients []C
}

// cellsOf the newest map, by what makes a client.
func cellsOf[C any](ctx context.Context, o *options, client func(connect.HTTPClient, string, ...connect.ClientOption) C) (*cells[C], error) {
	info, err := o.running(ctx)
	if err != nil {
		return nil, err
	}
	m, err := info.ReadMap()
	if err != nil {
		return nil, err
	}
	key, err := secret.Read(info.PeerKey)
	if err != nil {
		return nil, err
	}
	all, peers := &cells[C]{}, rpc.Peer(key, nil)
	for i := range m.Cells {
		all.names = append(all.names, m.Cells[i].ID)
		all.clients = append(all.clients, client(peers, "http://"+m.Cells[i].Internal, rpc.ClientOptions()...))
	}
	return all, nil
}

// cellTimeout bounds one cell's time to answer.
const cellTimeout = 10 * time.Second

// inTurn asks the cells until one answers, and names that one.
func (c *cells[C]) inTurn(ctx context.Context, ask func(context.Context, C) error) (cell string, err error) {
	for i, client := range c.clients {
		own, cancel := context.WithTimeout(ctx, cellTimeout)
		err = ask(own, client)
		cancel()
		if err == nil || connect.CodeOf(err) != connect.CodeUnavailable || ctx.Err() != nil {
			return c.names[i], err
		}
	}
	return "", err
}

// ask the cells in turn for the answer to a request.
func ask[C, Q, A any](ctx context.Context, c *cells[C], call func(C, context.Context, *Q) (*A, error), req *Q) (answer *A, cell string, err error) {
	cell, err = c.inTurn(ctx, func(ctx context.Context, client C) (err error) {
		answer, err = call(client, ctx, req)
		return err
	})
	return answer, cell, said(err)
}
