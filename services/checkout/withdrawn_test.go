package checkout

import (
	"context"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// withdrawing catalogue: everything is there, and nothing is sold.
type withdrawing struct{}

func (withdrawing) BatchGetProducts(_ context.Context, req *catalogv1.BatchGetProductsRequest) (*catalogv1.BatchGetProductsResponse, error) {
	resp := &catalogv1.BatchGetProductsResponse{}
	for _, sku := range req.GetSkus() {
		resp.Products = append(resp.Products, &catalogv1.Product{Sku: sku, Price: money.USD(1).Proto(), WithdrawnAt: timestamppb.New(noon)})
	}
	return resp, nil
}

func TestWhatIsWithdrawnIsNeitherQuotedNorPlaced(t *testing.T) {
	n := &neighbours{cart: []*cartv1.Line{inCart("ale", "Home", 10_00, 1), {Sku: "port", Quantity: 1, Withdrawn: true}}, plan: inStock}
	if resp, err := ask(t, n.quoting(), &checkoutv1.QuoteRequest{}); problem.KindOf(err) != problem.Precondition || !problem.Is(err, "PRODUCT_WITHDRAWN") {
		t.Errorf("quoted %v, %v", resp, err)
	}
	n.cart = n.cart[:1]
	s := n.quoting()
	resp, err := ask(t, s, &checkoutv1.QuoteRequest{})
	if err != nil {
		t.Fatal(err)
	}
	q, err := s.sealer.open(resp.GetQuoteToken())
	if err != nil {
		t.Fatal(err)
	}
	s.deps.Products = withdrawing{}
	if err := s.passOnPrices(t.Context(), q); problem.KindOf(err) != problem.Precondition || !problem.Is(err, "PRODUCT_WITHDRAWN") {
		t.Errorf("placed: %v", err)
	}
}
