package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is one process of the platform.
type child struct {
	name    string
	program string
	args    []string
	env     []string
	logs    string
	// ready is an address whose answer 200 means that the process serves; listens is one, host:port, at which being
	// connected to is enough. With neither, started is enough.
	ready   string
	listens string

	mu      sync.Mutex
	cmd     *exec.Cmd
	ended   chan struct{}
	result  error
	stopped bool // we asked for its end
}

// stopTimeout is how long a process may take to end by itself before it is killed: longer than it drains.
const stopTimeout = 15 * time.Second

func (c *child) logFile() string { return filepath.Join(c.logs, c.name+".log") }

// start the process; onEnd is told when it ends without having been asked to.
func (c *child) start(onEnd func(*child, error)) error {
	out, err := os.OpenFile(c.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	//nolint:noctx // the process outlives the start; stop ends it
	cmd := exec.Command(c.program, c.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), c.env...), out, out
	cmd.SysProcAttr = childAttributes()
	started, ended := make(chan error), make(chan struct{})
	go func() {
		// On Linux the child dies with the thread that started it; this thread waits for the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer out.Close()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		err := cmd.Wait()
		c.mu.Lock()
		c.result = err
		asked := c.stopped
		close(ended)
		c.mu.Unlock()
		if !asked {
			onEnd(c, err)
		}
	}()
	c.mu.Lock()
	c.cmd, c.ended, c.stopped = cmd, ended, false
	c.mu.Unlock()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	return nil
}

// machineShares is how many processes want a core at once when the platform has much to do: its cells.
const machineShares = 6

// collectLess is Go's GOGC for the platform's programs: a quarter of the collections, for some tens of MB in each.
const collectLess = "400"

// minShare of the cores, where there are as many: with one, a page waits while a password is hashed, for 10 ms and more.
const minShare = 2

// coresOf a machine that a program takes for the whole. One that believes all of them to be its own keeps waking threads on those
// where the others run.
func coresOf(machine int) int { return max(min(machine, minShare), machine/machineShares) }

// share of the machine that a Go program takes, as its environment says it. What the operator has set, as given gives it, stays.
func share(given func(name string) string, cores int) (env []string) {
	for _, v := range [][2]string{{"GOGC", collectLess}, {"GOMAXPROCS", strconv.Itoa(cores)}} {
		if given(v[0]) == "" {
			env = append(env, v[0]+"="+v[1])
		}
	}
	return env
}

// lanesOn a machine with so many cores, for a cell: where cells and database share a few, the database does not rest anyway.
func lanesOn(cores int) string { return strconv.Itoa(min(max(1, cores/machineShares), 2)) }

// running tells the process id, or that there is none.
func (c *child) running() (pid int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil || c.cmd.Process == nil {
		return 0, false
	}
	select {
	case <-c.ended:
		return 0, false
	default:
		return c.cmd.Process.Pid, true
	}
}

// stop asks the process to end, and kills it when it does not.
func (c *child) stop() error {
	if _, ok := c.running(); !ok {
		return nil
	}
	c.mu.Lock()
	c.stopped = true
	cmd, ended := c.cmd, c.ended
	c.mu.Unlock()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", c.name, err)
	}
	select {
	case <-ended:
		return nil
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("stop %s: it does not end; killed", c.name), cmd.Process.Kill())
	}
}

// kill the process at once, as a crash would, and wait until it is gone.
func (c *child) kill() error {
	if _, ok := c.running(); !ok {
		return fmt.Errorf("kill %s: it does not run", c.name)
	}
	c.mu.Lock()
	cmd, ended := c.cmd, c.ended
	c.mu.Unlock()
	if err := cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", c.name, err)
	}
	<-ended
	return nil
}

// serves tells whether the process answers now.
func (c *child) serves(ctx context.Context) bool {
	switch {
	case c.ready != "":
		return answers(ctx, c.ready)
	case c.listens != "":
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", c.listens)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	default:
		return true
	}
}

// awaitReady asks until the process serves.
func (c *child) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		if c.serves(ctx) {
			return nil
		}
		c.mu.Lock()
		ended := c.ended
		c.mu.Unlock()
		select {
		case <-ended:
			return fmt.Errorf("%s ended while it started:\n%s", c.name, c.lastLines(8))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s:\n%s", c.name, readyTimeout, c.lastLines(8))
		case <-tick.C:
		}
	}
}

var probe = &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := probe.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// lastLines of the process's log, each indented.
func (c *child) lastLines(n int) string {
	f, err := os.Open(c.logFile())
	if err != nil {
		return "  (no log)"
	}
	defer f.Close()
	const window = 16 << 10
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, size-window), io.SeekStart) // at worst the lines are those of the file's start
	}
	b, err := io.ReadAll(io.LimitReader(f, window))
	if err != nil {
		return "  (no log)"
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-n):], "\n  ")
}
