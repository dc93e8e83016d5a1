package cellctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/opening"
	"github.com/cellar-commerce/cellar/internal/platform"
	"github.com/cellar-commerce/cellar/internal/shop"
	"github.com/cellar-commerce/cellar/internal/stockroom"
)

// askingFor is the time it may take to ask for one order until it has been sent, and to send something of it back.
const askingFor = 50 * time.Millisecond

func (o *options) shop() *cobra.Command {
	var cfg shop.Config
	var await, flash bool
	var units int
	var t trouble
	cmd := &cobra.Command{
		Use: "shop", Short: "Play shoppers through the routers, and tell what became of their orders", Args: cobra.NoArgs,
		Long: "Play shoppers: each searches, fills a cart, asks for a quote and places an order, through the routers' public API.\n" +
			"Two in a hundred cancel what they have just ordered. With --await-shipped one in twenty sends something back.\n" +
			"Exits with 1 if an order ended neither placed nor refused for want of goods or money.\n\n" +
			"With --rate orders begin at drawn times, so many a second on average, whether or not those before them are done, and are timed from\n" +
			"then. --shoppers bounds how many are under way; what nobody is free for is begun late, and counted. 18.5 is 1.6 million a day.\n\n" +
			"With --flash-sale all of them want one product, of which one fulfilment centre has --units, until it is sold out;\n" +
			"then exits with 1 unless exactly that many were sold.\n\n" +
			"--decline, --timeout-after-success and --kill-every make trouble while they are at it. Shoppers ride over it as browsers\n" +
			"do: they ask again, an order under its key. No fault outlasts the command.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(playable(cfg, flash), t.check()); err != nil {
				return err
			}
			if flash {
				if units < 1 || units > 1_000_000 {
					return usagef("--units must be 1 to 1000000")
				}
				sale, err := o.openSale(cmd.Context(), units)
				if err != nil {
					return err
				}
				cfg.Sale = sale
				if !cmd.Flags().Changed("shoppers") {
					cfg.Shoppers = saleShoppers
				}
			}
			if err := o.findRouters(cmd.Context(), &cfg); err != nil {
				return err
			}
			if await {
				cfg.AwaitShipped = time.Minute + time.Duration(cfg.Orders)*askingFor
			}
			t.seed = cfg.Seed
			report, err := t.during(cmd.Context(), o.dir, func() (shop.Report, error) { return shop.Run(cmd.Context(), cfg) })
			if err != nil && report.Orders == 0 {
				return err
			}
			if err := errors.Join(err, o.print(cmd.OutOrStdout(), report, func(out io.Writer) error { return shopTable(out, report) })); err != nil {
				return err // interrupted, for example: what there is of it is told
			}
			if !report.Clean() {
				return ErrFound
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&cfg.Shoppers, "shoppers", 20, "shoppers at once")
	cmd.Flags().IntVar(&cfg.Orders, "orders", 200, "orders in all")
	cmd.Flags().Float64Var(&cfg.Rate, "rate", 0, "orders a second, at drawn times; 0: as fast as they are answered")
	cmd.Flags().Uint64Var(&cfg.Seed, "seed", defaultSeed, "same seed, same wishes")
	cmd.Flags().StringSliceVar(&cfg.Routers, "router", nil, "shop at this router, http://host:port; repeat for several (default: those of the platform here)")
	cmd.Flags().BoolVar(&flash, "flash-sale", false, "all want one product until it is sold out; 256 shoppers unless --shoppers says otherwise")
	cmd.Flags().IntVar(&units, "units", 1000, "of the product of a --flash-sale")
	cmd.Flags().BoolVar(&await, "await-shipped", false, "wait until every order placed shows SHIPPED: a minute, and a twentieth of a second for each")
	cmd.Flags().IntVar(&t.decline, "decline", 0, "percent of charges that the issuer declines")
	cmd.Flags().IntVar(&t.timeout, "timeout-after-success", 0, "percent of the card network's effects that are not answered")
	cmd.Flags().DurationVar(&t.killEvery, "kill-every", 0, "kill -9 a cell of the platform here this often, and start it again")
	return cmd
}

// playable tells what is wrong with flags.
func playable(cfg shop.Config, flash bool) error {
	if cfg.Shoppers < 1 || cfg.Shoppers > 1000 || cfg.Orders < 1 || cfg.Orders > 10_000_000 {
		return usagef("--shoppers must be 1 to 1000, --orders 1 to 10000000")
	}
	if !(cfg.Rate >= 0 && cfg.Rate <= maxRate) || (cfg.Rate > 0 && flash) {
		return usagef("--rate must be 0 to %d, and a --flash-sale has none", maxRate)
	}
	return nil
}

