package commitlog

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/merlinmq/merlin/store/vfs"
)

// BlankSize is the size of a blank record; so much room is kept behind the last
// record of a segment.
const BlankSize = 8

// Errors of the log.
var (
	// ErrFailed says that an earlier write or sync failed: what the disk holds
	// is not known, so nothing is written any more until the store is opened
	// again.
	ErrFailed = errors.New("commitlog: an earlier write failed, the log is closed for writing")
	// ErrNoSegment says that the next segment could not be made (disk full). It
	// is not final: the next append tries again.
	ErrNoSegment = errors.New("commitlog: no segment to write to")
	// ErrOutOfRange says that an offset is not in the log.
	ErrOutOfRange = errors.New("commitlog: offset is not in the log")
)

// Options of Open.
type Options struct {
	FS          vfs.FS
	Dir         string
	SegmentSize int64
	// WrittenSize is the SegmentSize that the files were written with, 0 when that is
	// not known.
	WrittenSize int64
	// TailBytes is how much of the newest data stays in memory.
	TailBytes int
	// MaxRecord bounds the size that a scan believes.
	MaxRecord int
	// Aside is where Cut moves segments; without it they are deleted.
	Aside string
	// ZeroAhead is how many bytes of zeros are kept written in front of the appender, 0
	// for none. It makes syncs of small writes cheaper.
	ZeroAhead int64
	Logger    *slog.Logger
}

// Log is the commit log.
type Log struct {
	o      Options
	tail   *tail
	ahead  *ahead // nil without
	blocks *blocks
	maps   maps

	// segs is replaced as a whole; oldest first.
	segs  atomic.Pointer[[]*segment]
	segMu sync.Mutex // guards the replacement of segs

	max     atomic.Int64 // end of what readers may see
	flushed atomic.Int64 // end of what is durable
	failed  atomic.Pointer[error]

	// cur is the segment that is written, nil when the next append must make
	// one. Used by the appender alone, as are pos, asked and raw.
	cur   *segment
	pos   int64 // end of the written part, absolute
	asked bool  // the preparer is at work
	raw   tracker

	unsynced bool // the last removal may not be durable; used by Remove alone

	want chan int64 // base of the segment to prepare
	have chan prepared
	quit chan struct{}
	wg   sync.WaitGroup
}

type prepared struct {
	seg *segment
	err error
}

// Open lists the segments. Nothing is readable before Scan and Cut have found
// the end of the log.
func Open(o Options) (*Log, error) {
	if err := vfs.MkdirDurable(o.FS, o.Dir); err != nil {
		return nil, fmt.Errorf("commitlog: %w", err)
	}
	l := &Log{
		o: o, tail: newTail(o.TailBytes),
		want: make(chan int64, 1), have: make(chan prepared, 1), quit: make(chan struct{}),
	}
	l.blocks = newBlocks(l.read)
	l.maps.log = o.Logger
	segs, err := l.list()
	if err != nil {
		return nil, err
	}
	l.segs.Store(&segs)
	l.wg.Add(1)
	go l.prepare()
	if o.ZeroAhead > 0 {
		l.ahead = newAhead(l)
		go l.ahead.run()
	}
	return l, nil
}

