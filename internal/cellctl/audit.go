package cellctl

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cellar-commerce/cellar/internal/audit"
	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/platform"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// auditGrace is how long work under way may take before the audit calls it lost: far longer than any retry of it.
const auditGrace = 2 * time.Minute

func (o *options) audit() *cobra.Command {
	return &cobra.Command{
		Use: "audit", Short: "Prove the promises from the databases and the card network's ledger", Args: cobra.NoArgs,
		Long: "Prove from the databases and the card network's own ledger that nothing was oversold, charged twice, lost, half done,\n" +
			"stuck or done twice. Exits with 1 if anything was.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, err := o.running(cmd.Context())
			if err != nil {
				return err
			}
			report, err := Audit(cmd.Context(), info)
			if err != nil {
				return err
			}
			if err := o.print(cmd.OutOrStdout(), report, func(out io.Writer) error { return auditTable(out, report) }); err != nil {
				return err
			}
			if !report.Clean() {
				return ErrFound
			}
			return nil
		},
	}
}

// Audit the platform that info is about.
func Audit(ctx context.Context, info platform.Info) (audit.Report, error) {
	deps := audit.Deps{Regions: ident.Regions(), Clock: clock.System{}, Pause: 3 * time.Second, Grace: auditGrace}
	for _, d := range []struct {
		into     **sqldb.DB
		database sqldb.Database
	}{{&deps.Customers, sqldb.Customer}, {&deps.Regional, sqldb.Regional}} {
		db, err := sqldb.Open(ctx, sqldb.Config{URL: info.DatabaseURL, Database: d.database, MaxConns: 4, ApplicationName: "cellctl audit"})
		if err != nil {
			return audit.Report{}, err
		}
		defer db.Close()
		*d.into = db
	}
	network, err := cardnetwork.New(cardnetwork.Config{BaseURL: "http://" + platform.NewLayout(info.PortOffset).Sandbox, Timeout: 30 * time.Second})
	if err != nil {
		return audit.Report{}, err
	}
	deps.Ledger = network
	return audit.Run(ctx, deps)
}

func auditTable(out io.Writer, r audit.Report) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "PROMISE\t\tCHECKED\tVIOLATIONS") // Flush tells
	for _, p := range r.Promises {
		_, _ = fmt.Fprintf(w, "%d\t%s\t%d\t%d\n", p.Number, p.Name, p.Checked, len(p.Violations))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, p := range r.Promises {
		for _, v := range p.Violations {
			if _, err := fmt.Fprintf(out, "promise %d (%s): %s\n", p.Number, p.Name, v); err != nil {
				return err
			}
		}
	}
	if !r.Clean() {
		return nil
	}
	_, err := fmt.Fprintln(out, "every promise holds")
	return err
}
