// Package put is the one way a message enters the store, whoever brings it: a client
// that sends or replies (Gate checks it first), a consumer that sends back, the end or
// the check of a transaction, a delay that is over.
//
// A Draft is the message on its way. Who brings it fills it and edits its properties,
// which are read once; a Pipeline does the rest, in this order:
//
//	hooks       what a message asks for: its delay level, and what is not served
//	store       neighbours together (Batch), or one and wait (Pipeline.Put)
//	statistics  by Counting, which says how Java counts this way in
//	then        Draft.Then, once, which answers by the status: Stored, ForGood, Verdict
//
// and writes the properties once, between hooks and store. A hook is the place for
// whatever sends a message elsewhere: timers, inner batches, light queues.
//
// It owns no goroutine and no lock. Drafts are called back from PutBatch or from a
// goroutine of the store, as store.Put says.
package put
