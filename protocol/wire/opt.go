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

// The Read… functions store the text of an extFields entry in a field, as Java's
// reflective header reader does: a badly formatted number is passed over, the
// field keeps its default.

// ReadString stores a text.
func ReadString(o *OptString, v string) { *o = Some(v) }

// ReadInt32 stores an Integer.
func ReadInt32(o *Opt[int32], v string) {
	if n, err := ParseInt32(v); err == nil {
		*o = Some(n)
	}
}

// ReadInt64 stores a Long.
func ReadInt64(o *Opt[int64], v string) {
	if n, err := ParseInt64(v); err == nil {
		*o = Some(n)
	}
}

// ReadBool stores a Boolean.
func ReadBool(o *Opt[bool], v string) { *o = Some(ParseBool(v)) }

// ReadInt stores an int.
func ReadInt(p *int32, v string) {
	if n, err := ParseInt32(v); err == nil {
		*p = n
	}
}

// ReadLong stores a long.
func ReadLong(p *int64, v string) {
	if n, err := ParseInt64(v); err == nil {
		*p = n
	}
}

// MustInt32 is ReadInt32 for the header classes with a hand-written codec, where a
// badly formatted number fails the request (a *NumberError).
func MustInt32(o *Opt[int32], v string) error {
	n, err := ParseInt32(v)
	if err == nil {
		*o = Some(n)
	}
	return err
}

// MustInt64 is ReadInt64 for the header classes with a hand-written codec.
func MustInt64(o *Opt[int64], v string) error {
	n, err := ParseInt64(v)
	if err == nil {
		*o = Some(n)
	}
	return err
}

// OptString appends an entry unless the field is absent.
func (w *FieldWriter) OptString(key string, o OptString) {
	if o.Set {
		w.String(key, o.V)
	}
}

// OptInt32 appends an entry unless the field is absent.
func (w *FieldWriter) OptInt32(key string, o Opt[int32]) {
	if o.Set {
		w.Int64(key, int64(o.V))
	}
}

// OptInt64 appends an entry unless the field is absent.
func (w *FieldWriter) OptInt64(key string, o Opt[int64]) {
	if o.Set {
		w.Int64(key, o.V)
	}
}

// OptBool appends an entry unless the field is absent.
func (w *FieldWriter) OptBool(key string, o Opt[bool]) {
	if o.Set {
		w.Bool(key, o.V)
	}
}
