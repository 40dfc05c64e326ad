package message

import (
	"strings"
)

// PropertyView is a property text that was read once, with changes on top: it finds
// and changes properties without reading the text again, and writes the changed text
// once. As long as nothing that stands in the text is changed, the text is written as
// it came, with what is new behind it. Else it is written as its pairs: those that do
// not count for Java go, and a name that comes twice keeps its first place and its
// last value.
//
// The strings alias the text and what was set: they must live until Append. The zero
// value is an empty text; Read uses it again, without new memory for a text with as
// many pairs. It is for one goroutine at a time.
type PropertyView struct {
	text  string
	pairs []pair
	set   []setProperty
	dirty bool // a pair of the text was replaced or removed
}

// pair is a property of the text: its name ends before sep, its value before end.
// name is -1 when it was removed.
type pair struct{ name, sep, end int32 }

// setProperty is a new property, or the new value of one that stands in the text.
type setProperty struct {
	Property
	replaces bool
}

// manyPairs is from where on names that come twice are found by a map.
const manyPairs = 32

// Read reads a text (below 2 GiB), in one pass, and forgets what was there before.
func (v *PropertyView) Read(text string) {
	v.text, v.pairs, v.set, v.dirty = text, v.pairs[:0], v.set[:0], false
	for at := 0; at < len(text); {
		end := strings.IndexByte(text[at:], propertySeparator)
		next := at + end + 1
		if end < 0 {
			end, next = len(text)-at, len(text)
		}
		if sep := strings.IndexByte(text[at:at+end], nameValueSeparator); sep > 0 && sep < end-1 {
			v.pairs = append(v.pairs, pair{int32(at), int32(at + sep), int32(at + end)})
		}
		at = next
	}
}

// Reset forgets the text and lets go of its memory; that of single odd texts, too.
func (v *PropertyView) Reset() {
	clear(v.set)
	v.Read("")
	if cap(v.pairs) > 1024 {
		v.pairs = nil
	}
}

// Len is the number of pairs that were read, removed ones included, for At.
func (v *PropertyView) Len() int { return len(v.pairs) }

// At gives the pair i as it was read.
func (v *PropertyView) At(i int) (name, value string) {
	p := v.pairs[i]
	if p.name < 0 {
		return "", ""
	}
	return v.text[p.name:p.sep], v.text[p.sep+1 : p.end]
}

// Get finds a property, with the changes so far.
func (v *PropertyView) Get(name string) (value string, ok bool) {
	for i := range v.set {
		if v.set[i].Name == name {
			return v.set[i].Value, true
		}
	}
	for i := len(v.pairs) - 1; i >= 0; i-- {
		if n, value := v.At(i); n == name {
			return value, true
		}
	}
	return "", false
}

// Set replaces the value of a property, or adds the property behind the others.
func (v *PropertyView) Set(name, value string) {
	for i := range v.set {
		if v.set[i].Name == name {
			v.set[i].Value = value
			return
		}
	}
	replaces := false
	for i := range v.pairs {
		if n, _ := v.At(i); n == name {
			replaces, v.dirty = true, true
			break
		}
	}
	v.set = append(v.set, setProperty{Property{name, value}, replaces})
}

// Add adds a property that is not there, which the caller knows.
func (v *PropertyView) Add(name, value string) {
	v.set = append(v.set, setProperty{Property: Property{name, value}})
}

// Delete removes a property.
func (v *PropertyView) Delete(name string) {
	for i := range v.pairs {
		if n, _ := v.At(i); n == name {
			v.pairs[i].name, v.dirty = -1, true
		}
	}
	for i := range v.set {
		if v.set[i].Name == name {
			v.set = append(v.set[:i], v.set[i+1:]...)
			return
		}
	}
}

// Append writes the text.
func (v *PropertyView) Append(dst []byte) []byte {
	if v.dirty {
		dst = v.appendPairs(dst)
	} else {
		dst = append(dst, v.text...)
		if n := len(v.text); n > 0 && v.text[n-1] != propertySeparator {
			dst = append(dst, propertySeparator)
		}
	}
	for i := range v.set {
		if s := &v.set[i]; !s.replaces {
			dst = appendPair(dst, s.Name, s.Value)
		}
	}
	return dst
}

// appendPairs writes the pairs of the text, each name once.
func (v *PropertyView) appendPairs(dst []byte) []byte {
	var last map[string]string // of many pairs, the value that counts; taken when written
	if len(v.pairs) > manyPairs {
		last = make(map[string]string, len(v.pairs))
		for i := range v.pairs {
			if name, value := v.At(i); name != "" {
				last[name] = value
			}
		}
	}
	for i := range v.pairs {
		name, value := v.At(i)
		if name == "" {
			continue
		}
		if last != nil {
			var ok bool
			if value, ok = last[name]; !ok {
				continue
			}
			delete(last, name)
		} else {
			var first bool
			if value, first = v.lastOf(i, name, value); !first {
				continue
			}
		}
		for j := range v.set {
			if s := &v.set[j]; s.replaces && s.Name == name {
				value = s.Value
			}
		}
		dst = appendPair(dst, name, value)
	}
	return dst
}

// lastOf gives the last value of a name, of which pair i is one; first says that no
// pair before it has the name.
func (v *PropertyView) lastOf(i int, name, value string) (last string, first bool) {
	for j := range v.pairs {
		if j == i {
			continue
		}
		if n, other := v.At(j); n == name {
			if j < i {
				return "", false
			}
			value = other
		}
	}
	return value, true
}

func appendPair(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, nameValueSeparator)
	dst = append(dst, value...)
	return append(dst, propertySeparator)
}
