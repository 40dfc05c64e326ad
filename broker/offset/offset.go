// Package offset keeps the consumer offsets of the groups (ConsumerOffsetManager):
// the committed offset, the last pull offset and a pending reset per topic,
// group and queue. It is persisted as config/consumerOffset.json in Java's form.
//
// It owns no goroutine; the broker calls Persist. Locks: Table.mu, then one per
// topic and group, leaves.
package offset

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/compat/fastjson"
	"github.com/merlinmq/merlin/protocol/body"
)

// separator stands between topic and group in the file and in admin answers.
const separator = "@"

// None is what a query gives for an unknown offset.
const None int64 = -1

// Options configure a Table.
type Options struct {
	Files configfile.Files
	Path  string // of consumerOffset.json
	// Logger is told when the file is damaged; nil means nobody is.
	Logger *slog.Logger
	// VersionStep is the number of commits that make a new data version
	// (consumerOffsetUpdateVersionStep), 0 means 500.
	VersionStep int64
	// Now is the clock in ms, for data versions.
	Now func() int64
}

// Key names the consumption of a topic by a group.
type Key struct{ Topic, Group string }

// Table holds all offsets.
type Table struct {
	opts    Options
	changes atomic.Int64
	saved   atomic.Int64

	mu      sync.RWMutex // guards entries and version
	entries map[Key]*entry
	version body.DataVersion
}

type entry struct {
	mu       sync.Mutex // guards the maps; a leaf
	commit   map[int32]int64
	pull     map[int32]int64
	reset    map[int32]int64
	hasReset atomic.Bool
}

// file is consumerOffset.json (ConsumerOffsetSerializeWrapper). groupTopicMap is
// written for people and not read.
type file struct {
	DataVersion   body.DataVersion           `json:"dataVersion"`
	GroupTopicMap map[string][]string        `json:"groupTopicMap"`
	OffsetTable   map[string]map[int32]int64 `json:"offsetTable"`
}

// Load reads the table from its file, or starts an empty one when there is none.
// A file that cannot be read is an error: going on would lose the offsets.
func Load(opts Options) (*Table, error) {
	if opts.VersionStep == 0 {
		opts.VersionStep = 500
	}
	t := &Table{opts: opts, entries: map[Key]*entry{}}
	var f file
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	damaged, err := configfile.LoadTable(opts.Files, opts.Path, "offsetTable", opts.Logger, func(data []byte) error {
		f = file{} // nothing stays of a damaged one
		return fastjson.Unmarshal(data, &f)
	}, func(name string, _ *map[int32]int64) bool { return strings.Contains(name, separator) })
	if errors.Is(err, configfile.ErrNone) {
		t.version.Timestamp = opts.Now()
		return t, nil
	}
	if err != nil {
		return nil, fmt.Errorf("offset: load: %w", err)
	}
	if damaged != nil {
		f.OffsetTable = damaged.On(f.OffsetTable)
		t.changes.Add(1) // the next write, a moment from now, replaces the file
	}
	t.version = f.DataVersion
	for name, queues := range f.OffsetTable {
		topic, group, ok := strings.Cut(name, separator)
		if !ok {
			return nil, fmt.Errorf("offset: load %s: key %q is not topic@group", opts.Path, name)
		}
		e := newEntry()
		maps.Copy(e.commit, queues)
		t.entries[Key{topic, group}] = e
	}
	return t, nil
}

func newEntry() *entry { return &entry{commit: map[int32]int64{}} }

// find gives the entry or nil; the strings may alias a frame.
func (t *Table) find(topic, group string) *entry {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.entries[Key{topic, group}]
}

func (t *Table) findOrMake(topic, group string) *entry {
	if e := t.find(topic, group); e != nil {
		return e
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.entries[Key{topic, group}]; e != nil {
		return e
	}
	e := newEntry()
	t.entries[Key{strings.Clone(topic), strings.Clone(group)}] = e
	return e
}

// Commit stores an offset; going backwards is allowed. It gives the offset that
// was there before, or None.
func (t *Table) Commit(topic, group string, queueID int32, offset int64) (before int64) {
	e := t.findOrMake(topic, group)
	e.mu.Lock()
	before, ok := e.commit[queueID]
	e.commit[queueID] = offset
	e.mu.Unlock()
	if !ok {
		before = None
	}
	if t.changes.Add(1)%t.opts.VersionStep == 0 {
		t.nextVersion()
	}
	return before
}

func (t *Table) nextVersion() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.version.Counter++
	t.version.Timestamp = t.opts.Now()
}

// Query gives the pending reset of the queue, else its committed offset, else
// None.
func (t *Table) Query(topic, group string, queueID int32) int64 {
	e := t.find(topic, group)
	if e == nil {
		return None
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if v, ok := e.reset[queueID]; ok {
		return v
	}
	if v, ok := e.commit[queueID]; ok {
		return v
	}
	return None
}

// CommitPull remembers how far the group has pulled (pullOffset of 208).
func (t *Table) CommitPull(topic, group string, queueID int32, offset int64) {
	e := t.findOrMake(topic, group)
	e.mu.Lock()
	if e.pull == nil {
		e.pull = map[int32]int64{}
	}
	e.pull[queueID] = offset
	e.mu.Unlock()
}

// QueryPull gives the pull offset, else what Query gives.
func (t *Table) QueryPull(topic, group string, queueID int32) int64 {
	if e := t.find(topic, group); e != nil {
		e.mu.Lock()
		v, ok := e.pull[queueID]
		e.mu.Unlock()
		if ok {
			return v
		}
	}
	return t.Query(topic, group, queueID)
}

// Queues gives a copy of the committed offsets of a topic and group, nil when
// there are none.
func (t *Table) Queues(topic, group string) map[int32]int64 {
	e := t.find(topic, group)
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.commit) == 0 {
		return nil
	}
	m := make(map[int32]int64, len(e.commit))
	for q, v := range e.commit {
		m[q] = v
	}
	return m
}

