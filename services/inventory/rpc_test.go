package inventory

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// refusesField expects INVALID_FIELDS that names just this field.
func refusesField(t *testing.T, err error, field string) {
	t.Helper()
	refused(t, err, problem.Invalid, "INVALID_FIELDS")
	detail, _ := problem.Detail[*problemv1.FieldViolations](err)
	if len(detail.GetViolations()) != 1 || detail.GetViolations()[0].GetField() != field {
		t.Errorf("got %v, want only %s", detail, field)
	}
}

func TestABadFieldOfAReserveIsNamed(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		field  string
		change func(*inventoryv1.ReserveRequest)
	}{
		"no lines":            {"lines", func(r *inventoryv1.ReserveRequest) { r.Lines = nil }},
		"201 lines":           {"lines", func(r *inventoryv1.ReserveRequest) { r.Lines = wants(slices.Repeat([]any{"ale", 1}, 201)...) }},
		"line 0":              {"lines[0].line", func(r *inventoryv1.ReserveRequest) { r.Lines[0].Line = 0 }},
		"a line twice":        {"lines[1].line", func(r *inventoryv1.ReserveRequest) { r.Lines[1].Line = 1 }},
		"no sku":              {"lines[1].sku", func(r *inventoryv1.ReserveRequest) { r.Lines[1].Sku = "" }},
		"a long sku":          {"lines[1].sku", func(r *inventoryv1.ReserveRequest) { r.Lines[1].Sku = strings.Repeat("x", 65) }},
		"a control character": {"lines[1].sku", func(r *inventoryv1.ReserveRequest) { r.Lines[1].Sku = "a\x00" }},
		"quantity 0":          {"lines[0].quantity", func(r *inventoryv1.ReserveRequest) { r.Lines[0].Quantity = 0 }},
		"quantity 1000":       {"lines[0].quantity", func(r *inventoryv1.ReserveRequest) { r.Lines[0].Quantity = 1000 }},
		"no expiry":           {"expires_at", func(r *inventoryv1.ReserveRequest) { r.ExpiresAt = nil }},
		"an expiry of now":    {"expires_at", func(r *inventoryv1.ReserveRequest) { r.ExpiresAt = timestamppb.New(opened) }},
		"an expiry far ahead": {"expires_at", func(r *inventoryv1.ReserveRequest) { r.ExpiresAt = timestamppb.New(opened.Add(2 * time.Hour)) }},
	} {
		t.Run(name, func(t *testing.T) {
			req := w.request("iad1", newOrder(), wants("ale", 1, "port", 1), time.Minute)
			c.change(req)
			_, err := w.Reserve(t.Context(), req)
			refusesField(t, err, c.field)
		})
	}
}

func TestABadFieldOfADeliveryIsNamed(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		field  string
		change func(*inventoryv1.RestockRequest)
	}{
		"no delivery id":        {"delivery_id", func(r *inventoryv1.RestockRequest) { r.DeliveryId = "" }},
		"a long delivery id":    {"delivery_id", func(r *inventoryv1.RestockRequest) { r.DeliveryId = strings.Repeat("x", 101) }},
		"the opening stock's":   {"delivery_id", func(r *inventoryv1.RestockRequest) { r.DeliveryId = "opening" }},
		"no lines":              {"lines", func(r *inventoryv1.RestockRequest) { r.Lines = nil }},
		"a product twice":       {"lines[1].sku", func(r *inventoryv1.RestockRequest) { r.Lines[1].Sku = "ale-0" }},
		"no sku":                {"lines[0].sku", func(r *inventoryv1.RestockRequest) { r.Lines[0].Sku = "" }},
		"nothing of a product":  {"lines[1].quantity", func(r *inventoryv1.RestockRequest) { r.Lines[1].Quantity = 0 }},
		"more than a million":   {"lines[1].quantity", func(r *inventoryv1.RestockRequest) { r.Lines[1].Quantity = 1_000_001 }},
		"a negative quantity":   {"lines[0].quantity", func(r *inventoryv1.RestockRequest) { r.Lines[0].Quantity = -1 }},
		"a control character":   {"delivery_id", func(r *inventoryv1.RestockRequest) { r.DeliveryId = "a\n" }},
		"more than 1,000 lines": {"lines", func(r *inventoryv1.RestockRequest) { r.Lines = manyLines(1001) }},
	} {
		t.Run(name, func(t *testing.T) {
			req := &inventoryv1.RestockRequest{FcId: "iad1", DeliveryId: "d1", Lines: manyLines(1)}
			req.Lines = append(req.Lines, &inventoryv1.RestockLine{Sku: "port", Quantity: 1})
			c.change(req)
			_, err := w.Restock(t.Context(), req)
			refusesField(t, err, c.field)
		})
	}
}

