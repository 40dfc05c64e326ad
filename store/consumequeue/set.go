package consumequeue

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/merlinmq/merlin/store/vfs"
)

// Options of Open.
type Options struct {
	FS       vfs.FS
	Dir      string // …/consumequeue
	FileSize int64  // bytes, a multiple of EntrySize
	// WrittenSize is the FileSize that the files were written with, 0 when that is
	// not known.
	WrittenSize int64
	MaxOpen     int // files kept open
	Logger      *slog.Logger
}

// Set is all the consume queues of a store.
type Set struct {
	o     Options
	files *files
	// blocks are what readers that are behind have read last.
	blocks blocks
	// dirty are, from head on, the queues with entries in memory only, in the
	// order in which they came; dispatcher.
	dirty []*Queue
	head  int
	// Marked says that queues which were deleted have a mark as a rule, so that a single
	// offset 0 is more likely damaged than the beginning of another life: Replay.
	Marked bool
	// doubting are the queues in which a message waits; Replay and Settle.
	doubting []*Queue
	// whole counts the files of the right size, odd is the first that is shorter
	// and not empty; Open.
	whole int
	odd   *SizeError

	mu     sync.RWMutex
	topics map[string]map[int32]*Queue
	serial uint32 // of the newest queue
}

// Open finds the queues of a directory. They are not readable before Recover.
func Open(o Options) (*Set, error) {
	s := &Set{o: o, files: newFiles(o.FS, o.MaxOpen), topics: map[string]map[int32]*Queue{}}
	if o.FileSize <= 0 || o.FileSize%EntrySize != 0 {
		return nil, fmt.Errorf("consumequeue: file size %d is no multiple of %d", o.FileSize, EntrySize)
	}
	if err := o.FS.MkdirAll(o.Dir); err != nil {
		return nil, fmt.Errorf("consumequeue: %w", err)
	}
	topics, err := o.FS.ReadDir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("consumequeue: %w", err)
	}
	for _, t := range topics {
		if !t.Dir {
			continue
		}
		ids, err := o.FS.ReadDir(filepath.Join(o.Dir, t.Name))
		if err != nil {
			return nil, fmt.Errorf("consumequeue: %w", err)
		}
		for _, id := range ids {
			n, err := strconv.ParseInt(id.Name, 10, 32)
			if err != nil || !id.Dir {
				continue
			}
			q := s.FindOrCreate(t.Name, int32(n))
			es, err := o.FS.ReadDir(q.dir)
			if err != nil {
				return nil, fmt.Errorf("consumequeue: %w", err)
			}
			if err := q.list(es); err != nil {
				return nil, err
			}
		}
	}
	return s, s.checkShort()
}

// Recover finds the end of every queue and gives the furthest place in the log
// that they know.
func (s *Set) Recover(clean bool) (int64, error) {
	maxPhy := int64(0)
	scan := new(tailScan)
	err := s.Each(func(q *Queue) error {
		err := q.recover(clean, scan)
		maxPhy = max(maxPhy, q.maxPhy)
		return err
	})
	return maxPhy, err
}

// Truncate removes the entries beyond the end of the log.
func (s *Set) Truncate(logEnd int64) error {
	return s.Each(func(q *Queue) error { return q.truncate(logEnd) })
}

// CorrectMin moves the minimum of one queue to the start of the log and deletes
// files that have nothing left. REQUIRES: the dispatcher.
func (s *Set) CorrectMin(q *Queue, minPhy int64) error { return q.correctMin(minPhy) }

// ValidTopic says whether a topic can have a directory.
func ValidTopic(topic string) bool {
	if topic == "" || topic == "." || topic == ".." || len(topic) > 255 {
		return false
	}
	for i := range len(topic) {
		if c := topic[i]; c == '/' || c == '\\' || c == 0 {
			return false
		}
	}
	return true
}

// Find gives a queue or nil.
func (s *Set) Find(topic string, id int32) *Queue {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.topics[topic][id]
}

