package calls

import (
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// errJSON says that a body is not JSON in any dialect.
var errJSON = errors.New("not JSON")

// reader reads JSON as fastjson writes it: keys may be numbers or whole objects.
type reader struct {
	s    string
	at   int
	bare bool // a key was not a string
}

// readJSON returns the value (nil, bool, json.Number, string, []any or
// map[string]any) and whether standard readers could have read it. Keys that
// are objects become their canonical text.
func readJSON(b []byte) (v any, standard bool, err error) {
	r := &reader{s: string(b)}
	v, err = r.value()
	r.space()
	if err == nil && r.at != len(r.s) {
		err = errJSON
	}
	return v, !r.bare, err
}

func (r *reader) space() {
	for r.at < len(r.s) && strings.IndexByte(" \t\r\n", r.s[r.at]) >= 0 {
		r.at++
	}
}

func (r *reader) take(c byte) bool {
	r.space()
	if r.at < len(r.s) && r.s[r.at] == c {
		r.at++
		return true
	}
	return false
}

func (r *reader) value() (any, error) {
	r.space()
	if r.at == len(r.s) {
		return nil, errJSON
	}
	switch r.s[r.at] {
	case '{':
		return r.object()
	case '[':
		return r.array()
	case '"':
		return r.text()
	}
	end := r.at
	for end < len(r.s) && strings.IndexByte(",:]} \t\r\n", r.s[end]) < 0 {
		end++
	}
	word := r.s[r.at:end]
	r.at = end
	switch word {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "null":
		return nil, nil
	}
	if _, err := strconv.ParseFloat(word, 64); err != nil {
		return nil, errJSON
	}
	return json.Number(word), nil
}

func (r *reader) text() (any, error) {
	end := r.at + 1
	for end < len(r.s) && r.s[end] != '"' {
		if r.s[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(r.s) {
		return nil, errJSON
	}
	var s string
	err := json.Unmarshal([]byte(r.s[r.at:end+1]), &s)
	if err != nil {
		return nil, errJSON
	}
	r.at = end + 1
	return s, nil
}

func (r *reader) array() (any, error) {
	r.at++
	list := []any{}
	if r.take(']') {
		return list, nil
	}
	for {
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if r.take(']') {
			return list, nil
		}
		if !r.take(',') {
			return nil, errJSON
		}
	}
}

func (r *reader) object() (any, error) {
	r.at++
	m := map[string]any{}
	if r.take('}') {
		return m, nil
	}
	for {
		k, err := r.value()
		if err != nil {
			return nil, err
		}
		key, ok := k.(string)
		if !ok {
			r.bare = true
			key = canonical(k)
		}
		if !r.take(':') {
			return nil, errJSON
		}
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		m[key] = v
		if r.take('}') {
			return m, nil
		}
		if !r.take(',') {
			return nil, errJSON
		}
	}
}

// canonical writes a value on one line with sorted keys.
func canonical(v any) string {
	switch v := v.(type) {
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		parts := make([]string, 0, len(v))
		for _, k := range keys {
			parts = append(parts, k+":"+canonical(v[k]))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case []any:
		parts := make([]string, 0, len(v))
		for _, e := range v {
			parts = append(parts, canonical(e))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case string:
		return strconv.Quote(v)
	case nil:
		return "null"
	default:
		return fmt.Sprint(v)
	}
}
