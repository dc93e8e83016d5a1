// Package protocol is a model of how slots move, and an explorer that goes through every state it can be in.
//
// A slot's row has its owner, its epoch and the pins of single customers. It is what is true; maps and redirects are news
// of it, which may be late, lost, or arrive in any order.
//
//	write    read map ─▶ admit ─▶ BEGIN, share the row's lock, owner? ─▶ effect ─▶ COMMIT ─▶ answer
//	                                                        └─ no: redirect with owner and epoch
//	driver   read row ─▶ is the move still wanted? ─▶ flip: wait for the lock, same row? epoch + 1 ─▶ next slot
//	map      read version ─▶ read phase and rows ─▶ put the next version, if that is still the newest
//	move     planned ▶ flipping ▶ publishing ▶ verifying ▶ retiring ▶ done
//	            └──────────┴───────────┴── back wanted ──┴───────┴─▶ announcing ▶ returning ▶ republishing ▶ back
//
// Everything between two arrows is a step, and steps of all parts come in any order. Modelled are: one or two slots; two or
// three cells, of which the evacuated one may hang, go on later, or die; clients that lose patience and send again, so that
// tries go on in cells though nobody waits for them; routers that follow redirects as package router does; one or two
// drivers, of which the first may die or only seem to; the operator, who may want the move back at any point; pins that are
// set meanwhile; a saga with a step that is quiet and one that may be refused, its runs, and cells that take it over.
//
// In each state the invariants of step.go have to hold. Then two laws about the whole graph: from every state all that was
// begun can still end, by steps that nobody has to hope for (under strong fairness it therefore does); and so can what
// shoppers began, if the control plane is gone from there on.
//
// A Design with a field set is the protocol with a defect. The tests show for each a shortest way to where it breaks
// something: go test -v ./cells/evacuation/protocol prints them as numbered traces, with the number of states explored.
//
// Not modelled: time (a time-out may come whenever it might matter), transactions over several rows and the order of their
// locks (the database ends one of two that block each other, and a flip is tried again), the isolation of the database
// itself, a torn or forged map, more than one evacuation, several customers beside the pinned one and its neighbours, a
// second saga, the draining mark (it changes where new customers are made, not who may write), and streams. Bounds are part
// of each configuration; a configuration with more states than the limit is an error, never a smaller proof.
package protocol
