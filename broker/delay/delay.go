// Package delay delivers messages of the delay levels: it reads the queues of
// SCHEDULE_TOPIC_XXXX and stores each due message again under its real topic
// (ScheduleMessageService). How far each level has come stands in
// config/delayOffset.json.
//
// A message is delivered at least once. A level's offset is written to the file
// only after the log holds the delivered copies on disk, so that a crash repeats
// deliveries but never skips one.
//
// Goroutines, from Start to Shutdown: one deliverer for each level, so that a
// level that is behind, or whose messages cannot be read or stored now, does not
// stop the others; one that wakes those that have something to do; one persister.
// Lock: Service.mu, a leaf.
package delay

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/merlinmq/merlin/broker/put"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/compat/fastjson"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store"
)

const (
	tick      = 100 * time.Millisecond // between looks at the queues
	batchSize = 64                     // deliveries that go into the store together
)

// Store is what delivery needs of the message store.
type Store interface {
	Entries(topic string, queueID int32, from int64, max int) ([]store.QueueEntry, error)
	RecordAt(phyOffset int64) ([]byte, error)
	MinOffset(topic string, queueID int32) int64
	MaxOffset(topic string, queueID int32) int64
	MaxPhyOffset() int64
	FlushedOffset() int64
}

// Options configure a Service.
type Options struct {
	Store  Store
	Put    *put.Pipeline
	Levels put.Levels
	Files  configfile.Files
	Path   string // of delayOffset.json
	// PersistEvery is flushDelayOffsetInterval, 0 means 10 s.
	PersistEvery time.Duration
	Clock        clock.Clock
	Logger       *slog.Logger
	// Count says whether deliveries are counted (enableScheduleMessageStats); it is
	// asked at each, and must not block. nil: they are.
	Count func() bool
}

// Service delivers.
type Service struct {
	opts Options

	mu      sync.Mutex    // guards the fields below
	offsets map[int]int64 // by level: the next entry to deliver
	version body.DataVersion
	pending *snapshot // waits for the log to be flushed

	saved int64 // data version in the file, of Persist alone

	stop chan struct{} // nil while nothing runs
	done sync.WaitGroup
}

// snapshot is a state that may be persisted once the log is on disk up to phy.
type snapshot struct {
	text    []byte
	phy     int64
	counter int64 // of the data version
}

// file is delayOffset.json (DelayOffsetSerializeWrapper).
type file struct {
	DataVersion body.DataVersion `json:"dataVersion"`
	OffsetTable map[int]int64    `json:"offsetTable"`
}

// Load reads the offsets and brings them into the range of their queues.
func Load(opts Options) (*Service, error) {
	opts.Clock = clock.Or(opts.Clock)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.PersistEvery == 0 {
		opts.PersistEvery = 10 * time.Second
	}
	s := &Service{opts: opts, offsets: map[int]int64{}}
	var f file
	_, err := opts.Files.Load(opts.Path, func(data []byte) error {
		f = file{} // nothing stays of a damaged one
		return fastjson.Unmarshal(data, &f)
	}, configfile.Told(opts.Logger, opts.Path))
	if err != nil && !errors.Is(err, configfile.ErrNone) {
		return nil, fmt.Errorf("delay: load: %w", err)
	}
	s.version, s.saved = f.DataVersion, f.DataVersion.Counter
	maps.Copy(s.offsets, f.OffsetTable)
	for level := 1; level <= len(opts.Levels); level++ {
		q := put.QueueOf(level)
		low, high := opts.Store.MinOffset(topic.Schedule, q), opts.Store.MaxOffset(topic.Schedule, q)
		at, known := s.offsets[level]
		if next := min(max(at, low), high); known && next != at {
			opts.Logger.Warn("delay offset outside its queue", "level", level, "offset", at, "min", low, "max", high)
			s.offsets[level] = next
		}
	}
	return s, nil
}

// Start starts delivering; after Pause, again.
func (s *Service) Start() {
	s.stop = make(chan struct{})
	wake := make([]chan struct{}, len(s.opts.Levels))
	for i := range wake {
		wake[i] = make(chan struct{}, 1)
		s.done.Add(1)
		go s.deliver(i+1, wake[i])
	}
	s.done.Add(2)
	go s.watch(wake)
	go s.persistLoop()
}

