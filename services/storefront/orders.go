package storefront

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/session"
)

const (
	// ordersPage is how many orders one page lists.
	ordersPage = 20
	// newsEvery is how often a page's order is looked at, and newsFor for how long: the browser asks again by itself.
	newsEvery = 2 * time.Second
	newsFor   = 5 * time.Minute
)

// statuses of orders and parcels, for people.
var (
	statuses = map[orderv1.Status]string{
		orderv1.Status_STATUS_PENDING: "Being placed", orderv1.Status_STATUS_PAID: "Being prepared", orderv1.Status_STATUS_SHIPPED: "On its way",
		orderv1.Status_STATUS_FAILED: "Not placed", orderv1.Status_STATUS_CANCELED: "Canceled",
	}
	parcelStates = map[orderv1.ParcelState]string{
		orderv1.ParcelState_PARCEL_STATE_REQUESTED: "Being prepared", orderv1.ParcelState_PARCEL_STATE_PACKED: "Packed", orderv1.ParcelState_PARCEL_STATE_SHIPPED: "On its way",
		orderv1.ParcelState_PARCEL_STATE_CANCELED: "Canceled", orderv1.ParcelState_PARCEL_STATE_PARTLY_RETURNED: "Partly returned", orderv1.ParcelState_PARCEL_STATE_RETURNED: "Returned",
	}
	wayStates = map[orderv1.WayState]string{
		orderv1.WayState_WAY_STATE_PICKED_UP: "Picked up by the carrier", orderv1.WayState_WAY_STATE_IN_TRANSIT: "On its way", orderv1.WayState_WAY_STATE_OUT_FOR_DELIVERY: "Out for delivery",
		orderv1.WayState_WAY_STATE_DELIVERED: "Delivered", orderv1.WayState_WAY_STATE_EXCEPTION: "Could not be delivered yet", orderv1.WayState_WAY_STATE_SENT_BACK: "On its way back to us",
	}
	paymentStatuses = map[orderv1.PaymentStatus]string{
		orderv1.PaymentStatus_PAYMENT_STATUS_AUTHORIZED: "Reserved on your card", orderv1.PaymentStatus_PAYMENT_STATUS_PARTLY_CAPTURED: "Partly paid", orderv1.PaymentStatus_PAYMENT_STATUS_CAPTURED: "Paid",
		orderv1.PaymentStatus_PAYMENT_STATUS_PARTLY_REFUNDED: "Partly refunded", orderv1.PaymentStatus_PAYMENT_STATUS_REFUNDED: "Refunded", orderv1.PaymentStatus_PAYMENT_STATUS_VOIDED: "Nothing was taken",
	}
	eventTexts = map[string]string{
		"placed": "Order received", "paid": "Order placed", "failed": "Order not placed", "packed": "Packed", "shipped": "Left the fulfilment centre", "captured": "Payment taken",
		"cancel_requested": "Cancellation asked for", "canceled": "Canceled", "refunded": "Money sent back", "return_requested": "Return registered", "returned": "Return received",
		"short_picked": "Some items were not on the shelf; we look for them elsewhere", "replanned": "What was missing comes from elsewhere, or is paid back",
	}
)

func (s *Service) orders(w http.ResponseWriter, r *http.Request) error {
	c := s.chromeOf(r)
	c.NoIndex = true
	var resp *orderv1.ListOrdersResponse
	if _, found := session.From(r.Context()); found {
		var err error
		if resp, err = s.deps.Orders.ListOrders(r.Context(), &orderv1.ListOrdersRequest{PageSize: ordersPage, PageToken: r.URL.Query().Get("page")}); err != nil {
			return err
		}
	}
	type row struct {
		Order        *orderv1.Order
		Link, Status string
	}
	var rows []row
	for _, o := range resp.GetOrders() {
		rows = append(rows, row{o, orderLink(o.GetOrderId()), statuses[o.GetStatus()]})
	}
	next := nextPage("/orders", url.Values{}, resp.GetNextPageToken())
	return s.draw(w, r, http.StatusOK, "orders", struct {
		Chrome chrome
		Rows   []row
		Next   string
	}{c, rows, next})
}

func orderLink(id string) string { return "/orders/" + url.PathEscape(id) }

// orderPage is one order, as its page and its invoice show it.
type orderPage struct {
	Chrome                chrome
	Order                 *orderv1.Order
	Status, Payment, Link string
	Placed, Live          bool
	Lines                 []orderLine
	Parcels               []parcel
	Events                []event
	CanCancel, CanReturn  bool
	// CanReview something that is delivered.
	CanReview bool
	// Last event that is shown.
	Last int64
	Key  string
}

type orderLine struct {
	Line             *orderv1.Line
	Link, Image      string
	Returnable, Left int64
	// Review is where it is written; empty before any of it is delivered.
	Review string
}

type parcel struct {
	Parcel *orderv1.Parcel
	Number int
	State  string
	Items  []string
	// Way of the parcel, oldest first.
	Way []event
	// Sketch of the way; nil where none can be drawn.
	Sketch *sketch
}

type event struct {
	At   time.Time
	Text string
	// Where, and what about it; may be empty.
	Place, Note string
}

