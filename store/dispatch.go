package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/commitlog"
	"github.com/merlinmq/merlin/store/consumequeue"
)

const (
	scheduleTopic = "SCHEDULE_TOPIC_XXXX"
	// dispatchStep is how many records are dispatched between two looks at
	// commands and timers.
	dispatchStep = 512
	// tailStep is how many consume queues are written between two steps.
	tailStep = 64
	// tailsPerTick is how many consume queues are written in a round because
	// their entries have waited: with thousands of them each waits for its turn,
	// for a full tail, or for the checkpoint.
	tailsPerTick = 512
	windowBytes  = 256 << 10
	retryPause   = time.Second
)

// dispatcher owns the goroutine that reads the log behind the appenders and
// builds consume queues and index. Everything that changes these runs in it, as
// a command.
type dispatcher struct {
	s    *Store
	cmds chan func()
	quit chan struct{}
	done chan struct{}

	pos  atomic.Int64 // everything before is dispatched
	time atomic.Int64 // store time of the last record dispatched

	last int64 // where the last record dispatched begins, -1 without one; the goroutine's
	// skipped says that damage follows the last record: no floor is there. The goroutine's.
	skipped bool

	build []dispatchFunc
	req   Dispatched      // scratch of record
	msg   message.Message // and of one

	win   window
	tails int // consume queues still to be written in this round
	// half says that a message is under way: a command that runs now, between two
	// attempts, may find it in its queue and not in the index. The goroutine's own.
	half bool
}

func newDispatcher(s *Store) *dispatcher {
	d := &dispatcher{s: s, last: -1, win: window{log: s.clog},
		cmds: make(chan func()), quit: make(chan struct{}), done: make(chan struct{})}
	d.build = d.builders()
	return d
}

// do runs fn in the dispatcher and waits for it; false when the store is closed.
func (d *dispatcher) do(fn func()) bool {
	ran := make(chan struct{})
	select {
	case d.cmds <- func() { defer close(ran); fn() }:
		<-ran
		return true
	case <-d.done:
		return false
	}
}

// limit is how far the log may be dispatched, which is what makes messages visible.
func (d *dispatcher) limit() int64 { return d.s.ConfirmOffset() }

func (d *dispatcher) run() {
	defer close(d.done)
	defer d.win.drop()
	t := newPeriod(d.s.clock, func() time.Duration { return d.s.tune().FlushIntervalQueues })
	defer t.Stop()
	for {
		before := d.pos.Load()
		more := d.step()
		if !more && d.pos.Load() != before {
			// Senders that are ready to run go first: what they append is
			// dispatched in the same round, without being woken for each.
			runtime.Gosched()
			more = d.pos.Load() < d.limit()
		}
		if d.tails > 0 {
			n := min(d.tails, tailStep)
			d.tails -= n
			d.retry(func() error { return d.s.queues.WriteTails(n) })
			more = more || d.tails > 0
		}
		if more {
			select {
			case fn := <-d.cmds:
				fn()
			case <-t.C():
				t.follow()
				d.tails = min(d.s.queues.Waiting(), tailsPerTick)
			case <-d.quit:
				return
			default:
			}
			continue
		}
		select {
		case <-d.s.wake:
		case fn := <-d.cmds:
			fn()
		case <-t.C():
			t.follow()
			d.tails = min(d.s.queues.Waiting(), tailsPerTick)
		case <-d.quit:
			return
		}
	}
}

// step dispatches some records and says whether there may be more.
func (d *dispatcher) step() bool {
	pos, limit := d.pos.Load(), d.limit()
	for n := 0; pos < limit && n < dispatchStep; n++ {
		d.half = true
		next, err := d.one(pos, limit)
		if err != nil {
			if !d.retry(func() error { next, err = d.one(pos, limit); return err }) {
				return false
			}
		}
		d.half = false
		pos = next
		d.pos.Store(pos)
	}
	if pos >= limit {
		d.win.drop() // an idle dispatcher holds no memory of the tail
	}
	return pos < limit
}

// one dispatches the record at pos and gives the place of the next. What is no record
// any more is passed over.
func (d *dispatcher) one(pos, limit int64) (int64, error) {
	m := &d.msg
	*m = message.Message{}
	next, err := d.decode(m, pos, limit)
	var bad *commitlog.CorruptError
	switch {
	case errors.As(err, &bad):
		return d.passOver(pos, limit, bad.Reason)
	case err != nil || m.StoreSize == 0: // a blank record
		return next, err
	}
	return next, d.record(m, true)
}

