// Package offheap lends large pieces of memory that the garbage collector neither
// scans nor counts: a heap that does not hold the store's caches is small, and so
// is the room that the collector leaves it to grow.
//
// Who takes memory here gives it back itself, once, when nobody looks at it any
// more. The package owns no goroutine and no lock.
package offheap
