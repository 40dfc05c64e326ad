package group

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/protocol/body"
)

// newDisk makes what writes subscriptionGroup.json in parts; it belongs to the
// function of the Saver.
func (t *Table) newDisk() *configfile.Entries {
	return configfile.NewEntries(configfile.EntriesOptions{
		Files: t.opts.Files, Path: t.opts.Path, Field: "subscriptionGroupTable", Log: t.opts.Logger,
		First: Builtin, Default: func() any { return body.NewSubscriptionGroupConfig("") },
	})
}

// save returns when the file has everything that was changed before.
func (t *Table) save() error {
	if err := t.saver.Save(); err != nil {
		return fmt.Errorf("group: %w", err)
	}
	return nil
}

// Persist writes the file in full, in the form that Java writes; the broker calls it
// when it stops.
func (t *Table) Persist() error {
	t.mu.Lock()
	t.whole = true
	t.mu.Unlock()
	return t.save()
}

// write is the function of the Saver: it writes what has changed since it was called
// last.
func (t *Table) write() error {
	t.mu.Lock()
	changed, anew, whole, version := t.dirty, t.anew, t.whole, t.version
	t.dirty, t.anew, t.whole = map[string]bool{}, false, false
	t.mu.Unlock()
	if len(changed) == 0 && !anew && !whole {
		return nil // another write has taken it along
	}
	var err error
	if whole {
		err = t.writeAll()
	} else {
		err = t.writeChanged(changed, anew, version)
	}
	if err != nil {
		t.mu.Lock()
		for name := range changed {
			t.dirty[name] = true
		}
		t.anew, t.whole = t.anew || anew, t.whole || whole
		t.mu.Unlock()
	}
	return err
}

// writeAll writes the file as Java does, byte for byte.
func (t *Table) writeAll() error {
	all, version := t.All()
	f := file{DataVersion: version, ForbiddenTable: t.ForbiddenTable(),
		SubscriptionGroupTable: make(map[string]body.SubscriptionGroupConfig, len(all))}
	for _, c := range all {
		f.SubscriptionGroupTable[c.GroupName] = *c
	}
	t.disk.Forget() // nothing can be added to that
	return configfile.SaveJSON(t.opts.Files, t.opts.Path, &f)
}

// writeChanged changes groups in the file, or replaces it when there is no room or
// the forbidden bits, which stand before the groups, are others.
func (t *Table) writeChanged(changed map[string]bool, anew bool, version body.DataVersion) error {
	head, err := configfile.Member("dataVersion", version, 1)
	if err != nil {
		return err
	}
	fixed := func() ([]byte, error) { return configfile.Member("forbiddenTable", t.ForbiddenTable(), 1) }
	return t.disk.Write(head, fixed, anew, t.these(changed), func(yield func(string, any) bool) {
		t.groups.Range(func(name, c any) bool { return yield(name.(string), *c.(*body.SubscriptionGroupConfig)) })
	})
}

// these gives groups as they are now, nil for those that are gone.
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
