package review

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1/reviewv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Orders knows what the session's customer has bought.
type Orders interface {
	GetOrder(context.Context, *orderv1.GetOrderRequest) (*orderv1.GetOrderResponse, error)
	ListOrders(context.Context, *orderv1.ListOrdersRequest) (*orderv1.ListOrdersResponse, error)
}

// Peer is this service in another cell.
type Peer interface {
	DecideContribution(context.Context, *reviewv1.DecideContributionRequest) (*reviewv1.DecideContributionResponse, error)
}

// Deps of the service.
type Deps struct {
	// Customers is cellar_customer, Regional is cellar_regional.
	Customers, Regional *sqldb.DB
	Fence               fence.Fence
	Clock               clock.Clock
	Orders              Orders
	// Region whose copies this cell reads and keeps.
	Region ident.Region
	// Regions are told of changes.
	Regions []ident.Region
	// Cell is this one, and At is this service in another.
	Cell string
	At   func(cell string) Peer
	// Committed is called after a transaction that left events in the outbox; may be nil.
	Committed func()
}

// Service implements cellar.review.v1.ReviewService.
type Service struct{ deps Deps }

var _ reviewv1connect.ReviewServiceHandler = (*Service)(nil)

// New service.
func New(deps Deps) *Service {
	if deps.Committed == nil {
		deps.Committed = func() {}
	}
	return &Service{deps: deps}
}

// inSlotTx is the fence's, once more when another transaction has written first what this one did not find.
func (s *Service) inSlotTx(ctx context.Context, customer ident.CustomerID, fn func(tx sqldb.Tx) error) error {
	err := s.deps.Fence.InSlotTx(ctx, customer, fn)
	if errors.Is(err, errOvertaken) {
		err = s.deps.Fence.InSlotTx(ctx, customer, fn)
	}
	return err
}

// change a contribution of a customer, or make it: decide is given what there is, nil for none, and gives what is to be;
// nil changes nothing. What is decided gets the next version, and every region is told.
func (s *Service) change(ctx context.Context, customer ident.CustomerID, id string, decide func(tx sqldb.Tx, known *reviewv1.Contribution, now time.Time) (*reviewv1.Contribution, error)) (*reviewv1.Contribution, error) {
	var out *reviewv1.Contribution
	now := s.deps.Clock.Now()
	err := s.inSlotTx(ctx, customer, func(tx sqldb.Tx) error {
		known, err := one(ctx, tx, stmtLock, customer.Region(), id)
		if err != nil {
			return err
		}
		if known != nil && known.GetCustomerId() != string(customer) {
			return unknownContribution()
		}
		next, err := decide(tx, known, now)
		if out = next; next == nil {
			out = known
		}
		if err != nil || next == nil {
			return err
		}
		next.ContributionId, next.CustomerId = id, string(customer)
		next.Version, next.ChangedAt, next.WrittenAt = known.GetVersion()+1, timestamppb.New(now), known.GetWrittenAt()
		if known == nil {
			next.WrittenAt = next.GetChangedAt()
		}
		if err := store(ctx, tx, customer.Region(), next); err != nil {
			return err
		}
		return s.tell(ctx, tx, customer.Region(), next)
	})
	if err != nil {
		return nil, err
	}
	s.deps.Committed()
	return out, nil
}

// write a contribution. Reviews are edited when they are there; of questions and answers the first word counts.
func (s *Service) write(ctx context.Context, customer ident.CustomerID, id string, c *reviewv1.Contribution) (*reviewv1.Contribution, error) {
	out, err := s.change(ctx, customer, id, func(tx sqldb.Tx, known *reviewv1.Contribution, now time.Time) (*reviewv1.Contribution, error) {
		if known == nil {
			if err := allowed(ctx, tx, customer, now); err != nil {
				return nil, err
			}
		} else if c.GetKind() != reviewv1.Kind_KIND_REVIEW || same(known, c) {
			return nil, nil
		}
		next := proto.CloneOf(c)
		judge(next, known)
		return next, nil
	})
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", id, err)
	}
	return out, nil
}

// same tells whether a review says what it has said before, and has not been deleted since.
func same(a, b *reviewv1.Contribution) bool {
	return a.GetState() != reviewv1.State_STATE_DELETED && a.GetRating() == b.GetRating() && a.GetTitle() == b.GetTitle() && a.GetText() == b.GetText() && a.GetAuthor() == b.GetAuthor()
}

