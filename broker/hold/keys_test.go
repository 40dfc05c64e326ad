package hold

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store"
)

// linked is how many nodes stand in lists.
func linked(s *Service) (n int) {
	for i := range s.shard {
		sh := &s.shard[i]
		sh.mu.Lock()
		for _, l := range sh.queues {
			for x := l.first; x != nil; x = x.after {
				n++
			}
		}
		sh.mu.Unlock()
	}
	return n
}

// A request for all queues of a topic, or for several topics, runs once, at the first
// message anywhere.
func TestPark_AnyQueueAndSeveralKeys(t *testing.T) {
	r := newRig(t, Options{})
	var ran atomic.Int32
	never := func() bool { return false }
	w := Wait{Key: Key{Topic: "T", QueueID: AnyQueue}, More: []Key{{Topic: "%RETRY%g", QueueID: AnyQueue}, {Topic: "U", QueueID: 2, Offset: 5}},
		Timeout: time.Minute, Due: never, Run: func() { ran.Add(1) }, Match: func(code int64, _ []byte) bool { return code != 13 }}
	for i, a := range []store.Arrival{{Topic: "T", QueueID: 7}, {Topic: "%RETRY%g", QueueID: 0}, {Topic: "U", QueueID: 2, QueueOffset: 5}} {
		require.True(t, r.Park(w))
		require.Equal(t, 3, linked(r.Service))
		r.Arrived(store.Arrival{Topic: "U", QueueID: 1, QueueOffset: 9})
		r.Arrived(store.Arrival{Topic: "U", QueueID: 2, QueueOffset: 4})
		r.Arrived(store.Arrival{Topic: "V", QueueID: 7})
		r.Arrived(store.Arrival{Topic: "T", QueueID: 7, TagsCode: 13})
		require.Equal(t, 1, r.Parked())
		r.Arrived(a)
		r.Arrived(a)
		eventually(t, "it runs", func() bool { return ran.Load() == int32(i+1) })
		require.Zero(t, r.Parked())
		require.Zero(t, linked(r.Service), "it waits nowhere any more")
		require.Zero(t, r.whole.Load())
	}
}

// The request's own rule counts when it is parked and at every sweep, and the queue's
// offset does not then.
func TestPark_OwnRule(t *testing.T) {
	r := newRig(t, Options{})
	var ran atomic.Int32
	var due atomic.Bool
	w := Wait{Key: Key{Topic: "T", QueueID: 1}, Timeout: time.Minute, Due: due.Load, Run: func() { ran.Add(1) }}
	r.max.Store(100)
	require.True(t, r.Park(w))
	r.clock.Advance(time.Second)
	require.Equal(t, 1, r.Parked(), "the rule says no")
	due.Store(true)
	r.clock.Advance(time.Second)
	eventually(t, "the sweep asks the rule", func() bool { return ran.Load() == 1 })
	require.True(t, r.Park(w))
	eventually(t, "parking asks the rule", func() bool { return ran.Load() == 2 })
	due.Store(false)
	require.True(t, r.Park(w))
	r.clock.Advance(time.Minute)
	eventually(t, "its time is over", func() bool { return ran.Load() == 3 })
	require.Zero(t, linked(r.Service))
}

// Whatever wakes a request with several keys at the same time, it ends once.
func TestPark_SeveralKeysUnderRace(t *testing.T) {
	r := newRig(t, Options{})
	var parked, ended atomic.Int32
	end := func() { ended.Add(1) }
	var all sync.WaitGroup
	for g := range int32(4) {
		all.Go(func() {
			for i := range int32(2000) {
				w := Wait{Key: Key{Topic: "T", QueueID: i%3 - 1}, More: []Key{{Topic: "U", QueueID: AnyQueue}, {Topic: "V", QueueID: g, Offset: 1}},
					Timeout: time.Minute, Owner: i % 5, Run: end, Drop: end, Refuse: end}
				if r.Park(w) {
					parked.Add(1)
				}
				r.Arrived(store.Arrival{Topic: "T", QueueID: i % 2})
				r.Arrived(store.Arrival{Topic: "U", QueueID: i % 9})
				if i%100 == 0 {
					r.Forget(i % 5)
				}
			}
		})
	}
	all.Wait()
	r.Arrived(store.Arrival{Topic: "U"})
	eventually(t, "all have ended", func() bool { return ended.Load() == parked.Load() })
	require.Zero(t, r.Parked())
	require.Zero(t, linked(r.Service))
	require.Zero(t, r.whole.Load())
}
