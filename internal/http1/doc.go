// Package http1 reads HTTP/1.1 messages from raw connections, for a program that passes them on.
//
// It is strict where two readers of one message could disagree about where it ends (RFC 9112, 6.3 and 11.2): a
// length beside chunks, two lengths, codings other than chunked, a bare line feed, folded lines, white space before
// a colon, chunk extensions and trailers of requests are all refused. What it accepts, net/http reads as the same
// message; a differential fuzz test holds that.
//
// Nothing is copied: fields are slices of the buffer that the message was read into, and are good until the buffer
// is filled again. Parsing does not allocate once its slice of fields has grown.
package http1
