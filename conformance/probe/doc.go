// Package probe is the smallest client that can talk to a RocketMQ server: one
// request over one connection, JSON header, one answer.
//
// It owns nothing but the connection of the call in hand, starts no goroutine
// and holds no lock. It is written without Merlin's protocol packages on
// purpose: what the conformance tests learn about a cluster (is it ready, which
// queues has a topic, what did a group commit) must not depend on the code that
// is under test. It does not pipeline, reconnect or speak the binary header.
package probe
