package review

import (
	"crypto/sha256"
	"encoding/base32"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// Limits, in characters: long enough for whoever has something to say, and the event of one contribution stays far below
// what the broker takes (512 KiB).
const (
	maxTitle    = 120
	maxReview   = 5000
	minQuestion = 10
	maxQuestion = 1000
	maxAnswer   = 2000
	maxAuthor   = 40
	maxReason   = 500
	maxKey      = 64
	maxSKU      = 64
	maxID       = 64
)

const (
	// maxWritten contributions of a customer within writtenWindow: more than anybody has to say, and few for a robot.
	maxWritten    = 50
	writtenWindow = 24 * time.Hour
)

// letters of ids: digits and small letters that are not misread.
var letters = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// idLength in bytes of hash: 120 bits, so that ids of different contributions never meet.
const idLength = 15

// contributionID of what a customer writes. It follows from what makes it one and the same contribution, so that writing
// it twice finds it; and it carries the author's ring, so that it is found without asking every region.
func contributionID(author ident.CustomerID, parts ...string) string {
	sum := sha256.Sum256([]byte(string(author) + "\x00" + strings.Join(parts, "\x00")))
	return string(author.Ring()) + "-" + letters.EncodeToString(sum[:idLength])
}

// reviewID of a line of an order.
func reviewID(author ident.CustomerID, order ident.OrderID, line int32) string {
	return contributionID(author, "review", string(order), strconv.Itoa(int(line)))
}

// ringOf a contribution's author; UNKNOWN_CONTRIBUTION for what is no id.
func ringOf(id string) (ident.Region, error) {
	code, rest, _ := strings.Cut(id, "-")
	region, known := ident.RingCode(code).Region()
	if !known || len(id) > maxID || rest == "" || strings.ContainsFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'z') }) {
		return "", unknownContribution()
	}
	return region, nil
}

// voterOf a contribution, as other regions know the voter.
func voterOf(contribution string, voter ident.CustomerID) []byte {
	sum := sha256.Sum256([]byte(contribution + "\x00" + string(voter)))
	return sum[:]
}

// z is the 97.5th percentile of the normal distribution: bounds hold with 95 %.
const z = 1.959964

// standingScale makes whole numbers of bounds: their order is the same in every database, and in page tokens.
const standingScale = 1_000_000_000

// standing ranks by helpfulness: the lower bound of the 95 % confidence interval of the share of readers who find it
// helpful, in billionths, 0 without votes. Few votes for it so rank below many, and one vote against it does not bury it.
//
// The bound is the score interval's: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
// Journal of the American Statistical Association 22 (1927), pp. 209-212.
func standing(helpful, unhelpful int64) int64 {
	n := float64(helpful + unhelpful)
	if helpful <= 0 || n <= 0 {
		return 0
	}
	p := float64(helpful) / n
	bound := (p + z*z/(2*n) - z*math.Sqrt((p*(1-p)+z*z/(4*n))/n)) / (1 + z*z/n)
	return int64(math.Round(max(bound, 0) * standingScale))
}

// ratingOf a product by the counts of its stars, one to five.
func ratingOf(sku string, stars [5]int64) *reviewv1.Rating {
	r := &reviewv1.Rating{Sku: sku, Histogram: stars[:]}
	var sum int64
	for i, n := range stars {
		r.Reviews += n
		sum += n * int64(i+1)
	}
	if r.GetReviews() > 0 {
		r.MeanHundredths = int32((sum*100 + r.GetReviews()/2) / r.GetReviews())
	}
	return r
}

// visible to everybody.
func visible(c *reviewv1.Contribution) bool { return c.GetState() == reviewv1.State_STATE_PUBLISHED }

func validSKU(s string) bool {
	return s != "" && len(s) <= maxSKU && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
	}) < 0
}

// validText tells whether s is UTF-8 of least to most characters, with something to see and no control characters but,
// where lines are allowed, line ends and tabs.
func validText(s string, least, most int, lines bool) bool {
	if n := utf8.RuneCountInString(s); !utf8.ValidString(s) || n < least || n > most || strings.TrimSpace(s) == "" {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return r == 0x7f || (r < 0x20 && (!lines || (r != '\n' && r != '\t' && r != '\r')))
	}) < 0
}

// excerptLength in characters of what a product's page shows of a text.
const excerptLength = 600

// excerpt of a text, cut at a space where there is one near the end; true when it was cut.
func excerpt(text string) (string, bool) {
	runes := []rune(text)
	if len(runes) <= excerptLength {
		return text, false
	}
	short := string(runes[:excerptLength])
	if at := strings.LastIndexAny(short, " \n"); at > len(short)*3/4 {
		short = short[:at]
	}
	return strings.TrimRight(short, " \n\t\r") + "…", true
}

func unknownContribution() error {
	return problem.New(problem.NotFound, "UNKNOWN_CONTRIBUTION", "there is no such contribution")
}

func unknownQuestion() error {
	return problem.New(problem.NotFound, "UNKNOWN_QUESTION", "there is no such question")
}

func tooMuchWritten() error {
	return problem.New(problem.Exhausted, "TOO_MUCH_WRITTEN", "you have written a lot today; go on tomorrow")
}
