// Package index owns the index files, which find messages by topic and key.
//
//	<dir>/<yyyyMMddHHmmssSSS>
//
//	+--------+---------------------+--------------------------+
//	| header | slots               | entries                  |
//	| 40 B   | 5,000,000 × 4 B     | 20,000,000 × 20 B        |
//	+--------+---------------------+--------------------------+
//
//	header: begin time 8 | end time 8 | begin offset 8 | end offset 8 | used slots 4 | count 4
//	entry:  key hash 4 | log offset 8 | seconds since begin time 4 | previous entry of the slot 4
//
// Count starts at 1: entry 0 is never used. A slot holds the number of its
// newest entry. The file is sparse.
//
// The slots of the file that is written stay in memory (20 MB at most) and go to
// the disk page by page when Prepare is called; entries go there in blocks. The
// header is written by Commit, after everything it counts is durable: after a
// crash the entries that it counts are checked, the slots are made again from
// them, and the messages behind are indexed again from the commit log.
//
// No goroutine is owned here. Put, Prepare, Write and Clean want one caller at a
// time (the dispatcher), Commit another one (the checkpoint); queries are free.
//
// Locks, in order: Index.mu (the list of files), file.mu (header, slots and
// buffer of one); no I/O is done under either.
package index
