// Package http1 is HTTP/1.1 on raw connections, for a program that passes messages on: a server of clients, pools of
// connections to servers, and between them heads that are parsed in place and bodies that are passed on as they come.
// Connections of HTTP/2, told by their preface, are handed to another server.
//
// It is strict where two readers of one message could disagree about where it ends (RFC 9112, 6.3 and 11.2): a
// length beside chunks, two lengths, codings other than chunked, a bare line feed, folded lines, white space before
// a colon, chunk extensions and trailers of requests are all refused. What it accepts, net/http reads as the same
// message; a differential fuzz test of the router holds that.
//
// Fields are slices of the buffer that the message was read into, and are good until the buffer is filled again. Once
// its buffers have grown, a connection carries requests without allocating.
//
// A client is not watched while its answer is on its way, since that costs: only when the answer takes long, somebody
// reads from the client beside the one who waits for the cell, and hears when it goes away.
package http1
