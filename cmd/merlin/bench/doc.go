// Package bench is the sub-command "merlin bench": it drives any RocketMQ broker
// as cheaply as a client can, so that what is measured is the server, and it
// serves the least a broker could do, so that the machine's own limit is known.
//
// It owns its sockets instead of using package remoting's client. Client and
// server share the cores of the machine, so every cycle of the client is taken
// from the server and flattens the differences between servers; frames that are
// encoded once per queue by protocol/wire, of which only opaque, time and key
// are patched, cost less than a call through a client that must match answers to
// callers. The work is the same for all servers either way: JSON headers, V2
// sends, the properties that clients set.
//
// A closed loop is one goroutine a connection; an open loop is a pair (one
// writes, one reads), and its latencies count from the time at which a message
// was due, so that a stall of the server counts for every message that waited.
// A consumer is one connection with a long poll on every queue. The limit has one
// goroutine a connection, one lock, of its log, and with -sync one goroutine that
// syncs.
//
// It does not balance queues or retry: a failed request is counted by its answer
// and shown, and a run with failures ends with an error.
package bench
