// Package bench is the sub-command "merlin bench": it drives any RocketMQ broker
// as cheaply as a client can, so that what is measured is the server, and it
// serves the least a broker could do, so that the machine's own limit is known.
//
// It owns its sockets. Frames are encoded once per queue by protocol/wire and
// only their opaque, time and key are patched for each message; a closed loop is
// one goroutine a connection, an open loop a pair (one writes, one reads). The
// limit has one goroutine a connection and one lock, of its log.
//
// It does not balance queues, retry or commit offsets: a failed send is counted
// and shown with the first reason.
package bench
