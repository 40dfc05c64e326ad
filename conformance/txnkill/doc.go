// Package txnkill kills a broker while transactions are open, again and again,
// and proves from what its clients saw that nothing committed was lost, nothing
// rolled back was ever seen, and a producer was asked about everything that it
// had not ended.
//
// A Plan is what the producer of one transaction will say; it follows from the
// transaction's number, so that it says the same after every kill. History holds
// what the clients did and saw, and Check compares the two; it knows no broker
// and is tested with made-up violations of every kind. A Rig is one broker
// process with its load: producers that send half messages and end them, and
// answer when they are asked. Each cycle waits until the load is in one Moment,
// kills the broker there, starts it and reads everything.
//
// A Java broker that dies after it stored a committed message and before it stored
// the removal entry of the half message (transactionOpBatchInterval) asks again
// and stores the message a second time. Merlin must not: here it is a violation.
//
// Locks: History.mu, a leaf. The goroutines of a load end before Rig.Cycle goes
// on.
package txnkill
