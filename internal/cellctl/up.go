package cellctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cellar-commerce/cellar/internal/opening"
	"github.com/cellar-commerce/cellar/internal/platform"
)

// defaultSeed of generated catalogues, so that everybody's shop is the same.
const defaultSeed = 1

// upFlags of the command up.
type upFlags struct {
	offset   int
	database string
	products int
	file     string
	standby  bool
	short    int
}

func (o *options) up() *cobra.Command {
	var f upFlags
	cmd := &cobra.Command{
		Use: "up", Short: "Run the whole platform here, until Ctrl-C or `cellctl down`", Args: cobra.NoArgs,
		Long: "Run the whole platform on this machine, every part a process of its own: the database, the control plane, and in\n" +
			"each of three regions a broker, two cells and a router. An empty catalogue is filled first. CELLAR_DATABASE_URL names a SQL server\n" +
			"(PostgreSQL 15 or newer, or CockroachDB) to use in place of a private one.",
		RunE: func(cmd *cobra.Command, _ []string) error { return o.runUp(cmd.Context(), cmd.OutOrStdout(), f) },
	}
	cmd.Flags().IntVar(&f.offset, "port-offset", 0, "move every port by this")
	cmd.Flags().StringVar(&f.database, "db", "postgres", "database to start: postgres, or cockroach where its program is installed")
	cmd.Flags().IntVar(&f.products, "products", 10_000, "products to fill an empty catalogue with")
	cmd.Flags().BoolVar(&f.standby, "standby", false, "start a second control plane, which takes over when the first is gone")
	cmd.Flags().IntVar(&f.short, "short-picks", 0, "of how many lines in a hundred pickers find nothing on the shelf")
	cmd.Flags().StringVar(&f.file, "import", "", "fill an empty catalogue from this file instead (see import)")
	return cmd
}

func (o *options) runUp(ctx context.Context, out io.Writer, f upFlags) error {
	if f.database != "postgres" && f.database != "cockroach" {
		return usagef("--db must be postgres or cockroach, not %q", f.database)
	}
	if f.products < 0 || f.products > maxProducts {
		return usagef("--products must be 0 to %d", maxProducts)
	}
	if f.short < 0 || f.short > 100 {
		return usagef("--short-picks must be 0 to 100")
	}
	bin, err := binDir()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	p, err := platform.Start(ctx, platform.Config{
		Dir: o.dir, BinDir: bin, PortOffset: f.offset, DatabaseURL: os.Getenv("CELLAR_DATABASE_URL"), Cockroach: f.database == "cockroach", Standby: f.standby, Out: out,
		CellFlags: []string{"--short-picks", strconv.Itoa(f.short)},
		Fill:      func(ctx context.Context, url string) error { return fillEmpty(ctx, out, url, f) },
	})
	if err != nil {
		return err
	}
	serving, down := context.WithCancel(ctx)
	defer down()
	if err := p.ServeControl(serving, down); err != nil {
		return errors.Join(err, p.Stop())
	}
	if _, err := fmt.Fprintf(out, "\nShop at http://%s (the other regions: %s, %s). What it mails, at http://%s/mail/. Logs are in %s/logs. Ctrl-C or `cellctl down` stops everything.\n",
		p.Layout().Routers[0].Listen, p.Layout().Routers[1].Listen, p.Layout().Routers[2].Listen, p.Layout().Sandbox, o.dir); err != nil {
		return errors.Join(err, p.Stop())
	}
	<-serving.Done()
	begun := time.Now()
	err = p.Stop()
	_, _ = fmt.Fprintf(out, "stopped in %.1f s\n", time.Since(begun).Seconds()) // nobody is left to be told
	return err
}

// maxProducts that can be generated: what one machine's indexes hold.
const maxProducts = 1_000_000

// fillEmpty fills a catalogue that has nothing.
func fillEmpty(ctx context.Context, out io.Writer, url string, f upFlags) error {
	opener, err := opening.New(ctx, url)
	if err != nil {
		return err
	}
	defer opener.Close()
	if _, err := opener.Centers(ctx); err != nil {
		return err
	}
	empty, err := opener.Empty(ctx)
	if err != nil || !empty {
		return err
	}
	if f.file != "" {
		report, err := opener.File(ctx, f.file, opening.Options{Seed: defaultSeed})
		if err != nil {
			return err
		}
		return printImported(out, report)
	}
	_, err = opener.Generated(ctx, f.products, defaultSeed, false)
	return err
}

func (o *options) down() *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "Stop the platform that runs here", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			remote, err := platform.Connect(o.dir)
			if err != nil {
				return err
			}
			if err := remote.Down(cmd.Context()); err != nil {
				return err
			}
			return platform.AwaitDown(cmd.Context(), o.dir)
		},
	}
}

func (o *options) status() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the processes of the platform that runs here", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			remote, err := platform.Connect(o.dir)
			if err != nil {
				return err
			}
			all, err := remote.Status(cmd.Context())
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), all, func(out io.Writer) error { return statusTable(out, all) })
		},
	}
}

func statusTable(out io.Writer, all []platform.Status) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	if _, err := fmt.Fprintln(w, "PROCESS\tPID\tSTATE\tLOG"); err != nil {
		return err
	}
	for _, s := range all {
		state := "down"
		switch {
		case s.Running && s.Ready:
			state = "ready"
		case s.Running:
			state = "not ready"
		}
		if _, err := fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", s.Name, s.PID, state, s.Log); err != nil {
			return err
		}
	}
	return w.Flush()
}

func (o *options) restart() *cobra.Command {
	return &cobra.Command{
		Use: "restart PROCESS", Short: "Start a process of the platform again", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			remote, err := platform.Connect(o.dir)
			if err != nil {
				return err
			}
			return remote.Restart(cmd.Context(), args[0])
		},
	}
}

func (o *options) kill() *cobra.Command {
	return &cobra.Command{
		Use: "kill PROCESS", Short: "Kill a process of the platform as a crash would; it stays down until `restart`", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			remote, err := platform.Connect(o.dir)
			if err != nil {
				return err
			}
			return remote.Kill(cmd.Context(), args[0])
		},
	}
}

func (o *options) seed() *cobra.Command {
	var products int
	var seedOf uint64
	cmd := &cobra.Command{
		Use: "seed", Short: "Fill the running platform with the network's centres and a generated catalogue", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if products < 1 || products > maxProducts {
				return usagef("--products must be 1 to %d", maxProducts)
			}
			return o.generate(cmd, products, seedOf)
		},
	}
	cmd.Flags().IntVar(&products, "products", 10_000, "products to generate")
	cmd.Flags().Uint64Var(&seedOf, "seed", defaultSeed, "same seed, same products")
	return cmd
}

// generate products in the running platform.
func (o *options) generate(cmd *cobra.Command, products int, seedOf uint64) error {
	info, err := o.running(cmd.Context())
	if err != nil {
		return err
	}
	opener, err := opening.New(cmd.Context(), info.DatabaseURL)
	if err != nil {
		return err
	}
	defer opener.Close()
	begun := time.Now()
	centers, err := opener.Centers(cmd.Context())
	if err != nil {
		return err
	}
	n, err := opener.Generated(cmd.Context(), products, seedOf, true)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d fulfilment centres, %d products in %.1f s; search follows within seconds\n", centers, n, time.Since(begun).Seconds())
	return err
}
