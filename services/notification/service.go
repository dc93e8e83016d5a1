package notification

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1/notificationv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/mail"
	"github.com/cellar-commerce/cellar/internal/notice"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Accounts know where customers are reached.
type Accounts interface {
	ResolveContact(context.Context, *accountv1.ResolveContactRequest) (*accountv1.ResolveContactResponse, error)
}

// Mailer sends e-mail; its errors are those of package mail.
type Mailer interface {
	Send(context.Context, mail.Message) error
}

// Deps of the service.
type Deps struct {
	// DB is cellar_customer.
	DB       *sqldb.DB
	Fence    fence.Fence
	Clock    clock.Clock
	Log      *slog.Logger
	Accounts Accounts
	// Mailer is nil where no e-mail is sent.
	Mailer Mailer
	// SMSURL is the base address of the SMS provider's API; empty: no SMS.
	SMSURL string
	// WebhookURL is told of what customers are told by it, signed with WebhookKey; empty: nobody is.
	WebhookURL, WebhookKey string
	// ShopURL is where the shop is, without a slash at the end, for links.
	ShopURL string
	// Link gives the token of the link that a notice of a kind takes along, from what it has of it.
	Link func(customer ident.CustomerID, tokenID string, kind notificationv1.Kind) string
	// Rings in which this cell may own customers.
	Rings func() (rings []ident.Region, version uint64)
	// Client of the HTTP channels; nil is one of the service's own.
	Client *http.Client
	// Observe may be nil.
	Observe notice.Observer
}

// Service implements cellar.notification.v1.NotificationService.
type Service struct {
	deps   Deps
	sender *notice.Sender
}

var _ notificationv1connect.NotificationServiceHandler = (*Service)(nil)

// New service.
func New(deps Deps) *Service {
	if deps.Client == nil {
		deps.Client = &http.Client{Timeout: httpTimeout}
	}
	s := &Service{deps: deps}
	s.sender = notice.NewSender(notice.Deps{
		DB: deps.DB, Fence: deps.Fence, Clock: deps.Clock, Log: deps.Log, Courier: s, Rings: deps.Rings, Observe: deps.Observe,
	})
	return s
}

// Run sends what there is to send until ctx ends.
func (s *Service) Run(ctx context.Context) { s.sender.Run(ctx) }

// Sweep sends what is due now, and gives how many notices that were.
func (s *Service) Sweep(ctx context.Context) (int, error) { return s.sender.Sweep(ctx) }