func (s *Service) orderOf(r *http.Request) (*orderv1.Order, error) {
	if _, err := session.Require(r.Context()); err != nil {
		return nil, err
	}
	resp, err := s.deps.Orders.GetOrder(r.Context(), &orderv1.GetOrderRequest{OrderId: r.PathValue("id")})
	return resp.GetOrder(), err
}

func (s *Service) order(w http.ResponseWriter, r *http.Request) error {
	return s.drawOrder(w, r, http.StatusOK, nil)
}

func (s *Service) drawOrder(w http.ResponseWriter, r *http.Request, status int, problems []wrong) error {
	o, err := s.orderOf(r)
	if err != nil {
		return err
	}
	p := pageOf(o)
	p.Chrome = s.chromeOf(r)
	p.Chrome.NoIndex, p.Chrome.Problems = true, problems
	s.sketchWays(r.Context(), &p)
	p.Placed, p.Key = r.URL.Query().Get("placed") != "", ident.NewToken()
	return s.draw(w, r, status, "order", p)
}

func (s *Service) invoice(w http.ResponseWriter, r *http.Request) error {
	o, err := s.orderOf(r)
	if err != nil {
		return err
	}
	p := pageOf(o)
	p.Chrome = s.chromeOf(r)
	p.Chrome.NoIndex = true
	return s.draw(w, r, http.StatusOK, "invoice", p)
}

func pageOf(o *orderv1.Order) orderPage {
	p := orderPage{Order: o, Status: statuses[o.GetStatus()], Payment: paymentStatuses[o.GetPaymentStatus()], Link: orderLink(o.GetOrderId()), Last: lastEvent(o)}
	shipped, received := map[int32]int64{}, map[int32]bool{}
	for _, x := range o.GetParcels() {
		if len(x.GetLines()) == 0 {
			continue // nothing of it was on the shelf
		}
		shown := parcel{Parcel: x, Number: len(p.Parcels) + 1, State: parcelStates[x.GetState()]}
		for _, l := range x.GetLines() {
			shown.Items = append(shown.Items, fmt.Sprintf("%d × %s", l.GetQuantity(), titleOf(o, l.GetLine())))
			if x.GetShippedAt() != nil {
				shipped[l.GetLine()] += l.GetQuantity() - l.GetReturned()
			}
			received[l.GetLine()] = received[l.GetLine()] || atTheDoor(x)
		}
		p.CanCancel = p.CanCancel || x.GetState() == orderv1.ParcelState_PARCEL_STATE_REQUESTED
		p.Live = p.Live || underWay(x)
		shown.follow(x)
		p.Parcels = append(p.Parcels, shown)
	}
	if o.GetStatus() == orderv1.Status_STATUS_SHIPPED && allDelivered(o) {
		p.Status = wayStates[orderv1.WayState_WAY_STATE_DELIVERED]
	}
	for _, l := range o.GetLines() {
		shown := orderLine{Line: l, Link: productLink(l.GetSku()), Image: picture(l.GetSku()), Returnable: shipped[l.GetLine()], Left: l.GetQuantity() - l.GetCanceled()}
		if received[l.GetLine()] {
			shown.Review, p.CanReview = reviewLink(o.GetOrderId(), l.GetLine()), true
		}
		p.Lines = append(p.Lines, shown)
		p.CanReturn = p.CanReturn || shipped[l.GetLine()] > 0
	}
	p.Live = p.Live || o.GetStatus() == orderv1.Status_STATUS_PENDING || slices.ContainsFunc(o.GetShortPicks(), func(pick *orderv1.ShortPick) bool { return !pick.GetDone() })
	for _, e := range o.GetEvents() {
		if e.GetScan() != nil {
			continue // each parcel shows its own
		}
		text := eventTexts[e.GetKind()]
		if text == "" {
			text = titled(e.GetKind())
		}
		if e.GetAmount().GetMinorUnits() > 0 {
			text += ": " + price(e.GetAmount())
		}
		p.Events = append(p.Events, event{At: e.GetAt().AsTime(), Text: text})
	}
	return p
}

// underWay tells whether there will be news of a parcel by itself.
func underWay(x *orderv1.Parcel) bool {
	state := x.GetState()
	if state == orderv1.ParcelState_PARCEL_STATE_REQUESTED || state == orderv1.ParcelState_PARCEL_STATE_PACKED {
		return true
	}
	return x.GetTrackingNumber() != "" && x.GetWay() != orderv1.WayState_WAY_STATE_DELIVERED && x.GetWay() != orderv1.WayState_WAY_STATE_SENT_BACK
}

// atTheDoor tells whether a parcel was delivered, or has left with nobody who would say so.
func atTheDoor(x *orderv1.Parcel) bool {
	return x.GetWay() == orderv1.WayState_WAY_STATE_DELIVERED || (x.GetShippedAt() != nil && x.GetCarrier() == "")
}

// allDelivered tells whether every parcel that has left is at the door.
func allDelivered(o *orderv1.Order) bool {
	return !slices.ContainsFunc(o.GetParcels(), func(x *orderv1.Parcel) bool {
		return x.GetState() != orderv1.ParcelState_PARCEL_STATE_CANCELED && x.GetWay() != orderv1.WayState_WAY_STATE_DELIVERED
	})
}

