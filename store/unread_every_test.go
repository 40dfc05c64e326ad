package store

import (
	"fmt"
	"math"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/vfs"
)

// nth fails operations that read: the n-th since it was armed and, if it lasts, all
// after it.
type nth struct {
	vfs.FS
	at    atomic.Int64 // 0 while nothing fails
	seen  atomic.Int64
	lasts atomic.Bool
	fault atomic.Pointer[error]
}

func newNth(fs vfs.FS) *nth {
	n := &nth{}
	n.FS = &vfs.Inject{FS: fs, Fail: func(op vfs.Op) error {
		switch op.Name {
		case "Open", "ReadAt", "Map", "MapReadAt":
		default:
			return nil
		}
		at, seen := n.at.Load(), n.seen.Add(1)
		if at > 0 && (seen == at || n.lasts.Load() && seen > at) {
			return *n.fault.Load()
		}
		return nil
	}}
	return n
}

func (n *nth) arm(at int64, fault error, lasts bool) {
	n.fault.Store(&fault)
	n.lasts.Store(lasts)
	n.seen.Store(0)
	n.at.Store(at)
}

// read counts the operations since arm, and lets everything work again.
func (n *nth) disarm() int64 {
	n.at.Store(0)
	return n.seen.Load()
}

// everyRead runs do, which reads from a store, with each of its read operations
// failing once, and with all failing from each one on. The store is opened anew each
// time, so that nothing is in its memory. do gets a function that heals the disk.
func everyRead(t *testing.T, o everyReadStore, do func(t *testing.T, s *Store, what string, heal func())) {
	total := o.run(t, 0, nil, false, func(s *Store, heal func()) { do(t, s, "nothing fails", heal) })
	require.Greater(t, total, int64(10))
	step := int64(1)
	if raceEnabled {
		step = 1 + total/20
	}
	for _, fault := range []error{syscall.EIO, syscall.EMFILE} {
		for _, lasts := range []bool{false, true} {
			for n := int64(1); n <= total; n += step {
				o.run(t, n, fault, lasts, func(s *Store, heal func()) {
					do(t, s, fmt.Sprintf("read %d fails with %v, and all after it: %v", n, fault, lasts), heal)
				})
			}
		}
	}
	t.Logf("each of %d reads failed with EIO and EMFILE, alone and with all after it", total)
}

// everyReadStore is a disk with a store of two queues with several files, and how it
// is read.
type everyReadStore struct {
	mem  *vfs.Mem
	wrap func(vfs.FS) vfs.FS
}

func newEveryReadStore(t *testing.T, wrap func(vfs.FS) vfs.FS, each int) everyReadStore {
	mem := vfs.NewMem()
	s, _, _ := old(t, mem, wrap, each, nil)
	require.NoError(t, s.Close())
	return everyReadStore{mem, wrap}
}

// run opens the store, runs do with the n-th read failing, none for 0, and gives the
// number of reads.
func (e everyReadStore) run(t *testing.T, n int64, fault error, lasts bool, do func(s *Store, heal func())) int64 {
	disk := newNth(e.mem)
	o := small(e.wrap(disk))
	o.FileSizeCommitLog, o.FileSizeConsumeQueue = 1<<20, 20*100
	s, err := Open(o)
	require.NoError(t, err)
	s.queues.Close() // the start has opened some
	disk.arm(n, fault, lasts)
	do(s, func() { disk.disarm() })
	seen := disk.disarm()
	require.NoError(t, s.Close())
	return seen
}

// Consumers move over no message that exists, whichever read fails.
func TestReads_EveryOneFails_Consumers(t *testing.T) {
	const each = 130
	for name, wrap := range sources {
		for what, f := range map[string]Filter{"all": nil, "filtered": evenBodies{}} {
			t.Run(name+"/"+what, func(t *testing.T) {
				t.Parallel()
				e := newEveryReadStore(t, wrap, each)
				want := numbers(each)
				if f != nil {
					for i := range each / 2 {
						want = append(want[:i], want[i+1:]...)
					}
				}
				everyRead(t, e, func(t *testing.T, s *Store, what string, heal func()) {
					require.Equal(t, want, consumeOver(t, s, f, heal), what)
				})
			})
		}
	}
}

// evenBodies takes every second message, for which it has to look into the records.
type evenBodies struct{}

func (evenBodies) MatchTags(int64) bool { return true }
func (evenBodies) NeedsRecord() bool    { return true }
func (evenBodies) MatchRecord(rec []byte) bool {
	var m message.Message
	_, err := message.Decode(rec, &m, true)
	return err == nil && m.QueueOffset%2 == 1
}

