package cells

import (
	"google.golang.org/protobuf/proto"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1/accountv1connect"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1/cartv1connect"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1/checkoutv1connect"
	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1/notificationv1connect"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/passkey/passkeytest"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/services/account"
)

var newYork = &postalv1.PostalAddress{
	Recipient: "R. Reader", Lines: []string{"1 Main St"}, Locality: "New York", AdministrativeArea: "NY", PostalCode: "10001", RegionCode: "US",
}

// guest with something in the cart.
func (s *stale) guest() (id ident.CustomerID, token string) {
	s.Helper()
	id = s.cell.services.fence.MintGuest()
	token, _ = s.cell.services.sessions.Issue(session.Principal{CustomerID: id, SessionID: session.NewID()}, s.cell.clock.Now())
	s.ask(cartv1connect.CartServiceAddItemProcedure, token, nil, &cartv1.AddItemRequest{Sku: "kettle", Quantity: 1}, nil)
	return id, token
}

func always(m proto.Message) func() proto.Message { return func() proto.Message { return m } }

// shopping is what a shopper does, from signing up to placing an order.
func (s *stale) shopping() []moved {
	signedUp, address, method := &accountv1.SignUpResponse{}, &accountv1.AddAddressResponse{}, &accountv1.AddPaymentMethodResponse{}
	var guestID ident.CustomerID
	var guestToken string
	makeGuest := func() { guestID, guestToken = s.guest() }
	credentials := func() (email, password string) { return "reader@example.com", "correct horse battery" }
	email, password := credentials()
	return append([]moved{
		{procedure: accountv1connect.AccountServiceSignUpProcedure, req: always(&accountv1.SignUpRequest{Email: email, Password: password, Name: "Reader"}), into: signedUp,
			after: func() { s.token, s.id = signedUp.GetSession().GetToken(), signedUp.GetSession().GetCustomerId() }},
		// A sign-in does not fail for a cart that cannot be merged.
		{procedure: accountv1connect.AccountServiceSignInProcedure, req: always(&accountv1.SignInRequest{Email: email, Password: password}), before: makeGuest, silent: true,
			token: func() string { return guestToken }},
		{procedure: accountv1connect.AccountServiceAddAddressProcedure, token: s.session, req: always(&accountv1.AddAddressRequest{Address: newYork}), into: address},
		{procedure: accountv1connect.AccountServiceDeleteAddressProcedure, token: s.session,
			req: func() proto.Message {
				return &accountv1.DeleteAddressRequest{AddressId: address.GetAddress().GetAddressId()}
			}},
		{procedure: accountv1connect.AccountServiceAddPaymentMethodProcedure, token: s.session, req: always(&accountv1.AddPaymentMethodRequest{CardToken: "tok_visa", Label: "Visa"}), into: method},
		{procedure: accountv1connect.AccountServiceDeletePaymentMethodProcedure, token: s.session, req: func() proto.Message {
			return &accountv1.DeletePaymentMethodRequest{PaymentMethodId: method.GetPaymentMethod().GetPaymentMethodId()}
		}},
		{procedure: cartv1connect.CartServiceAddItemProcedure, token: s.session, req: always(&cartv1.AddItemRequest{Sku: "kettle", Quantity: 2})},
		{procedure: cartv1connect.CartServiceSetQuantityProcedure, token: s.session, req: always(&cartv1.SetQuantityRequest{Sku: "kettle", Quantity: 5})},
		{procedure: cartv1connect.CartServiceRemoveOrderedProcedure, req: func() proto.Message {
			return &cartv1.RemoveOrderedRequest{CustomerId: s.id, OrderId: string(ident.NewOrder("use1")), Ordered: []*cartv1.RemoveOrderedRequest_Ordered{{Sku: "kettle", Quantity: 1}}}
		}},
		{procedure: cartv1connect.CartServiceSaveForLaterProcedure, token: s.session, req: always(&cartv1.SaveForLaterRequest{Sku: "kettle"})},
		{procedure: cartv1connect.CartServiceMoveToCartProcedure, token: s.session, req: always(&cartv1.MoveToCartRequest{Sku: "kettle"}), after: func() {
			s.ask(cartv1connect.CartServiceSaveForLaterProcedure, s.session(), nil, &cartv1.SaveForLaterRequest{Sku: "kettle"}, nil)
			s.ask(cartv1connect.CartServiceAddItemProcedure, s.session(), nil, &cartv1.AddItemRequest{Sku: "kettle", Quantity: 1}, nil)
		}},
		{procedure: cartv1connect.CartServiceRemoveSavedProcedure, token: s.session, req: always(&cartv1.RemoveSavedRequest{Sku: "kettle"})},
		{procedure: cartv1connect.CartServiceRemoveItemProcedure, token: s.session, req: always(&cartv1.RemoveItemRequest{Sku: "kettle"})},
		{procedure: cartv1connect.CartServiceMergeGuestCartProcedure, before: makeGuest, req: func() proto.Message {
			return &cartv1.MergeGuestCartRequest{CustomerId: s.id, GuestId: string(guestID)}
		}},
	}, append(append(s.passkeys(), s.securing()...), s.placing()...)...)
}

