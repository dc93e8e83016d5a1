// Package recommendation tells what else shoppers bought who bought something.
//
// It has two halves that meet in one table. Training reads the order history, or a file, and
// counts which products the same customers bought. A pair counts when it was bought together more
// often than chance explains, by the log-likelihood ratio; each product keeps its twenty most
// telling companions. Serving is one look-up by key for a product, and one for all the products of
// a cart, whose companions are then summed.
//
//	orders, a file ──Train──▶ Model ──Publish──▶ also_bought ──ForProduct, ForCart, ForHome──▶ pages
//
// Training replaces what there was product by product, and is never on a shopper's path. A history
// in which nothing is significant leaves everything as it is. Evaluate holds out each customer's
// last purchase and tells how often it is found, against what is merely popular.
package recommendation
