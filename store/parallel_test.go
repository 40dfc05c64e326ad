package store

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/vfs"
)

// TestStore_ParallelUse lets everything happen at once: puts, tailing and
// catching up readers, queries, deletion of topics, checkpoints, retention and
// Close. Each reader sees its queue in order and without holes.
func TestStore_ParallelUse(t *testing.T) {
	for _, mode := range []FlushDiskType{AsyncFlush, SyncFlush} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			mem := vfs.NewMem()
			o := small(mem)
			o.FlushDiskType, o.FlushIntervalQueues = mode, time.Millisecond
			s := open(t, o)
			var stop atomic.Bool
			var wg, writers sync.WaitGroup
			run := func(fn func()) {
				wg.Go(func() {
					for !stop.Load() {
						fn()
					}
				})
			}
			var puts, done atomic.Int64
			for w := range 3 {
				writers.Go(func() {
					for i := range 300 {
						var ps []*Put
						for q := range int32(4) {
							p := &Put{Msg: msg("T", q, fmt.Sprintf("%d-%d", w, i), "UNIQ_KEY", fmt.Sprint(w, i, q))}
							p.Done = func(p *Put) {
								if p.Result.Status == PutOK {
									done.Add(1)
								}
							}
							ps = append(ps, p)
						}
						puts.Add(int64(len(ps)))
						s.PutBatch(ps)
						s.PutBatch([]*Put{{Msg: msg(fmt.Sprint("gone", w), 0, "x")}})
					}
				})
			}
			for q := range int32(4) {
				var r GetResult
				next := int64(0)
				run(func() {
					s.Get(&GetRequest{Topic: "T", QueueID: q, Offset: next, MaxMsgs: 16}, &r)
					for _, rec := range r.Records {
						for len(rec) > 0 {
							var m message.Message
							n, err := message.Decode(rec, &m, true)
							if err != nil || m.QueueOffset != next {
								t.Errorf("queue %d at %d: %v %v", q, next, m.QueueOffset, err)
								stop.Store(true)
								return
							}
							next++
							rec = rec[n:]
						}
					}
					r.Release()
				})
			}
			run(func() { _ = s.DeleteTopic("gone1"); _ = s.CleanExpiredQueues(nil) })
			run(func() { s.cleaner.do(func() { _ = s.cleaner.checkpoint() }); _ = s.CleanNow() })
			run(func() {
				_, _ = s.Query("T", "1 1 1", 9, 0, math.MaxInt64)
				_, _ = s.OffsetByTime("T", 1, 5, true)
				s.RuntimeInfo()
				_, _ = s.EarliestTime()
			})
			writers.Wait()
			require.Eventually(t, func() bool { return done.Load() == puts.Load() }, 10*time.Second, time.Millisecond)
			settled(t, s)
			for q := range int32(4) {
				require.EqualValues(t, 900, s.MaxOffset("T", q))
			}
			stop.Store(true)
			wg.Wait()
			require.NoError(t, s.Close())
			s = open(t, o)
			require.Len(t, readAll(t, s, "T", 0, 0), 900)
		})
	}
}

// TestStore_CloseMeetsEverything closes the store while it is in use: every put
// is answered, and what was answered with success is there afterwards.
func TestStore_CloseMeetsEverything(t *testing.T) {
	mem := vfs.NewMem()
	s := open(t, crashOptions(mem))
	h := newHistory()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for s.Writable() == nil {
				_ = h.write(s, time.Now().UnixNano(), 1)
			}
		})
		wg.Go(func() {
			for s.Writable() == nil {
				_ = s.DeleteTopic("none")
				_ = s.CleanNow()
			}
		})
	}
	require.Eventually(t, func() bool { return s.MaxOffset("T", 0) > 20 }, 10*time.Second, time.Millisecond)
	require.NoError(t, s.Close())
	wg.Wait()
	s = open(t, crashOptions(mem))
	seen := map[string]bool{}
	for q := range int32(crashQueues) {
		for _, b := range readAll(t, s, "T", q, 0) {
			seen[b] = true
		}
	}
	for b := range h.acked {
		require.True(t, seen[b])
	}
}