// FindOrCreate gives a queue, a new and empty one when there is none. The topic
// is a ValidTopic; it is copied.
func (s *Set) FindOrCreate(topic string, id int32) *Queue {
	if q := s.Find(topic, id); q != nil {
		return q
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	qs := s.topics[topic]
	if qs == nil {
		qs = map[int32]*Queue{}
		s.topics[strings.Clone(topic)] = qs
	}
	q := qs[id]
	if q == nil {
		name := strings.Clone(topic)
		s.serial++
		q = &Queue{Topic: name, ID: id, set: s, serial: s.serial, short: -1, dir: filepath.Join(s.o.Dir, name, strconv.Itoa(int(id)))}
		qs[id] = q
	}
	return q
}

// Queues lists the queues in no order.
func (s *Set) Queues() []*Queue {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []*Queue
	for _, qs := range s.topics {
		for _, q := range qs {
			out = append(out, q)
		}
	}
	return out
}

// Each calls fn for every queue until it fails.
func (s *Set) Each(fn func(*Queue) error) error {
	for _, q := range s.Queues() {
		if err := fn(q); err != nil {
			return err
		}
	}
	return nil
}

// Gone says that the queue's topic was deleted: the queue is in no set any more.
func (q *Queue) Gone() bool { return q.gone.Load() }

// Topics lists the topics in order.
func (s *Set) Topics() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]string, 0, len(s.topics))
	for t := range s.topics {
		out = append(out, t)
	}
	slices.Sort(out)
	return out
}

// IDs lists the queues of a topic in order.
func (s *Set) IDs(topic string) []int32 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]int32, 0, len(s.topics[topic]))
	for id := range s.topics[topic] {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// Waiting is the number of queues with entries in memory only. REQUIRES: the
// dispatcher.
func (s *Set) Waiting() int { return len(s.dirty) - s.head }

// WriteTails writes the waiting entries of up to limit queues, those first that
// wait longest. REQUIRES: the dispatcher.
func (s *Set) WriteTails(limit int) error {
	for ; s.head < len(s.dirty) && limit > 0; limit-- {
		q := s.dirty[s.head]
		if err := q.WriteTail(); err != nil {
			return err
		}
		q.isDirty = false
		s.dirty[s.head] = nil
		s.head++
	}
	if s.head == len(s.dirty) {
		s.dirty, s.head = s.dirty[:0], 0
	} else if s.head > 4096 {
		s.dirty, s.head = slices.Delete(s.dirty, 0, s.head), 0
	}
	return nil
}

// Detach takes a topic out of the set: it has no queues from now on. The files
// stay until Drop.
func (s *Set) Detach(topic string) []*Queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*Queue
	for _, q := range s.topics[topic] {
		q.gone.Store(true)
		out = append(out, q)
	}
	delete(s.topics, topic)
	return out
}

// DetachQueue is Detach for one queue.
func (s *Set) DetachQueue(q *Queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if qs := s.topics[q.Topic]; qs[q.ID] == q {
		delete(qs, q.ID)
		if len(qs) == 0 {
			delete(s.topics, q.Topic)
		}
	}
	q.gone.Store(true)
}

// Drop deletes the files of detached queues. REQUIRES: the dispatcher.
func (s *Set) Drop(qs []*Queue) error {
	var errs []error
	for _, q := range qs {
		if err := q.removeFiles(); err != nil {
			errs = append(errs, err)
		}
		if err := s.o.FS.RemoveAll(q.dir); err != nil {
			errs = append(errs, err)
		}
		if len(s.IDs(q.Topic)) == 0 {
			err := s.o.FS.Remove(filepath.Dir(q.dir)) // fails while it holds anything else
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				s.o.Logger.Debug("consumequeue: topic directory stays", "topic", q.Topic, "err", err)
			}
		}
	}
	return errors.Join(errs...)
}

// OpenFiles is the number of files that are open now.
func (s *Set) OpenFiles() int { return s.files.count() }

// CloseUnused closes the files that nobody has used since the call before. They are
// opened again when they are needed.
func (s *Set) CloseUnused() { s.files.closeUnused() }

// Close closes the files. It writes nothing.
func (s *Set) Close() { s.files.closeIdle() }
