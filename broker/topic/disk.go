package topic

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/protocol/body"
)

// newDisk makes what writes topics.json in parts; it belongs to the function of the
// Saver.
func (t *Table) newDisk() *configfile.Entries {
	return configfile.NewEntries(configfile.EntriesOptions{
		Files: t.opts.Files, Path: t.opts.Path, Field: "topicConfigTable", Log: t.opts.Logger,
		First:   func(name string) bool { return name == SelfTest },
		Default: func() any { return body.NewTopicConfig("") },
	})
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
		t.whole = t.whole || whole
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
	t.disk.Forget() // nothing can be added to that
	return configfile.SaveJSON(t.opts.Files, t.opts.Path, &f)
}

// writeChanged changes topics in the file, or replaces it when there is no room.
func (t *Table) writeChanged(changed map[string]bool, version body.DataVersion) error {
	head, err := configfile.Member("dataVersion", version, 1)
	if err != nil {
		return err
	}
	return t.disk.Write(head, nil, false, t.these(changed), func(yield func(string, any) bool) {
		t.topics.Range(func(name, c any) bool { return yield(name.(string), *c.(*body.TopicConfig)) })
	})
}

// these gives topics as they are now, nil for those that are gone.
func (t *Table) these(names map[string]bool) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for _, name := range slices.Sorted(maps.Keys(names)) {
			var v any
			if c := t.Find(name); c != nil {
				v = *c
			}
			if !yield(name, v) {
				return
			}
		}
	}
}
