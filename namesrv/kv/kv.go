// Package kv owns the KV configuration of a name server: texts by namespace and
// key, kept in one file (KVConfigManager). Readers see snapshots and never wait;
// every change is on the disk before it is seen. It starts nothing; its one lock
// is held while the file is written, and only changes take it.
package kv

import (
	"errors"
	"fmt"
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

// Store is the KV configuration. Its methods may be called from any goroutine.
type Store struct {
	files configfile.Files
	path  string

	writing sync.Mutex // one change at a time; held while the file is written
	current atomic.Pointer[table]
}

// Open reads the file, or its backup when the file is damaged; when there is
// neither the store is empty. Damage of both is an error: to start without the
// order topics would move messages to other queues.
func Open(files configfile.Files, path string) (*Store, error) {
	s := &Store{files: files, path: path}
	t := &table{}
	_, err := files.Load(path, func(data []byte) error {
		t = &table{}
		return body.Unmarshal(data, t)
	})
	if err != nil && !errors.Is(err, configfile.ErrNone) {
		return nil, fmt.Errorf("kv: %w", err)
	}
	if errors.Is(err, configfile.ErrNone) {
		t = &table{}
	}
	s.current.Store(t)
	return s, nil
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

// Put sets a value. It is on the disk when Put returns nil.
func (s *Store) Put(namespace, key, value string) error {
	return s.change(func(t *table) {
		ns := maps.Clone(t.ConfigTable[namespace])
		if ns == nil {
			ns = map[string]string{}
		}
		ns[strings.Clone(key)] = strings.Clone(value)
		t.ConfigTable[strings.Clone(namespace)] = ns
	})
}

// Delete removes a value; the namespace stays, perhaps empty.
func (s *Store) Delete(namespace, key string) error {
	return s.change(func(t *table) {
		if ns := t.ConfigTable[namespace]; ns != nil {
			ns = maps.Clone(ns)
			delete(ns, key)
			t.ConfigTable[namespace] = ns
		}
	})
}

func (s *Store) change(f func(*table)) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	next := &table{ConfigTable: maps.Clone(s.current.Load().ConfigTable)}
	if next.ConfigTable == nil {
		next.ConfigTable = map[string]map[string]string{}
	}
	f(next)
	data, err := body.Marshal(next)
	if err != nil {
		return fmt.Errorf("kv: %w", err)
	}
	if err := s.files.Save(s.path, data); err != nil {
		return fmt.Errorf("kv: %w", err)
	}
	s.current.Store(next)
	return nil
}
