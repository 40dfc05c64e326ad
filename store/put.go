package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/commitlog"
	"github.com/merlinmq/merlin/store/consumequeue"
)

const (
	maxTopic      = 127 // bytes, as Java's put hook has it
	maxRetryTopic = 255
	maxProperties = 32767
	// recordSlack is what a record may have beyond maxMessageSize.
	recordSlack = 64 << 10
)

// Errors of PutResult.Err.
var (
	// ErrClosed: the store is closed or closing.
	ErrClosed = errors.New("store: closed")
	// ErrDiskFull: the disk is above diskSpaceWarningLevelRatio.
	ErrDiskFull = errors.New("store: the disk is too full to accept messages")
	// ErrDispatch: consume queues cannot be written at the moment.
	ErrDispatch = errors.New("store: consume queues cannot be written")
)

// record is one record of a batch, on its way into the log.
type record struct {
	q       *consumequeue.Queue
	m       *message.Message
	entry   *message.BatchEntry // what stands in m's place in a batch, else nil
	layout  message.Layout
	counted bool
	phy     int64
}

// putBatch is the scratch of one PutBatch.
type putBatch struct {
	buf   []byte // for records that are too large for the log's own memory
	recs  []record
	waits []*Put // go to the committer
	final []*Put // are done
}

var putBatches = sync.Pool{New: func() any { return &putBatch{} }}

// maxPooledBatch keeps single huge records out of the pool.
const maxPooledBatch = 8 << 20

// Writable says why the store accepts no messages now, nil when it does
// (RunningFlags.isWriteable).
func (s *Store) Writable() error {
	if s.closing.Load() {
		return ErrClosed
	}
	if s.follows.Load() {
		return ErrFollows
	}
	if err := s.clog.Failed(); err != nil {
		return err
	}
	if s.diskFull.Load() {
		return ErrDiskFull
	}
	if p := s.dispatchErr.Load(); p != nil {
		return fmt.Errorf("%w: %w", ErrDispatch, *p)
	}
	return nil
}

// LockedFor is for how many ms the append lock has been held without a break
// (pageCacheLockTimeMills).
func (s *Store) LockedFor() int64 {
	since := s.lockSince.Load()
	if since == 0 {
		return 0
	}
	return max(s.clock.NowMillis()-since, 0)
}

// PutBatch appends messages under one lock, with one write for each MiB. The Done of each
// Put is called once: before PutBatch returns, or later by the committer when the
// message has to be on disk first. The messages of a Put stand in one file.
func (s *Store) PutBatch(ps []*Put) {
	if !s.enter() {
		for _, p := range ps {
			p.Result = PutResult{Status: ServiceNotAvailable, Err: ErrClosed}
			s.stats.put(p, s.clock.NowMillis())
			p.done()
		}
		return
	}
	b := putBatches.Get().(*putBatch)
	s.putEntered(b, ps)
	// No lock is held while owners are called: they may call the store.
	now := s.clock.NowMillis()
	for i, p := range b.final {
		b.final[i] = nil
		s.stats.put(p, now)
		p.done()
	}
	clear(b.recs)
	if cap(b.buf) > maxPooledBatch {
		b.buf = nil
	}
	putBatches.Put(b)
}

// putEntered stores a batch, up to the calls of Done, and leaves the store, which the
// caller has entered.
func (s *Store) putEntered(b *putBatch, ps []*Put) {
	defer s.leave()
	if s.measureAll(b, ps) && len(b.recs) > 0 {
		s.append(b, ps)
	}
	s.settle(b, ps)
}

// measureAll fills the batch with the records of ps; those that are refused have
// their result. A panic refuses all of them, and nothing has happened yet.
func (s *Store) measureAll(b *putBatch, ps []*Put) (ok bool) {
	b.recs = b.recs[:0]
	now := s.clock.NowMillis()
	for _, p := range ps {
		p.begin, p.recs = now, [2]int{}
	}
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("store: panic, the messages are refused", "panic", v, "stack", string(debug.Stack()))
			refuseAll(ps, PutResult{Status: UnknownError, Err: fmt.Errorf("store: panic: %v", v)})
		}
	}()
	refused := s.refuse()
	for _, p := range ps {
		p.recs = [2]int{len(b.recs), len(b.recs)}
		p.Result = refused
		if refused.Status == PutOK {
			s.measure(b, p)
		}
	}
	return true
}

