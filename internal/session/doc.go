// Package session says who a request is from.
//
// A session is a signed token that the client keeps; no store is asked, so that a cell
// works while everything else is down:
//
//	v1.<customer id>.<session id>.<expiry, Unix seconds>.<HMAC-SHA256, base64url>
//
// The router reads the customer id to find the cell and trusts nothing (ParseCustomer); the
// cell verifies the signature and the expiry. The key may be changed: tokens are signed with
// the first key, and verified with any.
package session
