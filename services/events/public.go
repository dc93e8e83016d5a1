package events

import (
	"bytes"
	"encoding/json"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
	storefrontv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/storefront/v1"
)

// ofSubject is an empty event of a subject. Nil for one that is not known here.
func ofSubject(subject string) proto.Message {
	words := strings.Split(subject, ".")
	kind := words[0] + "." + words[len(words)-1]
	if words[0] == "catalog" { // what it is about is in the middle; elsewhere, where it is
		kind = subject
	}
	switch kind {
	case "fulfillment.requested":
		return &orderv1.FulfillmentRequested{}
	case "fulfillment.erased":
		return &orderv1.FulfillmentErased{}
	case "order.shipped":
		return &fulfillmentv1.ShipmentShipped{}
	case "order.short":
		return &fulfillmentv1.ShipmentShort{}
	case "order.scanned":
		return &fulfillmentv1.ShipmentScanned{}
	case "stock.touched":
		return &inventoryv1.StockTouched{}
	case "stock.summarized":
		return &inventoryv1.StockSummarized{}
	case "search.logged":
		return &searchv1.SearchLogged{}
	case "catalog.product.changed":
		return &catalogv1.ProductChanged{}
	case "catalog.page.rebuilt":
		return &storefrontv1.PagesRebuilt{}
	case "catalog.review.changed":
		return &reviewv1.ContributionChanged{}
	case "catalog.review.voted":
		return &reviewv1.VoteChanged{}
	}
	return nil
}

// public JSON of an event: without what is personal. Empty when it cannot be read.
func public(subject string, payload []byte) string {
	m := ofSubject(subject)
	if m == nil || proto.Unmarshal(payload, m) != nil {
		return ""
	}
	redact(m.ProtoReflect())
	b, err := protojson.Marshal(m)
	if err != nil {
		return ""
	}
	var out bytes.Buffer
	if json.Indent(&out, b, "", "  ") != nil { // protojson's own white space is not the same twice
		return ""
	}
	return out.String()
}

// redact clears every field that is marked as personal, however deep. Events have no maps of messages.
func redact(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		o, ok := f.Options().(*descriptorpb.FieldOptions)
		switch {
		case ok && o.GetDebugRedact():
			m.Clear(f)
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				redact(v.List().Get(i).Message())
			}
		case !f.IsMap() && !f.IsList() && f.Message() != nil:
			redact(v.Message())
		}
		return true
	})
}
