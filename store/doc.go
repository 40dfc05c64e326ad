// Package store is the facade of the message store: commit log, consume queues
// and index, in the formats and directories of RocketMQ 5.3. Every goroutine
// below it is its own.
//
// A Put is encoded outside any lock, gets its offsets under one short lock
// together with all other Puts of its batch, and is written with one pwrite. The
// log is the truth; consume queues and index are built from it by the dispatcher
// and are built again after a crash.
//
// Goroutines, all started by Open and waited for by Close:
//
//	dispatcher  reads the log behind the appenders; builds consume queues and
//	            index; calls Options.Arrived
//	committer   makes the log durable; completes Puts that wait for that
//	cleaner     writes checkpoints; deletes old files; watches the disk
//	keeper      samples counters; answers Puts whose flush takes too long
//	preparer    (in commitlog) allocates the next log file ahead of time
//
// Locks, in order: Store.closeMu (read side around every call), Store.appendMu
// (the writing side of the log), then the leaves: Set.mu, Queue.mu and files.mu
// of consumequeue, Index.mu and file.mu of index, tail.mu of commitlog,
// committer.mu, stats.mu. The append lock is the only one under which a disk is
// written; cpMu, which orders checkpoints, is the only one under which it is
// synced.
//
// A failed write or sync of the log is final: no message is accepted or
// acknowledged after it until the directory has been opened again. Consume
// queues and index are retried, and puts refused meanwhile. A panic of an append counts
// as a failed write.
//
// A read that fails is an error to whoever asked and moves nothing (ReadFailed, and every
// error but ErrNoRecord). A record that can be read and is not what was written is
// damage: it is served when it still is a record, and left out when it is none, alone
// in both cases, with a line and counted (Faults).
//
// What is not here: replication, timer messages, light queues, inner batches
// (BatchCQ), compaction, the transient store pool, DLedger, RocksDB, several
// commit log directories.
package store
