package hold

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a service over a queue whose end the test sets.
type rig struct {
	*Service
	clock *clock.Manual
	max   atomic.Int64
}

func newRig(t *testing.T, opts Options) *rig {
	r := &rig{clock: clock.NewManual(time.UnixMilli(1_000_000))}
	opts.Clock = r.clock
	opts.MaxOffset = func(string, int32) int64 { return r.max.Load() }
	r.Service = New(opts)
	r.Start()
	t.Cleanup(r.Shutdown)
	require.Eventually(t, func() bool { return r.clock.Waiters() == 1 }, 5*time.Second, time.Millisecond)
	return r
}

func wait(offset int64, ran *atomic.Int32) Wait {
	return Wait{Key: Key{Topic: "T", Offset: offset}, Timeout: 15 * time.Second, Run: func() { ran.Add(1) }}
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	require.Eventually(t, f, 5*time.Second, time.Millisecond, what)
}

func TestPark_WakesWhenMessageArrives(t *testing.T) {
	r := newRig(t, Options{})
	var ran atomic.Int32
	require.True(t, r.Park(wait(0, &ran)))
	require.Equal(t, 1, r.Parked())
	r.Arrived(store.Arrival{Topic: "T", QueueID: 1, QueueOffset: 0})
	r.Arrived(store.Arrival{Topic: "U", QueueOffset: 0})
	require.Equal(t, 1, r.Parked(), "another queue wakes nothing")
	r.Arrived(store.Arrival{Topic: "T", QueueOffset: 0})
	eventually(t, "the request runs", func() bool { return ran.Load() == 1 })
	eventually(t, "nothing stays parked", func() bool { return r.Parked() == 0 })
}

// The lost wake-up: a message that came after the caller looked and before it
// parked.
func TestPark_LooksAgain(t *testing.T) {
	r := newRig(t, Options{})
	r.max.Store(1)
	var ran atomic.Int32
	require.True(t, r.Park(wait(0, &ran)))
	eventually(t, "the request runs without an arrival", func() bool { return ran.Load() == 1 })
}

func TestArrived_LeavesWhatDoesNotMatch(t *testing.T) {
	r := newRig(t, Options{})
	var ran atomic.Int32
	w := wait(0, &ran)
	w.Match = func(code int64, _ []byte) bool { return code == 7 }
	require.True(t, r.Park(w))
	r.Arrived(store.Arrival{Topic: "T", QueueOffset: 0, TagsCode: 8})
	require.Equal(t, 1, r.Parked())
	r.Arrived(store.Arrival{Topic: "T", QueueOffset: 1, TagsCode: 7})
	eventually(t, "the match runs", func() bool { return ran.Load() == 1 })
}

func TestSweep_RunsAtTheDeadline(t *testing.T) {
	r := newRig(t, Options{})
	var ran atomic.Int32
	require.True(t, r.Park(wait(0, &ran)))
	r.clock.Advance(14 * time.Second)
	require.Zero(t, ran.Load())
	eventually(t, "it runs when its time is over", func() bool {
		r.clock.Advance(time.Second)
		return ran.Load() == 1
	})
}

func TestSweep_DropsTheDead(t *testing.T) {
	r := newRig(t, Options{})
	var ran atomic.Int32
	w := wait(0, &ran)
	var dropped atomic.Int32
	w.Alive = func() bool { return false }
	w.Drop = func() { dropped.Add(1) }
	require.True(t, r.Park(w))
	eventually(t, "it is gone", func() bool {
		r.clock.Advance(time.Second)
		return dropped.Load() == 1
	})
	require.Zero(t, r.Parked())
	require.Zero(t, ran.Load(), "nobody waits for the answer")
	require.EqualValues(t, 1, dropped.Load())
}

func TestPark_FullIsAnAnswer(t *testing.T) {
	r := newRig(t, Options{Limit: 2})
	var ran atomic.Int32
	require.True(t, r.Park(wait(0, &ran)))
	require.True(t, r.Park(wait(0, &ran)))
	require.False(t, r.Park(wait(0, &ran)))
	require.Equal(t, 2, r.Parked())
}

func TestShutdown_AnswersEverything(t *testing.T) {
	s := New(Options{MaxOffset: func(string, int32) int64 { return 0 }})
	s.Start()
	var ran atomic.Int32
	for range 100 {
		require.True(t, s.Park(wait(0, &ran)))
	}
	s.Shutdown()
	require.EqualValues(t, 100, ran.Load())
	require.True(t, s.Park(wait(0, &ran)), "a late request is taken")
	require.EqualValues(t, 101, ran.Load(), "and answered at once")
}

// Every request runs once, whatever arrives while they park.
func TestPark_OnceUnderRace(t *testing.T) {
	r := newRig(t, Options{})
	var ran atomic.Int32
	var all sync.WaitGroup
	const n = 2000
	for range 4 {
		all.Go(func() {
			for range n / 4 {
				r.Park(wait(r.max.Load(), &ran))
			}
		})
		all.Go(func() {
			for range 500 {
				end := r.max.Add(1)
				r.Arrived(store.Arrival{Topic: "T", QueueOffset: end - 1})
			}
		})
	}
	all.Wait()
	r.max.Add(1)
	r.Arrived(store.Arrival{Topic: "T", QueueOffset: r.max.Load() - 1})
	eventually(t, "all ran", func() bool { return ran.Load() == n })
	require.Zero(t, r.Parked())
}

