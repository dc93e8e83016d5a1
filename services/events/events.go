package events

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// letter that was given up.
type letter struct {
	region                     ident.Region
	consumer, id, subject, why string
	payload                    []byte
	tries                      int
	buriedAt                   time.Time
}

// FeedLag is how far one consumer of the feed is behind.
type FeedLag struct {
	// Index that it writes to.
	Index    string
	Consumer string
	bus.Behind
}

// key of a letter.
type key struct {
	region       ident.Region
	consumer, id string
}

// maxListed letters: more than an operator looks at.
const maxListed = 500

// maxReason of an operator, in bytes.
const maxReason = 300

// checkReason of an operator.
func checkReason(v *problem.Violations, reason string) {
	ok := strings.TrimSpace(reason) != "" && len(reason) <= maxReason && utf8.ValidString(reason) && !strings.ContainsAny(reason, "\r\n")
	v.Check(ok, "reason", "must be a line of 1 to 300 bytes")
}

var errUnknown = problem.New(problem.NotFound, "UNKNOWN_DEAD_LETTER", "there is no such dead letter")
