package topic

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/compat/fastjson"
	"github.com/merlinmq/merlin/protocol/body"
)

// Room that a full write leaves for topics to come: half of the file, so that a
// table that grows is written in full ever more seldom.
const (
	leastRoom = 16 << 10
	mostRoom  = 4 << 20
)

// disk is what writing topics.json in parts needs. It belongs to the function of
// the Saver.
type disk struct {
	table *configfile.Table
	known map[string][]byte // topics as members of the table
}

func newDisk(files configfile.Files, path string) *disk {
	return &disk{table: configfile.NewTable(files, path, "topicConfigTable"), known: map[string][]byte{}}
}

// settle returns when all topics stand in the file as they are now.
func (t *Table) settle() error {
	if err := t.saver.Save(); err != nil {
		return fmt.Errorf("topic: %w", err)
	}
	return nil
}

// Persist writes the file in full, in the form that Java writes; the broker calls
// it when it stops.
func (t *Table) Persist() error {
	t.mu.Lock()
	t.whole = true
	t.mu.Unlock()
	return t.settle()
}

// write is the function of the Saver: it writes what has changed since it was
// called last.
func (t *Table) write() error {
	t.mu.Lock()
	changed, whole, version := t.dirty, t.whole, t.version
	t.dirty, t.whole = map[string]bool{}, false
	t.mu.Unlock()
	if len(changed) == 0 && !whole {
		return nil // another write has taken it along
	}
	var err error
	if whole {
		err = t.writeAll(version)
	} else {
		err = t.writeChanged(changed, version)
	}
	if err != nil {
		t.mu.Lock()
		for name := range changed {
			t.dirty[name] = true
		}
		t.mu.Unlock()
	}
	return err
}

// writeAll writes the file as Java does, byte for byte.
func (t *Table) writeAll(version body.DataVersion) error {
	f := file{DataVersion: version, TopicConfigTable: map[string]body.TopicConfig{}}
	t.topics.Range(func(name, c any) bool {
		f.TopicConfigTable[name.(string)] = *c.(*body.TopicConfig)
		return true
	})
	t.disk = newDisk(t.opts.Files, t.opts.Path) // nothing can be added to that
	return configfile.SaveJSON(t.opts.Files, t.opts.Path, &f)
}

// writeChanged adds topics to the file, or replaces it when one is gone, and when
// there is no room.
func (t *Table) writeChanged(changed map[string]bool, version body.DataVersion) error {
	d := t.disk
	head, err := member("dataVersion", version, 1)
	if err != nil {
		return err
	}
	var added [][]byte
	gone := false
	for _, name := range slices.Sorted(maps.Keys(changed)) {
		c := t.Find(name)
		if c == nil {
			delete(d.known, name)
			gone = true
			continue
		}
		m, err := member(name, *c, 2)
		if err != nil {
			return err
		}
		d.known[name] = m
		added = append(added, m)
	}
	if !gone {
		err := d.table.Add(head, added)
		if err == nil {
			return nil
		}
		if !errors.Is(err, configfile.ErrNoRoom) {
			t.opts.Logger.Warn("topics not added to their file, it is written anew", "err", err)
		}
	}
	size := 0
	var failed error
	t.topics.Range(func(name, c any) bool {
		m, ok := d.known[name.(string)]
		if !ok {
			if m, failed = member(name.(string), *c.(*body.TopicConfig), 2); failed != nil {
				return false
			}
			d.known[name.(string)] = m
		}
		size += len(m)
		return true
	})
	if failed != nil {
		return failed
	}
	names := slices.Sorted(maps.Keys(d.known))
	return d.table.Replace(head, func(yield func([]byte) bool) {
		for _, name := range names {
			if !yield(d.known[name]) {
				return
			}
		}
	}, min(max(size/2, leastRoom), mostRoom))
}

// member is a member of a JSON object, in the pretty form at a depth.
func member(name string, v any, depth int) ([]byte, error) {
	object, err := fastjson.Append(nil, map[string]any{name: v}, fastjson.Pretty)
	if err != nil {
		return nil, err
	}
	m := bytes.TrimSuffix(bytes.TrimPrefix(object, []byte("{\n\t")), []byte("\n}"))
	return bytes.ReplaceAll(m, []byte("\n"), []byte("\n"+"\t\t\t"[:depth-1])), nil
}
