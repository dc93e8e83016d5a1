package account

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// drawer is one kind of what a customer saves: both keep the same promises.
type drawer struct {
	name    string
	limit   int
	unknown string
	save    func(w world, id ident.CustomerID) (key string, err error)
	list    func(w world, id ident.CustomerID) (keys []string, err error)
	drop    func(w world, id ident.CustomerID, key string) error
	resolve func(w world, id, key string) error
}

var drawers = []drawer{
	{
		name: "addresses", limit: 50, unknown: "UNKNOWN_ADDRESS",
		save: func(w world, id ident.CustomerID) (string, error) { return w.saveAddress(id) },
		list: func(w world, id ident.CustomerID) (keys []string, err error) {
			resp, err := w.ListAddresses(as(id), &accountv1.ListAddressesRequest{})
			for _, a := range resp.GetAddresses() {
				keys = append(keys, a.GetAddressId())
			}
			return keys, err
		},
		drop: func(w world, id ident.CustomerID, key string) error {
			_, err := w.DeleteAddress(as(id), &accountv1.DeleteAddressRequest{AddressId: key})
			return err
		},
		resolve: func(w world, id, key string) error {
			_, err := w.ResolveAddress(context.Background(), &accountv1.ResolveAddressRequest{CustomerId: id, AddressId: key})
			return err
		},
	},
	{
		name: "cards", limit: 20, unknown: "UNKNOWN_PAYMENT_METHOD",
		save: func(w world, id ident.CustomerID) (string, error) { return w.saveCard(id, "tok_visa") },
		list: func(w world, id ident.CustomerID) (keys []string, err error) {
			resp, err := w.ListPaymentMethods(as(id), &accountv1.ListPaymentMethodsRequest{})
			for _, m := range resp.GetPaymentMethods() {
				keys = append(keys, m.GetPaymentMethodId())
			}
			return keys, err
		},
		drop: func(w world, id ident.CustomerID, key string) error {
			_, err := w.DeletePaymentMethod(as(id), &accountv1.DeletePaymentMethodRequest{PaymentMethodId: key})
			return err
		},
		resolve: func(w world, id, key string) error {
			_, err := w.ResolvePaymentMethod(context.Background(), &accountv1.ResolvePaymentMethodRequest{CustomerId: id, PaymentMethodId: key})
			return err
		},
	},
}

// eachDrawer runs a test of every kind, in a world of its own.
func eachDrawer(t *testing.T, test func(t *testing.T, w world, d drawer)) {
	t.Helper()
	for _, d := range drawers {
		t.Run(d.name, func(t *testing.T) { test(t, newWorld(t), d) })
	}
}

func TestSoMuchCanBeSavedAndNoMore(t *testing.T) {
	eachDrawer(t, func(t *testing.T, w world, d drawer) {
		id, other := w.member(t), w.member(t)
		var first string
		for i := range d.limit {
			key, err := d.save(w, id)
			must(t, err)
			if i == 0 {
				first = key
			}
		}
		_, err := d.save(w, id)
		refused(t, err, problem.Precondition, "TOO_MANY_SAVED")
		_, err = d.save(w, other) // the limit is each customer's own
		must(t, err)
		must(t, d.drop(w, id, first))
		_, err = d.save(w, id)
		must(t, err)
		if keys, err := d.list(w, id); err != nil || len(keys) != d.limit {
			t.Errorf("%d are listed, %v", len(keys), err)
		}
	})
}

// meeting lets the first transaction commit only when a second is about to, or waits for a lock.
type meeting struct {
	db      *sqldb.DB
	open    atomic.Bool
	arrived atomic.Int64
	second  chan struct{}
}

func (m *meeting) at(p sqldb.Point) error {
	if p != sqldb.BeforeCommit || !m.open.Load() {
		return nil
	}
	switch m.arrived.Add(1) {
	case 1:
		return m.await()
	case 2:
		close(m.second)
	}
	return nil
}

