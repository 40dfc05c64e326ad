// Package kv owns the KV configuration of a name server: texts by namespace and
// key, kept in one file (KVConfigManager). Readers see snapshots and never wait;
// every change is on the disk before it is seen. It starts nothing. Whoever changes
// something writes the file, one at a time (configfile.Saver), and changes that come
// together share a write. Lock: Store.mu, a leaf.
package kv

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/protocol/body"
)

// OrderTopics is the namespace of the order topic configurations
// (NAMESPACE_ORDER_TOPIC_CONFIG).
const OrderTopics = "ORDER_TOPIC_CONFIG"

// table is the content of the file (KVConfigSerializeWrapper).
type table struct {
	ConfigTable map[string]map[string]string `json:"configTable" java:"nonnil"`
}

// maxBytes bounds the keys and values of all namespaces: every change writes all of
// them.
const maxBytes = 16 << 20

// ErrFull refuses a value because the table is as large as it may be.
var ErrFull = errors.New("kv: the table is full")

// snapshot is the table at one time.
type snapshot struct {
	table
	bytes int                             // of namespaces, keys and values
	order func() (body []byte, err error) // of OrderTopics, encoded at its first use
}

// change is one Put, or Delete when value is nil.
type change struct {
	namespace, key string
	value          *string
}

// Store is the KV configuration. Its methods may be called from any goroutine.
type Store struct {
	files   configfile.Files
	path    string
	saver   *configfile.Saver
	current atomic.Pointer[snapshot]

	mu      sync.Mutex // guards waiting; a leaf
	waiting []waiter   // changes that no write has begun with
}

// waiter is a change with the place of its error, which is set when it is refused.
type waiter struct {
	change
	refused *error
}

// Open reads the file, or its backup when the file is damaged; when there is
// neither the store is empty. Damage of both is an error: to start without the
// order topics would move messages to other queues. log, which may be nil, is told
// when the backup is used.
func Open(files configfile.Files, path string, log *slog.Logger) (*Store, error) {
	s := &Store{files: files, path: path}
	s.saver = configfile.NewSaver(s.write)
	t := &table{}
	_, err := files.Load(path, func(data []byte) error {
		t = &table{}
		return body.Unmarshal(data, t)
	}, configfile.Told(log, path))
	if err != nil && !errors.Is(err, configfile.ErrNone) {
		return nil, fmt.Errorf("kv: %w", err)
	}
	if errors.Is(err, configfile.ErrNone) {
		t = &table{}
	}
	s.current.Store(newSnapshot(t.ConfigTable))
	return s, nil
}

func newSnapshot(t map[string]map[string]string) *snapshot {
	n := &snapshot{table: table{ConfigTable: t}}
	for namespace, values := range t {
		n.bytes += len(namespace)
		for k, v := range values {
			n.bytes += len(k) + len(v)
		}
	}
	n.order = sync.OnceValues(func() ([]byte, error) {
		values, ok := t[OrderTopics]
		if !ok {
			return nil, nil
		}
		return body.Marshal(&body.KVTable{Table: values})
	})
	return n
}

// Get finds a value.
func (s *Store) Get(namespace, key string) (string, bool) {
	v, ok := s.current.Load().ConfigTable[namespace][key]
	return v, ok
}

// List gives the keys and values of a namespace, which must not be changed; nil
// when the namespace was never used.
func (s *Store) List(namespace string) map[string]string {
	return s.current.Load().ConfigTable[namespace]
}

// Orders gives the values of OrderTopics as the body of a registration's answer,
// nil when the namespace was never used. The caller must not change it.
func (s *Store) Orders() ([]byte, error) { return s.current.Load().order() }

// Put sets a value. It is on the disk when Put returns nil. ErrFull when the table
// may not grow any more.
func (s *Store) Put(namespace, key, value string) error {
	value = strings.Clone(value)
	return s.change(change{strings.Clone(namespace), strings.Clone(key), &value})
}

// Delete removes a value; the namespace stays, perhaps empty.
func (s *Store) Delete(namespace, key string) error {
	return s.change(change{strings.Clone(namespace), strings.Clone(key), nil})
}

func (s *Store) change(c change) error {
	var refused error
	s.mu.Lock()
	s.waiting = append(s.waiting, waiter{c, &refused})
	s.mu.Unlock()
	if err := s.saver.Save(); err != nil {
		return fmt.Errorf("kv: %w", err)
	}
	return refused
}

// write is the function of the Saver: it makes the changes that wait durable, and
// then seen. When it fails they are forgotten, and each is told: its own Save may
// be that of the next write.
func (s *Store) write() error {
	s.mu.Lock()
	waiting := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	err := s.apply(waiting)
	for _, w := range waiting {
		if err != nil {
			*w.refused = fmt.Errorf("kv: %w", err)
		}
	}
	return err
}

func (s *Store) apply(waiting []waiter) error {
	old := s.current.Load()
	b := builder{table: maps.Clone(old.ConfigTable), own: map[string]bool{}, bytes: old.bytes}
	if b.table == nil {
		b.table = map[string]map[string]string{}
	}
	changed := false
	for _, w := range waiting {
		did, err := b.apply(w.change)
		*w.refused = err
		changed = changed || did
	}
	if !changed {
		return nil
	}
	next := newSnapshot(b.table)
	data, err := body.Marshal(&next.table)
	if err != nil {
		return err
	}
	if err := s.files.Save(s.path, data); err != nil {
		return err
	}
	s.current.Store(next)
	return nil
}

// builder changes a copy of a table; namespaces are copied at their first change.
type builder struct {
	table map[string]map[string]string
	own   map[string]bool
	bytes int
}

// apply reports whether the table is another one now.
func (b *builder) apply(c change) (bool, error) {
	values, ok := b.table[c.namespace]
	old, had := values[c.key]
	if c.value == nil && !had || c.value != nil && had && old == *c.value {
		return false, nil
	}
	grow := -len(c.key) - len(old)
	if c.value != nil {
		grow = len(*c.value) - len(old)
		if !had {
			grow += len(c.key)
		}
		if !ok {
			grow += len(c.namespace)
		}
	}
	if grow > 0 && b.bytes+grow > maxBytes {
		return false, fmt.Errorf("%w: more than %d bytes", ErrFull, maxBytes)
	}
	b.bytes += grow
	if !b.own[c.namespace] {
		if values = maps.Clone(values); values == nil {
			values = map[string]string{}
		}
		b.table[c.namespace], b.own[c.namespace] = values, true
	}
	if c.value == nil {
		delete(values, c.key)
	} else {
		values[c.key] = *c.value
	}
	return true, nil
}
