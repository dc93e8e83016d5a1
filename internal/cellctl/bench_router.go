package cellctl

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/cellar-commerce/cellar/internal/bench"
)

func (o *options) benchRouter() *cobra.Command {
	var cfg bench.RouterConfig
	cmd := &cobra.Command{
		Use: "router", Short: "The router beside nginx, HAProxy and a tuned httputil.ReverseProxy", Args: cobra.NoArgs,
		Long: "The router beside nginx, HAProxy and a tuned httputil.ReverseProxy: each a process of its own before the same\n" +
			"backend, 64 connections, answers of a kilobyte, in turns. nginx and HAProxy are those of this machine\n" +
			"(apt-get install nginx-light haproxy); one that is not there is left out.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if cfg.Seconds < 0.6 || cfg.Seconds > 40 {
				return fmt.Errorf("--seconds must be 0.6 to 40")
			}
			if cfg.BinDir, err = binDir(); err != nil {
				return err
			}
			if cfg.Self, err = os.Executable(); err != nil {
				return fmt.Errorf("where am I: %w", err)
			}
			cfg.Progress = benchProgress(cmd)
			return o.measured(cmd)(bench.Router(cmd.Context(), cfg))
		},
	}
	cmd.Flags().Float64Var(&cfg.Seconds, "seconds", 12, "that each of the four is under load, in six rounds")
	return cmd
}

// benchPeer is what the bench of the router starts as processes of their own: the backend, or with an upstream the tuned
// httputil.ReverseProxy before it.
func (o *options) benchPeer() *cobra.Command {
	var listen, upstream string
	cmd := &cobra.Command{
		Use: "peer", Short: "A backend, or a reverse proxy, for the bench of the router", Args: cobra.NoArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if listen == "" {
				return errors.New("--listen must be host:port")
			}
			if upstream == "" {
				return bench.Backend(cmd.Context(), listen)
			}
			return bench.ReverseProxy(cmd.Context(), listen, upstream)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "address")
	cmd.Flags().StringVar(&upstream, "upstream", "", "address of the backend")
	return cmd
}