// shopOrigin is where passkeys are made and used.
const shopOrigin = "https://shop.test"

// passkeys of a device: made, signed in with, and deleted.
func (s *stale) passkeys() []moved {
	device, added, in := passkeytest.New(s, shopOrigin), &accountv1.AddPasskeyResponse{}, &accountv1.SignInWithPasskeyResponse{}
	var answer string
	return []moved{
		// It only reads, as any cell may for a moment; what is made with it is written by the owner.
		{procedure: accountv1connect.AccountServicePreparePasskeyProcedure, token: s.session, req: always(&accountv1.PreparePasskeyRequest{}), silent: true, idle: true},
		{procedure: accountv1connect.AccountServiceAddPasskeyProcedure, token: s.session, into: added, before: func() {
			to := &accountv1.PreparePasskeyResponse{}
			s.ask(accountv1connect.AccountServicePreparePasskeyProcedure, s.session(), nil, &accountv1.PreparePasskeyRequest{}, to)
			answer = device.Make(s, to.GetOptions())
		}, req: func() proto.Message { return &accountv1.AddPasskeyRequest{Answer: answer, Name: "Phone"} }},
		{procedure: accountv1connect.AccountServiceRenamePasskeyProcedure, token: s.session,
			req: func() proto.Message {
				return &accountv1.RenamePasskeyRequest{PasskeyId: added.GetPasskey().GetPasskeyId(), Name: "Telephone"}
			}},
		{procedure: accountv1connect.AccountServiceSignInWithPasskeyProcedure, into: in, before: func() {
			to := &accountv1.PreparePasskeySignInResponse{}
			s.ask(accountv1connect.AccountServicePreparePasskeySignInProcedure, "", nil, &accountv1.PreparePasskeySignInRequest{}, to)
			answer = device.Use(s, to.GetOptions())
		}, req: func() proto.Message { return &accountv1.SignInWithPasskeyRequest{Answer: answer} }},
		{procedure: accountv1connect.AccountServiceDeletePasskeyProcedure, token: s.session, req: func() proto.Message {
			return &accountv1.DeletePasskeyRequest{PasskeyId: added.GetPasskey().GetPasskeyId()}
		}},
	}
}

