package store

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/commitlog"
	"github.com/merlinmq/merlin/store/vfs"
)

// within fails the test when do takes long: what hangs holds a lock.
func within(t *testing.T, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it hangs")
	}
}

// A panic in the middle of an append: all of its messages are refused, the log takes
// no more of them, nobody hangs, and what is there can be read and is there after the
// next start.
func TestPut_PanicClosesTheLogForWriting(t *testing.T) {
	for _, mode := range []FlushDiskType{AsyncFlush, SyncFlush} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			var on atomic.Bool
			disk := &vfs.Inject{FS: vfs.NewMem(), Fail: func(op vfs.Op) error {
				if on.Load() && op.Name == "WriteAt" && strings.Contains(op.Path, "commitlog") {
					panic("a defect")
				}
				return nil
			}}
			j := &journal{}
			o := small(disk)
			o.FlushDiskType, o.Logger = mode, j.logger()
			s := open(t, o)
			for i := range 10 {
				put(t, s, msg("T", 0, fmt.Sprint(i)))
			}
			on.Store(true)
			within(t, func() {
				refused := make(chan PutResult, 3)
				var ps []*Put
				for range cap(refused) {
					ps = append(ps, &Put{Msg: msg("T", 0, "x"), Done: func(p *Put) { refused <- p.Result }})
				}
				s.PutBatch(ps)
				for range ps {
					r := <-refused
					require.Equal(t, ServiceNotAvailable, r.Status)
					require.ErrorIs(t, r.Err, commitlog.ErrFailed)
				}
			})
			on.Store(false)
			within(t, func() {
				r := s.Put(&Put{Msg: msg("T", 0, "y")})
				require.Equal(t, ServiceNotAvailable, r.Status, "for good")
			})
			require.Zero(t, s.LockedFor())
			require.ErrorIs(t, s.Writable(), commitlog.ErrFailed)
			settled(t, s)
			require.Len(t, readAll(t, s, "T", 0, 0), 10)
			require.Contains(t, j.String(), "panic while messages were appended")
			require.Contains(t, j.String(), "commitlog.(*Log).Append", "the stack")
			within(t, func() { require.Error(t, s.Close()) })

			s = open(t, o)
			put(t, s, msg("T", 0, "10"))
			settled(t, s)
			require.Equal(t, numbers(11), readAll(t, s, "T", 0, 0))
		})
	}
}

// broken is a filter that panics.
type broken struct{}

func (broken) MatchTags(int64) bool    { return true }
func (broken) NeedsRecord() bool       { return true }
func (broken) MatchRecord([]byte) bool { panic("a defect") }

// A panic in a filter leaves nothing held.
func TestGet_PanicOfAFilter(t *testing.T) {
	s, _, _ := old(t, vfs.NewMem(), sources["mapped"], 10, nil)
	require.Panics(t, func() { s.Get(&GetRequest{Topic: "T", MaxMsgs: 8, Filter: broken{}}, &GetResult{}) })
	got, _ := consume(t, s, nil)
	require.Equal(t, numbers(10), got)
	within(t, func() { require.NoError(t, s.Close()) })
}
