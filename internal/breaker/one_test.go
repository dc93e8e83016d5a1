package breaker_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cellar-commerce/cellar/internal/breaker"
)

func TestTheBreakerOfOneDestinationOpensAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changes := 0
		one := breaker.NewOne("bank", func(string, string) { changes++ })
		for range 5 {
			if err := one.Do(fails); !errors.Is(err, errDown) {
				t.Fatalf("got %v", err)
			}
		}
		called := false
		if err := one.Do(func() error { called = true; return nil }); err == nil || called {
			t.Errorf("got %v; called %v", err, called)
		}
		<-time.After(1001 * time.Millisecond)
		if err := one.Do(works); err != nil || changes != 3 {
			t.Errorf("got %v after %d changes", err, changes)
		}
	})
	if err := breaker.NewOne("bank", nil).Do(works); err != nil {
		t.Error(err)
	}
}