// allowed to write one more.
func allowed(ctx context.Context, tx sqldb.Tx, customer ident.CustomerID, now time.Time) error {
	var n int64
	if err := tx.QueryRow(ctx, stmtCountWritten, string(customer.Region()), string(customer), now.Add(-writtenWindow)).Scan(&n); err != nil {
		return err
	}
	if n >= maxWritten {
		return tooMuchWritten()
	}
	return nil
}

// bought line of an order of the session's customer, whose parcel was delivered.
func (s *Service) bought(ctx context.Context, order ident.OrderID, number int32) (*orderv1.Line, error) {
	resp, err := s.deps.Orders.GetOrder(ctx, &orderv1.GetOrderRequest{OrderId: string(order)})
	if err != nil {
		return nil, err
	}
	for _, line := range resp.GetOrder().GetLines() {
		if line.GetLine() == number {
			if !received(resp.GetOrder(), number) {
				return nil, problem.New(problem.Precondition, "NOT_RECEIVED", "a review can be written once the parcel is delivered")
			}
			return line, nil
		}
	}
	return nil, problem.New(problem.NotFound, "UNKNOWN_LINE", "the order has no such line")
}

// received tells whether some of a line has been at the customer's door. A parcel that no carrier follows is taken to be
// there when it has left: nobody will ever say more of it.
func received(o *orderv1.Order, line int32) bool {
	for _, p := range o.GetParcels() {
		for _, l := range p.GetLines() {
			if l.GetLine() == line && (p.GetWay() == orderv1.WayState_WAY_STATE_DELIVERED || (p.GetShippedAt() != nil && p.GetCarrier() == "")) {
				return true
			}
		}
	}
	return false
}

// buyerOrders are looked at, the newest, to find out whether somebody has bought a product.
const buyerOrders = 100

// buyer tells whether the session's customer has bought a product with one of the latest 100 orders.
func (s *Service) buyer(ctx context.Context, sku string) (bool, error) {
	resp, err := s.deps.Orders.ListOrders(ctx, &orderv1.ListOrdersRequest{PageSize: buyerOrders})
	if err != nil {
		return false, err
	}
	for _, o := range resp.GetOrders() {
		for _, l := range o.GetLines() {
			if paid := o.GetStatus() == orderv1.Status_STATUS_PAID || o.GetStatus() == orderv1.Status_STATUS_SHIPPED; paid && l.GetSku() == sku && l.GetQuantity() > l.GetCanceled() {
				return true, nil
			}
		}
	}
	return false, nil
}

// remove a customer's contribution: its texts go, a tombstone stays.
func (s *Service) remove(ctx context.Context, customer ident.CustomerID, id string) error {
	_, err := s.change(ctx, customer, id, func(_ sqldb.Tx, known *reviewv1.Contribution, _ time.Time) (*reviewv1.Contribution, error) {
		if known == nil {
			return nil, unknownContribution()
		}
		if known.GetState() == reviewv1.State_STATE_DELETED {
			return nil, nil
		}
		next := proto.CloneOf(known)
		next.State, next.Rating, next.Title, next.Text, next.Author, next.HeldFor = reviewv1.State_STATE_DELETED, 0, "", "", "", nil
		return next, nil
	})
	if err != nil {
		return fmt.Errorf("delete %s: %w", id, err)
	}
	return nil
}

// vote of a customer on what somebody else wrote and this region shows.
func (s *Service) vote(ctx context.Context, customer ident.CustomerID, sku, id string, vote reviewv1.Vote) error {
	ring := customer.Region()
	shown, err := readCopy(ctx, s.deps.Regional, s.deps.Region, sku, id)
	if err != nil {
		return fmt.Errorf("vote on %s: %w", id, err)
	}
	if shown.state != published {
		return unknownContribution()
	}
	err = s.inSlotTx(ctx, customer, func(tx sqldb.Tx) error {
		own, err := one(ctx, tx, stmtGet, ring, id)
		if err != nil {
			return err
		}
		if own.GetCustomerId() == string(customer) {
			return problem.New(problem.Precondition, "OWN_CONTRIBUTION", "nobody votes on what they wrote themselves")
		}
		was, version, err := readVote(ctx, tx, stmtLockVote, string(ring), string(customer), id)
		if err != nil || was == signs[vote] {
			return err
		}
		n, err := tx.Exec(ctx, stmtPutVote, string(ring), string(customer), id, sku, signs[vote], version+1, s.deps.Clock.Now())
		if err == nil && n == 0 {
			err = errOvertaken
		}
		if err != nil {
			return err
		}
		return s.tellVote(ctx, tx, ring, &reviewv1.VoteChanged{Sku: sku, ContributionId: id, Voter: voterOf(id, customer), Version: version + 1, Vote: vote})
	})
	if err != nil {
		return fmt.Errorf("vote on %s: %w", id, err)
	}
	s.deps.Committed()
	return nil
}