// consumeOver is consume over failing reads: it asks again, and after the third
// failure in a row it heals the disk.
func consumeOver(t *testing.T, s *Store, f Filter, heal func()) (got []string) {
	var r GetResult
	failed := 0
	for at := int64(0); ; {
		s.Get(&GetRequest{Topic: "T", Offset: at, MaxMsgs: 32, Filter: f}, &r)
		switch r.Status {
		case OffsetOverflowOne:
			return got
		case ReadFailed:
			require.Equal(t, at, r.Next, "it moved")
			require.Error(t, r.Err)
			require.Empty(t, r.Records)
			if failed++; failed == 3 {
				heal()
			}
			require.Less(t, failed, 10)
			continue
		}
		failed = 0
		require.Greater(t, r.Next, at)
		for _, rec := range r.Records {
			for len(rec) > 0 {
				var m message.Message
				n, err := message.Decode(rec, &m, true)
				require.NoError(t, err)
				got, rec = append(got, fmt.Sprint(m.QueueOffset)), rec[n:]
			}
		}
		at = r.Next
	}
}

// A search gives what it gives without failures, or an error.
func TestReads_EveryOneFails_Searches(t *testing.T) {
	const each = 130
	for name, wrap := range sources {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEveryReadStore(t, wrap, each)
			var first, last int64
			e.run(t, 0, nil, false, func(s *Store, _ func()) {
				var err error
				first, err = s.EarliestStoreTime("T", 0)
				require.NoError(t, err)
				last, err = s.StoreTimeAt("T", 0, each-1)
				require.NoError(t, err)
			})
			searches := func(s *Store) map[string]func() (any, error) {
				out := map[string]func() (any, error){
					"first":    func() (any, error) { return s.EarliestStoreTime("T", 0) },
					"log":      func() (any, error) { return s.EarliestTime() },
					"at":       func() (any, error) { return s.StoreTimeAt("T", 1, each/2) },
					"entries":  func() (any, error) { return s.Entries("T", 0, 90, 40) },
					"record":   func() (any, error) { return s.RecordAt(0) },
					"inMemory": func() (any, error) { return s.InMemory("T", 0, 0) },
					"query":    func() (any, error) { return s.Query("T", "7", 9, 0, math.MaxInt64) },
				}
				for _, at := range []int64{0, first, (first + last) / 2, last, last + 1} {
					for _, upper := range []bool{false, true} {
						out[fmt.Sprint(at, upper)] = func() (any, error) { return s.OffsetByTime("T", 0, at, upper) }
					}
				}
				return out
			}
			want := map[string]any{}
			e.run(t, 0, nil, false, func(s *Store, _ func()) {
				for name, search := range searches(s) {
					var err error
					want[name], err = search()
					require.NoError(t, err, name)
				}
			})
			require.Len(t, want["query"].(QueryResult).Records, 1)
			failures := 0
			everyRead(t, e, func(t *testing.T, s *Store, what string, heal func()) {
				for name, search := range searches(s) {
					got, err := search()
					if err != nil {
						require.NotErrorIs(t, err, ErrNoRecord, what)
						failures++
						continue
					}
					require.Equal(t, want[name], got, "%s: %s", what, name)
				}
			})
			require.NotZero(t, failures)
		})
	}
}

// What retention does not know it does not delete: the minimum of a queue stays while
// a read fails, and is right after the next attempt.
func TestReads_EveryOneFails_Retention(t *testing.T) {
	const each = 500
	for n := int64(1); n < 40; n++ {
		mem := vfs.NewMem()
		disk := newNth(mem)
		o := small(disk)
		o.FileSizeCommitLog, o.FileSizeConsumeQueue, o.TailBytes = 256<<10, 20*100, 1
		s := open(t, o)
		for i := range each {
			put(t, s, msg("T", 0, fmt.Sprintf("%d/%0900d", i, 0)))
		}
		settled(t, s)
		require.True(t, s.dispatch.do(func() { require.NoError(t, s.queues.WriteTails(s.queues.Waiting())) }))
		_, err := s.clog.Flush()
		require.NoError(t, err)
		s.queues.Close()
		s.o.DeleteFilesInterval = 1
		failed := false
		require.True(t, s.cleaner.do(func() {
			_, err := s.clog.Remove()
			require.NoError(t, err)
			disk.arm(n, syscall.EIO, true)
			failed = s.cleaner.follow(s.clog.Min()) != nil
			disk.disarm()
		}))
		q := s.queues.Find("T", 0)
		if failed {
			require.Zero(t, q.Min(), "read %d: it moved", n)
		}
		require.True(t, s.cleaner.do(func() { err = s.cleaner.follow(s.clog.Min()) }))
		require.NoError(t, err)
		es, err := s.Entries("T", 0, q.Min(), 1)
		require.NoError(t, err)
		require.GreaterOrEqual(t, es[0].PhyOffset, s.clog.Min())
		require.Less(t, es[0].PhyOffset, s.clog.Min()+2000, "the first message that is there")
		require.NoError(t, s.Close())
		if !failed {
			require.Greater(t, n, int64(3))
			return
		}
	}
	t.Fatal("more reads than expected")
}
