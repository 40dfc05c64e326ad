package fastjson

import (
	"reflect"
	"slices"
	"strings"

	"github.com/merlinmq/merlin/compat/javastr"
)

// entry is one pair of a map on its way out.
type entry struct {
	key, value reflect.Value
	place      uint32 // in Java's hash table
}

// entries returns the pairs of a map in the order in which Java writes them: by
// key for a TreeMap and in the standard form, otherwise by place in a hash table
// of the size that a map of so many pairs has. Keys that share a place follow each
// other by their own order; Java has them in the order they came.
func entries(m reflect.Value, sorted bool, table int) []entry {
	es := make([]entry, 0, m.Len())
	if table == 0 {
		table = 16
	}
	for m.Len() > table/4*3 {
		table *= 2
	}
	for it := m.MapRange(); it.Next(); {
		e := entry{key: it.Key(), value: it.Value()}
		if !sorted {
			h := hash(e.key)
			e.place = (h ^ h>>16) & uint32(table-1)
		}
		es = append(es, e)
	}
	slices.SortFunc(es, func(a, b entry) int {
		if a.place != b.place {
			return int(a.place) - int(b.place)
		}
		return compareKeys(a.key, b.key)
	})
	return es
}

// hash is Java's hashCode of a key.
func hash(k reflect.Value) uint32 {
	switch k.Kind() {
	case reflect.String:
		return uint32(javastr.Hash(k.String()))
	case reflect.Int64:
		return uint32(k.Int() ^ int64(uint64(k.Int())>>32))
	case reflect.Int32:
		return uint32(k.Int())
	}
	if h, ok := k.Interface().(Hasher); ok {
		return uint32(h.HashCode())
	}
	return 0
}

// compareKeys orders keys as a TreeMap does: strings by UTF-16 units, numbers by
// value, objects by the order of their type.
func compareKeys(a, b reflect.Value) int {
	switch a.Kind() {
	case reflect.String:
		return compareUTF16(a.String(), b.String())
	case reflect.Int32, reflect.Int64:
		switch {
		case a.Int() < b.Int():
			return -1
		case a.Int() > b.Int():
			return 1
		}
		return 0
	}
	if c, ok := a.Interface().(interface{ CompareKey(other any) int }); ok {
		return c.CompareKey(b.Interface())
	}
	return 0
}

// compareUTF16 differs from the order of the bytes only where one string has a
// character above U+FFFF, which sorts as a surrogate, below U+E000.
func compareUTF16(a, b string) int {
	ra, rb := []rune(a), []rune(b)
	for i := 0; i < len(ra) && i < len(rb); i++ {
		if x, y := unit(ra[i]), unit(rb[i]); x != y {
			return int(x) - int(y)
		}
		if ra[i] != rb[i] {
			return int(ra[i]) - int(rb[i])
		}
	}
	return strings.Compare(a, b)
}

func unit(r rune) rune {
	if r >= 0x10000 {
		return 0xD800 + (r-0x10000)>>10
	}
	return r
}

// Keys returns the keys of a map in the order in which Java hands them out.
func Keys[K comparable, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for _, e := range entries(reflect.ValueOf(m), false, 0) {
		keys = append(keys, e.key.Interface().(K))
	}
	return keys
}
