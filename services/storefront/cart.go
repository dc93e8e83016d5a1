package storefront

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
)

// cartLine as it is shown.
type cartLine struct {
	Line  *cartv1.Line
	Link  string
	Image string
	// Sum of the line at today's price.
	Sum string
	// Was is the price when it was put in, if that was another; Rose tells which way it went.
	Was  string
	Rose bool
	// SoldOut everywhere, as far as this region knows.
	SoldOut bool
	// Wrong with its quantity.
	Wrong string
}

// cartOf whoever asks; nil of a stranger.
func (s *Service) cartOf(ctx context.Context) (*cartv1.Cart, error) {
	if _, found := session.From(ctx); !found {
		return nil, nil
	}
	resp, err := s.deps.Carts.GetCart(ctx, &cartv1.GetCartRequest{})
	return resp.GetCart(), err
}

func (s *Service) cart(w http.ResponseWriter, r *http.Request) error {
	return s.drawCart(w, r, http.StatusOK, nil)
}

// drawCart as it stands, with what went wrong.
func (s *Service) drawCart(w http.ResponseWriter, r *http.Request, status int, problems []wrong) error {
	cart, err := s.cartOf(r.Context())
	if err != nil {
		return err
	}
	c := s.chromeOf(r)
	c.NoIndex, c.Problems, c.CartUnits = true, problems, unitsOf(cart)
	skus := make([]string, len(cart.GetLines()))
	for i, l := range cart.GetLines() {
		skus[i] = l.GetSku()
	}
	suggested, err := s.goesWith(r.Context(), skus)
	c.without("recommendations", err)
	s.rate(r.Context(), suggested)
	rememberCart(w, c.CartUnits)
	lines, soldOut := shownLines(cart.GetLines()), s.soldOutOf(r.Context(), skus)
	for i, l := range cart.GetLines() {
		lines[i].SoldOut = soldOut[l.GetSku()]
		for j, p := range problems {
			if p.Field == "quantity-"+l.GetSku() {
				lines[i].Wrong, c.Problems[j].Text = p.Text, l.GetTitle()+": "+p.Text
			}
		}
	}
	blocked := slices.ContainsFunc(cart.GetLines(), (*cartv1.Line).GetWithdrawn)
	return s.draw(w, r, status, "cart", struct {
		Chrome   chrome
		Lines    []cartLine
		Saved    []cartLine
		Subtotal string
		Buyable  bool
		// Blocked by what is withdrawn, until it is taken out.
		Blocked  bool
		Prime    primeShare
		GoesWith []card
	}{c, lines, shownLines(cart.GetSaved()), price(cart.GetSubtotal()), cart.GetSubtotal().GetMinorUnits() > 0 && !blocked, blocked, primeOfCart(cart), suggested})
}

func shownLines(lines []*cartv1.Line) []cartLine {
	all := make([]cartLine, len(lines))
	for i, l := range lines {
		all[i] = shownLine(l)
	}
	return all
}

func shownLine(l *cartv1.Line) cartLine {
	shown := cartLine{Line: l, Link: productLink(l.GetSku()), Image: picture(l.GetSku())}
	now, then := money.FromProto(l.GetPrice()), money.FromProto(l.GetPriceAtAdd())
	if sum, err := now.Times(l.GetQuantity()); err == nil {
		shown.Sum = price(sum.Proto())
	}
	if l.GetAvailableForSale() && then.Minor > 0 && then != now {
		shown.Was, shown.Rose = price(then.Proto()), now.Minor > then.Minor
	}
	return shown
}

// addToCart of the product's page.
func (s *Service) addToCart(w http.ResponseWriter, r *http.Request) error {
	quantity, err := strconv.ParseInt(r.PostFormValue("quantity"), 10, 64)
	if err != nil || quantity < 1 {
		quantity = 1
	}
	ctx := s.deps.Sessions.Guest(r.Context(), w)
	r = r.WithContext(ctx)
	resp, err := s.deps.Carts.AddItem(ctx, &cartv1.AddItemRequest{Sku: r.PostFormValue("sku"), Quantity: quantity})
	if err != nil {
		return s.cartRefused(w, r, err)
	}
	rememberCart(w, unitsOf(resp.GetCart()))
	lead(w, r, "/cart", "added")
	return nil
}

// changeCart sets a line's quantity, takes it out, or saves it for later.
func (s *Service) changeCart(w http.ResponseWriter, r *http.Request) error {
	sku := r.PathValue("sku")
	if r.PostFormValue("save") != "" {
		resp, err := s.deps.Carts.SaveForLater(r.Context(), &cartv1.SaveForLaterRequest{Sku: sku})
		return s.savedChanged(w, r, resp.GetCart(), err, "later")
	}
	quantity, err := strconv.ParseInt(r.PostFormValue("quantity"), 10, 64)
	if r.PostFormValue("remove") != "" || (err == nil && quantity == 0) {
		resp, err := s.deps.Carts.RemoveItem(r.Context(), &cartv1.RemoveItemRequest{Sku: sku})
		if err != nil {
			return s.cartRefused(w, r, err)
		}
		rememberCart(w, unitsOf(resp.GetCart()))
		lead(w, r, "/cart", "removed")
		return nil
	}
	if err != nil || quantity < 0 {
		return s.drawCart(w, r, http.StatusUnprocessableEntity, []wrong{{Field: "quantity-" + sku, Text: "How many must be a number from 0 to 999."}})
	}
	resp, err := s.deps.Carts.SetQuantity(r.Context(), &cartv1.SetQuantityRequest{Sku: sku, Quantity: quantity})
	if err != nil {
		return s.cartRefused(w, r, err)
	}
	rememberCart(w, unitsOf(resp.GetCart()))
	lead(w, r, "/cart", "updated")
	return nil
}

// changeSaved moves a saved line into the cart, or forgets it.
func (s *Service) changeSaved(w http.ResponseWriter, r *http.Request) error {
	sku := r.PathValue("sku")
	if r.PostFormValue("remove") != "" {
		resp, err := s.deps.Carts.RemoveSaved(r.Context(), &cartv1.RemoveSavedRequest{Sku: sku})
		return s.savedChanged(w, r, resp.GetCart(), err, "removed")
	}
	resp, err := s.deps.Carts.MoveToCart(r.Context(), &cartv1.MoveToCartRequest{Sku: sku})
	return s.savedChanged(w, r, resp.GetCart(), err, "moved")
}

func (s *Service) savedChanged(w http.ResponseWriter, r *http.Request, cart *cartv1.Cart, err error, notice string) error {
	if err != nil {
		return s.cartRefused(w, r, err)
	}
	rememberCart(w, unitsOf(cart))
	lead(w, r, "/cart", notice)
	return nil
}

// cartRefused shows the cart with what is wrong.
func (s *Service) cartRefused(w http.ResponseWriter, r *http.Request, err error) error {
	if gone := problem.Is(err, "UNKNOWN_LINE"); (!gone && !refusedForm(err)) || problem.Is(err, "SESSION_REQUIRED") {
		return err
	}
	return s.drawCart(w, r, http.StatusUnprocessableEntity, wrongs(err, nil))
}

func unitsOf(c *cartv1.Cart) (n int64) {
	for _, l := range c.GetLines() {
		n += l.GetQuantity()
	}
	return n
}
