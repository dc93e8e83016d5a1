package cellctl

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
)

// followEvery so often a move is looked at: a flip takes tenths of a second.
const followEvery = 100 * time.Millisecond

// follow a move to its end, tell how it goes, and report. Without wait it reports what there is.
func (o *options) follow(cmd *cobra.Command, p *plane, e *topologyv1.Evacuation, wait bool, timeout time.Duration) error {
	if !wait {
		return o.report(cmd, p, e)
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
	defer cancel()
	progress := &progress{out: cmd.ErrOrStderr(), live: terminal(cmd.ErrOrStderr())}
	var away error
	for {
		progress.show(e, away)
		if e.GetEndedAt() != nil {
			progress.end()
			return o.report(cmd, p, e)
		}
		if !pause(ctx, followEvery) {
			progress.end()
			return stillUnderWay(cmd.Context(), e, timeout)
		}
		resp, err := tell(ctx, p, mapService.GetEvacuation, &topologyv1.GetEvacuationRequest{EvacuationId: e.GetEvacuationId()})
		if away = err; err == nil {
			e = resp.GetEvacuation()
		} else if code := Exit(err); code == ExitUsage || code == ExitRefused {
			progress.end()
			return err
		}
	}
}

// stillUnderWay when nobody waits for its end any more.
func stillUnderWay(ctx context.Context, e *topologyv1.Evacuation, timeout time.Duration) error {
	why := fmt.Sprintf("after %s", timeout)
	code := ExitTimedOut
	if ctx.Err() != nil { // Ctrl-C
		why, code = "and is left to itself", ExitFailed
	}
	return coded{fmt.Errorf("%s is still %s %s; it goes on: `cellctl evacuate show %s --wait` follows it, `cellctl evacuate abort %s` takes it back",
		e.GetEvacuationId(), moveState(e), why, e.GetEvacuationId(), e.GetEvacuationId()), code}
}

// progress of a move: a line for each phase that has ended, and one that changes for what is under way, where that can be seen.
type progress struct {
	out    io.Writer
	live   bool
	phases int
	line   string
	told   string
}

func (p *progress) show(e *topologyv1.Evacuation, away error) {
	for ; p.phases < len(e.GetPhases()); p.phases++ {
		phase := e.GetPhases()[p.phases]
		p.end()
		_, _ = fmt.Fprintf(p.out, "%-9s %s  %s\n", phase.GetName(), seconds(phase.GetTook().AsDuration()), phase.GetText()) // nobody is left to be told
	}
	trouble := e.GetTrouble()
	if away != nil {
		trouble = away.Error()
	}
	if trouble != "" && trouble != p.told {
		p.end()
		_, _ = fmt.Fprintf(p.out, "it does not go on, and is tried again: %s\n", trouble) // nobody is left to be told
	}
	p.told = trouble
	if !p.live || e.GetEndedAt() != nil {
		return
	}
	line := fmt.Sprintf("%s: %d of %s moved, %s", moveState(e), e.GetSlotsMoved(), count(e.GetPlan().GetSlots(), "slot"), age(e.GetStartedAt()))
	if line != p.line {
		_, _ = fmt.Fprintf(p.out, "\r\x1b[K%s", line) // nobody is left to be told
		p.line = line
	}
}

// end of the line that changes.
func (p *progress) end() {
	if p.line != "" {
		_, _ = io.WriteString(p.out, "\r\x1b[K") // nobody is left to be told
		p.line = ""
	}
}

// converged is the one finding that may fail without harm: a cell that hangs or is gone has no new map, and whoever asks it is
// sent on by the fence.
const converged = "converged"

// report of a move. ErrFound when it has ended and something that was verified does not hold.
func (o *options) report(cmd *cobra.Command, p *plane, e *topologyv1.Evacuation) error {
	if err := o.printMessage(cmd.OutOrStdout(), e, func(out io.Writer) error { return showMove(out, e, p.page(e)) }); err != nil {
		return err
	}
	if e.GetEndedAt() == nil {
		return nil
	}
	for _, f := range e.GetFindings() {
		if !f.GetHolds() && f.GetName() != converged {
			return ErrFound
		}
	}
	return nil
}

// page of a move, for a browser.
func (p *plane) page(e *topologyv1.Evacuation) string {
	return "http://" + p.addresses[0] + "/evacuations/" + e.GetEvacuationId()
}

func showMove(out io.Writer, e *topologyv1.Evacuation, page string) error {
	lines := []string{
		fmt.Sprintf("%s %s of %s: %s", moveKind(e), e.GetEvacuationId(), of(e), moveState(e)),
		"", tabbed("by", e.GetWho()+", "+when(e.GetStartedAt())+automatic(e)), tabbed("because", e.GetReason()),
		tabbed("slots", fmt.Sprintf("%d of %d moved", e.GetSlotsMoved(), e.GetPlan().GetSlots())),
		tabbed("took", took(e)), tabbed("last write of a former owner", "at most "+lastOldWrite(e)+" after the command"),
	}
	if e.GetExpiresAt() != nil {
		lines = append(lines, tabbed("is undone by itself", when(e.GetExpiresAt())))
	}
	if e.GetUndoesId() != "" {
		lines = append(lines, tabbed("takes back", e.GetUndoesId()))
	}
	if e.GetUndoneById() != "" {
		lines = append(lines, tabbed("taken back by", e.GetUndoneById()))
	}
	if e.GetTrouble() != "" {
		lines = append(lines, tabbed("trouble", e.GetTrouble()))
	}
	lines = append(lines, tabbed("page", page))
	if len(e.GetPhases()) > 0 {
		lines = append(lines, "", "PHASE\tTOOK\tWHAT WAS DONE")
	}
	for _, ph := range e.GetPhases() {
		lines = append(lines, tabbed(ph.GetName(), seconds(ph.GetTook().AsDuration()), ph.GetText()))
	}
	if len(e.GetFindings()) > 0 {
		lines = append(lines, "", "FOUND\tHOLDS\tHOW")
	}
	for _, f := range e.GetFindings() {
		holds := "yes"
		if !f.GetHolds() {
			holds = "NO"
		}
		lines = append(lines, tabbed(f.GetName(), holds, f.GetText()))
	}
	return columns(out, lines...)
}

func automatic(e *topologyv1.Evacuation) string {
	if e.GetAutomatic() {
		return ", by itself"
	}
	return ""
}