// Shutdown stops delivering. Call Persist after the store was flushed.
func (s *Service) Shutdown() { s.Pause() }

// Pause stops delivering, and returns when nothing is being delivered; Start goes on.
// Start, Pause and Shutdown must not overlap, and a second Pause does nothing.
func (s *Service) Pause() {
	if s.stop == nil {
		return
	}
	close(s.stop)
	s.done.Wait()
	s.stop = nil
}

// Offsets gives "delivered,max" of every level that has any, for the runtime
// information (scheduleMessageOffset_<level>).
func (s *Service) Offsets() map[int]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[int]string, len(s.offsets))
	for level, offset := range s.offsets {
		out[level] = fmt.Sprintf("%d,%d", offset, s.opts.Store.MaxOffset(topic.Schedule, put.QueueOf(level)))
	}
	return out
}

// watch wakes the deliverers of levels that have entries to deliver.
func (s *Service) watch(wake []chan struct{}) {
	defer s.done.Done()
	t := s.opts.Clock.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C():
		}
		for i, w := range wake {
			if level := i + 1; s.offset(level) < s.opts.Store.MaxOffset(topic.Schedule, put.QueueOf(level)) {
				select {
				case w <- struct{}{}:
				default: // it is at work
				}
			}
		}
	}
}

// deliver delivers the due messages of a level whenever it is woken.
func (s *Service) deliver(level int, wake <-chan struct{}) {
	defer s.done.Done()
	for {
		select {
		case <-s.stop:
			return
		case <-wake:
		}
		for s.deliverSome(level) && !s.stopped() {
		}
	}
}

func (s *Service) stopped() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// deliverSome delivers a batch of due messages of a level and reports whether
// more may be due.
func (s *Service) deliverSome(level int) bool {
	q := put.QueueOf(level)
	at := s.offset(level)
	entries, err := s.opts.Store.Entries(topic.Schedule, q, at, batchSize)
	if err != nil && len(entries) == 0 {
		s.opts.Logger.Debug("scheduled messages wait: their queue cannot be read", "level", level, "offset", at, "err", err)
		return false
	}
	if len(entries) == 0 {
		if low := s.opts.Store.MinOffset(topic.Schedule, q); low > at {
			s.opts.Logger.Error("scheduled messages were removed before they were delivered", "level", level, "from", at, "to", low)
			s.setOffset(level, low)
		}
		return false
	}
	now := s.opts.Clock.NowMillis()
	limit := now + s.opts.Levels.Delay(level).Milliseconds()
	var puts []delivery
	next, full := at, len(entries) == batchSize
	for _, e := range entries {
		due := e.TagsCode
		if due > limit { // the clock was set back: do not wait longer than the level
			due = now
		}
		if due > now {
			full = false
			break
		}
		p, err := s.redeliver(level, e)
		if err != nil {
			s.opts.Logger.Debug("scheduled messages wait: one cannot be read", "level", level, "queueOffset", e.QueueOffset, "err", err)
			full = false
			break
		}
		next = e.QueueOffset + 1
		if p != nil {
			puts = append(puts, delivery{p, e.QueueOffset})
		}
	}
	if refused, ok := s.put(level, puts); ok {
		next, full = refused, false // and those before it are delivered
	}
	s.setOffset(level, next)
	return full
}

// delivery is a message on its way to its real topic, from an offset of its level.
type delivery struct {
	draft *put.Draft
	at    int64
}

