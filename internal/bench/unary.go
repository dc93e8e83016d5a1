package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
)

// unary calls methods by the Connect protocol, one after the other over one keep-alive connection. It does as little as
// possible itself: what it shares with shoppers' machines there, it shares with the platform here.
type unary struct {
	conn            net.Conn
	address         string
	request, answer []byte
}

func dialUnary(ctx context.Context, address string) (*unary, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", address, err)
	}
	return &unary{conn: conn, address: address, answer: make([]byte, loadBuffer)}, nil
}

func (u *unary) close() error { return u.conn.Close() }

// call a procedure, for example "/cellar.checkout.v1.CheckoutService/Quote", as the holder of a session. The key is sent as
// Idempotency-Key, unless it is empty. An error of the service has its Connect code.
func (u *unary) call(procedure, token, key string, req, resp proto.Message) error {
	size := proto.Size(req)
	b := u.request[:0]
	b = append(b, "POST "+procedure+" HTTP/1.1\r\nHost: "+u.address+"\r\nContent-Type: application/proto\r\nConnect-Protocol-Version: 1\r\nAuthorization: Bearer "+token+"\r\n"...)
	if key != "" {
		b = append(b, "Idempotency-Key: "+key+"\r\n"...)
	}
	b = append(b, "Content-Length: "+strconv.Itoa(size)+"\r\n\r\n"...)
	b, err := proto.MarshalOptions{}.MarshalAppend(b, req)
	if err != nil {
		return err
	}
	u.request = b
	if err := u.conn.SetDeadline(time.Now().Add(loadTimeout)); err != nil {
		return err
	}
	status, body, err := ask(u.conn, b, &u.answer)
	if err != nil {
		return fmt.Errorf("call %s: %w", procedure, err)
	}
	if status == http.StatusOK {
		return proto.Unmarshal(body, resp)
	}
	var refusal struct {
		Code    connect.Code `json:"code"`
		Message string       `json:"message"`
	}
	if err := json.Unmarshal(body, &refusal); err != nil {
		return fmt.Errorf("call %s: status %d, %.200q", procedure, status, body)
	}
	return connect.NewError(refusal.Code, fmt.Errorf("call %s: %s", procedure, refusal.Message))
}
