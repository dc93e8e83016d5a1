package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/notice"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// What is kept about a customer elsewhere.
type (
	// Orders of a customer.
	Orders interface {
		ListOrders(context.Context, *orderv1.ListOrdersRequest) (*orderv1.ListOrdersResponse, error)
		EraseAddresses(context.Context, *orderv1.EraseAddressesRequest) (*orderv1.EraseAddressesResponse, error)
	}
	// Reviews that a customer wrote.
	Reviews interface {
		ExportAuthor(context.Context, *reviewv1.ExportAuthorRequest) (*reviewv1.ExportAuthorResponse, error)
		EraseAuthor(context.Context, *reviewv1.EraseAuthorRequest) (*reviewv1.EraseAuthorResponse, error)
	}
	// Notifications that a customer wants.
	Notifications interface {
		GetSettings(context.Context, *notificationv1.GetSettingsRequest) (*notificationv1.GetSettingsResponse, error)
		EraseSettings(context.Context, *notificationv1.EraseSettingsRequest) (*notificationv1.EraseSettingsResponse, error)
	}
)

const (
	// sweepEvery is between looks for erasures that are not finished, and for links that do not work any more.
	sweepEvery = 10 * time.Second
	// retryAfter a failure, or a process that died; stillUnderWay is for an order that needs its address yet.
	retryAfter    = time.Minute
	stillUnderWay = time.Hour
	// sweepBatch of each kind in one look.
	sweepBatch = 100
	// exportOrders at most, in pages of exportPage.
	exportOrders = 1000
	exportPage   = 100
)

// eraseAccount of a customer who knows the password. What only this service has is gone with the first transaction, and
// nobody can sign in any more; the rest is done at once if it can be, and by the sweep otherwise.
func (s *Service) eraseAccount(ctx context.Context, id ident.CustomerID, password string) error {
	a, err := s.prove(ctx, id, password)
	if err != nil {
		return err
	}
	now, generation := s.deps.Clock.Now(), int64(0)
	err = s.deps.Fence.InSlotTx(ctx, id, func(tx sqldb.Tx) (err error) {
		if generation, err = markErased(ctx, tx, id, now); err != nil {
			return err
		}
		return notice.Write(ctx, tx, id.Region(), now, notice.Notice{
			Customer: id, Cause: "account/erased", Detail: &notificationv1.Notice{Kind: notificationv1.Kind_KIND_ACCOUNT_ERASED, To: a.Email},
		})
	})
	if err != nil {
		return err
	}
	s.sessions.learn(id, generation, now)
	if err := s.finishErasure(ctx, id); err != nil {
		s.deps.Log.WarnContext(ctx, "an erasure is not finished; the sweep goes on", "error", err)
	}
	return nil
}

// finishErasure of an account that is marked. Every step may be done again.
func (s *Service) finishErasure(ctx context.Context, id ident.CustomerID) error {
	a, found, err := s.get(ctx, id)
	if err != nil || !found || a.ErasedAt == nil {
		return err
	}
	if err := s.dueAgain(ctx, id, s.deps.Clock.Now().Add(retryAfter)); err != nil {
		return err
	}
	customer := string(id)
	if _, err := s.deps.Reviews.EraseAuthor(ctx, &reviewv1.EraseAuthorRequest{CustomerId: customer}); err != nil {
		return fmt.Errorf("erase reviews: %w", err)
	}
	if _, err := s.deps.Carts.EraseCart(ctx, &cartv1.EraseCartRequest{CustomerId: customer}); err != nil {
		return fmt.Errorf("erase the cart: %w", err)
	}
	if _, err := s.deps.Notifications.EraseSettings(ctx, &notificationv1.EraseSettingsRequest{CustomerId: customer}); err != nil {
		return fmt.Errorf("erase settings: %w", err)
	}
	left, err := s.deps.Orders.EraseAddresses(ctx, &orderv1.EraseAddressesRequest{CustomerId: customer})
	if err != nil {
		return fmt.Errorf("erase addresses: %w", err)
	}
	if a.Email != "" {
		if err := s.release(ctx, a.Email, id); err != nil {
			return fmt.Errorf("release the e-mail address: %w", err)
		}
		if err := s.forgetEmail(ctx, id); err != nil {
			return err
		}
	}
	if left.GetRemaining() > 0 {
		return s.dueAgain(ctx, id, s.deps.Clock.Now().Add(stillUnderWay))
	}
	return s.erased(ctx, id)
}

// Run finishes erasures and forgets links until ctx ends.
func (s *Service) Run(ctx context.Context) {
	for s.deps.Clock.Sleep(ctx, sweepEvery) == nil {
		if _, err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.deps.Log.WarnContext(ctx, "erasures could not be finished; the next sweep goes on", "error", err)
		}
	}
}

// Sweep finishes the erasures that are due and forgets links that do not work any more; gives how many of both.
func (s *Service) Sweep(ctx context.Context) (n int, err error) {
	rings, _ := s.deps.Rings()
	for _, ring := range rings {
		due, err := s.erasuresDue(ctx, ring)
		if err != nil {
			return n, fmt.Errorf("sweep erasures in %s: %w", ring, err)
		}
		var failures []error
		for _, id := range due {
			if !s.deps.Fence.Mine(id) {
				continue
			}
			n++
			failures = append(failures, s.finishErasure(ctx, id))
		}
		gone, err := s.forgetLinks(ctx, ring)
		n += gone
		if err := errors.Join(append(failures, err)...); err != nil {
			return n, err
		}
	}
	return n, nil
}

// exportData of the session's customer.
func (s *Service) exportData(ctx context.Context, id ident.CustomerID) (*accountv1.ExportDataResponse, error) {
	out := &accountv1.ExportDataResponse{}
	var err error
	if out.Profile, err = s.GetProfile(ctx, &accountv1.GetProfileRequest{}); err != nil {
		return nil, err
	}
	if out.Addresses, err = s.listAddresses(ctx, id); err != nil {
		return nil, fmt.Errorf("export addresses: %w", err)
	}
	if out.PaymentMethods, err = s.listMethods(ctx, id); err != nil {
		return nil, fmt.Errorf("export payment methods: %w", err)
	}
	if out.Passkeys, err = s.listPasskeys(ctx, id); err != nil {
		return nil, fmt.Errorf("export passkeys: %w", err)
	}
	for token := ""; len(out.GetOrders()) < exportOrders; {
		page, err := s.deps.Orders.ListOrders(ctx, &orderv1.ListOrdersRequest{PageSize: exportPage, PageToken: token})
		if err != nil {
			return nil, fmt.Errorf("export orders: %w", err)
		}
		out.Orders = append(out.Orders, page.GetOrders()...)
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if out.Reviews, err = s.deps.Reviews.ExportAuthor(ctx, &reviewv1.ExportAuthorRequest{CustomerId: string(id)}); err != nil {
		return nil, fmt.Errorf("export reviews: %w", err)
	}
	settings, err := s.deps.Notifications.GetSettings(ctx, &notificationv1.GetSettingsRequest{})
	if err != nil {
		return nil, fmt.Errorf("export settings: %w", err)
	}
	cart, err := s.deps.Carts.GetCart(ctx, &cartv1.GetCartRequest{})
	if err != nil {
		return nil, fmt.Errorf("export the cart: %w", err)
	}
	out.Notifications, out.Cart, out.Saved = settings.GetSettings(), cart.GetCart().GetLines(), cart.GetCart().GetSaved()
	return out, nil
}