// put stores messages and waits until they are stored. refused is the offset of
// the first one that the store does not take now.
func (s *Service) put(level int, ds []delivery) (refused int64, ok bool) {
	if len(ds) == 0 {
		return 0, false
	}
	var wait sync.WaitGroup
	wait.Add(len(ds))
	b := s.opts.Put.Batch()
	for _, d := range ds {
		d.draft.Then = func(*put.Draft) { wait.Done() }
		if s.opts.Count == nil || s.opts.Count() {
			d.draft.Counts = put.AsDelivery(level)
		}
		b.Add(d.draft)
	}
	b.Put()
	wait.Wait()
	for _, d := range ds {
		switch res := &d.draft.Result; {
		case put.Stored(res.Status):
		case put.ForGood(res.Status):
			s.opts.Logger.Error("a scheduled message cannot be delivered", "level", level, "topic", d.draft.Msg.Topic, "status", res.Status, "err", res.Err)
		default:
			s.opts.Logger.Warn("scheduled messages wait: the store refused them", "level", level, "status", res.Status, "err", res.Err)
			return d.at, true
		}
	}
	return 0, false
}

// redeliver makes a draft of the record under the real topic. The properties keep DELAY,
// REAL_TOPIC and REAL_QID as Java's do. nil means that there is nothing to
// deliver, which is logged; an error, that the record cannot be read now.
func (s *Service) redeliver(level int, e store.QueueEntry) (*put.Draft, error) {
	if e.Filler() {
		s.opts.Logger.Error("a scheduled message is missing in its queue", "level", level, "queueOffset", e.QueueOffset)
		return nil, nil
	}
	rec, err := s.opts.Store.RecordAt(e.PhyOffset)
	if errors.Is(err, store.ErrNoRecord) {
		s.opts.Logger.Error("a scheduled message is gone", "level", level, "queueOffset", e.QueueOffset, "err", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m message.Message
	if _, err := message.Decode(rec, &m, false); err != nil {
		s.opts.Logger.Error("a scheduled message is unreadable", "level", level, "queueOffset", e.QueueOffset, "err", err)
		return nil, nil
	}
	d := put.Again(&m)
	if !d.Real() || d.Msg.Topic == topic.TransHalf {
		name, _ := d.Props.Get(message.PropertyRealTopic)
		queueID, _ := d.Props.Get(message.PropertyRealQueueID)
		s.opts.Logger.Error("a scheduled message has no valid real topic", "level", level, "queueOffset", e.QueueOffset, "topic", name, "queue", queueID)
		return nil, nil
	}
	return d, nil
}

func (s *Service) offset(level int) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.offsets[level]
}

func (s *Service) setOffset(level int, offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.offsets[level] != offset {
		s.offsets[level] = offset
		s.version.Counter++
		s.version.Timestamp = s.opts.Clock.NowMillis()
	}
}

func (s *Service) persistLoop() {
	defer s.done.Done()
	t := s.opts.Clock.NewTicker(s.opts.PersistEvery)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C():
			if err := s.Persist(); err != nil {
				s.opts.Logger.Error("delay offsets not written", "err", err)
			}
		}
	}
}

// Persist writes the newest state whose deliveries are on disk, and remembers
// the present state for the next call. Two calls must not overlap.
func (s *Service) Persist() error {
	flushed := s.opts.Store.FlushedOffset()
	s.mu.Lock()
	text, err := s.encodeLocked()
	if err != nil {
		s.mu.Unlock()
		return fmt.Errorf("delay: encode %s: %w", s.opts.Path, err)
	}
	now := &snapshot{text: text, phy: s.opts.Store.MaxPhyOffset(), counter: s.version.Counter}
	var write *snapshot
	switch {
	case now.phy <= flushed:
		write, s.pending = now, nil
	case s.pending != nil && s.pending.phy <= flushed:
		write, s.pending = s.pending, now
	case s.pending == nil:
		s.pending = now
	}
	s.mu.Unlock()
	if write == nil || write.counter == s.saved {
		return nil
	}
	if err := s.opts.Files.Save(s.opts.Path, write.text); err != nil {
		return err
	}
	s.saved = write.counter
	return nil
}

// Encode is the present state as delayOffset.json has it: the body of
// GET_ALL_DELAY_OFFSET (45).
func (s *Service) Encode() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.encodeLocked()
}

// encodeLocked REQUIRES: s.mu.
func (s *Service) encodeLocked() ([]byte, error) {
	return fastjson.Append(nil, &file{DataVersion: s.version, OffsetTable: s.offsets}, fastjson.Pretty)
}
