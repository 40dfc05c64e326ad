// Package message owns the stored message record (commit log format V1 and V2),
// the batch body, the property text and the message id strings. It does no I/O
// and holds no state. docs/format/record.md draws the bytes.
package message
