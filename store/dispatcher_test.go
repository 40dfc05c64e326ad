package store

import (
	"errors"
	"fmt"
	"maps"
	"math/rand"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/vfs"
)

// tally is a Dispatcher that counts the messages of each topic. What it has committed
// is its disk.
type tally struct {
	mu     sync.Mutex
	disk   tallied
	now    tallied
	fail   int // so many calls of Dispatch fail
	live   int
	failed int
}

type tallied struct {
	counts map[string]int
	ends   []int64 // of the messages that were counted, oldest first
	topics []string
}

func (t tallied) end() int64 {
	if len(t.ends) == 0 {
		return 0
	}
	return t.ends[len(t.ends)-1]
}

func (t tallied) clone() tallied {
	return tallied{maps.Clone(t.counts), append([]int64(nil), t.ends...), append([]string(nil), t.topics...)}
}

func newTally(disk tallied) *tally {
	t := &tally{disk: disk, now: disk.clone()}
	if t.now.counts == nil {
		t.now.counts = map[string]int{}
	}
	return t
}

func (t *tally) From() int64 { return t.now.end() }

func (t *tally) Dispatch(m *Dispatched) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fail > 0 {
		t.fail--
		t.failed++
		return errors.New("not now")
	}
	if m.PhyOffset < t.now.end() {
		return nil // a recovery
	}
	if m.Live {
		t.live++
	}
	topic := strings.Clone(m.Topic) // it is the log's
	t.now.counts[topic]++
	t.now.ends = append(t.now.ends, m.PhyOffset+int64(m.StoreSize))
	t.now.topics = append(t.now.topics, topic)
	return nil
}

func (t *tally) Checkpoint() (func() error, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.now.clone()
	return func() error {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.disk = c
		return nil
	}, nil
}

func (t *tally) Truncate(end int64) error {
	for t.now.end() > end {
		n := len(t.now.ends) - 1
		t.now.counts[t.now.topics[n]]--
		t.now.ends, t.now.topics = t.now.ends[:n], t.now.topics[:n]
	}
	return nil
}

// What another dispatcher builds is whole after kills, power failures and stops, from
// whatever place it was durable.
func TestDispatcher_IsWholeAfterEveryStart(t *testing.T) {
	for seed := range int64(30) {
		r := rand.New(rand.NewSource(seed))
		mem, disk, sent := vfs.NewMem(), tallied{}, map[string]int{}
		for range 6 {
			d := newTally(disk)
			o := small(mem)
			o.FlushDiskType, o.Dispatchers = SyncFlush, []Dispatcher{d}
			s := open(t, o)
			for topic, n := range sent {
				require.Equal(t, n, d.now.counts[topic], "seed %d", seed)
			}
			for range r.Intn(60) {
				topic := fmt.Sprint("T", r.Intn(3))
				put(t, s, msg(topic, 0, damageBody(r.Intn(100))))
				sent[topic]++
				if r.Intn(15) == 0 {
					settled(t, s)
					require.True(t, s.cleaner.do(func() { require.NoError(t, s.cleaner.checkpoint()) }))
				}
			}
			settled(t, s)
			for topic, n := range sent {
				require.Equal(t, n, d.now.counts[topic])
			}
			d.mu.Lock()
			disk = d.disk.clone()
			d.mu.Unlock()
			switch r.Intn(3) {
			case 0:
				require.NoError(t, s.Close())
				disk = d.disk
			case 1:
				next := killed(t, mem)
				require.NoError(t, s.Close())
				mem = next
			case 2:
				next := mem.CrashClone(rand.New(rand.NewSource(seed)))
				require.NoError(t, s.Close())
				mem = next
			}
		}
	}
}

func TestDispatcher_AnErrorIsTriedAgain(t *testing.T) {
	d := newTally(tallied{})
	d.fail = 1
	o := small(vfs.NewMem())
	o.Dispatchers = []Dispatcher{d}
	s := open(t, o)
	put(t, s, msg("T", 0, "one"))
	settled(t, s)
	require.Equal(t, 1, d.failed)
	require.Equal(t, map[string]int{"T": 1}, d.now.counts)
	require.Equal(t, []string{"one"}, readAll(t, s, "T", 0, 0), "once, though it came into its queue twice")
}