func (l *Log) list() ([]*segment, error) {
	es, err := l.o.FS.ReadDir(l.o.Dir)
	if err != nil {
		return nil, fmt.Errorf("commitlog: %w", err)
	}
	var segs []*segment
	var sizes []int64
	for _, e := range es {
		base, ok := ParseFileName(e.Name)
		if e.Dir || !ok {
			l.o.Logger.Warn("commitlog: not a segment, ignored", "dir", l.o.Dir, "file", e.Name)
			continue
		}
		segs = append(segs, newSegment(l.o.FS, l.o.Dir, base, l.o.SegmentSize))
		sizes = append(sizes, e.Size)
	}
	whole := slices.Contains(sizes, l.o.SegmentSize) || l.o.WrittenSize == l.o.SegmentSize
	for i, s := range segs {
		if s.base%s.size != 0 || i > 0 && s.base < segs[i-1].base+s.size || i > 0 && s.base > segs[i-1].base+maxMissing*s.size {
			return nil, &CorruptError{File: s.path, Offset: s.base, Reason: fmt.Sprintf(
				"the segment does not follow the one before it, with files of %d bytes (mappedFileSizeCommitLog)", s.size)}
		}
		if sizes[i] > s.size || sizes[i] < s.size && (!whole && i < len(segs)-1 || l.o.WrittenSize != 0 && l.o.WrittenSize != s.size) {
			return nil, &CorruptError{File: s.path, Offset: s.base, Reason: fmt.Sprintf(
				"the file has %d bytes, mappedFileSizeCommitLog is %d: set it to the value that the store was written with", sizes[i], s.size)}
		}
	}
	for i, s := range segs {
		if sizes[i] == s.size {
			continue
		}
		// The last one may be short: the power failed while it was made.
		if err := l.complete(s, sizes[i], i == len(segs)-1); err != nil {
			return nil, err
		}
	}
	return l.fillGaps(segs)
}

// maxMissing bounds how many files in a row may be missing.
const maxMissing = 1024

// fillGaps makes files that are missing between others.
func (l *Log) fillGaps(segs []*segment) ([]*segment, error) {
	var out []*segment
	for _, s := range segs {
		for n := len(out); n > 0 && out[n-1].base+s.size < s.base; n++ {
			m, err := l.restore(out[n-1].base + s.size)
			if err != nil {
				return nil, err
			}
			out = append(out, m)
		}
		out = append(out, s)
	}
	return out, nil
}

// complete gives a file the size that it should have.
func (l *Log) complete(s *segment, size int64, last bool) error {
	f, err := s.open()
	switch {
	case err != nil:
	case last:
		err = f.Allocate(s.size)
	default:
		err = f.Truncate(s.size)
	}
	if err != nil {
		return fmt.Errorf("commitlog: complete %s: %w", s.path, err)
	}
	if !last || size > 0 {
		l.o.Logger.Error("commitlog: a file of the log is too short, what it lacks is lost",
			"file", s.path, "at", size, "offset", s.base+size, "bytes", s.size-size)
	}
	return nil
}

// CorruptError tells where the log is damaged.
type CorruptError struct {
	File   string
	Offset int64 // in the log
	Reason string
}

// Error implements error.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("commitlog: %s at offset %d: %s", e.File, e.Offset, e.Reason)
}

// Min is the offset of the first segment.
func (l *Log) Min() int64 {
	if segs := *l.segs.Load(); len(segs) > 0 {
		return segs[0].base
	}
	return l.max.Load()
}

// Max is the end of the log.
func (l *Log) Max() int64 { return l.max.Load() }

// Flushed is the end of the durable part.
func (l *Log) Flushed() int64 { return l.flushed.Load() }

// SegmentSize is the size of every segment.
func (l *Log) SegmentSize() int64 { return l.o.SegmentSize }

// Failed is the error that closed the log for writing, or nil.
func (l *Log) Failed() error {
	if p := l.failed.Load(); p != nil {
		return *p
	}
	return nil
}

// Fail closes the log for writing and gives the error that says so: err, or that of
// an earlier failure. REQUIRES: the appender, or who flushes.
func (l *Log) Fail(err error) error {
	err = fmt.Errorf("%w: %w", ErrFailed, err)
	if l.failed.CompareAndSwap(nil, &err) {
		l.o.Logger.Error("commitlog: write failed, no more messages are accepted", "err", err)
	}
	return l.Failed()
}

// SegmentOf is the first offset of the segment that offset lies in.
func (l *Log) SegmentOf(offset int64) int64 { return offset - offset%l.o.SegmentSize }

// End is where the next record goes, before any roll. REQUIRES: the appender.
func (l *Log) End() int64 { return l.pos }

// Fits says whether n bytes of records fit into the current segment. REQUIRES:
// the appender.
func (l *Log) Fits(n int) bool {
	return l.cur != nil && int64(n)+BlankSize <= l.cur.base+l.cur.size-l.pos
}

// MaxRoom is the most that Room gives.
const MaxRoom = chunkSize

