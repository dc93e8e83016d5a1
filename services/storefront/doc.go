// Package storefront is the shop as people see it: pages made on the server, which work without script.
//
// It owns no data. It asks the other services of its cell through their generated interfaces, with the shopper's session in
// the context, and draws what they answer. Templates, style and script are in web/store.
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
