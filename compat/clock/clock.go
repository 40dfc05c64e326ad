// Package clock is the seam through which the project sees time. It owns no
// goroutine; Manual has one lock, a leaf.
package clock

import (
	"sync"
	"time"
)

// Clock tells the time and makes timers. All methods may be called from any
// goroutine.
type Clock interface {
	// Now is the wall clock with a monotonic reading where there is one.
	Now() time.Time
	// NowMillis is the wall clock in ms since 1970 (System.currentTimeMillis).
	NowMillis() int64
	// NewTicker ticks every d (above 0) until stopped; a slow reader misses ticks.
	NewTicker(d time.Duration) Ticker
	// NewTimer fires once after d.
	NewTimer(d time.Duration) Timer
}

// Ticker is a running ticker.
type Ticker interface {
	C() <-chan time.Time
	Stop()
}

// Timer is a running timer.
type Timer interface {
	C() <-chan time.Time
	// Stop reports whether it kept the timer from firing.
	Stop() bool
	// Reset starts the timer again; call it on a stopped or drained timer only.
	Reset(d time.Duration)
}

type real struct{}

// Real is the machine's clock.
func Real() Clock { return real{} }

// Or gives c, or the machine's clock when c is nil.
func Or(c Clock) Clock {
	if c == nil {
		return real{}
	}
	return c
}

func (real) Now() time.Time   { return time.Now() }
func (real) NowMillis() int64 { return time.Now().UnixMilli() }
func (real) NewTicker(d time.Duration) Ticker {
	return realTicker{time.NewTicker(d)}
}
func (real) NewTimer(d time.Duration) Timer { return realTimer{time.NewTimer(d)} }

type realTicker struct{ t *time.Ticker }

func (t realTicker) C() <-chan time.Time { return t.t.C }
func (t realTicker) Stop()               { t.t.Stop() }

type realTimer struct{ t *time.Timer }

func (t realTimer) C() <-chan time.Time   { return t.t.C }
func (t realTimer) Stop() bool            { return t.t.Stop() }
func (t realTimer) Reset(d time.Duration) { t.t.Reset(d) }

// Manual is a clock that stands still until Advance moves it. Timers and
// tickers fire inside Advance, in the order of their times.
type Manual struct {
	mu      sync.Mutex
	now     time.Time
	waiters map[*manualTimer]struct{}
}

// NewManual makes a clock that shows t.
func NewManual(t time.Time) *Manual {
	return &Manual{now: t, waiters: map[*manualTimer]struct{}{}}
}

// Now implements Clock.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// NowMillis implements Clock.
func (m *Manual) NowMillis() int64 { return m.Now().UnixMilli() }

// NewTicker implements Clock.
func (m *Manual) NewTicker(d time.Duration) Ticker { return manualTicker{m.add(d, d)} }

// NewTimer implements Clock.
func (m *Manual) NewTimer(d time.Duration) Timer { return m.add(d, 0) }

// Waiters is the number of timers and tickers that are set: a test polls it to
// know that a goroutine has come to its wait.
func (m *Manual) Waiters() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.waiters)
}

// Advance moves the clock by d and fires what is due.
func (m *Manual) Advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	end := m.now.Add(d)
	for {
		var next *manualTimer
		for t := range m.waiters {
			if !t.at.After(end) && (next == nil || t.at.Before(next.at)) {
				next = t
			}
		}
		if next == nil {
			break
		}
		if next.at.After(m.now) {
			m.now = next.at
		}
		select {
		case next.c <- m.now:
		default:
		}
		if next.every > 0 {
			next.at = next.at.Add(next.every)
		} else {
			delete(m.waiters, next)
		}
	}
	m.now = end
}

func (m *Manual) add(d, every time.Duration) *manualTimer {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &manualTimer{m: m, at: m.now.Add(d), every: every, c: make(chan time.Time, 1)}
	m.waiters[t] = struct{}{}
	return t
}

type manualTimer struct {
	m     *Manual
	at    time.Time
	every time.Duration
	c     chan time.Time
}

func (t *manualTimer) C() <-chan time.Time { return t.c }

func (t *manualTimer) Stop() bool {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	_, set := t.m.waiters[t]
	delete(t.m.waiters, t)
	return set
}

func (t *manualTimer) Reset(d time.Duration) {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	t.at = t.m.now.Add(d)
	t.m.waiters[t] = struct{}{}
}

type manualTicker struct{ t *manualTimer }

func (t manualTicker) C() <-chan time.Time { return t.t.c }
func (t manualTicker) Stop()               { t.t.Stop() }

// century is as long as a setting can mean: it stands for "for ever", and times can
// be added to it without an overflow.
const century = 100 * 365 * 24 * time.Hour

// Span is n units, and a century at most, either way. Java counts in milliseconds,
// where numbers fit that are too large for a Duration.
func Span(n int64, unit time.Duration) time.Duration {
	if limit := int64(century / unit); n > limit || n < -limit {
		if n < 0 {
			return -century
		}
		return century
	}
	return time.Duration(n) * unit
}
