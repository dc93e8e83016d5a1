package cellctl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1/topologyv1connect"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/secret"
)

const (
	// callTimeout bounds one call of the control plane, with finding its leader: longer than another takes to become it.
	callTimeout = 15 * time.Second
	// leaderPause between two looks for a leader, while nobody leads.
	leaderPause = 250 * time.Millisecond
	// maxHops from a control plane to the one it names: two that name each other are at odds for a moment.
	maxHops = 4
)

// planeFlags say where the control plane is; without them it is that of the platform that runs here.
type planeFlags struct {
	address string
	key     string
	timeout time.Duration
}

func (f *planeFlags) add(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&f.address, "control-plane", os.Getenv("CELLAR_CONTROL_PLANE"),
		"control plane, host:port, several by commas; also CELLAR_CONTROL_PLANE (default: of the platform that runs here)")
	cmd.PersistentFlags().StringVar(&f.key, "peer-key-file", os.Getenv("CELLAR_PEER_KEY_FILE"),
		"file of the platform's key; also CELLAR_PEER_KEY_FILE (default: of the platform that runs here)")
	cmd.PersistentFlags().DurationVar(&f.timeout, "timeout", 2*time.Minute, "how long the end of what was begun is waited for")
}

// plane is the control plane: one leads, the others answer questions.
type plane struct {
	addresses []string // where it may be; the one that has answered last is first
	dial      func(address string) topologyv1connect.TopologyServiceClient
}

// plane that the flags name, or that of the platform that runs here.
func (o *options) plane(ctx context.Context, f *planeFlags) (*plane, error) {
	address, keyFile := f.address, f.key
	if address == "" || keyFile == "" {
		info, err := o.running(ctx)
		if err != nil && address == "" {
			return nil, err
		}
		if err != nil {
			return nil, usagef("--control-plane needs --peer-key-file, the file of the platform's key")
		}
		if address == "" {
			address = info.ControlPlane
		}
		if keyFile == "" {
			keyFile = info.PeerKey
		}
	}
	key, err := secret.Read(keyFile)
	if err != nil {
		return nil, err
	}
	var addresses []string
	for a := range strings.SplitSeq(address, ",") {
		a = strings.TrimPrefix(strings.TrimSpace(a), "http://")
		if _, _, err := net.SplitHostPort(a); err != nil {
			return nil, usagef("--control-plane must be host:port, not %q", a)
		}
		addresses = append(addresses, a)
	}
	return newPlane(key, addresses...), nil
}

func newPlane(key string, addresses ...string) *plane {
	peers := rpc.Peer(key, nil)
	return &plane{addresses: addresses, dial: func(address string) topologyv1connect.TopologyServiceClient {
		return topologyv1connect.NewTopologyServiceClient(peers, "http://"+address, rpc.ClientOptions()...)
	}}
}

// tell the control plane something, or ask it. Only what has not been done is tried again: where nobody listens, and where
// one is asked that does not lead.
func tell[Q, A any](ctx context.Context, p *plane, call func(topologyv1connect.TopologyServiceClient, context.Context, *Q) (*A, error), req *Q) (*A, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for {
		resp, err := tellOnce(ctx, p, call, req)
		if err == nil || !problem.Is(err, "NOT_LEADER") || !pause(ctx, leaderPause) {
			return resp, planeError(err)
		}
	}
}

func tellOnce[Q, A any](ctx context.Context, p *plane, call func(topologyv1connect.TopologyServiceClient, context.Context, *Q) (*A, error), req *Q) (resp *A, err error) {
	left, hops := append([]string{}, p.addresses...), 0
	for len(left) > 0 {
		at := left[0]
		left = left[1:]
		resp, err = call(p.dial(at), ctx, req)
		if err == nil {
			p.prefer(at)
			return resp, nil
		}
		if named, ok := problem.Detail[*problemv1.NotLeader](err); ok && named.GetAddress() != "" && hops < maxHops {
			hops++
			left = append([]string{named.GetAddress()}, left...)
			continue
		}
		if !nobodyThere(err) && !problem.Is(err, "NOT_LEADER") {
			return nil, err
		}
	}
	return nil, err
}

