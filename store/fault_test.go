package store

import (
	"errors"
	"fmt"
	"math/rand"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/commitlog"
	"github.com/merlinmq/merlin/store/vfs"
)

// faults are the ways in which an operation of the disk fails. A short write of a
// full disk is what ENOSPC looks like in the middle of a write.
var faults = map[string]error{
	"EIO":           syscall.EIO,
	"ENOSPC":        syscall.ENOSPC,
	"EIO, short":    vfs.ErrShort{Err: syscall.EIO},
	"ENOSPC, short": vfs.ErrShort{Err: syscall.ENOSPC},
}

// none is the number of no operation.
const none = -1

// faultRun is a workload with one failing operation, or with one from which on
// all fail.
type faultRun struct {
	mem    *vfs.Mem
	his    *history
	count  int64
	failed vfs.Op
	broken error // Open's
}

func runFault(t *testing.T, mem *vfs.Mem, h *history, at int64, fault error, forever bool) *faultRun {
	run := &faultRun{mem: mem, his: h}
	in := &vfs.Inject{FS: mem, Fail: func(op vfs.Op) error {
		if op.N == at || forever && op.N > at {
			if op.N == at {
				run.failed = op
			}
			return fault
		}
		return nil
	}}
	o := crashOptions(in)
	o.FlushIntervalQueues = time.Millisecond
	o.FileReservedTime, o.DeleteFilesInterval = time.Nanosecond, time.Nanosecond
	var s *Store
	if s, run.broken = Open(o); run.broken != nil {
		run.count = in.Count()
		return run
	}
	_ = h.write(s, 7, 12) // ends at the first message that is refused
	_ = h.checkpoint(s)
	_ = h.write(s, 8, 4)
	if s.Writable() == nil {
		_ = h.expire(s)
	}
	if s.clog.Failed() != nil {
		before := len(h.clone().acked)
		require.ErrorIs(t, h.write(s, 9, 1), commitlog.ErrFailed)
		require.Len(t, h.clone().acked, before, "%v failed: nothing is acknowledged after it", run.failed)
	}
	_ = s.Close()
	run.count = in.Count()
	return run
}

// checkAfter checks what a failure left: as it is, and after a crash on top.
func (f *faultRun) checkAfter(t *testing.T, seed int64, what string) {
	t.Helper()
	text := fmt.Sprintf("%v: %s", f.failed, what)
	image := f.mem.CrashClone(rand.New(rand.NewSource(seed)))
	f.his.clone().check(t, crashOptions(f.mem), text)
	f.his.check(t, crashOptions(image), text+", then a crash")
}

// eachFault runs a test for each way to fail, all at the same time; with the race
// detector only one of them.
func eachFault(t *testing.T, do func(t *testing.T, fault error)) {
	for name, fault := range faults {
		if raceEnabled && name != "ENOSPC, short" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			do(t, fault)
		})
	}
}

// TestFault_EveryOperation lets the n-th operation of the disk fail, for every n,
// in every way. Whatever happens: what was acknowledged before is there after the
// next start, once and in order, nothing hangs and nothing panics.
func TestFault_EveryOperation(t *testing.T) {
	total := runFault(t, vfs.NewMem(), newHistory(), none, nil, false).count
	require.Greater(t, total, int64(60))
	eachFault(t, func(t *testing.T, fault error) {
		for n := int64(1); n <= total; n++ {
			f := runFault(t, vfs.NewMem(), newHistory(), n, fault, false)
			if f.broken != nil {
				require.ErrorIs(t, f.broken, cause(fault))
			}
			f.checkAfter(t, n, fault.Error())
		}
		t.Logf("each of %d operations failed once, 0 violations", total)
	})
}

// cause is the number below a short write.
func cause(err error) error {
	var short vfs.ErrShort
	if errors.As(err, &short) {
		return short.Err
	}
	return err
}

