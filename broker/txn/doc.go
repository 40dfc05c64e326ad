// Package txn ends and checks transactions: END_TRANSACTION (37), the removal
// entries of RMQ_SYS_TRANS_OP_HALF_TOPIC, the check of open half messages with
// CHECK_TRANSACTION_STATE (39), and RESUME_CHECK_HALF_MESSAGE (323). Storing the
// half message is the business of sending (put.Draft.Half).
//
// # On disk
//
// Everything is kept in messages, in Java's form, so that a store can go back to
// a Java broker:
//
//	RMQ_SYS_TRANS_HALF_TOPIC    queue 0, half messages; a check puts the message
//	                            there again with TRANSACTION_CHECK_TIMES one higher
//	RMQ_SYS_TRANS_OP_HALF_TOPIC queue 0, TAGS=d, body "17,18,21,": queue offsets
//	                            of half messages whose transaction has ended
//	TRANS_CHECK_MAX_TIME_TOPIC  half messages that are not checked any more
//
// How far the half and the removal queue are done are consumer offsets of the
// group CID_RMQ_SYS_TRANS. They are committed only when the log is on disk up to
// what they stand for.
//
// # In memory
//
// The Service remembers which half messages were ended (from the removal queue,
// at start, and from END_TRANSACTION since) and which is the newest copy of a
// half message that was put again. This mends four things of the Java broker:
// a second END_TRANSACTION stores the message a second time there; a producer is
// asked about a transaction that was ended while its half message was put again;
// after a stop before its offsets are written, old and new copies of a half
// message are both checked; and a broker that dies after it stored a committed
// message and before its removal entry, which is written up to 3 s later, asks
// the producer again and stores the message a second time. Here the recovery of
// the store tells which messages were committed last (Recovered): each names the
// place of its half message, as Java's do. No client can depend on any of this.
// The memory of ended transactions is bounded (see table).
//
// What stays as in Java: the real message is written before the removal entry,
// and entries are written in batches. A rollback leaves nothing but its entry,
// so its producer is asked again after a kill.
//
// Goroutines: one writes removal entries, one checks; from Start to Shutdown.
// Lock: table.mu, a leaf, with a condition that END_TRANSACTION waits on while
// the same transaction is being ended or checked.
package txn
