package protocol

import (
	"fmt"
	"strings"
)

// Story tells a trace, a numbered line a step, with what each has changed that others can see.
func (m *Model) Story(trace []Moment[state, step]) string {
	var b strings.Builder
	for i, moment := range trace {
		if i == 0 {
			fmt.Fprintf(&b, "%4s %s\n", "", m.standing(&moment.State))
			continue
		}
		before, after := &trace[i-1].State, &moment.State
		fmt.Fprintf(&b, "%3d. %s\n", i, m.tell(moment.Step, before, after))
		if now := m.standing(after); now != m.standing(before) {
			fmt.Fprintf(&b, "%4s %s\n", "", now)
		}
	}
	return b.String()
}

// standing of what is shared: the rows, the newest map, the saga.
func (m *Model) standing(s *state) string {
	var parts []string
	for i := range m.slots() {
		parts = append(parts, fmt.Sprintf("slot %d: %s", i, s.rows[i]))
	}
	parts = append(parts, fmt.Sprintf("map %d: %s", s.newest, m.tellChart(*s.version(s.newest))))
	if m.Saga {
		g := s.saga
		parts = append(parts, fmt.Sprintf("saga: %s under epoch %d, its steps took effect %d and %d times", standings[g.status], g.epoch, g.effects[0], g.effects[1]))
	}
	return "[" + strings.Join(parts, " | ") + "]"
}

var standings = [...]string{noSaga: "none", forward: "running", undoing: "undoing", done: "done", undone: "undone"}

func (m *Model) tellChart(c chart) string {
	var parts []string
	for i := range m.slots() {
		parts = append(parts, c.rows[i].String())
	}
	if c.retired {
		parts = append(parts, "a evacuated")
	}
	return strings.Join(parts, "; ")
}

var phases = [...]string{
	planned: "planned", flipping: "flipping", publishing: "publishing", verifying: "verifying", retiring: "retiring the cell", evacuated: "done",
	announcing: "going back: announcing", returning: "going back: flipping", republishing: "going back: publishing", back: "back",
}

// tell a step in a sentence.
func (m *Model) tell(by step, before, after *state) string {
	switch {
	case by.act <= failureArrives || by.act == sessionIsEnded:
		return m.tellRequest(by, before, after)
	case by.act >= driverDies && by.act <= driverEnds:
		return fmt.Sprintf("driver %d %s", by.who+1, m.tellDriver(by, before, after))
	case by.act >= runDoes:
		return m.tellSaga(by, before, after)
	}
	switch by.act {
	case cellFreezes:
		return "cell a stops where it is"
	case cellThaws:
		return "cell a goes on as if nothing had been"
	case cellDies:
		return "cell a dies; its transactions are rolled back"
	case mapArrives:
		who := "cell " + Cell(by.who).String()
		if by.where == 1 {
			who = fmt.Sprintf("router %d", by.who+1)
		}
		return fmt.Sprintf("map %d arrives at %s: %s", by.which, who, m.tellChart(*after.version(by.which)))
	case moveStarts:
		return "the operator starts the evacuation of cell a"
	case moveGoesBack:
		return "the operator wants it back while it is " + phases[before.phase]
	case pinIsAsked:
		return fmt.Sprintf("a pin of a customer to %s is asked for; the row is read", m.Pins[before.pins])
	case pinIsChecked:
		if after.pinning {
			return "the pin's cell may get customers"
		}
		return "the pin is refused: its cell gets no customers"
	default:
		if after.pinning {
			return "the row has changed; the pin's row is read again"
		}
		return fmt.Sprintf("the pin to %s is set", m.Pins[before.pins])
	}
}

