package message

import (
	"bytes"
	"iter"
	"slices"

	"github.com/merlinmq/merlin/compat/javastr"
)

// The two separators of the property text: name 0x01 value 0x02.
const (
	nameValueSeparator = 0x01
	propertySeparator  = 0x02
)

// nextProperty cuts the first pair off the property text. Like the Java reader it
// leaves out pairs without a name, without a value or without a separator; ok is
// false at the end.
func nextProperty(props []byte) (name, value, rest []byte, ok bool) {
	for len(props) > 0 {
		pair := props
		if end := bytes.IndexByte(props, propertySeparator); end >= 0 {
			pair, props = props[:end], props[end+1:]
		} else {
			props = nil
		}
		if at := bytes.IndexByte(pair, nameValueSeparator); at > 0 && at < len(pair)-1 {
			return pair[:at], pair[at+1:], props, true
		}
	}
	return nil, nil, nil, false
}

// Each walks the pairs of a property text in their order, those that count for
// Java: pairs without a name or a value do not. Name and value alias props.
func Each(props []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for {
			name, value, rest, ok := nextProperty(props)
			if !ok || !yield(name, value) {
				return
			}
			props = rest
		}
	}
}

// Get finds a property in the property text. The value aliases props. Of two
// properties with the same name the last one counts, as in Java.
func Get(props []byte, name string) (string, bool) {
	var found []byte
	ok := false
	for {
		n, v, rest, more := nextProperty(props)
		if !more {
			return text(found), ok
		}
		if string(n) == name {
			found, ok = v, true
		}
		props = rest
	}
}

// AppendProperty appends one pair to a property text. A text that does not end
// with the separator gets one first.
func AppendProperty(dst []byte, name, value string) []byte {
	if n := len(dst); n > 0 && dst[n-1] != propertySeparator {
		dst = append(dst, propertySeparator)
	}
	dst = append(dst, name...)
	dst = append(dst, nameValueSeparator)
	dst = append(dst, value...)
	return append(dst, propertySeparator)
}

// Property is one pair of the property text.
type Property struct{ Name, Value string }

// Properties are the pairs of a property text in its order.
type Properties []Property

// ParseProperties reads a property text; the strings alias it. A name that comes
// twice keeps its first place and its last value.
func ParseProperties(props []byte) Properties {
	var ps Properties
	seen := map[string]int{}
	for {
		n, v, rest, ok := nextProperty(props)
		if !ok {
			return ps
		}
		if i, dup := seen[text(n)]; dup {
			ps[i].Value = text(v)
		} else {
			seen[text(n)] = len(ps)
			ps = append(ps, Property{Name: text(n), Value: text(v)})
		}
		props = rest
	}
}

// Get finds a property.
func (ps Properties) Get(name string) (string, bool) {
	for i := range ps {
		if ps[i].Name == name {
			return ps[i].Value, true
		}
	}
	return "", false
}

// Set replaces the value of a property, or adds it at the end.
func (ps *Properties) Set(name, value string) {
	for i := range *ps {
		if (*ps)[i].Name == name {
			(*ps)[i].Value = value
			return
		}
	}
	*ps = append(*ps, Property{Name: name, Value: value})
}

// Delete removes a property and reports whether it was there.
func (ps *Properties) Delete(name string) bool {
	n := len(*ps)
	*ps = slices.DeleteFunc(*ps, func(p Property) bool { return p.Name == name })
	return len(*ps) < n
}

// Append appends the property text to dst.
func (ps Properties) Append(dst []byte) []byte {
	for _, p := range ps {
		dst = append(dst, p.Name...)
		dst = append(dst, nameValueSeparator)
		dst = append(dst, p.Value...)
		dst = append(dst, propertySeparator)
	}
	return dst
}

// TagsHash is the consume queue's code of a tag: Java's String.hashCode, sign
// extended, and 0 without a tag.
func TagsHash(tag string) int64 { return int64(javastr.Hash(tag)) }
