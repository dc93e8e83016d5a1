// Package gather lets those who ask a store at the same time share one question.
//
// While a reading is under way, whoever asks waits for its end, and then all of them are answered by the next one: each reads what
// stands after it has asked, so nobody is given anything older than by a reading of its own. Nobody waits for company: who is
// alone asks at once.
package gather
