package feed

import (
	"encoding/json"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/bus"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
)

// header that every document has.
type header struct {
	// ID tells twins: of documents with the same id one counts.
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	Kind   string    `json:"kind,omitempty"`
	Region string    `json:"region"`
}

// parcelDocument is what happened to one parcel of an order.
type parcelDocument struct {
	header
	OrderID string   `json:"order_id"`
	FC      string   `json:"fc"`
	SKUs    []string `json:"skus,omitempty"`
	Units   int64    `json:"units,omitempty"`
	Country string   `json:"country,omitempty"`
	Express bool     `json:"express,omitempty"`
	Carrier string   `json:"carrier,omitempty"`
	State   string   `json:"state,omitempty"`
}

// stockDocument is news of one product in one region.
type stockDocument struct {
	header
	SKU   string `json:"sku"`
	Units int64  `json:"units"`
}

// searchDocument is one search.
type searchDocument struct {
	header
	Cell     string   `json:"cell"`
	Query    string   `json:"query"`
	Category string   `json:"category,omitempty"`
	Brands   []string `json:"brands,omitempty"`
	MinPrice int64    `json:"min_price,omitempty"`
	MaxPrice int64    `json:"max_price,omitempty"`
	Prime    bool     `json:"prime,omitempty"`
	Sort     string   `json:"sort"`
	Offset   int32    `json:"offset"`
	Total    int64    `json:"total"`
	SKUs     []string `json:"skus,omitempty"`
	TookUS   int64    `json:"took_us"`
}

// documents of a message. Those of one message have the same ids each time. There are none of kinds that are not written down: what
// says nothing to analysts, and what a newer release has to say. An error says that the message cannot be read.
func documents(region string, m bus.Message) ([][]byte, error) {
	words := strings.Split(m.Subject, ".")
	h := header{ID: m.ID, At: m.At.UTC(), Kind: words[len(words)-1], Region: region}
	var all []any
	var err error
	switch words[0] + "." + h.Kind {
	case "fulfillment.requested":
		all, err = requested(h, m.Data)
	case "order.shipped":
		all, err = shipped(h, m.Data)
	case "order.scanned":
		all, err = scanned(h, m.Data)
	case "order.short":
		all, err = short(h, m.Data)
	case "stock.summarized":
		all, err = summarized(h, m.Data)
	case "search.logged":
		all, err = logged(h, m.Data)
	}
	if err != nil {
		return nil, err
	}
	lines := make([][]byte, len(all))
	for i := range all {
		if lines[i], err = json.Marshal(all[i]); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// at a time that an event tells, or else when the broker got it.
func (h header) at(t *timestamppb.Timestamp) header {
	if t != nil {
		h.At = t.AsTime()
	}
	return h
}

func requested(h header, payload []byte) ([]any, error) {
	var e orderv1.FulfillmentRequested
	if err := proto.Unmarshal(payload, &e); err != nil {
		return nil, err
	}
	d := parcelDocument{header: h.at(e.GetPaidAt()), OrderID: e.GetOrderId(), FC: e.GetFcId(), Country: e.GetShipTo().GetRegionCode(), Express: e.GetExpress()}
	for _, l := range e.GetLines() {
		d.SKUs, d.Units = append(d.SKUs, l.GetSku()), d.Units+l.GetQuantity()
	}
	return []any{d}, nil
}

func shipped(h header, payload []byte) ([]any, error) {
	var e fulfillmentv1.ShipmentShipped
	if err := proto.Unmarshal(payload, &e); err != nil {
		return nil, err
	}
	return []any{parcelDocument{header: h.at(e.GetShippedAt()), OrderID: e.GetOrderId(), FC: e.GetFcId(), Carrier: e.GetCarrier()}}, nil
}

// scanned is one document of the newest scan: each event tells all there have been.
func scanned(h header, payload []byte) ([]any, error) {
	var e fulfillmentv1.ShipmentScanned
	if err := proto.Unmarshal(payload, &e); err != nil {
		return nil, err
	}
	s := e.GetShipment()
	d := parcelDocument{header: h, OrderID: s.GetOrderId(), FC: s.GetFcId(), Carrier: s.GetCarrier()}
	if n := len(e.GetScans()); n > 0 {
		last := e.GetScans()[n-1]
		d.header, d.State = h.at(last.GetAt()), name(last.GetState().String(), "WAY_STATE_")
	}
	return []any{d}, nil
}

// short is one document of the newest pick that came up short: each event tells all there have been.
func short(h header, payload []byte) ([]any, error) {
	var e fulfillmentv1.ShipmentShort
	if err := proto.Unmarshal(payload, &e); err != nil {
		return nil, err
	}
	d := parcelDocument{header: h, OrderID: e.GetOrderId(), FC: e.GetFcId(), Express: e.GetExpress()}
	if n := len(e.GetShortPicks()); n > 0 {
		last := e.GetShortPicks()[n-1]
		d.header = h.at(last.GetFoundAt())
		for _, l := range last.GetLines() {
			d.SKUs, d.Units = append(d.SKUs, l.GetSku()), d.Units+l.GetQuantity()
		}
	}
	return []any{d}, nil
}

// summarized is a document for each product of the event.
func summarized(h header, payload []byte) ([]any, error) {
	var e inventoryv1.StockSummarized
	if err := proto.Unmarshal(payload, &e); err != nil {
		return nil, err
	}
	all := make([]any, len(e.GetSummaries()))
	for i, s := range e.GetSummaries() {
		own := h
		own.ID += "/" + s.GetSku()
		all[i] = stockDocument{header: own, SKU: s.GetSku(), Units: s.GetUnits()}
	}
	return all, nil
}

func logged(h header, payload []byte) ([]any, error) {
	var e searchv1.SearchLogged
	if err := proto.Unmarshal(payload, &e); err != nil {
		return nil, err
	}
	h = h.at(e.GetAt())
	h.Kind = ""
	order := name(e.GetSort().String(), "SORT_")
	if e.GetSort() == searchv1.Sort_SORT_UNSPECIFIED {
		order = "relevance"
	}
	return []any{searchDocument{
		header: h, Cell: e.GetCell(), Query: e.GetQuery(), Category: e.GetCategory(), Brands: e.GetBrands(), MinPrice: e.GetMinPriceMinorUnits(),
		MaxPrice: e.GetMaxPriceMinorUnits(), Prime: e.GetPrime(), Sort: order, Offset: e.GetOffset(), Total: e.GetTotal(), SKUs: e.GetSkus(), TookUS: e.GetTookUs(),
	}}, nil
}

// name of an enum's value, as documents have it.
func name(value, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(value, prefix))
}