// decode reads the record at pos; a blank one leaves m as it is. A CorruptError says
// that no record is there.
func (d *dispatcher) decode(m *message.Message, pos, limit int64) (next int64, err error) {
	corrupt := func(reason string) (int64, error) {
		return pos, &commitlog.CorruptError{File: d.s.clog.Path(pos), Offset: pos, Reason: reason}
	}
	head, err := d.win.bytes(pos, commitlog.BlankSize, limit)
	if err != nil {
		return pos, err
	}
	n, end := totalSize(head), d.s.clog.SegmentOf(pos)+d.s.clog.SegmentSize()
	if binary.BigEndian.Uint32(head[4:]) == message.MagicBlank && int64(n) == end-pos {
		return end, nil
	}
	if n < commitlog.MinRecord || int64(n) > min(limit, end)-pos {
		return corrupt(fmt.Sprintf("record of %d bytes", n))
	}
	rec, err := d.win.bytes(pos, n, limit)
	if err != nil {
		return pos, err
	}
	if _, err := message.Decode(rec, m, false); err != nil {
		return corrupt(err.Error())
	}
	if m.PhyOffset != pos {
		return corrupt(fmt.Sprintf("the record says that it lies at %d", m.PhyOffset))
	}
	return pos + int64(n), nil
}

// passOver leaves out a damaged record, whose message is in no queue. It gives the next
// place at which a record begins, at worst the end of the file or of what is to be
// dispatched now. Asking again would not help, and everything behind it would wait.
func (d *dispatcher) passOver(pos, limit int64, why string) (int64, error) {
	next, err := d.s.clog.Beyond(pos, limit)
	if err != nil {
		return pos, err
	}
	d.s.log.Error("store: the log is damaged before its messages came into their queues, they are left out",
		"file", d.s.clog.Path(pos), "at", pos-d.s.clog.SegmentOf(pos), "offset", pos, "bytes", next-pos, "reason", why)
	d.s.faults.dispatch.Add(1)
	d.skipped = true
	d.win.drop()
	return next, nil
}

// record puts one message through everything that is built from the log.
func (d *dispatcher) record(m *message.Message, live bool) error {
	r := &d.req
	*r = Dispatched{Message: m, Live: live}
	for name, value := range message.Each(m.Properties) {
		switch string(name) {
		case message.PropertyTags:
			r.Tags = value
		case message.PropertyUniqKey:
			r.UniqKey = value
		case message.PropertyKeys:
			r.Keys = value
		case message.PropertyDelayLevel:
			r.DelayLevel = value
		}
	}
	for _, build := range d.build {
		if err := build(r); err != nil {
			return err
		}
	}
	d.time.Store(m.StoreTimestamp)
	d.last, d.skipped = m.PhyOffset, false
	return nil
}

// queued puts a message into its consume queue (CommitLogDispatcherBuildConsumeQueue).
func (d *dispatcher) queued(m *Dispatched) error {
	if kind := message.TransactionType(m.SysFlag); kind != 0 && kind != message.SysFlagCommit {
		return nil
	}
	return d.enqueue(m.Message, d.s.tagsCode(m.Message, m.Tags, m.DelayLevel), m.Live)
}

// indexed puts the keys of a message into the index (CommitLogDispatcherBuildIndex).
func (d *dispatcher) indexed(m *Dispatched) error {
	if d.s.tune().MessageIndexDisable || message.TransactionType(m.SysFlag) == message.SysFlagRollback {
		return nil
	}
	return d.index(m.Message, m.UniqKey, m.Keys, m.Live)
}

