// Package wire owns the remoting frame: its two header encodings, JSON and the
// binary ROCKETMQ form, and the flat list of extFields that both carry. It knows
// no request codes and does no I/O. docs/format/frame.md draws the bytes.
//
// Decode does not copy: the strings and the body of a Command alias the frame (or
// the command's scratch space, for values that had escapes). AppendHead writes
// what a Java peer of version 5.3.3 would write for the same command.
//
// The package starts no goroutine and holds no lock; its functions may run
// together as long as they do not share a Command, an Outgoing or a destination.
package wire
