package events

import (
	"context"
	"errors"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	// A letter that is there is the same message again, whose acknowledgement was lost.
	stmtBury = sqldb.Define(sqldb.Regional, "events.bury", `
INSERT INTO dead_letters (region, consumer, message_id, subject, payload, reason, tries, buried_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (region, consumer, message_id) DO NOTHING`)

	stmtLetters = sqldb.Define(sqldb.Regional, "events.letters", `
SELECT region, consumer, message_id, subject, ''::bytea, reason, tries, buried_at
FROM dead_letters
WHERE region = $1 AND ($2 = '' OR consumer = $2)
ORDER BY buried_at, consumer, message_id
LIMIT $3`)

	stmtLetter = sqldb.Define(sqldb.Regional, "events.letter", `
SELECT region, consumer, message_id, subject, payload, reason, tries, buried_at
FROM dead_letters
WHERE region = $1 AND consumer = $2 AND message_id = $3`)

	stmtUnbury = sqldb.Define(sqldb.Regional, "events.unbury", `
DELETE FROM dead_letters
WHERE region = $1 AND consumer = $2 AND message_id = $3`)
)

func insertLetter(ctx context.Context, q sqldb.Querier, l letter) error {
	_, err := q.Exec(ctx, stmtBury, string(l.region), l.consumer, l.id, l.subject, l.payload, l.why, l.tries, l.buriedAt)
	return err
}

func scanLetter(row sqldb.Row) (l letter, err error) {
	err = row.Scan(&l.region, &l.consumer, &l.id, &l.subject, &l.payload, &l.why, &l.tries, &l.buriedAt)
	return l, err
}

// selectLetters without their payload.
func selectLetters(ctx context.Context, q sqldb.Querier, region ident.Region, consumer string) ([]letter, error) {
	return sqldb.Collect(ctx, q, stmtLetters, scanLetter, string(region), consumer, maxListed)
}

func selectLetter(ctx context.Context, q sqldb.Querier, k key) (letter, error) {
	l, err := scanLetter(q.QueryRow(ctx, stmtLetter, string(k.region), k.consumer, k.id))
	if errors.Is(err, sqldb.ErrNoRows) {
		return letter{}, errUnknown
	}
	return l, err
}

func deleteLetter(ctx context.Context, q sqldb.Querier, k key) error {
	n, err := q.Exec(ctx, stmtUnbury, string(k.region), k.consumer, k.id)
	if err == nil && n == 0 {
		return errUnknown
	}
	return err
}

// number of a replay: two of one message differ.
func number(at time.Time) int64 { return at.UnixMicro() }