// follow a parcel that has left: what it is called by how far it is, and the way so far.
func (p *parcel) follow(x *orderv1.Parcel) {
	for _, scan := range x.GetScans() {
		p.Way = append(p.Way, event{At: scan.GetAt().AsTime(), Text: wayStates[scan.GetState()], Place: scan.GetPlace(), Note: scan.GetNote()})
	}
	if n := len(p.Way); n > 0 && x.GetState() == orderv1.ParcelState_PARCEL_STATE_SHIPPED {
		p.State = p.Way[n-1].Text
	}
}

func titleOf(o *orderv1.Order, line int32) string {
	for _, l := range o.GetLines() {
		if l.GetLine() == line {
			return l.GetTitle()
		}
	}
	return ""
}

func (s *Service) cancelOrder(w http.ResponseWriter, r *http.Request) error {
	resp, err := s.deps.Orders.CancelOrder(r.Context(), &orderv1.CancelOrderRequest{OrderId: r.PathValue("id"), Reason: "by the shopper, on the order's page"})
	if refusedForm(err) {
		return s.drawOrder(w, r, http.StatusUnprocessableEntity, wrongs(err, nil))
	}
	if err != nil {
		return err
	}
	notice := "canceled"
	if len(resp.GetKept()) > 0 {
		notice = "partly"
	}
	lead(w, r, orderLink(r.PathValue("id")), notice)
	return nil
}

func (s *Service) returnItems(w http.ResponseWriter, r *http.Request) error {
	o, err := s.orderOf(r)
	if err != nil {
		return err
	}
	req := &orderv1.ReturnItemsRequest{OrderId: o.GetOrderId(), ReturnId: r.PostFormValue("key")}
	for _, l := range o.GetLines() {
		n, err := strconv.ParseInt(r.PostFormValue("return-"+strconv.Itoa(int(l.GetLine()))), 10, 64)
		if err == nil && n > 0 {
			req.Lines = append(req.Lines, &orderv1.ReturnLine{Line: l.GetLine(), Quantity: n, Reason: r.PostFormValue("reason")})
		}
	}
	if len(req.GetLines()) == 0 {
		return s.drawOrder(w, r, http.StatusUnprocessableEntity, []wrong{{Text: "Say how many of what you send back."}})
	}
	_, err = s.deps.Orders.ReturnItems(r.Context(), req)
	if refusedForm(err) {
		return s.drawOrder(w, r, http.StatusUnprocessableEntity, wrongs(err, nil))
	}
	if err != nil {
		return err
	}
	lead(w, r, orderLink(o.GetOrderId()), "returned")
	return nil
}

// news tells a page when its order has changed, as server-sent events: "changed" with the number of the order's last event
// as id, so that a browser that comes back after a break hears what it missed, as does a page that says what it has seen;
// "ended" when nothing more will come soon.
func (s *Service) news(w http.ResponseWriter, r *http.Request) error {
	o, err := s.orderOf(r)
	if err != nil {
		return err
	}
	last := lastEvent(o)
	seen := r.Header.Get("Last-Event-ID")
	if seen == "" {
		seen = r.URL.Query().Get("seen")
	}
	if n, err := strconv.ParseInt(seen, 10, 64); err == nil && n < last {
		last = n
	}
	out := http.NewResponseController(w)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if _, err := fmt.Fprintf(w, "retry: %d\n\n", newsEvery.Milliseconds()); err != nil || out.Flush() != nil {
		return nil //nolint:nilerr // the browser has gone
	}
	begun := s.deps.Clock.Now()
	for {
		n := lastEvent(o)
		switch {
		case n != last:
			last = n
			_, err = io.WriteString(w, newsOf(n, "changed")) //nolint:gosec // G705: a number is all there is
		case !pageOf(o).Live:
			_, _ = io.WriteString(w, newsOf(n, "ended")) //nolint:gosec // G705: a number is all there is; the last word, heard or not
			return nil
		default:
			_, err = fmt.Fprint(w, ": still there\n\n")
		}
		if err != nil || out.Flush() != nil || s.deps.Clock.Now().Sub(begun) > newsFor || s.deps.Clock.Sleep(r.Context(), newsEvery) != nil {
			return nil //nolint:nilerr // the browser has gone, or comes back
		}
		resp, err := s.deps.Orders.GetOrder(r.Context(), &orderv1.GetOrderRequest{OrderId: r.PathValue("id")})
		if err != nil {
			return nil //nolint:nilerr // the browser comes back, to another cell if it has to
		}
		o = resp.GetOrder()
	}
}

// newsOf an order whose last event is n, as a server-sent event.
func newsOf(n int64, kind string) string {
	number := strconv.FormatInt(n, 10)
	return "id: " + number + "\nevent: " + kind + "\ndata: " + number + "\n\n"
}

func lastEvent(o *orderv1.Order) int64 {
	if n := len(o.GetEvents()); n > 0 {
		return o.GetEvents()[n-1].GetSeq()
	}
	return 0
}
