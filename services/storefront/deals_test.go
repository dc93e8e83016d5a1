package storefront

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	storefrontv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/storefront/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// changed is a history whose last change was some days ago; the pairs are past prices and how many days ago they ended.
func changed(days int, past ...int64) *catalogv1.PriceHistory {
	ago := func(n int) *timestamppb.Timestamp {
		return timestamppb.New(now.Add(-time.Duration(n) * 24 * time.Hour))
	}
	h := &catalogv1.PriceHistory{Sku: "LAMP", ChangedAt: ago(days)}
	for i := 0; i < len(past); i += 2 {
		h.Past = append(h.Past, &catalogv1.PastPrice{Price: money.USD(past[i]).Proto(), Until: ago(int(past[i+1]))})
	}
	return h
}

func TestAReductionIsToldByTheLowestPriceOfThirtyDays(t *testing.T) {
	for name, c := range map[string]struct {
		price   int64
		history *catalogv1.PriceHistory
		was     int64
	}{
		"it has never cost anything else":            {100, nil, 0},
		"it has fallen by a tenth":                   {900, changed(3, 1000, 3), 1000},
		"it has fallen by less":                      {901, changed(3, 1000, 3), 0},
		"it has risen":                               {1000, changed(3, 900, 3), 0},
		"it was raised first, to be lowered":         {900, changed(3, 900, 10, 1500, 3), 0},
		"it was lower for long, more than a month":   {900, changed(3, 500, 33, 1500, 3), 1500},
		"it was lower for a moment, within a month":  {900, changed(3, 500, 32, 1500, 3), 0},
		"it has fallen twice, by the smaller step":   {700, changed(3, 800, 3), 800},
		"what it was before is in another currency ": {1, &catalogv1.PriceHistory{Past: []*catalogv1.PastPrice{{Price: money.Amount{Minor: 9, Currency: "EUR"}.Proto(), Until: timestamppb.New(now)}}}, 0},
	} {
		if got := reductionOf(money.USD(c.price).Proto(), c.history).GetWas().GetMinorUnits(); got != c.was {
			t.Errorf("%s: it was %d, want %d", name, got, c.was)
		}
	}
}

func TestWhatHasFallenIsInTheRowsUntilItRisesOrIsOld(t *testing.T) {
	s := newShelf(t)
	s.of.past = map[string]*catalogv1.PriceHistory{"LAMP": changed(1, 150, 1), "SHADE": changed(2, 210, 2), "BULB": changed(0, 900, 0)}
	for sku, h := range s.of.past {
		h.Sku = sku
	}
	must(t, s.Rebuild(t.Context(), "LAMP", "SHADE", "BULB"))
	have := func() (all []string) {
		t.Helper()
		cards, err := s.Deals(t.Context())
		must(t, err)
		for _, c := range cards {
			all = append(all, c.GetSku()+" "+price(c.GetReduction().GetWas()))
		}
		return all
	}
	if got := fmt.Sprint(have()); got != "[BULB $9.00 LAMP $1.50]" {
		t.Fatalf("the deals are %s: a shade that fell by four per cent is none", got)
	}
	if page, _ := s.page(t, "LAMP"); page.GetReduction() == nil || page.GetAlsoBought()[0].GetReduction() == nil {
		t.Errorf("the page has %v", page)
	}
	s.of.price("BULB", 900)
	must(t, s.Rebuild(t.Context(), "BULB"))
	s.clock.Advance(13*24*time.Hour - 1)
	if got := fmt.Sprint(have()); got != "[LAMP $1.50]" {
		t.Errorf("once the bulb has risen the deals are %s", got)
	}
	if s.clock.Advance(1); len(have()) > 0 {
		t.Errorf("after two weeks the deals are %s", have())
	}
}

// fallenCard of a product that costs $80 and cost $100 until a day ago.
func fallenCard(sku, family string) *storefrontv1.Card {
	return &storefrontv1.Card{Sku: sku, Title: "The " + sku, Family: family, Price: money.USD(8000).Proto(), Reduction: &storefrontv1.Reduction{Was: money.USD(10000).Proto(), Since: timestamppb.New(now.Add(-24 * time.Hour))}}
}

const eightyForAHundred = `<span class="price">$80.00</span><span class="small"><span class="off">−20&nbsp;%</span> <span class="hidden">Lowest price of the 30 days before: </span><s class="soft">$100.00</s></span>`

