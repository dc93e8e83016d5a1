package cellctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1/checkoutv1connect"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
)

func (o *options) voucher() *cobra.Command {
	cmd := &cobra.Command{Use: "voucher", Short: "Define vouchers and promotions, show how often they were redeemed, end them"}
	cmd.AddCommand(o.voucherCreate(), o.voucherShow(), o.voucherDisable())
	return cmd
}

// askCheckout asks the cells of the platform, one after another, until one answers.
func (o *options) askCheckout(ctx context.Context, ask func(context.Context, checkoutv1connect.CheckoutServiceClient) error) error {
	all, err := cellsOf(ctx, o, checkoutv1connect.NewCheckoutServiceClient)
	if err != nil {
		return err
	}
	_, err = all.inTurn(ctx, ask)
	return explained(err)
}

// explained error: its reason, and every field that is wrong, one a line.
func explained(err error) error {
	p := problem.As(err)
	if p == nil {
		return err
	}
	text := p.Reason + ": " + p.Message
	if d, ok := problem.Detail[*problemv1.FieldViolations](err); ok {
		text = p.Reason
		for _, v := range d.GetViolations() {
			text += "\n  " + strings.TrimPrefix(v.GetField(), "voucher.") + " " + v.GetDescription()
		}
	}
	return errors.New(text)
}

// voucherFlags as they are typed.
type voucherFlags struct {
	percent, amount, minimum, currency string
	categories                         []string
	from, until                        string
	limit, perCustomer                 int64
	home                               string
	automatic                          bool
}

func (o *options) voucherCreate() *cobra.Command {
	var f voucherFlags
	cmd := &cobra.Command{
		Use: "create CODE", Short: "Define a voucher, or with --automatic a promotion that needs none", Args: cobra.ExactArgs(1),
		Long: "Define a voucher by its code: a percentage or an amount off, for everything or for some categories. With --automatic the\n" +
			"percentage applies by itself, to everybody. It counts everywhere within a minute. Doing it again changes nothing; a code\n" +
			"that is taken by something else is refused.",
		Example: "  cellctl voucher create SPRING-5 --amount 5.00 --minimum 20.00 --per-customer 1 --limit 1000 --until 2026-12-31\n" +
			"  cellctl voucher create AUDIO-WEEK --automatic --percent 15 --category 'Audio & Video' --from 2026-11-23 --until 2026-11-30",
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := f.voucher(args[0])
			if err != nil {
				return err
			}
			return o.askCheckout(cmd.Context(), func(ctx context.Context, c checkoutv1connect.CheckoutServiceClient) error {
				resp, err := c.CreateVoucher(ctx, &checkoutv1.CreateVoucherRequest{Voucher: v})
				if err != nil {
					return err
				}
				return o.printVoucher(cmd.OutOrStdout(), resp, resp.GetVoucher(), nil)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.percent, "percent", "", "off, for example 12.5")
	flags.StringVar(&f.amount, "amount", "", "off, for example 5.00")
	flags.StringVar(&f.minimum, "minimum", "", "that the products it is for must be worth")
	flags.StringVar(&f.currency, "currency", "USD", "of amount and minimum")
	flags.StringArrayVar(&f.categories, "category", nil, "that it is for, with all below it; repeat for several (default: everything)")
	flags.StringVar(&f.from, "from", "", "day or RFC 3339 time from which it is valid (default: now)")
	flags.StringVar(&f.until, "until", "", "day or RFC 3339 time from which it is no longer valid (default: for ever)")
	flags.Int64Var(&f.limit, "limit", 0, "orders that may redeem it; 0: no limit")
	flags.Int64Var(&f.perCustomer, "per-customer", 0, "orders of one customer that may; 0: no limit")
	flags.StringVar(&f.home, "home", "", "region that counts its redemptions (default: the primary one)")
	flags.BoolVar(&f.automatic, "automatic", false, "applies by itself")
	return cmd
}

// voucher that the flags describe; what they say is checked by the service.
func (f voucherFlags) voucher(code string) (*checkoutv1.Voucher, error) {
	v := &checkoutv1.Voucher{
		Code: code, Automatic: f.automatic, Categories: f.categories, MaxRedemptions: f.limit, MaxPerCustomer: f.perCustomer, HomeRegion: f.home,
	}
	var errs []error
	flag := func(name, text string, read func(string) error) {
		if text == "" {
			return
		}
		if err := read(text); err != nil {
			errs = append(errs, usagef("--%s: %w", name, err))
		}
	}
	amount := func(into **money.Amount) func(string) error {
		return func(s string) error {
			n, err := hundredths(s)
			*into = &money.Amount{Minor: n, Currency: f.currency}
			return err
		}
	}
	var off, least *money.Amount
	flag("percent", f.percent, func(s string) (err error) {
		n, err := hundredths(s)
		v.PercentBasisPoints = int32(min(n, 1_000_000))
		return err
	})
	flag("amount", f.amount, amount(&off))
	flag("minimum", f.minimum, amount(&least))
	flag("from", f.from, func(s string) (err error) { v.ValidFrom, err = moment(s); return err })
	flag("until", f.until, func(s string) (err error) { v.ValidUntil, err = moment(s); return err })
	if off != nil {
		v.AmountOff = off.Proto()
	}
	if least != nil {
		v.Minimum = least.Proto()
	}
	return v, errors.Join(errs...)
}

// hundredths of a decimal with at most two places: cents of an amount, basis points of a percentage.
func hundredths(s string) (int64, error) {
	units, decimals, point := strings.Cut(s, ".")
	digits := units + (decimals + "00")[:max(2, len(decimals))]
	if units == "" || len(decimals) > 2 || (point && decimals == "") || len(digits) > 15 || strings.Trim(digits, "0123456789") != "" {
		return 0, fmt.Errorf("%q is not a number with at most two decimals", s)
	}
	return strconv.ParseInt(digits, 10, 64)
}

// moment of a day (its beginning, UTC) or a time.
func moment(s string) (*timestamppb.Timestamp, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return timestamppb.New(t), nil
		}
	}
	return nil, fmt.Errorf("%q is neither a day (2026-12-31) nor a time (2026-12-31T12:00:00Z)", s)
}

