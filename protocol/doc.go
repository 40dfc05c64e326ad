// Package protocol owns the table of RocketMQ calls: one typed row for every
// request code, the response codes, and the error that a peer sees.
//
// The rows (table.go) are variables of type Call that tie a code to the header
// structs of its request and response, so that a handler with another header does
// not compile. The package below it own the bytes: wire the frame, header the
// header structs, body the JSON bodies, message the stored record.
//
// It does no I/O, starts nothing and holds no state.
package protocol
