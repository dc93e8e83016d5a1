package stripetest

import (
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// readyTimeout for the mock's first answer: it reads some 10 MB of API description first.
const readyTimeout = 30 * time.Second

// Mock runs stripe-mock until the test ends and gives its address.
func Mock(t testing.TB) (url string) {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	tools := filepath.Join(filepath.Dir(here), "..", "..", "..", "tools")
	program := filepath.Join(t.TempDir(), "stripe-mock")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/stripe/stripe-mock")
	build.Dir = tools
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("stripetest: build stripe-mock: %v\n%s", err, out)
	}
	address := freeAddress(t)
	mock := exec.CommandContext(t.Context(), program, "-http-addr", address)
	if err := mock.Start(); err != nil {
		t.Fatalf("stripetest: start stripe-mock: %v", err)
	}
	t.Cleanup(func() {
		_ = mock.Process.Kill()
		_ = mock.Wait()
	})
	url = "http://" + address
	tick, late := time.NewTicker(20*time.Millisecond), time.After(readyTimeout)
	defer tick.Stop()
	for !answers(t, url) {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("stripetest: stripe-mock does not answer")
		}
	}
	return url
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}

func answers(t testing.TB, url string) bool {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/balance", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer sk_test_123")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}
