// Package message owns the stored message record (commit log format V1 and V2),
// the body of a batch send, the property text and the message id strings.
// docs/format/record.md draws the bytes.
//
// It does no I/O, holds no state and starts nothing. Functions that read alias
// what they read; functions that write append to the caller's slice and allocate
// only when it has no room. It does not compress, and it does not decide which
// topic, queue or offset a message gets.
package message
