package cellctl

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
)

func (o *options) watch() *cobra.Command {
	var f planeFlags
	var n int
	cmd := &cobra.Command{
		Use: "watch", Short: "Watch the cells, who has which map, and what is under way, once a second", Args: cobra.NoArgs,
		Long: "Watch the cells, who has which map, and what is under way. On a terminal the picture stays in its place, and q or Ctrl-C ends\n" +
			"it; elsewhere a table is written every second, --count of them.\n\n" + exitHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if n < 0 {
				return usagef("--count must not be negative")
			}
			p, err := o.plane(cmd.Context(), &f)
			if err != nil {
				return err
			}
			w := &watcher{o: o, plane: p, out: cmd.OutOrStdout(), left: n}
			if !terminal(cmd.OutOrStdout()) || o.output != "table" || os.Getenv("TERM") == "dumb" {
				return w.run(cmd.Context(), w.append)
			}
			return w.onScreen(cmd.Context(), cmd.InOrStdin())
		},
	}
	f.add(cmd)
	cmd.Flags().IntVar(&n, "count", 0, "of pictures; 0 goes on until it is ended")
	return cmd
}

// watchEvery so often a picture is made.
const watchEvery = time.Second

// picture of one moment.
type picture struct {
	fleetReport
	at    time.Time
	moves []*topologyv1.Evacuation // under way
}

type watcher struct {
	o     *options
	plane *plane
	out   io.Writer
	// left pictures; 0 at the start is no limit.
	left int
	last *picture
}

// run until ctx ends, or there are as many pictures as were wanted. The first one has to succeed: later, a control plane that
// is away for a moment is part of the picture.
func (w *watcher) run(ctx context.Context, draw func(p *picture, away error) error) error {
	for limited := w.left > 0; ; {
		p, err := w.look(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // that is how a watch ends
		}
		if err != nil && w.last == nil {
			return err
		}
		if err == nil {
			w.last = p
		}
		if err := draw(w.last, err); err != nil {
			return err
		}
		if w.left--; limited && w.left <= 0 {
			return nil
		}
		if !pause(ctx, watchEvery) {
			return nil
		}
	}
}

// openMoves that a picture shows: few are ever under way at once.
const openMoves = 20

func (w *watcher) look(ctx context.Context) (*picture, error) {
	p := &picture{at: time.Now()}
	var err error
	if p.m, err = newestMap(ctx, w.plane); err != nil {
		return nil, err
	}
	if p.health, err = tell(ctx, w.plane, mapService.GetAutomation, &topologyv1.GetAutomationRequest{}); err != nil {
		return nil, err
	}
	moves, err := tell(ctx, w.plane, mapService.ListEvacuations, &topologyv1.ListEvacuationsRequest{Limit: openMoves})
	for _, e := range moves.GetEvacuations() {
		if e.GetEndedAt() == nil {
			p.moves = append(p.moves, e)
		}
	}
	return p, err
}

// append a picture to what was written before.
func (w *watcher) append(p *picture, away error) error {
	if w.o.output != "table" {
		if away != nil {
			return nil //nolint:nilerr // machines get what there is, when there is any
		}
		return w.o.print(w.out, p.shape(), nil)
	}
	if err := p.write(w.out, away); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w.out)
	return err
}

// shape of a picture for machines.
func (p *picture) shape() any {
	return struct {
		At         time.Time         `json:"at"`
		Version    uint64            `json:"version"`
		Cells      []json.RawMessage `json:"cells"`
		Automation json.RawMessage   `json:"automation"`
		Moves      []json.RawMessage `json:"moves"`
	}{p.at, p.m.GetVersion(), raws(p.m.GetCells()), raw(p.health), raws(p.moves)}
}

func (p *picture) write(out io.Writer, away error) error {
	state := fmt.Sprintf("%s  map %d  leader %s  automation %s", p.at.UTC().Format(time.TimeOnly), p.m.GetVersion(), orDash(p.health.GetLeader()), leverText(p.health))
	if away != nil {
		state += "  — as it was; now: " + away.Error()
	}
	lines := append([]string{state, ""}, p.cellLines()...)
	lines = append(lines, "")
	lines = append(lines, routerLines(p.health.GetRouters())...)
	if len(p.moves) > 0 {
		lines = append(lines, "", "MOVE\tKIND\tOF\tSTATE\tMOVED\tFOR\tTROUBLE")
	}
	for _, e := range p.moves {
		lines = append(lines, tabbed(e.GetEvacuationId(), moveKind(e), of(e), moveState(e), fmt.Sprintf("%d of %d", e.GetSlotsMoved(), e.GetPlan().GetSlots()), age(e.GetStartedAt()), orDash(e.GetTrouble())))
	}
	return columns(out, lines...)
}

// onScreen draws each picture over the one before, in a screen of its own, until q or Ctrl-C.
func (w *watcher) onScreen(ctx context.Context, in io.Reader) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	newline := "\n"
	if f, ok := in.(*os.File); ok && terminal(f) {
		before, err := term.MakeRaw(int(f.Fd()))
		if err == nil {
			defer func() { _ = term.Restore(int(f.Fd()), before) }() // nothing else can be done about it
			newline = "\r\n"
			go endOnKey(f, end)
		}
	}
	// A screen of its own, without cursor; in the end the old one comes back, with what was on it.
	if _, err := io.WriteString(w.out, "\x1b[?1049h\x1b[?25l"); err != nil {
		return err
	}
	defer func() { _, _ = io.WriteString(w.out, "\x1b[?25h\x1b[?1049l") }() // the terminal may have gone
	return w.run(ctx, func(p *picture, away error) error {
		var b bytes.Buffer
		if err := p.write(&b, away); err != nil {
			return err
		}
		return w.draw(b.String()+"\nq ends", newline)
	})
}

// draw over what is there, in one write and without clearing first, so that nothing flickers. Lines are cut at the width.
func (w *watcher) draw(text, newline string) error {
	width, height := 0, 0
	if f, ok := w.out.(*os.File); ok {
		if cols, rows, err := term.GetSize(int(f.Fd())); err == nil {
			width, height = cols, rows
		}
	}
	lines := strings.Split(text, "\n")
	if height > 0 && len(lines) > height {
		lines = lines[:height]
	}
	var b strings.Builder
	b.WriteString("\x1b[H")
	for n, line := range lines {
		if runes := []rune(line); width > 0 && len(runes) > width {
			line = string(runes[:width])
		}
		if n > 0 {
			b.WriteString(newline)
		}
		b.WriteString(line + "\x1b[K")
	}
	b.WriteString("\x1b[J")
	_, err := io.WriteString(w.out, b.String())
	return err
}

// endOnKey when q, Ctrl-C or Ctrl-D is typed. In raw mode Ctrl-C is a character like others.
func endOnKey(in io.Reader, end func()) {
	var b [1]byte
	for {
		if _, err := in.Read(b[:]); err != nil {
			return
		}
		switch b[0] {
		case 'q', 'Q', 3, 4:
			end()
			return
		}
	}
}
