package telemetry_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/saga"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/telemetry"
)

var (
	_ rpc.Observer   = (*telemetry.Metrics)(nil)
	_ sqldb.Observer = (*telemetry.Metrics)(nil)
	_ saga.Observer  = (*telemetry.SagaMetrics)(nil)
)

func get(t *testing.T, h http.Handler, path string) (status int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestAProcessIsReadyOnlyWhileItSaysSo(t *testing.T) {
	var ready telemetry.Readiness
	admin := telemetry.Admin(telemetry.NewMetrics(nil), &ready)
	expect := func(want int) {
		t.Helper()
		if got, _ := get(t, admin, "/readyz"); got != want {
			t.Errorf("readyz: got %d, want %d", got, want)
		}
		if got, _ := get(t, admin, "/livez"); got != http.StatusOK { // it lives in any case
			t.Errorf("livez: got %d", got)
		}
	}
	expect(http.StatusServiceUnavailable)
	ready.Set(true)
	expect(http.StatusOK)
	ready.Set(false)
	expect(http.StatusServiceUnavailable)
}

func TestWhatIsObservedShowsAsSeriesOfTheProcess(t *testing.T) {
	m := telemetry.NewMetrics(map[string]string{"region": "us-east-1", "cell": "use1-a"})
	m.CallEnded("/cellar.cart.v1.CartService/GetCart", "", 3*time.Millisecond)
	m.CallEnded("/cellar.cart.v1.CartService/GetCart", "unavailable", 20*time.Second)
	m.TxRetried(sqldb.Customer, "40001")
	m.TxRetried(sqldb.Customer, "40001")
	m.Sent(sqldb.Regional, 1)
	m.Sent(sqldb.Regional, 4)
	m.CheckoutEnded("placed", 400*time.Millisecond)
	_, text := get(t, telemetry.Admin(m, &telemetry.Readiness{}), "/metrics")
	const cell = `cell="use1-a",`
	for _, want := range []string{
		`rpc_server_call_duration_seconds_bucket{` + cell + `code="",procedure="/cellar.cart.v1.CartService/GetCart",region="us-east-1",le="0.0025"} 0`,
		`rpc_server_call_duration_seconds_bucket{` + cell + `code="",procedure="/cellar.cart.v1.CartService/GetCart",region="us-east-1",le="0.005"} 1`,
		`rpc_server_call_duration_seconds_sum{` + cell + `code="unavailable",procedure="/cellar.cart.v1.CartService/GetCart",region="us-east-1"} 20`,
		`sql_transaction_retries_total{` + cell + `database="cellar_customer",region="us-east-1",sqlstate="40001"} 2`,
		`sql_round_trips_total{` + cell + `database="cellar_regional",region="us-east-1"} 2`,
		`sql_statements_total{` + cell + `database="cellar_regional",region="us-east-1"} 5`,
		`checkout_attempts_seconds_count{` + cell + `outcome="placed",region="us-east-1"} 1`,
		`build_info{` + cell + `region="us-east-1",version="dev"} 1`,
		`go_goroutines{` + cell + `region="us-east-1"}`,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("there is no %s", want)
		}
	}
}

func TestWhatBecomesOfSagasShows(t *testing.T) {
	m := telemetry.NewMetrics(map[string]string{"cell": "use1-a"})
	s := telemetry.NewSagaMetrics(m)
	s.StepTried("placement", "capture", true, 30*time.Millisecond)
	s.StepTried("placement", "undo capture", false, time.Second)
	s.SagaParked("placement")
	s.SagasStandParked("placement", 2)
	s.SagasStandParked("placement", 1)
	_, text := get(t, telemetry.Admin(m, &telemetry.Readiness{}), "/metrics")
	for _, want := range []string{
		`saga_step_duration_seconds_count{cell="use1-a",kind="placement",step="capture"} 1`,
		`saga_step_duration_seconds_sum{cell="use1-a",kind="placement",step="undo capture"} 1`,
		`saga_step_failures_total{cell="use1-a",kind="placement",step="undo capture"} 1`,
		`sagas_parked_total{cell="use1-a",kind="placement"} 1`,
		`sagas_parked{cell="use1-a",kind="placement"} 1`,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("there is no %s", want)
		}
	}
	if strings.Contains(text, `saga_step_failures_total{cell="use1-a",kind="placement",step="capture"}`) {
		t.Error("a try that went well is counted as a failure")
	}
}

func TestTwoProcessesInOneProgramDoNotShareTheirSeries(t *testing.T) {
	a, b := telemetry.NewMetrics(map[string]string{"cell": "use1-a"}), telemetry.NewMetrics(map[string]string{"cell": "use1-b"})
	a.TxRetried(sqldb.Global, "40001")
	if _, text := get(t, telemetry.Admin(b, &telemetry.Readiness{}), "/metrics"); strings.Contains(text, "use1-a") || strings.Contains(text, "retries_total{") {
		t.Error("b shows what a counted")
	}
}

func TestEachLineOfTheLogIsJSONWithTheFieldsOfTheProcess(t *testing.T) {
	var out bytes.Buffer
	log := telemetry.NewLogger(&out, slog.LevelInfo, "cell", "use1-a")
	log.Debug("not at this level")
	log.Info("ready", "listeners", 2)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil { // one line, hence one object
		t.Fatalf("%v: %s", err, out.String())
	}
	if line["msg"] != "ready" || line["cell"] != "use1-a" || line["listeners"] != 2.0 || line["level"] != "INFO" {
		t.Errorf("got %v", line)
	}
}
