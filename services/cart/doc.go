// Package cart keeps what shoppers, guests too, mean to buy.
//
// A cart is its lines, one a product, homed and fenced with its customer. It promises nothing:
// no stock is held for it, and what it shows as price is today's; the price at which a line was
// added is kept beside it so that a page can say what has changed.
//
// Two changes must count once however often they are asked for: a guest's cart merged at
// sign-in, and an order's products taken out after payment. Each writes its cause and its
// answer in the transaction of its effect, and a second asking finds them.
package cart