func manyLines(n int) []*inventoryv1.RestockLine {
	var lines []*inventoryv1.RestockLine
	for i := range n {
		lines = append(lines, &inventoryv1.RestockLine{Sku: "ale-" + strconv.Itoa(i), Quantity: 1})
	}
	return lines
}

func TestABadFieldOfAnAdjustmentIsNamed(t *testing.T) {
	w := newWorld(t)
	for field, changes := range map[string][]func(*inventoryv1.AdjustRequest){
		"adjustment_id": {
			func(r *inventoryv1.AdjustRequest) { r.AdjustmentId = "" },
			func(r *inventoryv1.AdjustRequest) { r.AdjustmentId = strings.Repeat("x", 101) },
		},
		"sku": {
			func(r *inventoryv1.AdjustRequest) { r.Sku = "" },
			func(r *inventoryv1.AdjustRequest) { r.Sku = strings.Repeat("x", 65) },
		},
		"delta": {
			func(r *inventoryv1.AdjustRequest) { r.Delta = 0 },
			func(r *inventoryv1.AdjustRequest) { r.Delta = 1_000_001 },
			func(r *inventoryv1.AdjustRequest) { r.Delta = -1_000_001 },
		},
		"reason": {
			func(r *inventoryv1.AdjustRequest) { r.Reason = "" },
			func(r *inventoryv1.AdjustRequest) { r.Reason = strings.Repeat("x", 201) },
		},
	} {
		for _, change := range changes {
			req := &inventoryv1.AdjustRequest{FcId: "iad1", AdjustmentId: "a1", Sku: "ale", Delta: 1, Reason: "found"}
			change(req)
			_, err := w.Adjust(t.Context(), req)
			refusesField(t, err, field)
		}
	}
}

func TestABadFieldOfAStockQuestionIsNamed(t *testing.T) {
	w := newWorld(t)
	for field, skus := range map[string][]string{"skus": nil, "skus[1]": {"ale", ""}} {
		_, err := w.GetAvailability(t.Context(), &inventoryv1.GetAvailabilityRequest{Skus: skus})
		refusesField(t, err, field)
		_, err = w.ListStock(t.Context(), &inventoryv1.ListStockRequest{Skus: skus})
		refusesField(t, err, field)
	}
	_, err := w.ListStock(t.Context(), &inventoryv1.ListStockRequest{Skus: slices.Repeat([]string{"ale"}, 201)})
	refusesField(t, err, "skus")
	_, err = w.ExtendHold(t.Context(), &inventoryv1.ExtendHoldRequest{FcId: "iad1", OrderId: newOrder()})
	refusesField(t, err, "expires_at")
}

func TestAPlaceThatIsNotOursOrAnOrderThatIsNoneIsRefused(t *testing.T) {
	w := newWorld(t)
	calls := map[string]func(fc, order string) error{
		"reserve": func(fc, order string) error {
			_, err := w.Reserve(t.Context(), w.request(fc, order, wants("ale", 1), time.Minute))
			return err
		},
		"extend": func(fc, order string) error {
			_, err := w.ExtendHold(t.Context(), &inventoryv1.ExtendHoldRequest{FcId: fc, OrderId: order, ExpiresAt: timestamppb.New(opened.Add(time.Minute))})
			return err
		},
		"commit": func(fc, order string) error {
			_, err := w.Commit(t.Context(), &inventoryv1.CommitRequest{FcId: fc, OrderId: order})
			return err
		},
		"release": func(fc, order string) error {
			_, err := w.Release(t.Context(), &inventoryv1.ReleaseRequest{FcId: fc, OrderId: order})
			return err
		},
		"ship": func(fc, order string) error {
			_, err := w.Ship(t.Context(), &inventoryv1.ShipRequest{FcId: fc, OrderId: order})
			return err
		},
	}
	atFC := map[string]func(fc string) error{
		"restock": func(fc string) error {
			_, err := w.Restock(t.Context(), &inventoryv1.RestockRequest{FcId: fc, DeliveryId: "d1", Lines: manyLines(1)})
			return err
		},
		"adjust": func(fc string) error {
			_, err := w.Adjust(t.Context(), &inventoryv1.AdjustRequest{FcId: fc, AdjustmentId: "a1", Sku: "ale", Delta: 1, Reason: "found"})
			return err
		},
	}
	for name, call := range calls {
		atFC[name] = func(fc string) error { return call(fc, newOrder()) }
		for _, order := range []string{"", "order-1", newOrder() + "X"} {
			refused(t, call("iad1", order), problem.Invalid, "MALFORMED_ORDER_ID")
		}
	}
	for _, call := range atFC {
		refused(t, call("nowhere"), problem.Invalid, "UNKNOWN_FC")
		refused(t, call(""), problem.Invalid, "UNKNOWN_FC")
		refused(t, call("sea1"), problem.Invalid, "FOREIGN_FC")
	}
}

