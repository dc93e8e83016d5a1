package fence_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// The guards as they would be if a slot had no overrides: what the ones that look for overrides are measured against.
var (
	stmtPlainGuard = sqldb.Define(sqldb.Customer, "fence_test.plain_guard", `
SELECT 1 / count(*)
FROM (SELECT 1 FROM slots WHERE region = $1 AND slot = $2 AND owner = $3 FOR SHARE) AS s`)

	stmtPlainGuardAll = sqldb.Define(sqldb.Customer, "fence_test.plain_guard_all", `
SELECT 1 / (count(*) = $4)::int
FROM (SELECT 1 FROM slots WHERE region = $1 AND slot = ANY ($2::int2[]) AND owner = $3 FOR SHARE) AS s`)
)

// statement by its name: those of the package are not exported.
func statement(b *testing.B, name string) *sqldb.Statement {
	b.Helper()
	for _, s := range sqldb.Statements() {
		if s.Name() == name {
			return s
		}
	}
	b.Fatalf("there is no %s", name)
	return nil
}

// BenchmarkGuard tells what it costs to decide by the effective owner, against guards that know of no overrides: nothing
// is in the slots' overrides, as nearly always. Each round runs both, in turn, on one connection.
func BenchmarkGuard(b *testing.B) {
	db := sqldbtest.New(b, sqldb.Customer, sqldbtest.WithMaxConns(1), func(c *sqldb.Config) { c.PointPlans = true })
	var all []ident.CustomerID
	for range 256 {
		id := ident.NewCustomer("use1")
		all = append(all, id)
		if err := fence.Assign(b.Context(), db, home, at, []fence.Assignment{{Slot: id.Slot(), Owner: me, Epoch: 1}}); err != nil {
			b.Fatal(err)
		}
	}
	guard, guardAll := statement(b, "fence.guard"), statement(b, "fence.guard_all")
	one := all[0]
	b.Run("one", func(b *testing.B) {
		compare(b, db, func(batch *sqldb.Batch) {
			batch.Queue(stmtPlainGuard, nil, string(home), int16(one.Slot()), me)
		}, func(batch *sqldb.Batch) {
			batch.Queue(guard, nil, string(home), int16(one.Slot()), me, string(one))
		})
	})
	for _, n := range []int{16, 128} {
		var slots []int16
		var customers []string
		distinct := map[int16]bool{}
		for _, id := range all[:n] {
			if s := int16(id.Slot()); !distinct[s] {
				distinct[s] = true
				slots, customers = append(slots, s), append(customers, string(id))
			}
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			compare(b, db, func(batch *sqldb.Batch) {
				batch.Queue(stmtPlainGuardAll, nil, string(home), slots, me, len(slots))
			}, func(batch *sqldb.Batch) {
				batch.Queue(guardAll, nil, string(home), slots, me, len(slots), strings.Join(customers, ","))
			})
		})
	}
}

// compare the time of two guards, many of them in one transaction, so that what is around them counts little.
func compare(b *testing.B, db *sqldb.DB, before, after func(*sqldb.Batch)) {
	b.Helper()
	const guards = 20
	var took [2]time.Duration
	for b.Loop() {
		for i, queue := range []func(*sqldb.Batch){before, after} {
			var batch sqldb.Batch
			for range guards {
				queue(&batch)
			}
			begun := time.Now()
			if err := db.Send(b.Context(), &batch); err != nil {
				b.Fatal(err)
			}
			took[i] += time.Since(begun)
		}
	}
	b.ReportMetric(float64(took[0].Microseconds())/float64(guards*b.N), "µs/plain-guard")
	b.ReportMetric(float64(took[1].Microseconds())/float64(guards*b.N), "µs/guard")
	b.ReportMetric(took[1].Seconds()/took[0].Seconds(), "ratio")
}
