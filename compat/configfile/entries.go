package configfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"

	"github.com/merlinmq/merlin/compat/fastjson"
)

// Room that a full write leaves for entries to come: half of the file, so that a
// table that grows is written in full ever more seldom.
const (
	leastRoom = 16 << 10
	mostRoom  = 4 << 20
)

// EntriesOptions configure Entries.
type EntriesOptions struct {
	Files Files
	Path  string
	Field string // the member that is the table, e.g. topicConfigTable
	Log   *slog.Logger
	// First reports whether an entry hardly ever goes: such entries are written
	// before the others.
	First func(name string) bool
	// Default is the value that a reader, Java's too, gives an entry that names
	// none of its fields: a long entry leaves out what it has in common with that.
	Default func() any
}

// Entries writes what has changed of a table of named values into its file, in
// place where it can (Table). It has in memory what the entries look like in the
// file. It is used by one goroutine at a time, e.g. by the function of a Saver.
type Entries struct {
	opts  EntriesOptions
	table *Table
	known map[string][]byte // members of the table
	base  map[string]json.RawMessage
}

// NewEntries makes Entries that know nothing of what the file has: the first write
// replaces it.
func NewEntries(o EntriesOptions) *Entries {
	e := &Entries{opts: o}
	e.Forget()
	return e
}

// Forget says that somebody else has written the file.
func (e *Entries) Forget() {
	e.table, e.known = NewTable(e.opts.Files, e.opts.Path, e.opts.Field), map[string][]byte{}
}

// Write makes changes durable. head are the members before the table that are new in
// each write, fixed gives those that seldom change (nil = none); anew says that the file
// must be replaced because these have. changed gives
// the entries that changed, a nil value for those that are gone, each name once, and
// all gives every entry there is.
func (e *Entries) Write(head []byte, fixed func() ([]byte, error), anew bool, changed, all iter.Seq2[string, any]) error {
	var added []Entry
	var gone []string
	for name, v := range changed {
		if v == nil {
			delete(e.known, name)
			gone = append(gone, name)
			continue
		}
		text, err := e.text(name, v)
		if err != nil {
			return err
		}
		e.known[name] = text
		added = append(added, Entry{name, text})
	}
	if !anew {
		err := e.table.Change(head, added, gone)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrNoRoom) {
			e.opts.Log.Warn("a file is not changed in place, it is written anew", "file", e.opts.Path, "err", err)
		}
	}
	size := 0
	for name, v := range all {
		text, ok := e.known[name]
		if !ok {
			var err error
			if text, err = e.text(name, v); err != nil {
				return err
			}
			e.known[name] = text
		}
		size += len(text)
	}
	var rest []byte
	if fixed != nil {
		var err error
		if rest, err = fixed(); err != nil {
			return err
		}
	}
	return e.table.Replace(head, rest, e.inOrder(), min(max(size/2, leastRoom), mostRoom))
}

// inOrder gives the known entries, those that stay first.
func (e *Entries) inOrder() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		names := slices.Sorted(maps.Keys(e.known))
		for _, first := range []bool{true, false} {
			for _, name := range names {
				if e.opts.First(name) == first && !yield(Entry{name, e.known[name]}) {
					return
				}
			}
		}
	}
}

// text is the longest form of an entry that can be changed in place: as Java writes
// it, without its white space, or without what a reader would put there itself.
func (e *Entries) text(name string, v any) ([]byte, error) {
	pretty, err := Member(name, v, 2)
	if err != nil || Fits(pretty) {
		return pretty, err
	}
	long, err := fastjson.Append(nil, v, fastjson.Compact)
	if err != nil {
		return nil, fmt.Errorf("configfile: encode %s of %s: %w", name, e.opts.Path, err)
	}
	key := append(fastjson.AppendString(nil, name), ':')
	if compact := append(bytes.Clone(key), long...); Fits(compact) {
		return compact, nil
	}
	if short, err := json.Marshal(e.special(long)); err == nil && len(short) > 2 {
		if text := append(key, short...); Fits(text) {
			return text, nil
		}
	}
	return pretty, nil
}

// special gives the fields of an encoded value that differ from the default.
func (e *Entries) special(value []byte) map[string]json.RawMessage {
	if e.base == nil {
		b, err := fastjson.Append(nil, e.opts.Default(), fastjson.Compact)
		if err != nil || json.Unmarshal(b, &e.base) != nil {
			return nil
		}
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(value, &fields) != nil {
		return nil
	}
	for k := range e.base {
		if _, there := fields[k]; !there {
			return nil // it is null here and not by default, which only a long form can say
		}
	}
	maps.DeleteFunc(fields, func(k string, v json.RawMessage) bool { return bytes.Equal(e.base[k], v) })
	return fields
}

// Member is a member of a JSON object, in fastjson's pretty form at a depth of 1 to 3.
func Member(name string, v any, depth int) ([]byte, error) {
	object, err := fastjson.Append(nil, map[string]any{name: v}, fastjson.Pretty)
	if err != nil {
		return nil, fmt.Errorf("configfile: encode %s: %w", name, err)
	}
	m := bytes.TrimSuffix(bytes.TrimPrefix(object, []byte("{\n\t")), []byte("\n}"))
	return bytes.ReplaceAll(m, []byte("\n"), []byte("\n"+"\t\t\t"[:depth-1])), nil
}
