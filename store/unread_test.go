package store

import (
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/store/vfs"
)

// failing is a disk whose reads of some files fail while it is told to.
type failing struct {
	vfs.FS
	err atomic.Pointer[error]
}

func newFailing(fs vfs.FS) *failing {
	f := &failing{}
	f.FS = &vfs.Inject{FS: fs, Fail: func(op vfs.Op) error {
		if err := f.err.Load(); err != nil && (op.Name == "ReadAt" || op.Name == "Open") {
			return *err
		}
		return nil
	}}
	return f
}

// with runs do while reads fail.
func (f *failing) with(err error, do func()) {
	f.err.Store(&err)
	defer f.err.Store(nil)
	do()
}

// A read that fails is an error to everybody who reads, and moves nothing.
func TestReads_ThatFailMoveNothing(t *testing.T) {
	for _, fault := range []error{syscall.EIO, syscall.EMFILE} {
		t.Run(fault.Error(), func(t *testing.T) {
			disk := newFailing(vfs.NewMem())
			o := small(disk)
			o.FileSizeCommitLog, o.FileSizeConsumeQueue = 1<<20, 20*100
			s := open(t, o)
			for i := range 900 { // more than what stays in memory
				put(t, s, msg("T", 0, fmt.Sprintf("%d/%05000d", i, 0), "KEYS", fmt.Sprint(i)))
			}
			settled(t, s)
			require.True(t, s.dispatch.do(func() { require.NoError(t, s.queues.WriteTails(s.queues.Waiting())) }))
			s.queues.Close() // the files are opened again
			disk.with(fault, func() {
				var r GetResult
				s.Get(&GetRequest{Topic: "T", Offset: 3, MaxMsgs: 32}, &r)
				require.Equal(t, ReadFailed, r.Status)
				require.ErrorIs(t, r.Err, fault)
				require.EqualValues(t, 3, r.Next)
				require.Zero(t, r.Count)
				for name, read := range map[string]func() error{
					"Entries":           func() error { _, err := s.Entries("T", 0, 0, 5); return err },
					"StoreTimeAt":       func() error { _, err := s.StoreTimeAt("T", 0, 5); return err },
					"EarliestStoreTime": func() error { _, err := s.EarliestStoreTime("T", 0); return err },
					"EarliestTime":      func() error { _, err := s.EarliestTime(); return err },
					"InMemory":          func() error { _, err := s.InMemory("T", 0, 0); return err },
					"OffsetByTime": func() error {
						_, err := s.OffsetByTime("T", 0, s.clock.NowMillis(), false)
						return err
					},
					"upper":    func() error { _, err := s.OffsetByTime("T", 0, 5, true); return err },
					"Query":    func() error { _, err := s.Query("T", "7", 5, 0, math.MaxInt64); return err },
					"RecordAt": func() error { _, err := s.RecordAt(0); return err },
				} {
					err := read()
					require.ErrorIs(t, err, fault, name)
					require.NotErrorIs(t, err, ErrNoRecord, name)
				}
			})
			require.Len(t, readAll(t, s, "T", 0, 0), 900)
		})
	}
}

// A store that closes says so; it has not become empty.
func TestReads_OfAClosedStore(t *testing.T) {
	s := open(t, small(vfs.NewMem()))
	put(t, s, msg("T", 0, "x"))
	settled(t, s)
	require.NoError(t, s.Close())
	var r GetResult
	s.Get(&GetRequest{Topic: "T", Offset: 1, MaxMsgs: 32}, &r)
	require.Equal(t, ReadFailed, r.Status)
	require.ErrorIs(t, r.Err, ErrClosed)
	require.EqualValues(t, 1, r.Next)
	_, err := s.Entries("T", 0, 0, 1)
	require.ErrorIs(t, err, ErrClosed)
	_, err = s.OffsetByTime("T", 0, 0, false)
	require.ErrorIs(t, err, ErrClosed)
}

// A checkpoint is made between two messages: not while one of them is in its queue
// and waits for the index.
func TestDispatch_NoCheckpointInTheMiddleOfAMessage(t *testing.T) {
	var on atomic.Bool
	on.Store(true)
	disk := &vfs.Inject{FS: vfs.NewMem(), Fail: func(op vfs.Op) error {
		if on.Load() && op.Name == "Open" && strings.HasPrefix(op.Path, "/store/index/") {
			return syscall.EMFILE
		}
		return nil
	}}
	o := small(disk)
	tick := clock.NewManual(time.UnixMilli(1_700_000_000_000))
	o.Clock = tick
	s := open(t, o)
	put(t, s, msg("T", 0, "x", "KEYS", "a b"))
	require.Eventually(t, func() bool { return s.dispatchErr.Load() != nil }, 10*time.Second, time.Millisecond)
	point := func() (err error) {
		require.True(t, s.cleaner.do(func() { err = s.cleaner.checkpoint() }))
		return err
	}
	require.ErrorIs(t, point(), errHalf)
	on.Store(false)
	require.Eventually(t, func() bool { tick.Advance(retryPause); return s.DispatchBehind() == 0 }, 10*time.Second, time.Millisecond)
	require.NoError(t, point())
	got, err := s.Query("T", "b", 5, 0, math.MaxInt64)
	require.NoError(t, err)
	require.Len(t, got.Records, 1)
}