// TestFault_DiskThatDies: from the n-th operation on everything fails.
func TestFault_DiskThatDies(t *testing.T) {
	t.Parallel()
	total := runFault(t, vfs.NewMem(), newHistory(), none, nil, false).count
	covered, step := 0, int64(2)
	if raceEnabled {
		step = 10
	}
	for n := int64(1); n <= total; n += step {
		runFault(t, vfs.NewMem(), newHistory(), n, syscall.EIO, true).checkAfter(t, n, "everything fails")
		covered++
	}
	t.Logf("%d dying disks, 0 violations", covered)
}

// TestFault_InRecovery: the store was not closed, its log is torn, and the n-th
// operation of the start fails. The start says so, and the next one is complete.
func TestFault_InRecovery(t *testing.T) {
	mem, h := vfs.NewMem(), newHistory()
	s := open(t, crashOptions(mem))
	require.NoError(t, h.write(s, 3, 30))
	his := h.clone()
	image := mem.CrashClone(rand.New(rand.NewSource(5)))
	require.NoError(t, s.Close())
	total := int64(0)
	start := func(disk *vfs.Mem, at int64, fault error) error {
		in := &vfs.Inject{FS: disk, Fail: func(op vfs.Op) error {
			if op.N == at {
				return fault
			}
			return nil
		}}
		s, err := Open(crashOptions(in))
		if at == none {
			total = in.Count()
		}
		if err == nil {
			_ = s.Close()
		}
		return err
	}
	require.NoError(t, start(image.CrashClone(nil), none, nil))
	eachFault(t, func(t *testing.T, fault error) {
		refused := 0
		for n := int64(1); n <= total; n++ {
			disk := image.CrashClone(nil)
			if err := start(disk, n, fault); err != nil {
				require.ErrorIs(t, err, cause(fault))
				refused++
			}
			crashed := disk.CrashClone(rand.New(rand.NewSource(n)))
			his.clone().check(t, crashOptions(disk), fmt.Sprintf("operation %d of the start: %v", n, fault))
			his.clone().check(t, crashOptions(crashed), fmt.Sprintf("operation %d of the start: %v, then a crash", n, fault))
		}
		require.NotZero(t, refused)
		t.Logf("each of %d operations failed once, %d starts refused, 0 violations", total, refused)
	})
}

// TestFault_CheckpointGoesOn: a checkpoint that could not be written for want of
// space is written when there is room; one whose sync failed is not, ever.
func TestFault_CheckpointGoesOn(t *testing.T) {
	for _, c := range []struct {
		op, path string
		fault    error
		again    bool
	}{
		{"WriteAt", "/store/checkpoint", syscall.ENOSPC, true},
		{"Allocate", "/store/checkpoint", syscall.ENOSPC, true},
		{"WriteAt", "/store/index", syscall.ENOSPC, true},
		{"SyncFS", "/store", syscall.EIO, false},
		{"Sync", "/store/index", syscall.EIO, false},
	} {
		t.Run(c.op+c.path, func(t *testing.T) {
			var on atomic.Bool
			in := &vfs.Inject{FS: vfs.NewMem(), Fail: func(op vfs.Op) error {
				if on.Load() && op.Name == c.op && len(op.Path) >= len(c.path) && op.Path[:len(c.path)] == c.path {
					return c.fault
				}
				return nil
			}}
			s := open(t, crashOptions(in))
			h := newHistory()
			require.NoError(t, h.write(s, 1, 10))
			settled(t, s)
			var err error
			require.True(t, s.cleaner.do(func() { on.Store(true); err = s.cleaner.checkpoint(); on.Store(false) }))
			require.ErrorIs(t, err, c.fault)
			require.True(t, s.cleaner.do(func() { err = s.cleaner.checkpoint() }))
			if c.again {
				require.NoError(t, err)
				require.NoError(t, s.Close())
			} else {
				require.ErrorIs(t, err, c.fault)
				require.Error(t, s.Close())
				require.True(t, vfs.Exists(in.FS, "/store/abort"))
			}
		})
	}
}
