// Package vfs is the only way from the store to a disk. It owns the calls to the
// operating system, and nothing of the formats above it.
//
// There are three file systems: OS is the real one (pread, pwrite, fdatasync,
// fallocate; nothing is ever mapped, because a fault on a mapped page takes the
// whole process with it), Mem lives in memory and can be cloned as a power
// failure would leave it, Inject makes chosen operations of another one fail.
//
// No goroutine is owned here. Mem has one lock, a leaf; Inject has one, a leaf.
package vfs