func (m *meeting) await() error {
	tick, late := time.NewTicker(5*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for {
		rows, err := m.db.QueryText(context.Background(), "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
		if err != nil {
			return err
		}
		blocked := rows.Next()
		rows.Close()
		if err := rows.Err(); blocked || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-m.second:
			return nil
		case <-late:
			return errors.New("nobody came")
		}
	}
}

func TestTheLastPlaceIsTakenOnce(t *testing.T) {
	for _, d := range drawers {
		t.Run(d.name, func(t *testing.T) {
			meet := &meeting{second: make(chan struct{})}
			w := newWorld(t, sqldbtest.WithFaults(meet.at))
			meet.db = w.customers
			id := w.member(t)
			for range d.limit - 1 {
				_, err := d.save(w, id)
				must(t, err)
			}
			meet.open.Store(true)
			saved := 0
			for _, err := range together(2, func(int) error { _, err := d.save(w, id); return err }) {
				if err == nil {
					saved++
					continue
				}
				refused(t, err, problem.Precondition, "TOO_MANY_SAVED")
			}
			if keys, err := d.list(w, id); saved != 1 || len(keys) != d.limit || err != nil {
				t.Errorf("%d were saved at once, %d are listed, %v", saved, len(keys), err)
			}
		})
	}
}

func TestWhatIsSavedIsListedOldestFirstUntilItIsDeleted(t *testing.T) {
	eachDrawer(t, func(t *testing.T, w world, d drawer) {
		id := w.member(t)
		var keys []string
		for range 6 {
			key, err := d.save(w, id)
			must(t, err)
			keys = append(keys, key)
			w.clock.Advance(time.Second)
		}
		must(t, d.drop(w, id, keys[2]))
		refused(t, d.drop(w, id, keys[2]), problem.NotFound, d.unknown)
		refused(t, d.resolve(w, string(id), keys[2]), problem.NotFound, d.unknown)
		got, err := d.list(w, id)
		must(t, err)
		for i, want := range append(keys[:2:2], keys[3:]...) {
			if i >= len(got) || got[i] != want {
				t.Fatalf("listed %v, want %s at %d", got, want, i)
			}
		}
	})
}

func TestWhatIsSomebodyElsesIsNotThere(t *testing.T) {
	eachDrawer(t, func(t *testing.T, w world, d drawer) {
		ada, eve := w.member(t), w.member(t)
		key, err := d.save(w, ada)
		must(t, err)
		must(t, d.resolve(w, string(ada), key))
		for _, err := range []error{
			d.resolve(w, string(eve), key), d.resolve(w, string(ident.NewGuest("use1")), key), d.resolve(w, string(ada), ""),
			d.drop(w, eve, key), d.drop(w, eve, ""),
		} {
			refused(t, err, problem.NotFound, d.unknown)
		}
		for _, id := range []string{"", "c-use1", string(ada) + "0"} {
			refused(t, d.resolve(w, id, key), problem.Invalid, "MALFORMED_CUSTOMER_ID")
		}
		if keys, err := d.list(w, eve); err != nil || len(keys) != 0 {
			t.Errorf("eve is shown %v, %v", keys, err)
		}
		must(t, d.resolve(w, string(ada), key))
	})
}

func TestAKeyThatCannotBeStoredIsNotThere(t *testing.T) {
	eachDrawer(t, func(t *testing.T, w world, d drawer) {
		id := w.member(t) // PostgreSQL takes no zero byte
		refused(t, d.resolve(w, string(id), "a\x00"), problem.NotFound, d.unknown)
		refused(t, d.drop(w, id, "a\x00"), problem.NotFound, d.unknown)
	})
}

func TestGuestsAndStrangersSaveNothing(t *testing.T) {
	eachDrawer(t, func(t *testing.T, w world, d drawer) {
		calls := func(id ident.CustomerID) []error {
			_, save := d.save(w, id)
			_, list := d.list(w, id)
			return []error{save, list, d.drop(w, id, "x")}
		}
		for _, err := range calls(ident.NewGuest("use1")) {
			refused(t, err, problem.Denied, "ACCOUNT_REQUIRED")
		}
		_, err := d.save(w, ident.NewCustomer("use1")) // a session whose account is not there
		refused(t, err, problem.Unauthenticated, "UNKNOWN_ACCOUNT")
	})
	w := newWorld(t)
	_, guest := w.GetProfile(as(ident.NewGuest("use1")), &accountv1.GetProfileRequest{})
	refused(t, guest, problem.Denied, "ACCOUNT_REQUIRED")
	_, stranger := w.GetProfile(as(ident.NewCustomer("use1")), &accountv1.GetProfileRequest{})
	refused(t, stranger, problem.Unauthenticated, "UNKNOWN_ACCOUNT")
	_, nobody := w.GetProfile(t.Context(), &accountv1.GetProfileRequest{})
	refused(t, nobody, problem.Unauthenticated, "SESSION_REQUIRED")
}

func TestAnAddressAndATokenComeBackAsTheyWereSaved(t *testing.T) {
	w := newWorld(t)
	id := w.member(t)
	want := home()
	want.Lines, want.Phone = []string{"1 Main St", "Flat 2"}, "+1 (617) 555-0100"
	saved, err := w.AddAddress(as(id), &accountv1.AddAddressRequest{Address: want})
	must(t, err)
	got, err := w.ResolveAddress(t.Context(), &accountv1.ResolveAddressRequest{CustomerId: string(id), AddressId: saved.GetAddress().GetAddressId()})
	must(t, err)
	listed, err := w.ListAddresses(as(id), &accountv1.ListAddressesRequest{})
	must(t, err)
	if !proto.Equal(got.GetAddress(), want) || len(listed.GetAddresses()) != 1 || !proto.Equal(listed.GetAddresses()[0], saved.GetAddress()) {
		t.Errorf("resolved %v, listed %v", got, listed)
	}
	key, err := w.saveCard(id, "tok_visa")
	must(t, err)
	token, err := w.ResolvePaymentMethod(t.Context(), &accountv1.ResolvePaymentMethodRequest{CustomerId: string(id), PaymentMethodId: key})
	if err != nil || token.GetCardToken() != "tok_visa" {
		t.Errorf("token: %v, %v", token, err)
	}
}