// refuseAll makes the same of every Put; none has records then.
func refuseAll(ps []*Put, r PutResult) {
	for _, p := range ps {
		p.Result, p.recs = r, [2]int{}
	}
}

// refuse gives the result of every Put while the store accepts nothing.
func (s *Store) refuse() PutResult {
	if err := s.Writable(); err != nil {
		return PutResult{Status: ServiceNotAvailable, Err: err}
	}
	if held := s.LockedFor(); held > s.tune().OSPageCacheBusyTimeout.Milliseconds() {
		return PutResult{Status: OSPageCacheBusy, Err: fmt.Errorf("store: the append lock has been held for %d ms", held)}
	}
	if q := s.o.Quorum; q != nil {
		if st := q.Admit(); st != PutOK {
			return PutResult{Status: st, Err: errors.New("store: too few copies are connected")}
		}
	}
	return PutResult{}
}

func illegal(format string, args ...any) PutResult {
	return PutResult{Status: MessageIllegal, Err: fmt.Errorf("store: "+format, args...)}
}

// checkPut looks at what all records of a Put share.
func checkPut(m *message.Message) (PutResult, bool) {
	limit := maxTopic
	if strings.HasPrefix(m.Topic, "%RETRY%") {
		limit = maxRetryTopic
	}
	switch {
	case len(m.Topic) > limit:
		return illegal("topic of %d bytes, at most %d are allowed", len(m.Topic), limit), false
	case !consumequeue.ValidTopic(m.Topic):
		return illegal("topic %q cannot be stored", m.Topic), false
	case m.QueueID < 0:
		return illegal("queue id %d", m.QueueID), false
	case m.SysFlag&message.SysFlagInnerBatch != 0:
		return illegal("inner batches are not supported"), false
	}
	return PutResult{}, true
}

// measure adds the records of p to the batch, or sets the result that refuses it.
func (s *Store) measure(b *putBatch, p *Put) {
	var ok bool
	if p.Result, ok = checkPut(&p.Msg); !ok {
		return
	}
	first := len(b.recs)
	kind := message.TransactionType(p.Msg.SysFlag)
	r := record{
		q:       s.queues.FindOrCreate(p.Msg.Topic, p.Msg.QueueID),
		counted: kind == 0 || kind == message.SysFlagCommit,
		m:       &p.Msg,
	}
	p.size = 0
	if len(p.Batch) == 0 {
		p.Result = s.measureOne(b, p, r)
	} else {
		total := 0
		for i := range p.Batch {
			r.entry = &p.Batch[i]
			if total += len(r.entry.Body); total > s.tune().MaxMessageSize {
				p.Result = illegal("batch bodies of more than %d bytes (maxMessageSize)", s.tune().MaxMessageSize)
				break
			}
			if p.Result = s.measureOne(b, p, r); p.Result.Status != PutOK {
				break
			}
		}
	}
	if p.Result.Status == PutOK && int64(p.size)+commitlog.BlankSize > s.o.FileSizeCommitLog {
		p.Result = illegal("%d bytes of records do not fit into a commit log file", p.size)
	}
	if p.Result.Status != PutOK {
		b.recs = b.recs[:first]
	}
	p.recs = [2]int{first, len(b.recs)}
}

// message is what the record holds; a batch's entry is put together in own.
func (r *record) message(own *message.Message) *message.Message {
	if r.entry == nil {
		return r.m
	}
	*own = *r.m
	own.Flag, own.Body, own.Properties = r.entry.Flag, r.entry.Body, r.entry.Properties
	return own
}

