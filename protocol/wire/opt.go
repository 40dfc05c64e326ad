package wire

// Opt is a header field that may be absent: a boxed Java type or a String that
// may be null. The zero Opt is absent.
type Opt[T any] struct {
	V   T    // the value, the zero value when absent
	Set bool // the field is there
}

// OptString is a String field that may be null.
type OptString = Opt[string]

// Some returns a field that is there.
func Some[T any](v T) Opt[T] { return Opt[T]{V: v, Set: true} }

// Or returns the value, or def when the field is absent.
func (o Opt[T]) Or(def T) T {
	if o.Set {
		return o.V
	}
	return def
}
