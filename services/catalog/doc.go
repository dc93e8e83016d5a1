// Package catalog keeps the products: what is for sale and at which price.
//
// Products live once, in cellar_global, and are read locally everywhere; they are written
// seldom. A change takes effect as one transaction: the product's row with its next version,
// the listings of its category and of every category above, and one event for each region.
// Events carry the whole product as it stands after the change, so that a receiver needs to
// ask nobody; a receiver keeps the highest version it has seen.
//
//	UpsertProduct, SetPrice, Import ──▶ products + category_listings + outbox
//	WithdrawProduct, RestoreProduct          └──▶ catalog.product.changed ──▶ caches, search indexes
//
// A product that is withdrawn keeps its row, which says since when, and stands in no listing until
// it is restored. No other change ends that. Who reads it by its SKU gets it, and sees to it that it is
// not sold. Offers are as withdrawn as their product.
//
// Reads by SKU go through a bounded cache that changes of the product throw out, and that
// time throws out where an event is late. A cached price may therefore be a few seconds old;
// cart and checkout read the rows, of which they ask for no more than a line needs.
package catalog