func (p *plane) prefer(address string) {
	all := []string{address}
	for _, a := range p.addresses {
		if a != address {
			all = append(all, a)
		}
	}
	p.addresses = all
}

// nobodyThere: no connection was made, so that nothing has been done.
func nobodyThere(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// planeError in the words of an operator's tool.
func planeError(err error) error {
	switch p := problem.As(err); {
	case err == nil:
		return nil
	case nobodyThere(err):
		return coded{fmt.Errorf("the control plane does not answer; shoppers do not need it, but moves do: %w", err), ExitFailed}
	case connect.CodeOf(err) == connect.CodeDeadlineExceeded:
		return coded{fmt.Errorf("the control plane has not answered within %s: %w", callTimeout, err), ExitFailed}
	case p != nil && p.Reason != "UNSPECIFIED":
		return coded{&problem.Problem{Kind: p.Kind, Reason: p.Reason, Message: p.Message, Details: p.Details}, exitOf(p.Kind)}
	}
	return err
}

// pause for d; false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// causeFlags say by whom and why something is changed.
type causeFlags struct{ who, reason string }

func (f *causeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.reason, "reason", "", "why; required, and kept in the audit trail")
	cmd.Flags().StringVar(&f.who, "who", "", "by whom, for the audit trail (default: you)")
}

// maxCause bounds who and why in bytes, as the control plane does.
const maxCause = 300

// cause that the flags give.
func (f *causeFlags) cause(seen uint64) (*topologyv1.Cause, error) {
	who, reason := strings.TrimSpace(f.who), strings.TrimSpace(f.reason)
	if reason == "" {
		return nil, usagef("--reason is required: it is kept in the audit trail")
	}
	if who == "" {
		who = self()
	}
	if who == "" {
		return nil, usagef("--who is required where nobody is signed in")
	}
	if len(who) > maxCause || len(reason) > maxCause {
		return nil, usagef("--who and --reason must be at most %d bytes long", maxCause)
	}
	return &topologyv1.Cause{Who: who, Reason: reason, SeenVersion: seen}, nil
}

// self is the name under which somebody is signed in here; no host, since that of a laptop says nothing.
func self() string {
	if name := os.Getenv("USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

// planned is a change that is made through the control plane, by whom and why.
type planned struct {
	causeFlags
	yes bool
}

func (f *planned) addYes(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
}

// confirm that the operator means this, unless --yes says so.
func (f *planned) confirm(cmd *cobra.Command, question, name string) error {
	if f.yes {
		return nil
	}
	return confirmName(cmd.InOrStdin(), cmd.ErrOrStderr(), question, name)
}

// cellNames completes the names of cells, when the control plane can be asked.
func (o *options) cellNames(f *planeFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return o.completeCells(cmd.Context(), f), cobra.ShellCompDirectiveNoFileComp
	}
}

// completionTimeout: nobody waits longer for a word to be completed.
const completionTimeout = 2 * time.Second

func (o *options) completeCells(ctx context.Context, f *planeFlags) (names []cobra.Completion) {
	if ctx == nil { // as cobra has it while it completes
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	p, err := o.plane(ctx, f)
	if err != nil {
		return nil
	}
	resp, err := tell(ctx, p, topologyv1connect.TopologyServiceClient.GetMap, &topologyv1.GetMapRequest{})
	if err != nil {
		return nil
	}
	for _, c := range resp.GetMap().GetCells() {
		names = append(names, cobra.CompletionWithDesc(c.GetCellId(), fmt.Sprintf("%s, %s, %s", c.GetRegion(), cellState(c.GetState()), count(c.GetSlots(), "slot"))))
	}
	return names
}
