package search

import (
	"context"
	"crypto/rand"
	"regexp"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/bus"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
)

const (
	// maxLogged searches wait to be published, of half a kilobyte each; what comes beyond is lost.
	maxLogged = 4096
	// logBatch is published at once.
	logBatch = 500
	// logEvery lets searches gather; whoever analyses them is in no hurry.
	logEvery = 250 * time.Millisecond
	// logTimeout bounds the wait for the broker, after which a batch is lost.
	logTimeout = 2 * time.Second
	// loggedSKUs of the hits that were shown.
	loggedSKUs = 10
	// manyDigits in a row: a telephone number, a card, an order; a model's number has fewer.
	manyDigits = 6
)

// Publisher takes messages to a region's broker.
type Publisher interface {
	Publish(ctx context.Context, region ident.Region, messages []bus.Message) error
}

// LogObserver of what becomes of the logs of searches.
type LogObserver interface {
	// SearchesLogged tells how many were published.
	SearchesLogged(searches int)
	// SearchLogsLost tells how many were not: they came too fast, or the broker was away.
	SearchLogsLost(searches int)
}

// SubjectLogged of a region's searches.
func SubjectLogged(region ident.Region) string { return "search." + string(region) + ".logged" }

// log a search that was answered. It never waits: what there is no room for is lost, and counted.
func (s *Service) log(req *searchv1.SearchRequest, offset int, resp *searchv1.SearchResponse, took time.Duration) {
	e := &searchv1.SearchLogged{
		Id: rand.Text(), At: timestamppb.New(s.deps.Clock.Now()), Cell: s.deps.Cell, Query: req.GetQuery(), Category: req.GetCategory(), Brands: req.GetBrands(),
		MinPriceMinorUnits: req.GetMinPriceMinorUnits(), MaxPriceMinorUnits: req.GetMaxPriceMinorUnits(), Sort: req.GetSort(), Prime: req.GetPrime(),
		Offset: int32(offset), Total: resp.GetTotal(), TookUs: took.Microseconds(),
	}
	for _, h := range resp.GetHits()[:min(len(resp.GetHits()), loggedSKUs)] {
		e.Skus = append(e.Skus, h.GetSku())
	}
	select {
	case s.logged <- e:
	default:
		s.deps.ObserveLog.SearchLogsLost(1)
	}
}

// What may say who somebody is: an address of e-mail, and many digits in a row, whatever stands between them.
var (
	addresses = regexp.MustCompile(`\S*@\S*`)
	numbers   = regexp.MustCompile(`[+(]*\p{Nd}[\p{Nd}\s()./-]*`)
)

// anonymous words of a query, in lower case.
func anonymous(query string) string {
	query = numbers.ReplaceAllStringFunc(addresses.ReplaceAllString(query, " "), func(number string) string {
		digits := 0
		for _, r := range number {
			if unicode.IsDigit(r) {
				digits++
			}
		}
		if digits >= manyDigits {
			return " "
		}
		return number
	})
	return strings.ToLower(strings.Join(strings.Fields(query), " "))
}

func (s *Service) logMessage(e *searchv1.SearchLogged) (bus.Message, error) {
	e.Query = anonymous(e.GetQuery())
	data, err := proto.Marshal(e)
	return bus.Message{ID: "search/" + e.GetId(), Subject: SubjectLogged(s.deps.Region), Data: data}, err
}

// RunLog publishes logs of searches until ctx ends. What cannot be published at once is lost.
func (s *Service) RunLog(ctx context.Context) {
	for {
		var first *searchv1.SearchLogged
		select {
		case first = <-s.logged:
		case <-ctx.Done():
			return
		}
		s.publishLogs(ctx, first)
		if len(s.logged) < logBatch && s.deps.Clock.Sleep(ctx, logEvery) != nil {
			return
		}
	}
}

// publishLogs of the first search and those that wait behind it.
func (s *Service) publishLogs(ctx context.Context, first *searchv1.SearchLogged) {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	var batch []bus.Message
	lost := 0
	for e := first; e != nil; e = s.nextLogged(len(batch) + lost) {
		m, err := s.logMessage(e)
		if err != nil {
			lost++
			continue
		}
		batch = append(batch, m)
	}
	if err := s.deps.Publisher.Publish(ctx, s.deps.Region, batch); err != nil {
		lost, batch = lost+len(batch), nil
	}
	s.deps.ObserveLog.SearchesLogged(len(batch))
	s.deps.ObserveLog.SearchLogsLost(lost)
}

// nextLogged search that waits; nil when there is none, or the batch is full.
func (s *Service) nextLogged(taken int) *searchv1.SearchLogged {
	if taken >= logBatch {
		return nil
	}
	select {
	case e := <-s.logged:
		return e
	default:
		return nil
	}
}