// Room lends memory of the log for the records that go to End: an empty slice
// that takes n bytes and perhaps more. What is written there and then given to
// Append needs no copy to stay in memory for the readers that keep up. It is nil
// when n is more than MaxRoom. The next call takes the memory back. REQUIRES: the
// appender.
func (l *Log) Room(n int) []byte { return l.tail.room(l.pos, n) }

// Append writes records at End with one pwrite and makes them readable. Data that
// stands in Room belongs to the log from then on; other data is the caller's
// again. A failed write is final. REQUIRES: the appender, Fits(len(data)).
func (l *Log) Append(data []byte) error {
	if err := l.Failed(); err != nil {
		return err
	}
	if err := l.write(data); err != nil {
		return err
	}
	l.tail.add(data, l.pos)
	l.pos += int64(len(data))
	l.max.Store(l.pos)
	l.askAhead()
	return nil
}

// askAhead has the next segment made while there is time.
func (l *Log) askAhead() {
	if !l.asked && l.pos-l.cur.base > l.cur.size/2 {
		l.ask(l.cur.base + l.cur.size)
	}
}

// write writes at the end of the written part.
func (l *Log) write(data []byte) error { return l.writeAt(data, l.pos) }

func (l *Log) writeAt(data []byte, at int64) error {
	if l.ahead != nil {
		l.ahead.enter(at, at+int64(len(data)))
	}
	f, err := l.cur.open()
	if err == nil {
		_, err = f.WriteAt(data, at-l.cur.base)
	}
	if err != nil {
		return l.Fail(fmt.Errorf("write %d bytes at %d: %w", len(data), at, err))
	}
	return nil
}

// Roll closes the current segment with a blank record and goes on in the next
// one. REQUIRES: the appender.
func (l *Log) Roll() error {
	if err := l.Failed(); err != nil {
		return err
	}
	if l.cur == nil {
		return l.next(l.pos)
	}
	return l.next(l.cur.base + l.cur.size)
}

// next goes on in the segment at base; a blank record closes the one before, when it
// has room for one.
func (l *Log) next(base int64) error {
	p, err := l.take(base)
	if err != nil {
		return err
	}
	if l.pos < base {
		blank := blankRecord(base - l.pos)
		if err := l.write(blank[:]); err != nil {
			p.release() // an empty file of zeros, the next start sees to it
			return err
		}
	}
	l.segMu.Lock()
	segs := append(slices.Clone(*l.segs.Load()), p)
	l.segs.Store(&segs)
	l.segMu.Unlock()
	l.cur, l.pos = p, base
	l.max.Store(base)
	return nil
}

// take gives the segment at base, made ahead of time or now. A failure that was met
// ahead of time is old news: the disk may have room by now, so it is tried again.
func (l *Log) take(base int64) (*segment, error) {
	ahead := l.asked
	if !ahead {
		l.ask(base)
	}
	p := <-l.have
	if p.err != nil && ahead {
		l.ask(base)
		p = <-l.have
	}
	l.asked = false
	if p.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoSegment, p.err)
	}
	return p.seg, nil
}

func (l *Log) ask(base int64) {
	l.asked = true
	l.want <- base
}

// prepare is the goroutine that makes segments ahead of time.
func (l *Log) prepare() {
	defer l.wg.Done()
	for {
		select {
		case base := <-l.want:
			s := newSegment(l.o.FS, l.o.Dir, base, l.o.SegmentSize)
			err := s.create()
			if err != nil {
				l.o.Logger.Error("commitlog: no next segment", "err", err)
			}
			l.have <- prepared{s, err}
		case <-l.quit:
			return
		}
	}
}

// Flush makes everything appended so far durable and gives the new durable end.
// A failed sync is final. One caller at a time.
func (l *Log) Flush() (int64, error) {
	if err := l.Failed(); err != nil {
		return l.flushed.Load(), err
	}
	from, to := l.flushed.Load(), l.max.Load()
	if from >= to {
		return from, nil
	}
	for _, s := range *l.segs.Load() {
		if s.base+s.size <= from || s.base >= to {
			continue
		}
		if !s.acquire() {
			continue // deleted by retention: nobody can ask for it again
		}
		f, err := s.open()
		if err == nil {
			err = f.Sync()
		}
		s.release()
		if err != nil {
			return from, l.Fail(fmt.Errorf("sync %s: %w", s.path, err))
		}
	}
	l.flushed.Store(to)
	return to, nil
}

