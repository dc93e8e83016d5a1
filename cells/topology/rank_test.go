package topology_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/cells/topology"
)

// bests counts for how many of a number of keys each cell is the best.
func bests(cells []*topology.Cell, keys int) map[string]int {
	count := map[string]int{}
	for i := range keys {
		count[topology.Rank(fmt.Sprint("fc", i), cells)[0].ID]++
	}
	return count
}

func TestKeysAreSharedByWeight(t *testing.T) {
	cells := []*topology.Cell{{ID: "a", Weight: 1}, {ID: "b", Weight: 2}, {ID: "c", Weight: 5}}
	const keys = 40_000
	for id, n := range bests(cells, keys) {
		weight := map[string]float64{"a": 1, "b": 2, "c": 5}[id]
		if share := float64(n) / keys; math.Abs(share-weight/8) > 0.01 {
			t.Errorf("cell %s has %.3f of the keys, its weight is %v of 8", id, share, weight)
		}
	}
}

func TestACellThatGoesMovesOnlyItsOwnKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var cells []*topology.Cell
		for i := range rapid.IntRange(2, 8).Draw(t, "cells") {
			cells = append(cells, &topology.Cell{ID: fmt.Sprint("cell-", i), Weight: rapid.IntRange(0, 9).Draw(t, "weight")})
		}
		key := rapid.String().Draw(t, "key")
		gone := rapid.IntRange(0, len(cells)-1).Draw(t, "gone")
		before := topology.Rank(key, cells)
		after := topology.Rank(key, slices.Delete(slices.Clone(cells), gone, gone+1))
		want := slices.DeleteFunc(slices.Clone(before), func(c *topology.Cell) bool { return c == cells[gone] })
		if !slices.Equal(after, want) {
			t.Fatal("the others changed places")
		}
	})
}

func TestTheRankDoesNotDependOnTheOrderOfTheCells(t *testing.T) {
	cells := []*topology.Cell{{ID: "a", Weight: 1}, {ID: "b", Weight: 1}, {ID: "c", Weight: 3}}
	turned := []*topology.Cell{cells[2], cells[0], cells[1]}
	for i := range 100 {
		key := fmt.Sprint(i)
		if !slices.Equal(topology.Rank(key, cells), topology.Rank(key, turned)) {
			t.Fatalf("key %s", key)
		}
	}
}
