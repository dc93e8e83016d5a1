// Package placement proves the heart of the store: that an order is placed whole or not at all,
// whatever fails or dies on the way.
//
// The tests put the real services together as a cell does, on real databases and before the
// sandbox's card network, and stand between checkout and everything it calls. So each call and
// each transaction can fail, or be the last one that its cell makes; another cell then sweeps
// up. What is believed by no service is what is checked: the rows of all databases and the
// network's own ledger, which have to tell one story.
package placement
