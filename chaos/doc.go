// Package chaos rehearses faults on a platform of real processes, under shoppers, and tells what they noticed of it.
//
// A drill is a fault with a hypothesis: before it is made it is written down what should become of it, and the report says
// whether it did. Each drill has three phases. Before, to see what is usual; during, while the fault lasts; after, until all that
// waited is done. What is measured in each is what shoppers met with, through the routers, and not what the platform says of
// itself. At the end every order that was placed is looked at, and all promises are audited.
//
// A drill is bounded in time and in what it asks, does nothing to anybody but this platform, and takes its fault back however
// it ends: also when it is interrupted.
package chaos
