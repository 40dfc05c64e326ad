package commitlog

import (
	"sync"
	"sync/atomic"

	"github.com/merlinmq/merlin/store/vfs"
)

const (
	// maxAheadStep is how much the ahead writes at a time, at most: a write holds the
	// file's lock in the kernel, which the appender needs.
	maxAheadStep = 64 << 10
	// aheadPiece is after how many steps it syncs.
	aheadPiece = 16
)

// ahead owns the goroutine that writes zeros in front of the appender. What is
// allocated and was never written costs every sync behind it a change of the file's
// metadata, which goes through the journal of the file system; zeros that were written
// and synced once do not. Nothing depends on it: what it cannot write the appender
// writes into the bare allocation, as without it.
//
// It has a file handle of its own: an error of the disk is told once to each handle, and
// the one that Flush syncs must hear all of them.
type ahead struct {
	l    *Log
	span int64 // bytes that are kept in front of the appender
	step int64 // bytes that are written at a time
	wake chan struct{}
	quit chan struct{}
	done chan struct{}

	// end is up to where zeros were written, of the segment that is written.
	end atomic.Int64
	// reach is the end of what the appender has written or is about to write; from and
	// to are the piece that the goroutine is about to write or writes, none when to is
	// 0. Each side says what it is going to do and then looks at the other: the
	// goroutine gives way, the appender waits.
	reach, from, to atomic.Int64
	// writing is held while a piece is written.
	writing sync.Mutex
}

func newAhead(l *Log) *ahead {
	return &ahead{l: l, span: l.o.ZeroAhead, step: min(max(l.o.ZeroAhead/aheadPiece, 512), maxAheadStep), wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
}

// enter is called by the appender before it writes up to an offset.
func (a *ahead) enter(from, to int64) {
	a.reach.Store(to)
	if a.to.Load() > from && a.from.Load() < to {
		a.await()
	}
	if a.end.Load()-to < a.span/2 {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

// await waits for the piece that is being written.
func (a *ahead) await() {
	a.writing.Lock()
	defer a.writing.Unlock()
}

// claim takes a piece of the segment in front of the appender, false when there is
// nothing to do. The caller gives it back with a.to.Store(0).
func (a *ahead) claim(s *segment) (from, to int64, ok bool) {
	for {
		reach := a.reach.Load()
		from = max(a.end.Load(), reach)
		if m := (from - s.base) % a.step; m != 0 {
			from += a.step - m
		}
		to = min(from+a.step, s.base+s.size)
		if from < s.base || from >= to || from-reach >= a.span {
			return 0, 0, false
		}
		a.from.Store(from)
		a.to.Store(to)
		if a.reach.Load() <= from {
			return from, to, true
		}
		a.to.Store(0)
	}
}

func (a *ahead) run() {
	defer close(a.done)
	var s *segment
	var f vfs.File
	drop := func() {
		if f != nil {
			_ = f.Close()
			s.release()
		}
		s, f = nil, nil
	}
	defer drop()
	for {
		select {
		case <-a.wake:
		case <-a.quit:
			return
		}
		now := a.l.find(max(a.reach.Load()-1, 0))
		if now == nil {
			continue
		}
		if s == nil || s.base != now.base {
			drop()
			var err error
			if f, err = a.l.o.FS.Open(now.path, vfs.ReadWrite); err != nil {
				a.l.o.Logger.Warn("commitlog: no zeros are written ahead", "file", now.path, "err", err)
				now.release()
				continue
			}
			s = now
			a.end.Store(s.base)
		} else {
			now.release()
		}
		if err := a.fill(s, f); err != nil {
			a.l.o.Logger.Warn("commitlog: no zeros are written ahead", "file", s.path, "err", err)
			a.end.Store(s.base + s.size)
		}
	}
}

// fill writes and syncs pieces until the appender has enough in front of it.
func (a *ahead) fill(s *segment, f vfs.File) error {
	zeros := make([]byte, a.step)
	for n := int64(0); ; {
		a.writing.Lock()
		from, to, ok := a.claim(s)
		var err error
		if ok {
			_, err = f.WriteAt(zeros[:to-from], from-s.base)
			a.to.Store(0)
			a.end.Store(to)
		}
		a.writing.Unlock()
		if n += to - from; err == nil && (n >= aheadPiece*a.step || !ok && n > 0) {
			n, err = 0, f.Sync()
		}
		if err != nil || !ok {
			return err
		}
		select {
		case <-a.quit:
			return nil
		default:
		}
	}
}

func (a *ahead) stop() {
	close(a.quit)
	<-a.done
}
