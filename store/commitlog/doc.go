// Package commitlog owns the commit log: the segment files, their layout, the
// scan that finds their end, and the tail of the log that is kept in memory.
//
// A segment is a file of fixed size named by the 20-digit offset of its first
// byte. Records lie one after the other; a record never spans two segments:
//
//	+---------+---------+-- … --+---------+----------------------+---------------+
//	| record  | record  |       | record  | 4 B rest | CBD43194  | undefined     |
//	+---------+---------+-- … --+---------+----------------------+---------------+
//	base                                   blank record            base + size
//
// In the last segment zeros follow the last record. docs/format/commitlog.md has
// the details, package message the record.
//
// Writing is pwrite into a preallocated file, never a store through a mapping.
// One goroutine, the preparer, allocates the next segment ahead of time; Open
// starts it and Close waits for it. Append, Roll and Cut want one caller at a
// time (the store's append lock), Flush one (the committer), Remove one (the
// cleaner, which calls CloseUnused too); readers are free.
//
// Reading goes through what is cheapest: the tail of the log, which is kept in
// memory; a mapping of the segment, for ranges that the machine has in memory; and
// blocks that were read from the disk for all readers. A mapping is never asked
// for what would have to come from the disk, and nobody outside gets hold of it:
// records are copied out of it, so that a page that goes away is a read that fails.
// Which records of a mapped piece or a block were compared with their checksum is
// remembered (marks) until the piece has to come from the disk again.
//
// Locks: tail.mu, blocks.mu and maps.mu around what each keeps; under them
// chunks.mu, a leaf.
package commitlog
