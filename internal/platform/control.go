package platform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Status of one process, as `cellctl status` shows it.
type Status struct {
	Name    string `json:"name"`
	PID     int    `json:"pid"`
	Running bool   `json:"running"`
	Ready   bool   `json:"ready"`
	Log     string `json:"log"`
}

// Info says where a running platform's parts are, for other programs of this machine.
type Info struct {
	Dir         string `json:"dir"`
	DatabaseURL string `json:"database_url"`
	PortOffset  int    `json:"port_offset"`
	PeerKey     string `json:"peer_key_file"`
	// Map is the file of the newest map, MapKeys that of the public keys that maps may be signed with.
	Map     string `json:"map"`
	MapKeys string `json:"map_keys_file"`
	// ControlPlane has the addresses of the control planes, host:port separated by commas.
	ControlPlane string `json:"control_plane"`
}

// Info about this platform.
func (p *Platform) Info() Info {
	keys := p.path("keys")
	return Info{
		Dir: p.cfg.Dir, DatabaseURL: p.database.URL(), PortOffset: p.cfg.PortOffset, PeerKey: keyFile(keys, KeyPeer),
		Map: mapFile(p.cfg.Dir), MapKeys: publicKeyFile(keys), ControlPlane: p.controlPlanes(),
	}
}

// ErrNotRunning: no platform runs in this directory.
var ErrNotRunning = errors.New("no platform is running here; `cellctl up` starts one")

// ServeControl takes commands of other programs of this user until ctx ends; stop is called when one says down.
func (p *Platform) ServeControl(ctx context.Context, stop func()) error {
	path := filepath.Join(p.cfg.Dir, "control.sock")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) { // the lock says that nobody listens on it
		return fmt.Errorf("control socket: %w", err)
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) { answerJSON(w, p.Status(r.Context()), nil) })
	mux.HandleFunc("GET /info", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, p.Info(), nil) })
	mux.HandleFunc("POST /restart/{name}", func(w http.ResponseWriter, r *http.Request) {
		answerJSON(w, "restarted", p.Restart(r.Context(), r.PathValue("name")))
	})
	mux.HandleFunc("POST /kill/{name}", func(w http.ResponseWriter, r *http.Request) {
		answerJSON(w, "killed", p.Kill(r.PathValue("name")))
	})
	mux.HandleFunc("POST /down", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, "stopping", nil)
		stop()
	})
	s := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	go func() { _ = s.Serve(ln) }() // ends with ctx
	return nil
}

func answerJSON(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the caller may have gone
}

// Remote talks to the platform that runs in a directory.
type Remote struct{ client *http.Client }

// Connect to the platform of a directory. ErrNotRunning when there is none.
func Connect(dir string) (*Remote, error) {
	path := filepath.Join(dir, "control.sock")
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	conn, err := dial(context.Background(), "", "")
	if err != nil {
		return nil, ErrNotRunning
	}
	return &Remote{client: &http.Client{Transport: &http.Transport{DialContext: dial}}}, conn.Close()
}

// Status of all processes.
func (r *Remote) Status(ctx context.Context) ([]Status, error) {
	var all []Status
	err := r.call(ctx, http.MethodGet, "status", &all)
	return all, err
}

// Info about the platform.
func (r *Remote) Info(ctx context.Context) (Info, error) {
	var info Info
	err := r.call(ctx, http.MethodGet, "info", &info)
	return info, err
}

// Restart one process and wait until it serves.
func (r *Remote) Restart(ctx context.Context, name string) error {
	return r.call(ctx, http.MethodPost, "restart/"+url.PathEscape(name), nil)
}

// Kill one process as a crash would. It has ended when Kill returns, and stays down.
func (r *Remote) Kill(ctx context.Context, name string) error {
	return r.call(ctx, http.MethodPost, "kill/"+url.PathEscape(name), nil)
}

// Down asks the platform to stop.
func (r *Remote) Down(ctx context.Context) error { return r.call(ctx, http.MethodPost, "down", nil) }

func (r *Remote) call(ctx context.Context, method, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://platform/"+path, nil)
	if err != nil {
		return err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("talk to the platform: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 16<<10)) // the status alone says enough
		return errors.New(strings.TrimSpace(string(b)))
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