func (o *options) voucherShow() *cobra.Command {
	return &cobra.Command{
		Use: "show CODE", Short: "Show a voucher and how often it was redeemed", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.askCheckout(cmd.Context(), func(ctx context.Context, c checkoutv1connect.CheckoutServiceClient) error {
				resp, err := c.GetVoucher(ctx, &checkoutv1.GetVoucherRequest{Code: args[0]})
				if err != nil {
					return err
				}
				return o.printVoucher(cmd.OutOrStdout(), resp, resp.GetVoucher(), &resp.Redeemed)
			})
		},
	}
}

func (o *options) voucherDisable() *cobra.Command {
	return &cobra.Command{
		Use: "disable CODE", Short: "End a voucher or a promotion, for good", Args: cobra.ExactArgs(1),
		Long: "End a voucher or a promotion for good, within a minute everywhere. Orders that redeemed it keep their price; quotes made\n" +
			"with a voucher are refused when they are placed. Its code cannot be used for another one.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.askCheckout(cmd.Context(), func(ctx context.Context, c checkoutv1connect.CheckoutServiceClient) error {
				resp, err := c.DisableVoucher(ctx, &checkoutv1.DisableVoucherRequest{Code: args[0]})
				if err != nil {
					return err
				}
				return o.printVoucher(cmd.OutOrStdout(), resp, resp.GetVoucher(), nil)
			})
		},
	}
}

// printVoucher as the RPC's JSON, or as a table.
func (o *options) printVoucher(out io.Writer, answer proto.Message, v *checkoutv1.Voucher, redeemed *int64) error {
	if o.output == "json" {
		b, err := protojson.MarshalOptions{Multiline: true, UseProtoNames: true, EmitUnpopulated: true}.Marshal(answer)
		if err == nil {
			_, err = fmt.Fprintln(out, string(b))
		}
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	line := func(name, value string) { _, _ = fmt.Fprintf(w, "%s\t%s\n", name, value) } // Flush tells
	line("CODE", v.GetCode())
	if v.GetAmountOff() != nil {
		line("OFF", money.FromProto(v.GetAmountOff()).String())
	} else {
		line("OFF", fmt.Sprintf("%d.%02d %%", v.GetPercentBasisPoints()/100, v.GetPercentBasisPoints()%100))
	}
	if v.GetAutomatic() {
		line("APPLIES", "by itself")
	}
	if v.GetMinimum() != nil {
		line("MINIMUM", money.FromProto(v.GetMinimum()).String())
	}
	line("FOR", strings.Join(v.GetCategories(), ", "))
	if len(v.GetCategories()) == 0 {
		line("", "everything")
	}
	line("FROM", v.GetValidFrom().AsTime().Format(time.RFC3339))
	if v.GetValidUntil() != nil {
		line("UNTIL", v.GetValidUntil().AsTime().Format(time.RFC3339))
	}
	line("ORDERS", upTo(redeemed, v.GetMaxRedemptions()))
	if v.GetMaxPerCustomer() > 0 {
		line("PER CUSTOMER", upTo(nil, v.GetMaxPerCustomer()))
	}
	line("COUNTED IN", v.GetHomeRegion())
	if v.GetDisabled() {
		line("STATE", "disabled")
	}
	return w.Flush()
}

// upTo says how many there are and may be.
func upTo(n *int64, most int64) string {
	text := "no limit"
	if most > 0 {
		text = "at most " + strconv.FormatInt(most, 10)
	}
	if n != nil {
		text = strconv.FormatInt(*n, 10) + ", " + text
	}
	return text
}
