// Package layout holds the rules of the source tree, so that a test can keep them: how long
// files and functions may be, which package may import which technology, who may know whom,
// where SQL lives, and that the same word means the same thing in services/, proto/ and db/.
//
// A rule reads a Tree, which is nothing but files; so each is tested itself, on small trees
// that keep it and that break it.
package layout
