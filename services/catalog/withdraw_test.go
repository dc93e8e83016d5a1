package catalog

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
)

func (f *fixture) withdrawn(t testing.TB, sku string) *catalogv1.Product {
	t.Helper()
	resp, err := f.WithdrawProduct(t.Context(), &catalogv1.WithdrawProductRequest{Sku: sku})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetProduct()
}

func (f *fixture) restored(t testing.TB, sku string) *catalogv1.Product {
	t.Helper()
	resp, err := f.RestoreProduct(t.Context(), &catalogv1.RestoreProductRequest{Sku: sku})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetProduct()
}

// shown where shoppers look: category, family and offers.
func (f *fixture) shown(t testing.TB) string {
	t.Helper()
	family, err := f.ListFamilies(t.Context(), &catalogv1.ListFamiliesRequest{Families: []string{"shirt"}})
	if err != nil {
		t.Fatal(err)
	}
	offers, err := f.ListOffers(t.Context(), &catalogv1.ListOffersRequest{Skus: []string{"s1", "lamp"}})
	if err != nil {
		t.Fatal(err)
	}
	var skus [2][]string
	for i, all := range [][]*catalogv1.Product{family.GetProducts(), offers.GetOffers()} {
		for _, p := range all {
			skus[i] = append(skus[i], p.GetSku())
		}
	}
	return fmt.Sprintf("%s | %s | %s", strings.Join(f.browse(t, "Home"), " "), strings.Join(skus[0], " "), strings.Join(skus[1], " "))
}

