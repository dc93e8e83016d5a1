package cells

import (
	"context"

	"github.com/cellar-commerce/cellar/internal/breaker"
	"github.com/cellar-commerce/cellar/internal/feed"
	"github.com/cellar-commerce/cellar/internal/quickwit"
	"github.com/cellar-commerce/cellar/services/events"
)

// assembleFeed of the region into Quickwit, where one is configured.
func (c *Cell) assembleFeed() error {
	if c.cfg.Quickwit == "" {
		return nil
	}
	sink, err := quickwit.New(quickwit.Config{BaseURL: c.cfg.Quickwit})
	if err != nil {
		return err
	}
	guard := breaker.NewOne("feed", func(from, to string) {
		c.log.Warn("a breaker changes", "traffic", "quickwit", "from", from, "to", to)
	})
	c.feed = feed.New(feed.Deps{
		Bus: c.bus, Sink: sink, Guard: guard, DB: c.regional, Region: c.region, Cell: c.cfg.Cell, Clock: c.clock, Log: c.log, Observe: c.feedMetrics,
	})
	return nil
}

// feedLags of this region's streams; none without a feed.
func (c *Cell) feedLags(ctx context.Context) (all []events.FeedLag, err error) {
	if c.feed == nil {
		return nil, nil
	}
	for _, s := range feed.Streams(c.region) {
		behind, err := c.bus.Behind(ctx, s.Consumer)
		if err != nil {
			return nil, err
		}
		all = append(all, events.FeedLag{Index: s.Index.ID, Consumer: s.Consumer.Durable, Behind: behind})
	}
	return all, nil
}
