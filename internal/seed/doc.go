// Package seed makes what a platform is opened with: a network of fulfilment centres at real
// metropolitan areas, a believable catalogue, and where its stock lies on the first day. It
// also reads product files that come from elsewhere.
//
// Everything is a pure function of its arguments: the same seed gives the same products in
// every version of Go and on every machine, so that tests and benchmarks can name them.
// Nothing here does I/O but the reader that ParseImport is given.
//
// A line of an import that is no product is a LineError with its number and a reason, and reading
// goes on after it. Feeds that name no category get one from rules.txt, by the words of the title,
// then the type, the attributes and the description.
//
// Stock is spread the way real stock is: what sells lies in many centres, the long tail in a
// few; three products in a hundred are scarce, and one is sold out.
package seed
