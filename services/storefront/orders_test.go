package storefront

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/money"
)

// split a page into what its news replaces, by id, and the rest.
func split(t *testing.T, page string) (parts map[string]string, rest string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	parts = map[string]string{}
	part, depth := "", 0
	for {
		token, err := d.Token()
		if err == io.EOF { //nolint:errorlint // the decoder gives it as it is
			return parts, rest
		}
		must(t, err)
		said := ""
		switch token := token.(type) {
		case xml.StartElement:
			isPart := slices.ContainsFunc(token.Attr, func(a xml.Attr) bool { return a.Name.Local == "data-part" })
			if depth > 0 {
				depth++
			} else if isPart {
				depth = 1
				part = token.Attr[slices.IndexFunc(token.Attr, func(a xml.Attr) bool { return a.Name.Local == "id" })].Value
			}
			for _, a := range token.Attr {
				if !strings.HasPrefix(a.Name.Local, "data-") && a.Value != "" {
					said += a.Value + "\n"
				}
			}
		case xml.EndElement:
			depth = max(depth-1, 0)
		case xml.CharData:
			said = strings.TrimSpace(string(token)) + "\n"
		}
		if depth > 0 {
			parts[part] += said
		} else {
			rest += said
		}
	}
}

func TestWhatDependsOnAnOrdersStateIsInWhatItsNewsReplaces(t *testing.T) {
	s := newShop(t)
	s.who = guest
	before, rest := split(t, s.get("/orders/use1-1").Body.String())
	has(t, before["standing"], "Being prepared")
	has(t, before["acts"], "Cancel what is not packed")
	s.meanwhile = func(o *orderv1.Order) {
		o.Status, o.PaymentStatus, o.Refunded = orderv1.Status_STATUS_SHIPPED, orderv1.PaymentStatus_PAYMENT_STATUS_PARTLY_REFUNDED, money.USD(77).Proto()
		o.Lines[0].Canceled, o.Lines[0].Returned = 1, 1
		x := o.GetParcels()[0]
		x.State, x.ShippedAt, x.TrackingNumber, x.Carrier = orderv1.ParcelState_PARCEL_STATE_SHIPPED, timestamppb.New(now), "T1", "Parcel Post"
		o.Events = append(o.Events, &orderv1.Event{Seq: 3, Kind: "shipped"})
	}
	after, same := split(t, s.get("/orders/use1-1").Body.String())
	if same != rest {
		t.Errorf("what stays was\n%s\nand is\n%s", rest, same)
	}
	if len(after) != len(before) {
		t.Errorf("it had %d parts and has %d: the page's script finds them by their ids", len(before), len(after))
	}
	has(t, after["standing"], "On its way", "Partly refunded")
	has(t, after["news"], "T1", "Left the fulfilment centre")
	has(t, after["acts"], "Register the return")
	has(t, after["sums"], "1 canceled", "1 returned", "$0.77")
	if strings.Contains(fmt.Sprint(after), "Cancel what is not packed") {
		t.Error("what has left can still be canceled")
	}
}

func TestOrderAndInvoiceSayWhoSoldEachLine(t *testing.T) {
	s := newShop(t)
	s.who = guest
	s.meanwhile = func(o *orderv1.Order) {
		o.Lines[0].Seller = "Acme & Sons"
		o.Lines = append(o.Lines, &orderv1.Line{Line: 2, Sku: "OLD", Title: "From before there were sellers", Quantity: 1, UnitPrice: o.GetTotal()})
	}
	for _, path := range []string{"/orders/use1-1", "/orders/use1-1/invoice"} {
		page := s.get(path).Body.String()
		has(t, page, "Sold by Acme &amp; Sons", "From before there were sellers")
		if n := strings.Count(page, "Sold by"); n != 1 {
			t.Errorf("%s names %d sellers", path, n)
		}
	}
}