// AssignReset sets the offset of a queue now and makes the next pull of it
// answer with this offset (server-side reset). Commits are ignored until then.
func (t *Table) AssignReset(topic, group string, queueID int32, offset int64) {
	e := t.findOrMake(topic, group)
	e.mu.Lock()
	if e.reset == nil {
		e.reset = map[int32]int64{}
	}
	e.reset[queueID] = offset
	e.commit[queueID] = offset
	e.hasReset.Store(true)
	e.mu.Unlock()
	t.changes.Add(1)
}

// HasReset reports whether a reset of the queue waits for its pull.
func (t *Table) HasReset(topic, group string, queueID int32) bool {
	e := t.find(topic, group)
	if e == nil || !e.hasReset.Load() {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.reset[queueID]
	return ok
}

// TakeReset gives and forgets a pending reset.
func (t *Table) TakeReset(topic, group string, queueID int32) (offset int64, ok bool) {
	e := t.find(topic, group)
	if e == nil || !e.hasReset.Load() {
		return 0, false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	offset, ok = e.reset[queueID]
	delete(e.reset, queueID)
	if len(e.reset) == 0 {
		e.hasReset.Store(false)
	}
	return offset, ok
}

// ClearPull forgets the pull offsets of a topic and group.
func (t *Table) ClearPull(topic, group string) {
	if e := t.find(topic, group); e != nil {
		e.mu.Lock()
		e.pull = nil
		e.mu.Unlock()
	}
}

// TopicsOf lists the topics that a group has committed offsets for, sorted.
func (t *Table) TopicsOf(group string) []string {
	return t.names(func(k Key) (string, bool) { return k.Topic, k.Group == group })
}

// GroupsOf lists the groups that have committed offsets for a topic, sorted.
func (t *Table) GroupsOf(topic string) []string {
	return t.names(func(k Key) (string, bool) { return k.Group, k.Topic == topic })
}

// Groups lists the groups that have committed offsets, sorted.
func (t *Table) Groups() []string {
	return slices.Compact(t.names(func(k Key) (string, bool) { return k.Group, true }))
}

func (t *Table) names(pick func(Key) (string, bool)) []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var out []string
	for k, e := range t.entries {
		if name, ok := pick(k); ok && e.committed() {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}

func (e *entry) committed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.commit) > 0
}

// Clone copies the committed offsets of one group on a topic to another group;
// without offsets of the source it does nothing.
func (t *Table) Clone(srcGroup, destGroup, topic string) {
	from := t.Queues(topic, srcGroup)
	if from == nil {
		return
	}
	e := t.findOrMake(topic, destGroup)
	e.mu.Lock()
	e.commit = from
	e.mu.Unlock()
	t.changes.Add(1)
}

// RemoveGroup forgets all offsets of a group.
func (t *Table) RemoveGroup(group string) { t.remove(func(k Key) bool { return k.Group == group }) }

// RemoveTopic forgets all offsets of a topic.
func (t *Table) RemoveTopic(topic string) { t.remove(func(k Key) bool { return k.Topic == topic }) }

func (t *Table) remove(which func(Key) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range t.entries {
		if which(k) {
			delete(t.entries, k)
			t.changes.Add(1)
		}
	}
}

// Each calls f with a copy of every committed table, in no order.
func (t *Table) Each(f func(k Key, queues map[int32]int64)) {
	t.mu.RLock()
	keys := make([]Key, 0, len(t.entries))
	for k := range t.entries {
		keys = append(keys, k)
	}
	t.mu.RUnlock()
	for _, k := range keys {
		if m := t.Queues(k.Topic, k.Group); m != nil {
			f(k, m)
		}
	}
}

// Version is the data version.
func (t *Table) Version() body.DataVersion {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.version
}

// Persist writes the file when anything changed since it was last written. Two
// calls must not overlap.
func (t *Table) Persist() error {
	n := t.changes.Load()
	if n == t.saved.Load() {
		return nil
	}
	data, err := t.Encode()
	if err != nil {
		return fmt.Errorf("offset: encode %s: %w", t.opts.Path, err)
	}
	if err := t.opts.Files.Save(t.opts.Path, data); err != nil {
		return err
	}
	t.saved.Store(n)
	return nil
}

// Encode gives the table as consumerOffset.json has it, which is also the body of
// GET_ALL_CONSUMER_OFFSET (43).
func (t *Table) Encode() ([]byte, error) {
	f := file{
		DataVersion: t.Version(), GroupTopicMap: map[string][]string{}, OffsetTable: map[string]map[int32]int64{},
	}
	t.Each(func(k Key, queues map[int32]int64) {
		f.OffsetTable[k.Topic+separator+k.Group] = queues
		f.GroupTopicMap[k.Group] = append(f.GroupTopicMap[k.Group], k.Topic)
	})
	return fastjson.Append(nil, &f, fastjson.Pretty)
}
