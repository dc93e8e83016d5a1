package topology

import (
	"fmt"

	"github.com/cellar-commerce/cellar/internal/ident"
)

// SlotMove of neighbouring slots, all of one owner and one epoch, to another owner.
type SlotMove struct {
	Ring ident.Region
	// FromSlot and ToSlot both move.
	FromSlot, ToSlot int
	// FromCell and ToCell are cells' ids.
	FromCell, ToCell string
	// Epoch under which the old owner has them.
	Epoch uint64
}

// Slots that move.
func (m SlotMove) Slots() int { return m.ToSlot - m.FromSlot + 1 }

// Apply moves to a map: the next version, in which each slot that moved has its new owner under the next epoch. A move of
// slots that are not as it says is an error.
func Apply(m *Map, moves []SlotMove) (*Map, error) {
	next := m.Clone()
	next.Version++
	for _, move := range moves {
		r, from, to := next.ring(move.Ring), next.index(move.FromCell), next.index(move.ToCell)
		if r == nil || from < 0 || to < 0 || move.FromSlot < 0 || move.ToSlot >= ident.Slots {
			return nil, fmt.Errorf("topology: the map cannot move slots %d–%d of %s from %s to %s", move.FromSlot, move.ToSlot, move.Ring, move.FromCell, move.ToCell)
		}
		for s := move.FromSlot; s <= move.ToSlot; s++ {
			o := &r.Slots[s]
			if int(o.Cell) != from || o.Epoch != move.Epoch {
				return nil, fmt.Errorf("topology: slot %d of %s is not %s's at epoch %d", s, move.Ring, move.FromCell, move.Epoch)
			}
			o.Cell, o.Epoch = uint16(to), o.Epoch+1
		}
	}
	return next, nil
}

// movesOf a ring from its owners to those that are wanted, as few as there can be, ascending.
func (m *Map) movesOf(r *Ring, wanted *[ident.Slots]uint16) []SlotMove {
	var moves []SlotMove
	for s, o := range r.Slots {
		if wanted[s] == o.Cell {
			continue
		}
		move := SlotMove{Ring: r.Region, FromSlot: s, ToSlot: s, FromCell: m.Cells[o.Cell].ID, ToCell: m.Cells[wanted[s]].ID, Epoch: o.Epoch}
		if n := len(moves) - 1; n >= 0 && moves[n].ToSlot == s-1 && moves[n].FromCell == move.FromCell && moves[n].ToCell == move.ToCell && moves[n].Epoch == move.Epoch {
			moves[n].ToSlot = s
			continue
		}
		moves = append(moves, move)
	}
	return moves
}