func (d *dispatcher) enqueue(m *message.Message, tagsCode int64, live bool) error {
	if !consumequeue.ValidTopic(m.Topic) || m.QueueID < 0 {
		d.s.log.Error("store: record of an impossible queue is not dispatched",
			"topic", m.Topic, "queue", m.QueueID, "offset", m.PhyOffset)
		return nil
	}
	if d.s.deleted.covers(m) {
		return nil
	}
	q := d.s.queues.FindOrCreate(m.Topic, m.QueueID)
	put := q.Put
	if !live {
		put = q.Replay
	}
	added, err := put(consumequeue.Entry{
		PhyOffset: m.PhyOffset, Size: m.StoreSize, TagsCode: tagsCode, QueueOffset: m.QueueOffset,
	})
	if err != nil {
		return err
	}
	if q.TailFull() {
		if live {
			d.retry(q.WriteTail)
		} else if err := q.WriteTail(); err != nil {
			return err
		}
	}
	if added && live && d.s.o.Arrived != nil {
		d.s.o.Arrived(Arrival{
			Topic: q.Topic, QueueID: q.ID, QueueOffset: m.QueueOffset, TagsCode: tagsCode,
			StoreTimestamp: m.StoreTimestamp, Properties: m.Properties,
		})
	}
	return nil
}

// index adds the keys of a message. After an error it may be called again: the
// keys that are there are added a second time then, which readers do not mind.
func (d *dispatcher) index(m *message.Message, uniq, keys []byte, live bool) error {
	if len(uniq) > 0 {
		if err := d.s.idx.Put(m.Topic, text(uniq), m.PhyOffset, m.StoreTimestamp); err != nil {
			return err
		}
	}
	for len(keys) > 0 {
		key := keys
		if i := bytes.IndexByte(keys, ' '); i >= 0 {
			key, keys = keys[:i], keys[i+1:]
		} else {
			keys = nil
		}
		if len(key) > 0 {
			if err := d.s.idx.Put(m.Topic, text(key), m.PhyOffset, m.StoreTimestamp); err != nil {
				return err
			}
		}
	}
	if !d.s.idx.Full() {
		return nil
	}
	if live {
		d.retry(d.s.idx.Write)
		return nil
	}
	return d.s.idx.Write()
}

// retry repeats a disk operation until it works or the store closes: consume
// queues and index can be written later, and puts are refused meanwhile.
func (d *dispatcher) retry(fn func() error) bool {
	err := fn()
	if err == nil {
		return true
	}
	d.s.log.Error("store: consume queues or index cannot be written, puts are refused", "err", err)
	d.s.dispatchErr.Store(&err)
	for {
		t := d.s.clock.NewTimer(retryPause)
		select {
		case <-t.C():
		case fn := <-d.cmds:
			t.Stop()
			fn()
			continue
		case <-d.quit:
			t.Stop()
			return false
		}
		if again := fn(); again == nil {
			d.s.log.Warn("store: consume queues and index can be written again")
			d.s.dispatchErr.Store(nil)
			return true
		}
	}
}

// tagsCode is what goes into the consume queue: the hash of the tag, and for a
// delayed message the time of its delivery.
func (s *Store) tagsCode(m *message.Message, tags, delay []byte) int64 {
	if m.Topic == scheduleTopic && len(delay) > 0 {
		level, err := strconv.ParseInt(text(delay), 10, 32)
		if err == nil && level > 0 && len(s.delays) > 1 {
			return m.StoreTimestamp + s.delays[min(level, int64(len(s.delays)-1))]
		}
	}
	if len(tags) == 0 {
		return 0
	}
	return message.TagsHash(text(tags))
}

// text is b as a string for the length of a call.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// window is the piece of the log that the dispatcher reads.
type window struct {
	log  *commitlog.Log
	view commitlog.View
	own  []byte
	data []byte
	base int64
}

// bytes gives n bytes at off, valid until the next call.
func (w *window) bytes(off int64, n int, limit int64) ([]byte, error) {
	if off >= w.base && off+int64(n) <= w.base+int64(len(w.data)) {
		in := off - w.base
		return w.data[in : in+int64(n)], nil
	}
	w.drop()
	if v, ok := w.log.View(off, n); ok {
		w.view, w.data, w.base = v, v.Bytes, off
		return v.Bytes[:n], nil
	}
	end := min(limit, w.log.SegmentOf(off)+w.log.SegmentSize())
	want := int(min(int64(max(n, windowBytes)), end-off))
	if want < n {
		return nil, &commitlog.CorruptError{File: w.log.Path(off), Offset: off, Reason: "the log ends inside a record"}
	}
	if cap(w.own) < want {
		w.own = make([]byte, want)
	}
	if err := w.log.Read(w.own[:want], off); err != nil {
		return nil, err
	}
	w.data, w.base = w.own[:want], off
	return w.data[:n], nil
}

func (w *window) drop() {
	w.view.Release()
	w.view, w.data, w.base = commitlog.View{}, nil, 0
}
