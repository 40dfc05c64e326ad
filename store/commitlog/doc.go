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
// cleaner); readers are free.
//
// Locks: tail.mu, a leaf, around the list of tail chunks.
package commitlog
