package evacuation

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

var stmtBenchWrite = sqldb.Define(sqldb.Customer, "evacuation_test.bench_write", `
INSERT INTO cart_changes (region, customer_id, cause, changed_at, result)
VALUES ($1, $2, $3, now(), '')`)

// benchWriters write through the real fence as fast as they can, each for a customer of a cell that has it. They tell how
// long the longest write took.
type benchWriters struct {
	writes  atomic.Int64
	longest atomic.Int64
	stop    func()
}

func startWriters(b *testing.B, url string, n int) *benchWriters {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &benchWriters{}
	var all sync.WaitGroup
	fences := map[string]*fence.SlotFence{}
	var holder topology.Holder
	for _, id := range []string{"use1-a", "use1-b"} {
		db := sqldbtest.Reopen(b, sqldb.Customer, url, sqldbtest.WithMaxConns(n), func(cfg *sqldb.Config) { cfg.ApplicationName, cfg.PointPlans = fence.ApplicationName(id), true })
		f, err := fence.New(fence.Deps{DB: db, Cell: id, Region: east, Owners: &holder})
		if err != nil {
			b.Fatal(err)
		}
		fences[id] = f
	}
	for range n {
		all.Go(func() {
			at, other := "use1-a", "use1-b"
			for i := 0; ctx.Err() == nil; i++ {
				id := ident.NewCustomer("use1")
				began := time.Now()
				for {
					err := fences[at].InSlotTx(ctx, id, func(tx sqldb.Tx) error {
						_, err := tx.Exec(ctx, stmtBenchWrite, string(east), string(id), fmt.Sprint(i))
						return err
					})
					if err == nil || ctx.Err() != nil {
						break
					}
					at, other = other, at
				}
				took := int64(time.Since(began))
				for longest := w.longest.Load(); took > longest && !w.longest.CompareAndSwap(longest, took); longest = w.longest.Load() {
				}
				w.writes.Add(1)
			}
		})
	}
	w.stop = func() {
		cancel()
		all.Wait()
	}
	return w
}

// flipper is a way to flip.
type flipper func(context.Context, *sqldb.DB, ident.Region, []fence.Change, time.Time) ([]ident.Slot, error)

// BenchmarkFlip of 2048 slots back and forth while 16 writers write through the fence: in transactions of how many slots,
// and waiting for writers in the way or passing over them. It prints how long all of them took, and the longest write.
func BenchmarkFlip(b *testing.B) {
	for _, size := range []int{2048, 256, 64} {
		b.Run(fmt.Sprintf("%d-passing", size), func(b *testing.B) { benchFlip(b, size, fence.Flip) })
		b.Run(fmt.Sprintf("%d-waiting", size), func(b *testing.B) { benchFlip(b, size, fence.FlipWaiting) })
	}
}

func benchFlip(b *testing.B, size int, flip flipper) {
	customers, url := sqldbtest.NewWithURL(b, sqldb.Customer)
	newFleet(b, nil, customers, cellOf("use1-a", east), cellOf("use1-b", east))
	w := startWriters(b, url, 16)
	defer w.stop()
	epoch, passes := uint64(1), 0
	b.ResetTimer()
	for b.Loop() {
		to := []string{"use1-b", "use1-a"}[epoch%2]
		var left []fence.Change
		for s := range ident.Slots / 2 {
			left = append(left, fence.Change{Slot: ident.Slot(s), Epoch: epoch, Owner: to})
		}
		for ; len(left) > 0; passes++ {
			left = flipOnce(b, customers, flip, left, size)
		}
		epoch++
	}
	b.StopTimer()
	b.ReportMetric(float64(passes)/float64(b.N), "passes/op")
	b.ReportMetric(float64(w.writes.Load())/b.Elapsed().Seconds(), "writes/s")
	b.ReportMetric(float64(w.longest.Load())/1e6, "longest-write-ms")
}

// flipOnce tries what is left, and tells what is left then.
func flipOnce(b *testing.B, db *sqldb.DB, flip flipper, left []fence.Change, size int) (still []fence.Change) {
	b.Helper()
	for len(left) > 0 {
		n := min(size, len(left))
		flipped, err := flip(b.Context(), db, east, left[:n], noon)
		if err != nil && !sqldb.LockTimedOut(err) {
			b.Fatal(err)
		}
		done := map[ident.Slot]bool{}
		for _, s := range flipped {
			done[s] = true
		}
		for _, c := range left[:n] {
			if !done[c.Slot] {
				still = append(still, c)
			}
		}
		left = left[n:]
	}
	return still
}