// securing an account: links by e-mail, passwords and settings. Whoever erases one is another customer.
func (s *stale) securing() []moved {
	const old, renewed = "correct horse battery", "another correct horse"
	link := func(id, purpose string) string {
		tokens := s.texts("SELECT token_id FROM account_tokens WHERE customer_id = '" + id + "' AND purpose = '" + purpose + "'")
		if len(tokens) != 1 {
			s.Fatalf("there are %d links to %s", len(tokens), purpose)
		}
		return account.NewLinker([]byte(s.cell.keys.session)).Token(ident.CustomerID(id), tokens[0], purpose)
	}
	fill := func() { // what follows orders what is in the cart
		s.ask(cartv1connect.CartServiceAddItemProcedure, s.token, nil, &cartv1.AddItemRequest{Sku: "kettle", Quantity: 1}, nil)
	}
	var token string
	changed, leaving := &accountv1.ChangePasswordResponse{}, &accountv1.SignUpResponse{}
	return []moved{
		{name: "the sweep of notifications", silent: true, do: func() error { _, err := s.cell.services.notification.Sweep(s.Context()); return err }},
		{procedure: accountv1connect.AccountServiceRequestVerificationProcedure, token: s.session, req: always(&accountv1.RequestVerificationRequest{})},
		{procedure: accountv1connect.AccountServiceVerifyEmailProcedure, before: func() { token = link(s.id, "verify") }, req: func() proto.Message { return &accountv1.VerifyEmailRequest{Token: token} }},
		{procedure: accountv1connect.AccountServiceRequestResetProcedure, req: always(&accountv1.RequestResetRequest{Email: "reader@example.com"})},
		{procedure: accountv1connect.AccountServiceResetPasswordProcedure, before: func() { token = link(s.id, "reset") },
			req:   func() proto.Message { return &accountv1.ResetPasswordRequest{Token: token, Password: old} },
			after: func() { s.signIn(old) }},
		{procedure: accountv1connect.AccountServiceChangePasswordProcedure, token: s.session, req: always(&accountv1.ChangePasswordRequest{OldPassword: old, NewPassword: renewed}), into: changed,
			after: func() { s.token = changed.GetSession().GetToken() }},
		{procedure: accountv1connect.AccountServiceSignOutEverywhereProcedure, token: s.session, req: always(&accountv1.SignOutEverywhereRequest{}), after: func() { s.signIn(renewed) }},
		{procedure: notificationv1connect.NotificationServiceSetSettingsProcedure, token: s.session,
			req: always(&notificationv1.SetSettingsRequest{Settings: &notificationv1.Settings{Phone: "+15550100"}})},
		{procedure: notificationv1connect.NotificationServiceEraseSettingsProcedure, req: func() proto.Message { return &notificationv1.EraseSettingsRequest{CustomerId: s.id} }},
		{procedure: accountv1connect.AccountServiceEraseAccountProcedure, before: func() {
			s.ask(accountv1connect.AccountServiceSignUpProcedure, "", nil, &accountv1.SignUpRequest{Email: "leaving@example.com", Password: old, Name: "Leaving"}, leaving)
		}, token: func() string { return leaving.GetSession().GetToken() }, req: always(&accountv1.EraseAccountRequest{Password: old})},
		{name: "the sweep of erasures", silent: true, before: func() {
			s.sql("UPDATE accounts SET erasure_due_at = now() - interval '1 day' WHERE erased_at IS NOT NULL")
		},
			do: func() error { _, err := s.cell.services.account.Sweep(s.Context()); return err }},
		{procedure: cartv1connect.CartServiceEraseCartProcedure, before: fill, req: func() proto.Message { return &cartv1.EraseCartRequest{CustomerId: s.id} }, after: fill},
	}
}

// signIn the customer whom the cases are about once more.
func (s *stale) signIn(password string) {
	s.Helper()
	in := &accountv1.SignInResponse{}
	s.ask(accountv1connect.AccountServiceSignInProcedure, "", nil, &accountv1.SignInRequest{Email: "reader@example.com", Password: password}, in)
	s.token = in.GetSession().GetToken()
}

// placing an order. The second time the slots move while the card is charged: what is written after that is written by a
// cell that has lost the customer, in the middle of a saga.
func (s *stale) placing() []moved {
	quote := &checkoutv1.QuoteResponse{}
	place := func() proto.Message {
		return &checkoutv1.PlaceOrderRequest{QuoteToken: quote.GetQuoteToken(), Payment: &checkoutv1.PlaceOrderRequest_CardToken{CardToken: "tok_visa"}}
	}
	again := func() {
		s.ask(cartv1connect.CartServiceAddItemProcedure, s.token, nil, &cartv1.AddItemRequest{Sku: "kettle", Quantity: 1}, nil)
		s.ask(checkoutv1connect.CheckoutServiceQuoteProcedure, s.token, nil, quoteRequest, quote)
	}
	var atMove map[string]string
	return []moved{
		{procedure: checkoutv1connect.CheckoutServiceQuoteProcedure, token: s.session, req: always(quoteRequest), into: quote, silent: true, idle: true},
		{procedure: checkoutv1connect.CheckoutServicePlaceOrderProcedure, token: s.session, req: place, key: "first"},
		{name: "a placement whose slot moves on the way", procedure: checkoutv1connect.CheckoutServicePlaceOrderProcedure, token: s.session, req: place, key: "second",
			before: func() {
				again()
				s.charging = func() { s.give(winner); atMove = s.contents() }
				s.give(loser)
				resp := s.ask(checkoutv1connect.CheckoutServicePlaceOrderProcedure, s.token, map[string][]string{"Idempotency-Key": {"second"}}, place(), nil)
				s.charging = nil
				if to := resp.Header.Get("Cellar-Wrong-Cell"); to == "" {
					s.Errorf("the slot moves while the card is charged: answered %s", resp.Status)
				}
				if tables := changed(atMove, s.contents()); len(tables) > 0 {
					s.Errorf("the slot moves while the card is charged: afterwards %v are changed", tables)
				}
				s.rouse()
			},
			silent: true, // the key is known, and its saga rests: whoever asks waits for the owner
			do: func() error {
				_, err := s.cell.services.checkout.Sweep(s.Context())
				return err
			}},
	}
}

var quoteRequest = &checkoutv1.QuoteRequest{Destination: &checkoutv1.QuoteRequest_Address{Address: newYork}}