// Close waits for the preparer and closes the files. It flushes nothing.
func (l *Log) Close() {
	close(l.quit)
	l.wg.Wait()
	if l.ahead != nil {
		l.ahead.stop()
	}
	l.segMu.Lock()
	segs := *l.segs.Load()
	l.segs.Store(&[]*segment{})
	l.segMu.Unlock()
	for _, s := range segs {
		s.release()
	}
	select {
	case p := <-l.have:
		if p.err == nil {
			p.seg.release() // an empty file of zeros, the next start sees to it
		}
	default:
	}
	l.tail.drop()
	l.blocks.drop()
	l.maps.cut(math.MaxInt64)
}

// Remove deletes the oldest segment for good and gives its end. It never deletes
// the last one, and one that cannot be deleted stays: the files must never have a
// gap, also after a power failure. One caller at a time.
func (l *Log) Remove() (int64, error) {
	l.segMu.Lock()
	segs := *l.segs.Load()
	if len(segs) < 2 {
		l.segMu.Unlock()
		return l.Min(), nil
	}
	if l.unsynced { // the one before may come back
		l.segMu.Unlock()
		return segs[0].base, l.syncRemoved()
	}
	rest := slices.Clone(segs[1:])
	l.segs.Store(&rest)
	l.segMu.Unlock()
	if err := l.o.FS.Remove(segs[0].path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.segMu.Lock()
		back := append([]*segment{segs[0]}, *l.segs.Load()...)
		l.segs.Store(&back)
		l.segMu.Unlock()
		return segs[0].base, fmt.Errorf("commitlog: delete segment: %w", err)
	}
	segs[0].release()
	l.blocks.cut(rest[0].base)
	l.maps.cut(rest[0].base)
	return rest[0].base, l.syncRemoved()
}

func (l *Log) syncRemoved() error {
	err := l.o.FS.SyncDir(l.o.Dir)
	if l.unsynced = err != nil; l.unsynced {
		return fmt.Errorf("commitlog: delete segment: %w", err)
	}
	return nil
}

// Segments gives the first offset of each segment, oldest first.
func (l *Log) Segments() []int64 {
	segs := *l.segs.Load()
	out := make([]int64, len(segs))
	for i, s := range segs {
		out[i] = s.base
	}
	return out
}

// find gives the segment of an offset with a reference taken, or nil.
func (l *Log) find(off int64) *segment {
	for {
		list := l.segs.Load()
		segs := *list
		if len(segs) == 0 || off < segs[0].base {
			return nil
		}
		i := (off - segs[0].base) / l.o.SegmentSize
		if i >= int64(len(segs)) {
			return nil
		}
		if segs[i].acquire() {
			return segs[i]
		}
		if l.segs.Load() == list {
			return nil // it is being closed, with the log
		}
		// It was deleted or, by CloseUnused, replaced.
	}
}

// CloseUnused closes the files that nobody has read since the call before and that
// are written and durable to their end. They are opened again when they are needed.
func (l *Log) CloseUnused() {
	flushed := l.flushed.Load()
	l.segMu.Lock()
	segs := slices.Clone(*l.segs.Load())
	var idle []*segment
	for i, s := range segs {
		if s.base+s.size <= flushed && s.idle() {
			segs[i] = newSegment(l.o.FS, l.o.Dir, s.base, s.size)
			idle = append(idle, s)
		}
	}
	if len(idle) > 0 {
		l.segs.Store(&segs)
	}
	l.segMu.Unlock()
	for _, s := range idle {
		s.release()
	}
}

// Path is the file that offset lies in.
func (l *Log) Path(offset int64) string {
	return filepath.Join(l.o.Dir, FileName(l.SegmentOf(offset)))
}
