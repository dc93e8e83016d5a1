package cellctl

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/platform"
	"github.com/cellar-commerce/cellar/internal/sandbox"
	"github.com/cellar-commerce/cellar/internal/shop"
)

// trouble that is made while shoppers are at it.
type trouble struct {
	decline, timeout int
	killEvery        time.Duration
	seed             uint64
}

func (t trouble) check() error {
	switch {
	case t.decline < 0 || t.decline > 100 || t.timeout < 0 || t.timeout > 100:
		return usagef("--decline and --timeout-after-success must be 0 to 100")
	case t.killEvery < 0 || (t.killEvery > 0 && t.killEvery < time.Second):
		return usagef("--kill-every must be a second or more")
	}
	return nil
}

func (t trouble) any() bool { return t.decline > 0 || t.timeout > 0 || t.killEvery > 0 }

// killed is what came of the kills.
type killed struct {
	kills    map[string]int
	restarts int
	faults   []string
}

// during makes the trouble while work runs, and ends all of it, also when ctx ends: no fault is left behind, and every
// cell that was killed serves again.
func (t trouble) during(ctx context.Context, dir string, work func() (shop.Report, error)) (report shop.Report, err error) {
	if !t.any() {
		return work()
	}
	remote, err := platform.Connect(dir)
	if err != nil {
		return report, err
	}
	info, err := remote.Info(ctx)
	if err != nil {
		return report, err
	}
	if t.decline > 0 || t.timeout > 0 {
		faults := "http://" + platform.NewLayout(info.PortOffset).Sandbox + "/v1/faults"
		want := sandbox.Faults{DeclinePercent: t.decline, TimeoutAfterSuccessPercent: t.timeout, Seed: int64(t.seed)}
		if err := setFaults(ctx, http.MethodPost, faults, want); err != nil {
			return report, err
		}
		defer func() {
			if clear := setFaults(context.WithoutCancel(ctx), http.MethodDelete, faults, nil); err == nil {
				err = clear
			}
		}()
	}
	killing, stop := context.WithCancel(ctx)
	defer stop()
	var k killed
	var killer sync.WaitGroup
	killer.Go(func() { k = t.kill(killing, remote) })
	report, err = work()
	stop()
	killer.Wait()
	report.Trouble = &shop.Trouble{DeclinePercent: t.decline, TimeoutAfterSuccessPercent: t.timeout, Kills: k.kills, Restarts: k.restarts}
	report.Faults = append(report.Faults, k.faults...)
	return report, err
}

// restartTimeout bounds the restart of one cell, on a busy machine.
const restartTimeout = 2 * time.Minute

// kill a cell every so often, and start it again, until ctx ends.
func (t trouble) kill(ctx context.Context, remote *platform.Remote) killed {
	k := killed{kills: map[string]int{}}
	if t.killEvery == 0 {
		return k
	}
	draw := rand.New(rand.NewPCG(t.seed, 0))
	tick := time.NewTicker(t.killEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return k
		case <-tick.C:
		}
		cell, err := killOne(ctx, remote, draw)
		if ctx.Err() != nil && err != nil {
			return k
		}
		if err != nil {
			k.faults = append(k.faults, err.Error())
			continue
		}
		k.kills[cell]++
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), restartTimeout)
		err = remote.Restart(own, cell)
		cancel()
		if err != nil {
			k.faults = append(k.faults, err.Error())
			continue
		}
		k.restarts++
	}
}

func killOne(ctx context.Context, remote *platform.Remote, draw *rand.Rand) (cell string, err error) {
	all, err := remote.Status(ctx)
	if err != nil {
		return "", err
	}
	var cells []string
	for _, s := range all {
		if strings.HasPrefix(s.Name, "cell-") && s.Running {
			cells = append(cells, s.Name)
		}
	}
	if len(cells) == 0 {
		return "", fmt.Errorf("there is no cell left to kill")
	}
	cell = cells[draw.IntN(len(cells))]
	return cell, remote.Kill(ctx, cell)
}

// setFaults of the card network, or clear them.
func setFaults(ctx context.Context, method, url string, faults any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	body, err := json.Marshal(faults)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("faults of the card network: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusBadRequest {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // the status alone says enough
		return fmt.Errorf("faults of the card network: %s: %s", resp.Status, strings.TrimSpace(string(said)))
	}
	return nil
}
