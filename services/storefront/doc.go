// Package storefront is the shop as people see it: pages made on the server, which work without script.
//
// It asks the other services of its cell through their generated interfaces, with the shopper's session in the context, and
// draws what they answer. Templates, style and script are in web/store.
//
// What it owns is made of what others have: a row for each product's page in each region (Pages), which events keep up, and
// which a page is read from by one look-up. Without a row the page is composed of what the services answer.
//
//	product or review changed ─▶ rebuild ─▶ product_pages ─▶ catalog.page.rebuilt ─▶ each cell's memory forgets
//
//	GET  page ─▶ ask services ─▶ draw into memory ─▶ send
//	POST form ─▶ ask services ─┬─ done ─▶ 303 to a page
//	                           ├─ refused ─▶ the form again, 422, with what is wrong
//	                           └─ another cell's customer ─▶ the router takes the request there; nothing is sent yet
//
// A page is drawn whole before its first byte is sent, so that a request that turns out to belong elsewhere can still go
// there, and no half page is ever seen. A form that must have one effect carries an idempotency key, made when the page was
// drawn: a double click, a reload and a lost answer end at the same order.
package storefront
