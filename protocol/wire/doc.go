// Package wire owns the remoting frame: its two header encodings, JSON and the
// binary ROCKETMQ form, and the flat list of extFields that both carry. It knows
// no request codes and does no I/O. docs/format/frame.md draws the bytes.
package wire

// Language is the LanguageCode of a peer.
type Language uint8

// FieldWriter appends extFields entries to a frame, in the encoding of the frame.
type FieldWriter struct{ dst []byte }