// eraseBatch contributions are erased in one transaction, with an event for each region each.
const eraseBatch = 100

// erase a customer's name from everything the customer wrote.
func (s *Service) erase(ctx context.Context, customer ident.CustomerID) error {
	for {
		var n int
		now := s.deps.Clock.Now()
		err := s.deps.Fence.InSlotTx(ctx, customer, func(tx sqldb.Tx) error {
			all, err := sqldb.Collect(ctx, tx, stmtListNamed, scanContribution, string(customer.Region()), string(customer), eraseBatch)
			if err != nil {
				return err
			}
			n = len(all)
			for _, c := range all {
				c.Author, c.Version, c.ChangedAt = "", c.GetVersion()+1, timestamppb.New(now)
				if err := store(ctx, tx, customer.Region(), c); err != nil {
					return err
				}
			}
			return s.tell(ctx, tx, customer.Region(), all...)
		})
		if err != nil {
			return fmt.Errorf("erase an author: %w", err)
		}
		s.deps.Committed()
		if n < eraseBatch {
			return nil
		}
	}
}

// find a contribution by its id alone.
func (s *Service) find(ctx context.Context, id string) (*reviewv1.Contribution, error) {
	ring, err := ringOf(id)
	if err != nil {
		return nil, err
	}
	c, err := one(ctx, s.deps.Customers, stmtGet, ring, id)
	if err == nil && c == nil {
		err = unknownContribution()
	}
	return c, err
}

// decide about a contribution: here, when this cell owns its author, else there.
func (s *Service) decide(ctx context.Context, req *reviewv1.DecideContributionRequest) (*reviewv1.Contribution, error) {
	c, err := s.find(ctx, req.GetContributionId())
	if err != nil {
		return nil, err
	}
	author, err := ident.Parse(c.GetCustomerId())
	if err != nil {
		return nil, fmt.Errorf("decide %s: %w", c.GetContributionId(), err)
	}
	if err = s.deps.Fence.Check(ctx, author); err == nil {
		c, err = s.decideHere(ctx, author, req)
	}
	owner, elsewhere := fence.Elsewhere(err, s.deps.Cell)
	if !elsewhere || req.GetForwarded() {
		return c, err
	}
	forward := proto.CloneOf(req)
	forward.Forwarded = true
	resp, err := s.deps.At(owner).DecideContribution(ctx, forward)
	return resp.GetContribution(), err
}

func (s *Service) decideHere(ctx context.Context, author ident.CustomerID, req *reviewv1.DecideContributionRequest) (*reviewv1.Contribution, error) {
	state := reviewv1.State_STATE_REJECTED
	if req.GetPublish() {
		state = reviewv1.State_STATE_PUBLISHED
	}
	return s.change(ctx, author, req.GetContributionId(), func(_ sqldb.Tx, known *reviewv1.Contribution, _ time.Time) (*reviewv1.Contribution, error) {
		switch {
		case known == nil:
			return nil, unknownContribution()
		case known.GetState() == reviewv1.State_STATE_DELETED:
			return nil, problem.New(problem.Precondition, "CONTRIBUTION_DELETED", "its author has deleted it")
		case known.GetState() == state && known.GetReason() == req.GetReason():
			return nil, nil // it has been decided so, and the answer was lost
		case known.GetVersion() != req.GetVersion():
			return nil, problem.New(problem.Aborted, "CONTRIBUTION_CHANGED", "it has changed since; look at it again")
		}
		next := proto.CloneOf(known)
		next.State, next.Reason = state, req.GetReason()
		return next, nil
	})
}