// maxRate of orders a second, beyond what one machine plays.
const maxRate = 10_000

// findRouters of the platform here, unless others are named.
func (o *options) findRouters(ctx context.Context, cfg *shop.Config) error {
	if len(cfg.Routers) > 0 {
		return nil
	}
	info, err := o.running(ctx)
	if err != nil {
		return err
	}
	for _, r := range platform.NewLayout(info.PortOffset).Routers {
		cfg.Routers = append(cfg.Routers, "http://"+r.Listen)
	}
	return nil
}

const (
	saleShoppers = 256
	// saleCenter has all units of a sale: the hottest that a row can be.
	saleCenter = "iad1"
)

// openSale puts a new product up for sale.
func (o *options) openSale(ctx context.Context, units int) (*shop.Sale, error) {
	sale := &shop.Sale{SKU: "SALE-" + strings.ToUpper(ident.NewToken()[:10]), Units: units}
	info, err := o.running(ctx)
	if err != nil {
		return nil, err
	}
	err = o.inRoom(ctx, func(room *stockroom.Room) error {
		_, err := room.Receive(ctx, []stockroom.Delivery{{FC: saleCenter, ID: sale.SKU, Units: map[string]int64{sale.SKU: int64(units)}}})
		return err
	})
	if err != nil {
		return nil, err
	}
	opener, err := opening.New(ctx, info.DatabaseURL)
	if err != nil {
		return nil, err
	}
	defer opener.Close()
	return sale, opener.Offer(ctx, &catalogv1.Product{
		Sku: sale.SKU, Title: "A thing that everybody wants", Description: "It is cheap, and there is little of it.", Brand: "Flash",
		CategoryPath: []string{"Sales"}, Price: &moneyv1.Money{CurrencyCode: "USD", MinorUnits: 999},
	})
}

func shopTable(out io.Writer, r shop.Report) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', tabwriter.AlignRight)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\t\n", args...) } // Flush tells
	line("OUTCOME\tORDERS")
	for _, outcome := range slices.Sorted(maps.Keys(r.Outcomes)) {
		line("%s\t%d", outcome, r.Outcomes[outcome])
	}
	if r.Trouble != nil && r.Outcomes[shop.Unresolved] == 0 {
		line("%s\t0", shop.Unresolved)
	}
	if r.Shipped > 0 {
		line("of them SHIPPED\t%d", r.Shipped)
	}
	if r.Missed > 0 {
		line("of them on no shelf\t%d", r.Missed)
	}
	for _, outcome := range slices.Sorted(maps.Keys(r.Canceled)) {
		line("canceling: %s\t%d", outcome, r.Canceled[outcome])
	}
	if r.Returned > 0 {
		line("items returned\t%d", r.Returned)
	}
	if t := r.Trouble; t != nil {
		line("")
		line("TROUBLE\t")
		line("declined by the issuer\t%d %%", t.DeclinePercent)
		line("effects not answered\t%d %%", t.TimeoutAfterSuccessPercent)
		for _, cell := range slices.Sorted(maps.Keys(t.Kills)) {
			line("kill -9 %s\t%d", cell, t.Kills[cell])
		}
		line("started again\t%d", t.Restarts)
	}
	line("")
	line("CALL\tCOUNT\tP50 ms\tP90 ms\tP99 ms\tMAX ms")
	for _, c := range r.Calls {
		line("%s\t%d\t%.1f\t%.1f\t%.1f\t%.1f", c.Call, c.Count, c.P50, c.P90, c.P99, c.Max)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if p := r.Pace; p != nil {
		if _, err := fmt.Fprintf(out, "%.4g orders a second were due; %d begun late, the latest by %.1f ms\n", p.Rate, p.Late, p.Max); err != nil {
			return err
		}
	}
	for _, f := range r.Faults {
		if _, err := fmt.Fprintln(out, "fault:", f); err != nil {
			return err
		}
	}
	if r.Sale != nil {
		if _, err := fmt.Fprintf(out, "%d of %d units of %s sold\n", r.Outcomes[shop.Placed], r.Sale.Units, r.Sale.SKU); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "%d orders in %.1f s, %.0f a second\n", r.Orders, r.Seconds, float64(r.Orders)/r.Seconds)
	return err
}
