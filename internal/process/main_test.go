package process_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/cellar-commerce/cellar/internal/process"
	"github.com/cellar-commerce/cellar/internal/settings"
)

// envPlay makes the test program play a main of that kind instead of running tests.
const envPlay = "PROCESS_TEST_PLAY"

func TestMain(m *testing.M) {
	play := os.Getenv(envPlay)
	if play == "" {
		os.Exit(m.Run())
	}
	process.Main(func(ctx context.Context, args []string) error {
		fmt.Println("runs with", args)
		switch play {
		case "fails":
			return errors.New("the map cannot be read")
		case "prints":
			return fmt.Errorf("settings: %w", settings.ErrPrinted)
		case "waits":
			<-ctx.Done()
			fmt.Println("told to stop")
		}
		return nil
	})
}

func playing(t *testing.T, kind string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-x", "y")
	cmd.Env = append(os.Environ(), envPlay+"="+kind)
	return cmd
}

func TestTheExitCodeTellsWhetherItFailed(t *testing.T) {
	for kind, want := range map[string]int{"succeeds": 0, "fails": 1, "prints": 0} {
		cmd := playing(t, kind)
		out, _ := cmd.CombinedOutput() // the code below says it all
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%s: got %d: %s", kind, got, out)
		}
		if !strings.Contains(string(out), "runs with [-x y]") {
			t.Errorf("%s: got %s", kind, out)
		}
		if told := strings.Contains(string(out), "the map cannot be read"); told != (kind == "fails") {
			t.Errorf("%s: got %s", kind, out)
		}
	}
}

func TestASignalEndsTheContext(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		cmd := playing(t, "waits")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		lines.Scan() // it runs
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		lines.Scan()
		if got := lines.Text(); got != "told to stop" {
			t.Errorf("%v: got %q", signal, got)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", signal, err)
		}
	}
}