func (s *Store) measureOne(b *putBatch, p *Put, r record) PutResult {
	var own message.Message
	m := r.message(&own)
	switch {
	case len(m.Body) == 0:
		return illegal("message without a body")
	case len(m.Body) > s.tune().MaxMessageSize:
		return illegal("body of %d bytes, at most %d are allowed (maxMessageSize)", len(m.Body), s.tune().MaxMessageSize)
	case len(m.Properties) > maxProperties:
		return PutResult{Status: PropertiesSizeExceeded,
			Err: fmt.Errorf("store: properties of %d bytes, at most %d are allowed", len(m.Properties), maxProperties)}
	}
	if _, inner := message.Get(m.Properties, message.PropertyInnerNum); inner {
		return illegal("property %s without the inner batch flag", message.PropertyInnerNum)
	}
	var err error
	seal := s.o.EnabledAppendPropCRC || commitlog.NeedsSeal(m.Properties) && !message.HasCRC(m.Properties)
	if r.layout, err = message.Measure(m, seal); err != nil {
		return PutResult{Status: PropertiesSizeExceeded, Err: err}
	}
	n := r.layout.Size()
	if n > s.tune().MaxMessageSize+recordSlack {
		return illegal("record of %d bytes", n)
	}
	p.size += n
	b.recs = append(b.recs, r)
	return PutResult{}
}

// append gives the records their places and writes them. After a panic nobody knows
// what the log holds and which offsets were given out: the log is closed for writing,
// as after a write that failed, the messages are refused, and reads go on.
func (s *Store) append(b *putBatch, ps []*Put) {
	s.appendMu.Lock()
	defer func() {
		if v := recover(); v != nil {
			err := s.clog.Fail(fmt.Errorf("panic: %v", v))
			s.log.Error("store: panic while messages were appended", "panic", v, "stack", string(debug.Stack()))
			refuseAll(ps, appendFailure(err))
		}
		s.lockSince.Store(0)
		s.appendMu.Unlock()
	}()
	now := s.clock.NowMillis()
	s.lockSince.Store(now)
	if s.follows.Load() {
		refuseAll(ps, PutResult{Status: ServiceNotAvailable, Err: ErrFollows})
		return
	}
	s.appendLocked(b, ps, now)
	wake(s.wake)
	s.growth.grown()
}

// appendLocked writes runs of records that stand in one file and in one piece of
// memory. REQUIRES: s.appendMu.
func (s *Store) appendLocked(b *putBatch, ps []*Put, now int64) {
	run := appendRun{s: s, b: b, now: now}
	for i, p := range ps {
		if p.recs[0] == p.recs[1] {
			continue
		}
		if len(run.buf) > 0 && !run.fits(p.size) {
			run.flush(ps, i)
		}
		if len(run.buf) == 0 {
			if err := run.start(p.size, i); err != nil {
				p.Result = appendFailure(err)
				p.recs[1] = p.recs[0]
				continue
			}
		}
		run.add(p)
	}
	run.flush(ps, len(ps))
}

func appendFailure(err error) PutResult {
	if errors.Is(err, commitlog.ErrNoSegment) {
		return PutResult{Status: CreateMappedFileFailed, Err: err}
	}
	return PutResult{Status: ServiceNotAvailable, Err: err}
}

// appendRun is a run of neighbouring records on their way to one write.
type appendRun struct {
	s   *Store
	b   *putBatch
	now int64
	put int    // index of its first Put
	at  int64  // its place in the log
	buf []byte // the records so far, as a rule in the log's own memory
}

// fits says whether n more bytes go to the same file and into the same memory.
func (r *appendRun) fits(n int) bool {
	return cap(r.buf)-len(r.buf) >= n && r.s.clog.Fits(len(r.buf)+n)
}

// start begins an empty run with a Put of n bytes, in the next file if need be.
func (r *appendRun) start(n, put int) error {
	if !r.s.clog.Fits(n) {
		if err := r.s.clog.Roll(); err != nil {
			return err
		}
	}
	r.put, r.at, r.buf = put, r.s.clog.End(), r.s.clog.Room(n)
	if r.buf == nil {
		r.b.buf = slices.Grow(r.b.buf[:0], n)
		r.buf = r.b.buf[:0:n]
	}
	return nil
}

