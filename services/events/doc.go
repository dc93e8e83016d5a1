// Package events is what operators have for events on their way: how far the outboxes are behind, events that are to be sent
// once more, and messages that a consumer has given up.
//
//	handled ◀──retry── consumer ──tries over──▶ dead letter ──replay──▶ outbox ──▶ that consumer again
//	                                                 └──drop──▶ gone
//
// A dead letter is a row in the database of the region that consumed it, so that it outlives the broker's disk. A replay
// deletes the row and puts the message into the outbox in one transaction; its id then says which consumer it is for, and no
// other handles it. What a consumer has in its inbox takes no effect a second time.
package events