// peer plays another region.
type peer func(context.Context) (*inventoryv1.ListStockResponse, error)

func (p peer) ListStock(ctx context.Context, _ *inventoryv1.ListStockRequest) (*inventoryv1.ListStockResponse, error) {
	return p(ctx)
}

func TestARegionThatHangsOrFailsIsNamedAndTheOthersAreCounted(t *testing.T) {
	peers := map[ident.Region]Peer{
		"us-west-2": peer(func(context.Context) (*inventoryv1.ListStockResponse, error) {
			return &inventoryv1.ListStockResponse{Stocks: []*inventoryv1.Stock{{FcId: "sea1", Sku: "ale", Available: 7}, {FcId: "sea2", Sku: "ale", Available: 1}}}, nil
		}),
		"eu-central-1": peer(func(ctx context.Context) (*inventoryv1.ListStockResponse, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}),
		"ap-south-1": peer(func(context.Context) (*inventoryv1.ListStockResponse, error) { return nil, errors.New("away") }),
	}
	w := onDB(sqldbtest.New(t, sqldb.Regional), peers)
	w.mustRestock(t, "iad1", "ale", 2)
	w.mustRestock(t, "iad2", "port", 3)
	resp, err := w.GetAvailability(t.Context(), &inventoryv1.GetAvailabilityRequest{Skus: []string{"rum", "port", "ale"}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(resp.GetMissingRegions(), []string{"ap-south-1", "eu-central-1"}) {
		t.Errorf("missing: %v", resp.GetMissingRegions())
	}
	var got []int64
	for i, sku := range []string{"rum", "port", "ale"} {
		if resp.GetAvailabilities()[i].GetSku() != sku {
			t.Errorf("answers come in the order of the questions: %v", resp)
		}
		got = append(got, resp.GetAvailabilities()[i].GetAvailable())
	}
	if !slices.Equal(got, []int64{0, 3, 10}) {
		t.Errorf("available: %v", got)
	}
}

func TestCommandsOfABatchAreAnsweredEachByItself(t *testing.T) {
	w := newWorld(t)
	w.mustRestock(t, "iad1", "ale", 5)
	held := newOrder()
	w.mustReserve(t, w.request("iad1", held, wants("ale", 1), time.Minute))
	reserve := func(fc string, units int) *inventoryv1.Command {
		return &inventoryv1.Command{Command: &inventoryv1.Command_Reserve{Reserve: w.request(fc, newOrder(), wants("ale", units), time.Minute)}}
	}
	commit := func(order string) *inventoryv1.Command {
		return &inventoryv1.Command{Command: &inventoryv1.Command_Commit{Commit: &inventoryv1.CommitRequest{FcId: "iad1", OrderId: order}}}
	}
	resp, err := w.BatchCommand(t.Context(), &inventoryv1.BatchCommandRequest{Commands: []*inventoryv1.Command{
		reserve("iad1", 2), reserve("iad1", 99), commit(held), commit("?"), {}, reserve("sea1", 1),
	}})
	if err != nil {
		t.Fatal(err)
	}
	outcomes := resp.GetOutcomes()
	if len(outcomes) != 6 || outcomes[0].GetReserve().GetLines()[0].GetQuantity() != 2 || outcomes[2].GetCommit() == nil {
		t.Fatalf("got %v", outcomes)
	}
	for i, reason := range map[int]string{1: "OUT_OF_STOCK", 3: "MALFORMED_ORDER_ID", 4: "UNKNOWN_COMMAND", 5: "FOREIGN_FC"} {
		if got := problem.Decode(outcomes[i].GetRefusal()); got.Reason != reason {
			t.Errorf("command %d: got %v, want %s", i, got, reason)
		}
	}
	if rows := rowsOf(t, w.db, "iad1"); !strings.HasPrefix(rows, "ale 2+3\n") || strings.Count(rows, "ale×1 COMMITTED")+strings.Count(rows, "ale×2 HELD") != 2 {
		t.Errorf("rows:\n%s", rows)
	}
	checkBooks(t, w.db, "iad1")
}

func TestABatchHasALimit(t *testing.T) {
	w := newWorld(t)
	_, err := w.BatchCommand(t.Context(), &inventoryv1.BatchCommandRequest{})
	refusesField(t, err, "commands")
	_, err = w.BatchCommand(t.Context(), &inventoryv1.BatchCommandRequest{Commands: make([]*inventoryv1.Command, MaxCommands+1)})
	refusesField(t, err, "commands")
}
