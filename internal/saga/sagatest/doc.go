// Package sagatest holds a saga's definition against the laws that every definition keeps (see package saga):
//
//   - a step done twice is as done once;
//   - a saga that is refused at any step, before the step's effect or after it, ends with nothing left; one that fails there
//     once ends as if it had not;
//   - a step undone twice is as undone once, also when it was half done, or not at all.
//
// The test says by a Harness how a saga is begun and run in its world, and how that world is looked at. Laws then lets a
// saga happen for each law and step:
//
//	sagatest.Laws(t, sagatest.Harness{Definition: d, Begin: begin, Run: run, Complete: complete, Clean: clean})
//
// Run is given the definition with the case's mishaps around its steps, and runs the saga by that: with an engine of the
// test's own.
package sagatest
