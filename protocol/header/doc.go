// Package header owns the header structs: one for every CommandCustomHeader class
// of RocketMQ, with the Java name less "Header". Boxed Java types and Strings are
// wire.Opt, primitives are plain; the tag of a field is its name on the wire.
//
// The structs are generated (zz_…go) from two lists, the fields of each class and
// what the Java classes themselves say by reflection; see internal/gen. Their
// fields are written in the order in which a Java peer writes them, which is the
// iteration order of its HashMap, or the order of the hand-written codec of four
// classes in the binary encoding.
//
// Decoding follows Java: an absent field keeps its default, and a badly formatted
// number, too, except in those four classes, where it is an error. Strings alias
// the frame of the command. Nothing here allocates, blocks or keeps state.
package header

//go:generate go run ./internal/gen

import "github.com/merlinmq/merlin/protocol/wire"

// None stands for "no header" in the table of calls.
type None struct{}

// Reset does nothing.
func (*None) Reset() {}

// DecodeFields reads nothing.
func (*None) DecodeFields(*wire.Command) error { return nil }

// EncodeFields writes nothing. A command without header fields leaves
// wire.Outgoing.Header nil instead: with a None it would carry empty extFields.
func (*None) EncodeFields(*wire.FieldWriter) {}

// BoundaryType says which of several messages with the same store time an offset
// search means.
type BoundaryType uint8

// Boundary types.
const (
	Lower BoundaryType = 0 // the first one
	Upper BoundaryType = 1 // the last one
)

// String returns the text on the wire.
func (b BoundaryType) String() string {
	if b == Upper {
		return "UPPER"
	}
	return "LOWER"
}

// readBoundary stores a boundary type: everything but "upper" is Lower.
func readBoundary(o *wire.Opt[BoundaryType], v string) {
	b := Lower
	if len(v) == 5 && v[0]|0x20 == 'u' && v[1]|0x20 == 'p' && v[2]|0x20 == 'p' && v[3]|0x20 == 'e' && v[4]|0x20 == 'r' {
		b = Upper
	}
	*o = wire.Some(b)
}

// writeBoundary appends a boundary type unless it is absent.
func writeBoundary(w *wire.FieldWriter, key string, o wire.Opt[BoundaryType]) {
	if o.Set {
		w.String(key, o.V.String())
	}
}