// add numbers and encodes the records of p. REQUIRES: s.appendMu, room for
// p.size bytes.
func (r *appendRun) add(p *Put) {
	var own message.Message
	for i := p.recs[0]; i < p.recs[1]; i++ {
		rec := &r.b.recs[i]
		if rec.q.Gone() { // deleted since it was measured
			rec.q = r.s.queues.FindOrCreate(p.Msg.Topic, p.Msg.QueueID)
		}
		rec.phy = r.at + int64(len(r.buf))
		queueOffset := int64(0)
		if rec.counted {
			queueOffset = rec.q.Next
			rec.q.Next++
		}
		from := len(r.buf)
		m := rec.message(&own)
		r.buf = rec.layout.Append(r.buf, m)
		bytes := r.buf[from:]
		message.PatchOffsets(bytes, queueOffset, rec.phy, r.now)
		if rec.layout.CRC() || message.HasCRC(m.Properties) {
			message.PatchCRC(bytes) // also over a client's: recovery believes it
		}
		if i == p.recs[0] {
			p.Result = PutResult{PhyOffset: rec.phy, QueueOffset: queueOffset, StoreTimestamp: r.now}
		}
	}
	p.Result.Messages, p.Result.Bytes = p.recs[1]-p.recs[0], p.size
	p.end = r.at + int64(len(r.buf))
}

// flush writes the run, and leaves it empty. REQUIRES: s.appendMu.
func (r *appendRun) flush(ps []*Put, end int) {
	if len(r.buf) == 0 {
		return
	}
	err := r.s.clog.Append(r.buf)
	if err == nil {
		r.s.appendedTime.Store(r.now)
	} else {
		// Final: no offset that was given out here is ever used again.
		for _, p := range ps[r.put:end] {
			if p.recs[0] != p.recs[1] {
				p.Result = appendFailure(err)
				p.recs[1] = p.recs[0]
			}
		}
	}
	r.buf = nil
}

// settle hands the Puts that wait to the committer and gathers those that are
// final. A Put whose Done was called may be in use for another message already,
// so each is looked at once.
func (s *Store) settle(b *putBatch, ps []*Put) {
	b.waits, b.final = b.waits[:0], b.final[:0]
	for _, p := range ps {
		stored := p.recs[0] != p.recs[1]
		if stored && len(p.Batch) > 0 {
			p.Result.PhyOffsets = make([]int64, 0, p.recs[1]-p.recs[0])
			for _, rec := range b.recs[p.recs[0]:p.recs[1]] {
				p.Result.PhyOffsets = append(p.Result.PhyOffsets, rec.phy)
			}
		}
		if stored && s.confirms() && waitsForFlush(p) {
			b.waits = append(b.waits, p)
		} else {
			b.final = append(b.final, p)
		}
	}
	if len(b.waits) > 0 {
		s.committer.add(b.waits)
		clear(b.waits)
	}
}

func (p *Put) done() {
	if p.Done != nil {
		p.Done(p)
	}
}

// confirms says whether a stored message has to wait for something.
func (s *Store) confirms() bool { return s.o.FlushDiskType == SyncFlush || s.o.Quorum != nil }

// waitsForFlush says whether a Put wants to wait (isWaitStoreMsgOK).
func waitsForFlush(p *Put) bool {
	props := p.Msg.Properties
	if len(p.Batch) > 0 {
		props = p.Batch[0].Properties
	}
	v, ok := message.Get(props, message.PropertyWait)
	return !ok || strings.EqualFold(v, "true")
}

// Put appends one message and waits until it is final. Msg and Batch as in
// PutBatch; the Done of the caller is replaced.
func (s *Store) Put(p *Put) PutResult {
	done := make(chan struct{})
	p.Done = func(*Put) { close(done) }
	ps := [1]*Put{p}
	s.PutBatch(ps[:])
	<-done
	return p.Result
}

func totalSize(rec []byte) int { return int(binary.BigEndian.Uint32(rec)) }
