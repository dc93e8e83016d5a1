// Package bench measures what matters, as ratios against a named peer in the same run: absolute
// figures of a shared machine say little, and ratios travel.
//
// Each bench makes what it needs in a private database of its own, with durability on, and
// stops by itself. Goals are printed beside what was measured; nothing here fails a build.
package bench