func TestTheFrontPageShowsWhatHasFallenWhileItIsNews(t *testing.T) {
	s := newShop(t)
	if body := s.get("/").Body.String(); strings.Contains(body, `id="deals"`) || !strings.Contains(body, `<a href="/deals">Deals</a>`) {
		t.Error("a region without deals shows some, or has no way to them")
	}
	if body := s.get("/deals").Body.String(); !strings.Contains(body, "There are no deals right now.") {
		t.Errorf("a region without deals shows %s", body)
	}
	s = newShop(t)
	s.fallen = []*storefrontv1.Card{fallenCard("PAN", ""), fallenCard("TEE-S", "tee"), fallenCard("TEE-M", "tee")}
	for path, cards := range map[string]int{"/": 2, "/deals": 2} {
		if body := s.get(path).Body.String(); strings.Count(body, eightyForAHundred) != cards || strings.Contains(body, "TEE-M") {
			t.Errorf("%s shows %d deals: %s", path, strings.Count(body, eightyForAHundred), body)
		}
	}
	s.clock.Advance(13*24*time.Hour - time.Second)
	s.get("/")
	if body := s.get("/").Body.String(); strings.Count(body, eightyForAHundred) != 2 {
		t.Error("it is old before two weeks are over")
	}
	s.clock.Advance(time.Second)
	if body := s.get("/").Body.String(); strings.Contains(body, "$100.00") {
		t.Error("it is still news after two weeks")
	}
}

func TestDealsAreNoReasonToFailAnotherPage(t *testing.T) {
	s := newShop(t)
	s.deps.Pages = failing{s.deps.Pages}
	for path, status := range map[string]int{"/": http.StatusOK, "/search?q=lamp": http.StatusOK, "/deals": http.StatusServiceUnavailable} {
		if w := s.get(path); w.Code != status {
			t.Errorf("%s answers %d", path, w.Code)
		}
	}
}

// failing to tell of deals.
type failing struct{ PageReader }

func (failing) Deals(context.Context) ([]*storefrontv1.Card, error) {
	return nil, problem.New(problem.Unavailable, "AWAY", "the database is away")
}

func TestListsAndTheProductsPageTellWhatThePriceWas(t *testing.T) {
	s := newShop(t)
	s.past, s.fallen = changed(1, 200000, 1), []*storefrontv1.Card{fallenCard("LAMP", "")}
	if body := s.get("/search?q=lamp").Body.String(); strings.Contains(body, "$100.00") {
		t.Error("a list tells what another price was below")
	}
	s = newShop(t)
	s.past, s.fallen = changed(1, 200000, 1), []*storefrontv1.Card{fallenCard("LAMP", "")}
	s.fallen[0].Price, s.fallen[0].Reduction.Was = lamp().GetPrice(), money.USD(200000).Proto()
	for _, path := range []string{"/search?q=lamp", "/p/LAMP", "/"} {
		if body := s.get(path).Body.String(); !strings.Contains(body, `<s class="soft">$2,000.00</s>`) || !strings.Contains(body, "−38&nbsp;%") {
			t.Errorf("%s does not tell", path)
		}
	}
	s.clock.Advance(13 * 24 * time.Hour)
	if body := s.get("/p/LAMP").Body.String(); strings.Contains(body, "$2,000.00") {
		t.Error("the product's page still tells after two weeks")
	}
}

func TestWhatAPromotionTakesOffIsADeal(t *testing.T) {
	s := newShop(t)
	s.promotions = []*checkoutv1.Promotion{{Code: "HOME-15", PercentBasisPoints: 15_00, Categories: []string{"Home & Kitchen"}, ValidFrom: timestamppb.New(now.Add(-time.Hour)), ValidUntil: timestamppb.New(now.Add(time.Minute))}}
	shows := func(texts ...string) {
		t.Helper()
		body := s.get("/deals").Body.String()
		for _, text := range texts {
			if !strings.Contains(body, text) {
				t.Errorf("it does not show %s: %s", text, body)
			}
		}
	}
	shows("$1,049.38", "−15&nbsp;%", `<s class="soft">$1,234.56</s>`, "taken off at checkout")
	if s.query != "|Home & Kitchen|" {
		t.Errorf("it looks for %q", s.query)
	}
	s.clock.Advance(time.Minute)
	shows("There are no deals right now.")

	s = newShop(t) // where it was raised today: the promotion saves less
	s.promotions, s.past = []*checkoutv1.Promotion{{Code: "ALL", PercentBasisPoints: 15_00, ValidFrom: timestamppb.New(now)}}, changed(0, 110000, 0)
	shows("$1,049.38", "−4&nbsp;%", `<s class="soft">$1,100.00</s>`)
}

func TestThePageOfDealsIsDrawnInPages(t *testing.T) {
	s := newShop(t)
	for i := range pageSize + 1 {
		s.fallen = append(s.fallen, fallenCard(fmt.Sprint("P", i), ""))
	}
	first, second := s.get("/deals").Body.String(), s.get("/deals?page=2").Body.String()
	if strings.Count(first, `<li class="card">`) != pageSize || !strings.Contains(first, `href="/deals?page=2"`) || strings.Count(second, `<li class="card">`) != 1 || strings.Contains(second, "More deals") {
		t.Errorf("the pages have %d and %d", strings.Count(first, `<li class="card">`), strings.Count(second, `<li class="card">`))
	}
	for _, page := range []string{"0", "1", "3", "x", "99999999999999999999", "9223372036854775807"} {
		if w := s.get("/deals?page=" + page); w.Code != http.StatusNotFound {
			t.Errorf("page %s answers %d", page, w.Code)
		}
	}
}
