package store

import (
	"math"
	"sync"
	"time"
)

// pageSize is the unit of flushCommitLogLeastPages.
const pageSize = 4096

// committer owns the goroutine that makes the log durable, and the Puts that wait for
// that or for copies. With SyncFlush it completes all of them with one fdatasync; nobody
// is parked for them.
type committer struct {
	s    *Store
	wake chan struct{}
	ask  chan chan struct{}
	quit chan struct{}
	done chan struct{}
	last time.Time // of the last flush in asynchronous mode; the goroutine's

	// mu guards waiting, the Puts that are not durable yet.
	mu      sync.Mutex
	waiting []*Put
	// ready is scratch of the goroutine.
	ready []*Put
}

func newCommitter(s *Store) *committer {
	return &committer{s: s, wake: make(chan struct{}, 1), ask: make(chan chan struct{}), quit: make(chan struct{}), done: make(chan struct{})}
}

// add takes over Puts that wait for the log to be durable, or copied.
func (c *committer) add(ps []*Put) {
	c.mu.Lock()
	c.waiting = append(c.waiting, ps...)
	c.mu.Unlock()
	wake(c.wake)
}

func (c *committer) run() {
	defer close(c.done)
	t := newPeriod(c.s.clock, func() time.Duration { return c.s.tune().FlushIntervalCommitLog })
	defer t.Stop()
	c.last = c.s.clock.Now()
	for {
		select {
		case <-c.wake:
			if c.s.o.FlushDiskType == SyncFlush {
				c.flush()
			} else { // copies were made
				c.answer(c.s.clog.Flushed(), nil)
			}
		case <-t.C():
			t.follow()
			if c.s.o.FlushDiskType == SyncFlush || c.due() {
				c.flush()
			}
		case done := <-c.ask:
			c.flush()
			close(done)
		case <-c.quit:
			c.flush()
			return
		}
	}
}

// now makes durable what the log holds, as far as the disk does. Called by the
// cleaner, which ends before the committer.
func (c *committer) now() {
	done := make(chan struct{})
	c.ask <- done
	<-done
}

// upToNow is now for the dispatcher, which ends after the committer; the last thing
// that does is to flush. It gives the error that closed the log for writing.
func (c *committer) upToNow() error {
	done := make(chan struct{})
	select {
	case c.ask <- done:
		<-done
	case <-c.done:
	}
	return c.s.clog.Failed()
}

// due says whether an asynchronous flush is worth it.
func (c *committer) due() bool {
	behind := c.s.clog.Max() - c.s.clog.Flushed()
	return behind >= int64(c.s.tune().FlushLeastPages)*pageSize ||
		behind > 0 && c.s.clock.Now().Sub(c.last) >= c.s.tune().FlushThoroughInterval
}

// flush makes the log durable and completes what waits for it.
func (c *committer) flush() {
	at := c.s.appendedTime.Load()
	flushed, err := c.s.clog.Flush()
	c.last = c.s.clock.Now()
	if err == nil {
		c.s.flushedTime.Store(at)
	}
	if c.s.o.FlushDiskType == SyncFlush {
		wake(c.s.wake) // the dispatcher waits for the flushed position
	}
	c.answer(flushed, err)
}

// answer completes what is final once the log is durable up to flushed; err is why it
// is not any further.
func (c *committer) answer(flushed int64, err error) {
	if c.s.o.FlushDiskType == AsyncFlush && err == nil {
		flushed = math.MaxInt64 // nobody waits for it
	}
	copied := c.s.replicated()
	c.complete(func(p *Put) bool {
		if err != nil && p.end > flushed {
			// Whether it is on the disk is not known: it must not be acknowledged.
			p.Result.Status, p.Result.Err = ServiceNotAvailable, err
			return true
		}
		return p.end <= min(flushed, copied)
	})
}

// complete takes the Puts that final agrees to off the list and calls Done.
// Called by the goroutine alone.
func (c *committer) complete(final func(*Put) bool) {
	c.mu.Lock()
	c.ready = c.takeLocked(c.ready[:0], final)
	c.mu.Unlock()
	c.finish(c.ready)
	clear(c.ready)
}

// takeLocked moves Puts from waiting to out. REQUIRES: c.mu.
func (c *committer) takeLocked(out []*Put, final func(*Put) bool) []*Put {
	kept := c.waiting[:0]
	for _, p := range c.waiting {
		if final(p) {
			out = append(out, p)
		} else {
			kept = append(kept, p)
		}
	}
	clear(c.waiting[len(kept):])
	c.waiting = kept
	return out
}

func (c *committer) finish(ps []*Put) {
	now := c.s.clock.NowMillis()
	for _, p := range ps {
		c.s.stats.put(p, now)
		p.done()
	}
}

// expire answers the Puts that have waited too long: they are stored, but a flush, or
// the copies, have not confirmed it. Called by the keeper.
func (c *committer) expire() {
	now := c.s.clock.NowMillis()
	c.mu.Lock()
	late := c.takeLocked(nil, func(p *Put) bool {
		r, late := c.s.late(p, now)
		if late {
			p.Result = r
		}
		return late
	})
	c.mu.Unlock()
	c.finish(late)
}