// fill with a lamp, a family of shirts, and an offer of the lamp.
func (f *fixture) fill(t testing.TB) {
	t.Helper()
	all := []*catalogv1.Product{product("lamp"), shirt("s1", "shirt", "red", "S"), shirt("s2", "shirt", "red", "M"), offered("used", "lamp", catalogv1.Condition_CONDITION_GOOD, 100)}
	if _, err := f.Import(t.Context(), all, ImportOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsWithdrawnIsListedNowhereUntilItIsRestored(t *testing.T) {
	f := newFixture(t)
	f.fill(t)
	for _, c := range []struct{ sku, without string }{
		{"s1", "s2 lamp | s2 | used"}, {"lamp", "s2 s1 | s1 s2 | "}, {"used", "s2 s1 lamp | s1 s2 | "},
	} {
		f.withdrawn(t, c.sku)
		if got := f.shown(t); got != c.without {
			t.Errorf("without %s there is %s", c.sku, got)
		}
		f.restored(t, c.sku)
		if got := f.shown(t); got != "s2 s1 lamp | s1 s2 | used" {
			t.Errorf("with %s again there is %s", c.sku, got)
		}
	}
}

func TestToWithdrawAndToRestoreCountOnceAndEveryRegionIsTold(t *testing.T) {
	f := newFixture(t)
	f.upsert(t, product("lamp"))
	f.clock.Advance(time.Hour)
	at := f.clock.Now()
	for range 2 {
		if p := f.withdrawn(t, "lamp"); p.GetVersion() != 2 || !p.GetWithdrawnAt().AsTime().Equal(at) || !p.GetUpdatedAt().AsTime().Equal(at) {
			t.Errorf("withdrawn it is %v", p)
		}
		f.clock.Advance(time.Hour)
	}
	for range 2 {
		if p := f.restored(t, "lamp"); p.GetVersion() != 3 || p.GetWithdrawnAt() != nil || p.GetTitle() != "Kettle lamp" {
			t.Errorf("restored it is %v", p)
		}
	}
	told := map[string]bool{}
	for _, e := range f.events(t) {
		told[fmt.Sprintf("%s of %d: %v", e.destination, e.changed.GetProduct().GetVersion(), e.changed.GetProduct().GetWithdrawnAt() != nil)] = true
	}
	for _, region := range ident.Regions() {
		for version, gone := range []bool{1: false, 2: true, 3: false} {
			if version > 0 && !told[fmt.Sprintf("%s of %d: %v", region, version, gone)] {
				t.Errorf("%s is not told of version %d", region, version)
			}
		}
	}
	if len(told) != 3*len(ident.Regions()) || f.committed.Load() != 3 {
		t.Errorf("told %v, and the relay %d times", told, f.committed.Load())
	}
}

func TestWhatIsWithdrawnStaysSoWhateverIsChanged(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	f.fill(t)
	f.withdrawn(t, "lamp")
	at := f.clock.Now()
	f.clock.Advance(time.Hour)
	again := product("lamp", func(p *catalogv1.Product) { p.Title = "A better lamp" })
	if p := f.upsert(t, again); p.GetTitle() != "A better lamp" || p.GetVersion() != 3 || !p.GetWithdrawnAt().AsTime().Equal(at) {
		t.Errorf("written anew it is %v", p)
	}
	priced, err := f.SetPrice(ctx, &catalogv1.SetPriceRequest{Sku: "lamp", Price: money.USD(7).Proto()})
	if err != nil || priced.GetProduct().GetWithdrawnAt() == nil {
		t.Errorf("with another price it is %v, %v", priced, err)
	}
	if _, err := f.Import(ctx, []*catalogv1.Product{again, shirt("s1", "shirt", "red", "S")}, ImportOptions{Announce: true}); err != nil {
		t.Fatal(err)
	}
	if got := f.shown(t); got != "s2 s1 | s1 s2 | " {
		t.Errorf("after an import there is %s", got)
	}
	for _, e := range f.events(t) {
		if p := e.changed.GetProduct(); (p.GetWithdrawnAt() != nil) != (p.GetSku() == "lamp") {
			t.Errorf("%s says %v of %s", e.id, p.GetWithdrawnAt(), p.GetSku())
		}
	}
	self := product("s2", func(p *catalogv1.Product) { p.WithdrawnAt = timestamppb.New(at) })
	if p := f.upsert(t, self); p.GetWithdrawnAt() != nil {
		t.Errorf("an import has withdrawn %v", p)
	}
	if p := f.restored(t, "lamp"); p.GetTitle() != "A better lamp" || p.GetPrice().GetMinorUnits() != 1999 {
		t.Errorf("restored it is %v", p)
	}
}

func TestOffersAreAsWithdrawnAsTheirProduct(t *testing.T) {
	f := newFixture(t)
	f.fill(t)
	read := func() *catalogv1.Product {
		resp, err := f.BatchGetProducts(t.Context(), &catalogv1.BatchGetProductsRequest{Skus: []string{"used"}})
		if err != nil || len(resp.GetProducts()) != 1 {
			t.Fatal(resp, err)
		}
		return resp.GetProducts()[0]
	}
	f.withdrawn(t, "lamp")
	at := f.clock.Now()
	if p := read(); !p.GetWithdrawnAt().AsTime().Equal(at) || p.GetVersion() != 1 {
		t.Errorf("with its product it is %v", p)
	}
	if p := f.upsert(t, offered("new", "lamp", catalogv1.Condition_CONDITION_NEW, 900)); p.GetWithdrawnAt() == nil {
		t.Errorf("a new offer of it is %v", p)
	}
	for _, e := range f.events(t) {
		if e.changed.GetProduct().GetWithdrawnAt() == nil {
			t.Errorf("%s says nothing of it", e.id)
		}
	}
	f.clock.Advance(time.Hour)
	f.withdrawn(t, "used")
	f.restored(t, "lamp")
	if p := read(); !p.GetWithdrawnAt().AsTime().Equal(f.clock.Now()) {
		t.Errorf("withdrawn by itself, it is %v when its product is back", p)
	}
	if got := f.shown(t); !strings.HasSuffix(got, "| new") {
		t.Errorf("there is %s", got)
	}
}

func TestWhatIsWithdrawnIsStillRead(t *testing.T) {
	f := newFixture(t)
	f.upsert(t, product("lamp"))
	if _, err := f.GetProduct(t.Context(), &catalogv1.GetProductRequest{Sku: "lamp"}); err != nil { // so that it is in memory
		t.Fatal(err)
	}
	want := f.withdrawn(t, "lamp")
	got, err := f.GetProduct(t.Context(), &catalogv1.GetProductRequest{Sku: "lamp"})
	if err != nil || !proto.Equal(got.GetProduct(), want) {
		t.Errorf("read it is %v, %v", got, err)
	}
	all, err := f.ScanProducts(t.Context(), "", 9)
	if err != nil || len(all) != 1 || all[0].GetWithdrawnAt() == nil {
		t.Errorf("scanned it is %v, %v", all, err)
	}
}

func TestNothingIsWithdrawnThatIsNotThere(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	_, withdraw := f.WithdrawProduct(ctx, &catalogv1.WithdrawProductRequest{Sku: "rum"})
	_, restore := f.RestoreProduct(ctx, &catalogv1.RestoreProductRequest{Sku: "rum"})
	if !problem.Is(withdraw, "UNKNOWN_PRODUCT") || !problem.Is(restore, "UNKNOWN_PRODUCT") {
		t.Errorf("%v, %v", withdraw, restore)
	}
	_, err := f.WithdrawProduct(ctx, &catalogv1.WithdrawProductRequest{Sku: "no spaces"})
	wantViolation(t, err, "sku")
	_, err = f.RestoreProduct(ctx, &catalogv1.RestoreProductRequest{})
	wantViolation(t, err, "sku")
}

// An import that goes on meanwhile may come before or behind: what is withdrawn is listed in neither case.
func TestAnImportMeanwhilePutsNothingBack(t *testing.T) {
	f := newFixture(t)
	for round := range 8 {
		sku := fmt.Sprintf("lamp-%d", round)
		f.upsert(t, product(sku))
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := f.Import(t.Context(), []*catalogv1.Product{product(sku)}, ImportOptions{Announce: true}); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() { f.withdrawn(t, sku) })
		wg.Wait()
	}
	if got := f.browse(t, "Home"); len(got) > 0 {
		t.Errorf("%v are listed", got)
	}
	last := map[string]*catalogv1.Product{}
	for _, e := range f.events(t) {
		if p := e.changed.GetProduct(); last[p.GetSku()].GetVersion() < p.GetVersion() {
			last[p.GetSku()] = p
		}
	}
	for sku, p := range last {
		if p.GetVersion() != 3 || p.GetWithdrawnAt() == nil {
			t.Errorf("of %s everybody is told last: %v", sku, p)
		}
	}
}
