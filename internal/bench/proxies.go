package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// proxy is one of those compared, in a process of its own.
type proxy struct {
	name    string
	address string
	cmd     *exec.Cmd
	ended   chan struct{}
	result  error // of the process, once it has ended
}

// upWithin is how long a process may take until it answers.
const upWithin = 15 * time.Second

// freeAddress of this machine: nobody listens there, for now.
func freeAddress(ctx context.Context) (string, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// start a process and wait until it answers a request.
func start(ctx context.Context, name, address, log string, program string, args ...string) (*proxy, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &proxy{name: name, address: address, cmd: exec.CommandContext(ctx, program, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { p.result = p.cmd.Wait(); close(p.ended) }()
	for deadline := time.Now().Add(upWithin); ; {
		if answers(ctx, address) {
			return p, nil
		}
		select {
		case <-p.ended:
			said, _ := os.ReadFile(log)
			return nil, fmt.Errorf("%s ended before it served: %w: %.500s", name, p.result, said)
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), p.stop())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(fmt.Errorf("%s does not serve within %v", name, upWithin), p.stop())
		}
	}
}

func answers(ctx context.Context, address string) bool {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second)) // it fails with the connection
	err = exchange(conn, []byte("GET /readyz HTTP/1.1\r\nHost: bench\r\n\r\n"), make([]byte, loadBuffer))
	return err == nil
}

// stop the process.
func (p *proxy) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill() // it may end meanwhile
		<-p.ended
	}
	return nil
}

// mapOf one cell, which is the backend, for each region.
func mapOf(backend string) (*topology.Map, error) {
	var cells []topology.Cell
	for _, region := range ident.Regions() {
		code, _ := region.Code() // Regions lists only those that have one
		cells = append(cells, topology.Cell{
			ID: string(code) + "-a", Region: region, State: topology.Active, Weight: 100, Public: backend, Internal: backend, Admin: backend,
		})
	}
	return topology.Even(cells)
}

// All of them pass the request on with an id and the client's address, over connections that they keep, and log nothing.
const (
	nginxConf = `daemon off;
USER
worker_processes auto;
pid DIR/nginx.pid;
error_log DIR/nginx.err crit;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/fastcgi; uwsgi_temp_path DIR/uwsgi; scgi_temp_path DIR/scgi;
  keepalive_timeout 120s; keepalive_requests 100000000;
  client_max_body_size 1m;
  upstream cell { server BACKEND; keepalive 512; keepalive_requests 100000000; }
  server {
    listen LISTEN backlog=4096;
    location / {
      proxy_pass http://cell;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Request-Id $request_id;
    }
  }
}
`
	haproxyConf = `global
  nbthread CORES
  maxconn 8192
defaults
  mode http
  timeout connect 1s
  timeout client 120s
  timeout server 30s
  timeout http-keep-alive 120s
  http-reuse always
  option forwardfor
frontend shoppers
  bind LISTEN
  unique-id-format %{+X}o%ci%cp%fi%fp%Ts%rt%pid
  unique-id-header X-Request-Id
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Proto http
  default_backend cells
backend cells
  server cell BACKEND pool-max-conn 512
`
)

// fill a configuration's gaps into a file.
func fill(path, text string, gaps ...string) error {
	return os.WriteFile(path, []byte(strings.NewReplacer(gaps...).Replace(text)), 0o600)
}

// startRouter of the platform, with a map of its own.
func startRouter(ctx context.Context, dir, bin, backend string) (*proxy, error) {
	m, err := mapOf(backend)
	if err != nil {
		return nil, err
	}
	file, keys := filepath.Join(dir, "map"), filepath.Join(dir, "map.pub")
	if err := writeMap(m, file, keys); err != nil {
		return nil, err
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	return start(ctx, "router", address, filepath.Join(dir, "router.log"), filepath.Join(bin, "router"),
		"--region", string(home), "--map", file, "--map-key-file", keys, "--listen", address, "--admin", "127.0.0.1:0", "--drain", "1ms")
}

// writeMap signs a map with a key of its own.
func writeMap(m *topology.Map, file, keys string) error {
	seed := make([]byte, 32)
	_, _ = rand.Read(seed) // never fails: the program stops if the system has no randomness
	key, err := topology.NewSigningKey(seed)
	if err != nil {
		return err
	}
	snapshot, err := key.Sign(m)
	if err != nil {
		return err
	}
	return errors.Join(topology.WriteFile(file, snapshot), topology.WriteKeys(keys, key.Public()))
}