func (m *Model) tellRequest(by step, before, after *state) string {
	client, cell := fmt.Sprintf("request %d", by.who+1), Cell(by.where)
	switch by.act {
	case clientSends:
		return client + " is sent to its router"
	case clientSendsAgain:
		return fmt.Sprintf("the client of %s has waited for cell %s long enough, and sends it again; the first goes on there", client, before.tries[by.who][0].cell)
	case routerSends:
		if cell == None {
			return fmt.Sprintf("%s waits: the cell that was named is not to be asked", client)
		}
		return fmt.Sprintf("its router takes %s to cell %s", client, cell)
	default: // in a cell
	}
	cell, client = Cell(by.who), fmt.Sprintf("request %d", by.which+1)
	if by.where == 1 {
		client += " (which nobody waits for)"
	}
	t := after.tries[by.which][by.where]
	refusal := fmt.Sprintf("refuses it: wrong cell, %s under epoch %d", t.says.owner(), t.says.epoch())
	switch by.act {
	case cellAdmits:
		if t.at == refused {
			return fmt.Sprintf("cell %s looks up %s, and %s", cell, client, refusal)
		}
		return fmt.Sprintf("cell %s admits %s", cell, client)
	case guardReads:
		if t.at == refused {
			return fmt.Sprintf("cell %s: the guard of %s %s", cell, client, refusal)
		}
		return fmt.Sprintf("cell %s: the guard of %s lets it pass", cell, client)
	case effectIsWritten:
		return fmt.Sprintf("cell %s writes for %s in its transaction", cell, client)
	case writeCommits:
		return fmt.Sprintf("cell %s commits for %s", cell, client)
	case answerArrives:
		return fmt.Sprintf("%s is answered by cell %s", client, cell)
	case redirectArrives:
		return fmt.Sprintf("the redirect of %s by cell %s arrives: %s", client, cell, m.tellRoute(by, after))
	case sessionIsEnded:
		return fmt.Sprintf("the database ends the session of %s in cell %s: somebody waits for its lock", client, cell)
	default:
		return fmt.Sprintf("%s has failed in cell %s", client, cell)
	}
}

func (m *Model) tellRoute(by step, after *state) string {
	switch q := after.requests[by.which]; {
	case by.where == 1:
		return "nobody listens"
	case q.at == followed:
		return "it is followed"
	default:
		return "the second in a row; the router waits, and asks its map again"
	}
}

func (m *Model) tellDriver(by step, before, after *state) string {
	d, now := before.drivers[by.who], after.drivers[by.who]
	switch by.act {
	case driverDies:
		return "dies"
	case driverTakesOver:
		return "takes over"
	case driverLooks:
		return "sees that the move is " + phases[before.phase]
	case driverReadsRow:
		if now.at == readsRow || now.at == ends {
			return fmt.Sprintf("has nothing to do about slot %d", by.where)
		}
		return fmt.Sprintf("reads slot %d: %s; it wants %s", by.where, now.read, now.to)
	case driverRechecks:
		return "reads again that the move is " + phases[after.phase]
	case driverRecords:
		return fmt.Sprintf("records that slot %d has moved", by.where)
	case driverFlips:
		if before.rows[by.where] == after.rows[by.where] {
			return fmt.Sprintf("does not flip slot %d: it is not what was read", by.where)
		}
		return fmt.Sprintf("flips slot %d", by.where)
	case driverReadsVersion:
		return fmt.Sprintf("makes a map: it will follow version %d", now.version)
	case driverReadsPhase:
		return "makes a map: the move is " + phases[after.phase]
	case driverReadsRows:
		return "makes a map: " + m.tellChart(now.next)
	case driverPuts:
		if after.newest == before.newest {
			return "publishes nothing new"
		}
		return fmt.Sprintf("publishes map %d", after.newest)
	case driverVerifies:
		return fmt.Sprintf("verifies that cell a has nothing any more: %v", now.fine)
	default:
		return fmt.Sprintf("has done what there was to do while %s; the move is %s", phases[d.phase], phases[after.phase])
	}
}

func (m *Model) tellSaga(by step, before, after *state) string {
	who := fmt.Sprintf("run %d of the saga, in cell %s,", by.which+1, Cell(by.who))
	switch by.act {
	case runDoes:
		return fmt.Sprintf("%s does step %d", who, by.where+1)
	case runIsRefused:
		return fmt.Sprintf("%s is refused at step %d; it turns back", who, by.where+1)
	case runUndoes:
		return fmt.Sprintf("%s undoes step %d", who, by.where+1)
	case runStores:
		if before.saga == after.saga && after.runs[by.which].at == idle {
			return who + " may not store anything any more, and ends"
		}
		return who + " stores how far it has come"
	default:
		return fmt.Sprintf("cell %s takes the saga over, as run %d", Cell(by.who), by.which+1)
	}
}
