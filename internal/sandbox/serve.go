package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	// writeTimeout must outlast the longest injected latency, the slow card and a withheld answer together.
	writeTimeout = maxLatencyMS*time.Millisecond + 2*holdLimit + 10*time.Second
	idleTimeout  = 2 * time.Minute
	// stopTimeout is for requests in flight at the end. Drain has ended their delays, so only the disk is waited for.
	stopTimeout = 10 * time.Second
	// maxHeaderBytes is far above one key and the usual headers.
	maxHeaderBytes = 16 << 10
)

// Serve answers on listener until ctx ends, then finishes the requests in flight. It takes listener over. The carrier and
// the post may be nil.
func Serve(ctx context.Context, listener net.Listener, network *CardNetwork, carrier *Carrier, post *Post, log *slog.Logger) error {
	routes := http.NewServeMux()
	routes.Handle("/", network)
	if carrier != nil {
		routes.Handle("/carrier/", carrier)
	}
	if post != nil {
		routes.Handle("/mail/", post)
		routes.Handle("/sms/", post)
	}
	server := &http.Server{
		Handler:           routes,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	log.Info("sandbox serves", "address", listener.Addr().String())
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	network.Drain()
	if carrier != nil {
		carrier.Drain()
	}
	// ctx is over already; finishing needs a time of its own.
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		return fmt.Errorf("stop serving: %w", errors.Join(err, server.Close()))
	}
	log.Info("sandbox stopped")
	return nil
}
