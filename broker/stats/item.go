package stats

import (
	"sync"
	"sync/atomic"
)

// Item is one counter: a sum and the number of times something was added.
type Item struct {
	value, times atomic.Int64
	valuesOnly   bool

	// mu guards the samples.
	mu                sync.Mutex
	minute, hour, day samples
}

// Add adds value, which came from that many calls. It takes no lock.
func (it *Item) Add(value, times int64) {
	it.value.Add(value)
	if !it.valuesOnly {
		it.times.Add(times)
	}
}

// Value is the sum since the counter was made.
func (it *Item) Value() int64 { return it.value.Load() }

// Window is what a counter did in one stretch of time (BrokerStatsItem).
type Window struct {
	Sum   int64
	Times int64   // calls
	TPS   float64 // Sum per second
	AvgPT float64 // Sum per call, 0 without calls
}

// Snapshot is a counter's last minute, hour and day (BrokerStatsData).
type Snapshot struct{ Minute, Hour, Day Window }

// Snapshot computes the windows from the samples taken so far.
func (it *Item) Snapshot() Snapshot {
	it.mu.Lock()
	defer it.mu.Unlock()
	return Snapshot{it.minute.window(), it.hour.window(), it.day.window()}
}

func (it *Item) sample(now int64, n int) {
	p := point{now, it.value.Load(), it.times.Load()}
	it.mu.Lock()
	defer it.mu.Unlock()
	it.minute.add(p, 10_000, 7)
	if n%60 == 0 {
		it.hour.add(p, 600_000, 7)
	}
	if n%360 == 0 {
		it.day.add(p, 3_600_000, 25)
	}
}

// point is the state of a counter at a moment (CallSnapshot).
type point struct{ at, value, times int64 }

// samples are the last points, oldest first.
type samples []point

// add appends p. The first one is preceded by a zero one period before, so that a
// new counter has a rate at once.
func (s *samples) add(p point, period int64, keep int) {
	if len(*s) == 0 {
		*s = append(*s, point{at: p.at - period})
	}
	*s = append(*s, p)
	if len(*s) > keep {
		*s = append((*s)[:0], (*s)[1:]...)
	}
}

func (s samples) window() (w Window) {
	if len(s) == 0 {
		return w
	}
	first, last := s[0], s[len(s)-1]
	w.Sum, w.Times = last.value-first.value, last.times-first.times
	if ms := last.at - first.at; ms > 0 {
		w.TPS = float64(w.Sum) * 1000 / float64(ms)
	}
	if w.Times > 0 {
		w.AvgPT = float64(w.Sum) / float64(w.Times)
	}
	return w
}
