// Package consumequeue owns the consume queues: for each queue of a topic the
// list of its messages, as places in the commit log.
//
//	<dir>/<topic>/<queueId>/<20-digit byte offset of the file>
//
//	+-----------------+---------------+-----------------+
//	| log offset  8 B | size      4 B | tags code   8 B |   one entry, 20 bytes
//	+-----------------+---------------+-----------------+
//
// The entry of queue offset n stands at byte 20·n of the queue. Files have a
// fixed size (6,000,000 bytes) and are sparse; zeros follow the last entry. When
// a queue starts above 0, entries {0, 0x7FFFFFFF, 0} fill the file up to the
// first real one.
//
// New entries gather in memory, up to 64 a queue, and are written with one
// pwrite when that many are there or a second has passed; readers look there
// first, and then, when they want many entries, into the blocks of the files that
// were read last. What is lost in a crash is built again from the commit log. Nothing
// here costs a file descriptor or a goroutine for each queue: at most
// Options.MaxOpen files are open. When more are needed those are closed that were
// used once or longest ago (files), and in the end those that CloseUnused finds
// unused.
//
// No goroutine is owned here. Put, WriteTails, Clean, Drop and the recovery want
// one caller at a time (the dispatcher); readers are free.
//
// Locks, in order: Set.mu (the map of queues), Queue.mu (tail and file bounds),
// files.mu (open files); no I/O is done under any of them. block.mu, which nobody
// waits for, is held while its block is read; files.mu is taken under it.
package consumequeue