// One connection that parks without bound gets its share and no more, and when
// the places run out it is the one that loses them; others go on waiting.
func TestPark_OneOwnerCannotHaveAll(t *testing.T) {
	const limit = 1000
	r := newRig(t, Options{Limit: limit})
	var ran, refused atomic.Int32
	of := func(owner any) Wait {
		w := wait(0, &ran)
		w.Owner = owner
		w.Refuse = func() { refused.Add(1) }
		return w
	}
	for range limit / ownerPart {
		require.True(t, r.Park(of("hog")))
	}
	require.False(t, r.Park(of("hog")), "a quarter of the places is enough for one")
	for i := range limit - limit/ownerPart {
		require.True(t, r.Park(of(i)))
	}
	require.Equal(t, limit, r.Parked())
	require.True(t, r.Park(of("late")), "there is room for an honest one")
	eventually(t, "the hog has lost its places", func() bool { return refused.Load() == limit/ownerPart })
	require.Zero(t, ran.Load(), "nobody else was woken")
	eventually(t, "the others wait", func() bool { return r.Parked() == limit-limit/ownerPart+1 })
	r.Arrived(store.Arrival{Topic: "T", QueueOffset: 0})
	eventually(t, "all are woken", func() bool { return r.Parked() == 0 })
	r.ownersMu.Lock()
	defer r.ownersMu.Unlock()
	require.Empty(t, r.owners.of)
}

// When everybody has a few and all places are taken, the newcomer is refused.
func TestPark_FullOfHonestOnes(t *testing.T) {
	r := newRig(t, Options{Limit: 100})
	var ran atomic.Int32
	for i := range 101 {
		w := wait(0, &ran)
		w.Owner = i
		require.Equal(t, i < 100, r.Park(w))
	}
	require.Equal(t, 100, r.Parked())
}

// The requests of an owner that has gone end at once: a connection that parks many
// and comes back would have them all the time else.
func TestForget_AtOnce(t *testing.T) {
	r := newRig(t, Options{})
	var ran, dropped atomic.Int32
	var gone atomic.Bool
	for i := range 1000 {
		w := wait(0, &ran)
		w.Owner = i % 2
		w.Drop = func() { dropped.Add(1) }
		if i%2 == 0 {
			w.Alive = func() bool { return !gone.Load() }
		}
		require.True(t, r.Park(w))
	}
	gone.Store(true)
	r.Forget(0)
	require.Equal(t, 500, r.Parked(), "the places are free")
	eventually(t, "each is given up", func() bool { return dropped.Load() == 500 })
	r.Forget(0)
	r.Forget("never seen")
	require.Equal(t, 500, r.Parked())
	w := wait(0, &ran)
	w.Owner, w.Drop, w.Alive = 0, func() { dropped.Add(1) }, func() bool { return false }
	require.True(t, r.Park(w))
	eventually(t, "one that comes after its owner has gone", func() bool { return dropped.Load() == 501 })
	require.Zero(t, ran.Load())
}

// Whatever parks, wakes and leaves at the same time, each request ends once and
// nothing is left over.
func TestOwners_UnderRace(t *testing.T) {
	r := newRig(t, Options{Limit: 500})
	var taken, ended atomic.Int32
	end := func() { ended.Add(1) }
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 1500 {
				owner := (g + i/100) % 6
				w := Wait{Key: Key{Topic: "T", QueueID: int32(i % 3), Offset: 1}, Timeout: time.Minute, Owner: owner, Run: end, Refuse: end, Drop: end}
				if r.Park(w) {
					taken.Add(1)
				}
				switch i % 150 {
				case 50:
					r.Forget(owner)
				case 100:
					r.Arrived(store.Arrival{Topic: "T", QueueID: int32(g % 3), QueueOffset: 1})
				}
			}
		})
	}
	all.Wait()
	for q := range int32(3) {
		r.Arrived(store.Arrival{Topic: "T", QueueID: q, QueueOffset: 1})
	}
	eventually(t, "all have ended", func() bool { return ended.Load() == taken.Load() })
	require.Zero(t, r.Parked())
	r.ownersMu.Lock()
	defer r.ownersMu.Unlock()
	require.Empty(t, r.owners.of)
	for _, l := range r.owners.level {
		require.Empty(t, l)
	}
}

// What a refused or an evicted request costs does not depend on how many are
// parked.
func BenchmarkPark_Full(b *testing.B) {
	s := New(Options{MaxOffset: func(string, int32) int64 { return 0 }})
	s.Start()
	b.Cleanup(s.Shutdown)
	owners := 0
	for b.Loop() {
		owners++
		s.Park(Wait{Key: Key{Topic: "T"}, Timeout: time.Minute, Owner: owners / 100 % 5000, Run: func() {}, Refuse: func() {}})
	}
}
