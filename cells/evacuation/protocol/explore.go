package protocol

import (
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
)

// System is something with states, of which a finite number can be reached. S must hold no pointers: two states are the
// same when they are equal.
type System[S comparable, T any] interface {
	// Start is the only state to begin with.
	Start() S
	// Steps that may be taken in a state, in an order that depends on the state alone.
	Steps(s S, step func(T, S))
	// Broken names the invariant that a state breaks; "" when it keeps all.
	Broken(s S) string
}

// ErrTooMany says that there are more states than the limit allows: nothing is proved then.
var ErrTooMany = errors.New("protocol: more states than the limit")

// Graph is every state that a system can be in, in the order in which they were found: none can be reached in fewer steps
// than those before it can.
type Graph[S comparable, T any] struct {
	states list[S]
	from   []uint32 // the state by which each was found
	by     []T      // and the step
	first  []uint32 // of each state's edges; one more at the end
	edges  []edge[T]
	// Broken is the first state found that breaks an invariant, and which; the search has ended there. -1 when none does.
	Broken    int
	Invariant string
}

type edge[T any] struct {
	to   uint32
	step T
}

// States that were found.
func (g *Graph[S, T]) States() int { return g.states.len() }

// Transitions between them.
func (g *Graph[S, T]) Transitions() int { return len(g.edges) }

// Explore a system breadth first, up to a number of states. It ends early at the first state that breaks an invariant.
func Explore[S comparable, T any](sys System[S, T], limit int) (*Graph[S, T], error) {
	g := &Graph[S, T]{Broken: -1}
	known := newIndex(&g.states)
	start := sys.Start()
	known.add(&start)
	g.from, g.by = append(g.from, 0), append(g.by, *new(T))
	if g.breaks(sys, 0) {
		return g, nil
	}
	for at := 0; at < g.states.len(); at++ { //nolint:intrange // the list grows meanwhile
		g.first = append(g.first, uint32(len(g.edges)))
		seen := g.states.len()
		sys.Steps(*g.states.at(at), func(step T, next S) {
			to, isNew := known.add(&next)
			if isNew {
				g.from, g.by = append(g.from, uint32(at)), append(g.by, step)
			}
			g.edges = append(g.edges, edge[T]{to, step})
		})
		for i := seen; i < g.states.len(); i++ {
			if g.breaks(sys, i) {
				return g, nil
			}
		}
		if g.states.len() > limit {
			return g, fmt.Errorf("%w of %d", ErrTooMany, limit)
		}
	}
	g.first = append(g.first, uint32(len(g.edges)))
	return g, nil
}

func (g *Graph[S, T]) breaks(sys System[S, T], i int) bool {
	if g.Invariant = sys.Broken(*g.states.at(i)); g.Invariant == "" {
		return false
	}
	g.Broken = i
	return true
}

// Hopeless is the first state from which no sequence of the steps that count leads to a goal; -1 when there is none. Under
// strong fairness of these steps, every run from any other state reaches a goal.
func (g *Graph[S, T]) Hopeless(goal func(S) bool, counts func(T) bool) int {
	into, begin := g.reversed(counts)
	hopeful := make([]bool, g.states.len())
	var queue []uint32
	for i := range g.states.len() {
		if goal(*g.states.at(i)) {
			hopeful[i] = true
			queue = append(queue, uint32(i))
		}
	}
	for len(queue) > 0 {
		at := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, before := range into[begin[at]:begin[at+1]] {
			if !hopeful[before] {
				hopeful[before] = true
				queue = append(queue, before)
			}
		}
	}
	return slices.Index(hopeful, false)
}

// reversed edges: the states before state i are into[begin[i]:begin[i+1]].
func (g *Graph[S, T]) reversed(counts func(T) bool) (into, begin []uint32) {
	begin = make([]uint32, g.states.len()+2)
	for _, e := range g.edges {
		if counts(e.step) {
			begin[e.to+2]++
		}
	}
	for i := 1; i < len(begin); i++ {
		begin[i] += begin[i-1]
	}
	into = make([]uint32, begin[len(begin)-1])
	for at := range g.states.len() {
		for _, e := range g.edges[g.first[at]:g.first[at+1]] {
			if counts(e.step) {
				into[begin[e.to+1]] = uint32(at)
				begin[e.to+1]++
			}
		}
	}
	return into, begin[:len(begin)-1]
}

// Moment of a trace: a step, and the state it leads to.
type Moment[S comparable, T any] struct {
	Step  T
	State S
}

// Trace is a shortest way to a state: the start, then each step.
func (g *Graph[S, T]) Trace(to int) []Moment[S, T] {
	var trace []Moment[S, T]
	for at := uint32(to); ; at = g.from[at] {
		trace = append(trace, Moment[S, T]{g.by[at], *g.states.at(int(at))})
		if at == 0 {
			break
		}
	}
	slices.Reverse(trace)
	return trace
}

// list of states in pieces, so that it grows without being copied.
type list[S any] struct{ pieces [][]S }

// piece of a list, in states.
const piece = 1 << 12

func (l *list[S]) len() int {
	if len(l.pieces) == 0 {
		return 0
	}
	return (len(l.pieces)-1)*piece + len(l.pieces[len(l.pieces)-1])
}

func (l *list[S]) at(i int) *S { return &l.pieces[i/piece][i%piece] }

func (l *list[S]) add(s *S) {
	last := len(l.pieces) - 1
	if last < 0 || len(l.pieces[last]) == piece {
		l.pieces = append(l.pieces, make([]S, 0, piece))
		last++
	}
	l.pieces[last] = append(l.pieces[last], *s)
}

// index of states by their content: an open table of the lower half of each hash beside the state's place in the list.
// States are compared whole, so that none is ever taken for another.
type index[S comparable] struct {
	states *list[S]
	table  []uint64 // hash << 32 | place + 1; 0 is free
	seed   maphash.Seed
}

// leastTable is the size of a new index: a power of two, as every size of it is.
const leastTable = 1 << 12

func newIndex[S comparable](states *list[S]) *index[S] {
	return &index[S]{states: states, table: make([]uint64, leastTable), seed: maphash.MakeSeed()}
}

// add a state unless it is known, and tell its place.
func (x *index[S]) add(s *S) (place uint32, isNew bool) {
	if 2*x.states.len() >= len(x.table) {
		x.grow()
	}
	hash := maphash.Comparable(x.seed, *s) << 32
	at := x.slot(hash)
	for ; x.table[at] != 0; at = x.after(at) {
		if known := uint32(x.table[at]) - 1; x.table[at]>>32 == hash>>32 && *x.states.at(int(known)) == *s {
			return known, false
		}
	}
	x.states.add(s)
	place = uint32(x.states.len() - 1)
	x.table[at] = hash | uint64(place+1)
	return place, true
}

// slot where the search for a hash begins.
func (x *index[S]) slot(hash uint64) int { return int(hash>>32) & (len(x.table) - 1) }

func (x *index[S]) after(at int) int { return (at + 1) & (len(x.table) - 1) }

func (x *index[S]) grow() {
	old := x.table
	x.table = make([]uint64, 2*len(old))
	for _, entry := range old {
		if entry == 0 {
			continue
		}
		at := x.slot(entry)
		for x.table[at] != 0 {
			at = x.after(at)
		}
		x.table[at] = entry
	}
}
