package cellctl

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/sandbox"
	"github.com/cellar-commerce/cellar/internal/shop"
)

func TestFaultsOfTheCardNetworkAreSetAndCleared(t *testing.T) {
	network, err := sandbox.NewCardNetwork(sandbox.Deps{Ledger: sandbox.NewMemoryLedger(), Clock: clock.System{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(network)
	defer server.Close()
	url := server.URL + "/v1/faults"
	if err := setFaults(t.Context(), http.MethodPost, url, sandbox.Faults{DeclinePercent: 5}); err != nil {
		t.Error(err)
	}
	if err := setFaults(t.Context(), http.MethodPost, url, sandbox.Faults{DeclinePercent: 500}); err == nil {
		t.Error("what cannot be meant is taken")
	}
	if err := setFaults(t.Context(), http.MethodDelete, url, nil); err != nil {
		t.Error(err)
	}
}

func TestWithoutTroubleNoPlatformIsNeeded(t *testing.T) {
	want := errors.New("the work's own")
	_, err := trouble{}.during(t.Context(), t.TempDir(), func() (shop.Report, error) { return shop.Report{}, want })
	if !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
	worked := false
	_, err = trouble{killEvery: time.Second}.during(context.Background(), t.TempDir(), func() (shop.Report, error) { worked = true; return shop.Report{}, nil })
	if err == nil || worked {
		t.Errorf("without a platform: %v, worked %v", err, worked)
	}
}
