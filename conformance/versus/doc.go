// Command versus compares Merlin with RocketMQ's Java broker and with the
// machine's own limit; scripts/bench-vs-java builds and runs it.
//
//	versus -bin DIR [-rounds 5] [-seconds 3] [-work pattern] [-write docs/performance.md] [-json FILE]
//
// In each round the three servers are started one after the other, in an order
// that rotates, each over fresh files in one temporary directory, and drive
// through the same rows with the client of package bench in this process. One
// server lives at a time, besides the idle name server of its broker. The
// Java broker has the flags of its own start script but for the heap, which is
// stated, and works for -java-warmup before its first row; it then keeps its
// process over all rows, so that it stays warm. The others get fresh files when
// a row writes much, so that the disk that is used stays bounded.
//
// The command owns its child processes and the directory; both are gone when it
// ends, also after an interrupt.
package main
