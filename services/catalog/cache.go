package catalog

import (
	"container/list"
	"sync"
	"time"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
)

const (
	// cacheSize products of some 3 kB each take 60 MB: the popular head of the catalogue.
	cacheSize = 20_000
	// cacheFresh bounds how old a product may be where its event is late.
	cacheFresh = 5 * time.Second
)

// cache of products by SKU, least recently used out first. What is in it is never changed.
type cache struct {
	mu    sync.Mutex
	size  int
	bySKU map[string]*list.Element
	used  *list.List // front: most recent
	// gone counts invalidations: what was read from the database before one may be old, and is not put in.
	gone uint64
}

type cached struct {
	product *catalogv1.Product
	until   time.Time
}

func newCache(size int) *cache {
	return &cache{size: size, bySKU: map[string]*list.Element{}, used: list.New()}
}

// get gives a product that is fresh enough.
func (c *cache) get(sku string, now time.Time) (*catalogv1.Product, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.bySKU[sku]
	if !ok {
		return nil, false
	}
	entry, _ := e.Value.(cached)
	if !now.Before(entry.until) {
		c.drop(e)
		return nil, false
	}
	c.used.MoveToFront(e)
	return entry.product, true
}

// mark before a read from the database; put takes it.
func (c *cache) mark() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// put a product that was read after mark; ignored when anything was invalidated since.
func (c *cache) put(p *catalogv1.Product, now time.Time, mark uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if mark != c.gone {
		return
	}
	if e, ok := c.bySKU[p.GetSku()]; ok {
		c.drop(e)
	}
	c.bySKU[p.GetSku()] = c.used.PushFront(cached{p, now.Add(cacheFresh)})
	if c.used.Len() > c.size {
		c.drop(c.used.Back())
	}
}

// invalidate a product that has changed.
func (c *cache) invalidate(sku string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone++
	if e, ok := c.bySKU[sku]; ok {
		c.drop(e)
	}
}

func (c *cache) drop(e *list.Element) {
	entry, _ := e.Value.(cached)
	delete(c.bySKU, entry.product.GetSku())
	c.used.Remove(e)
}
