package store

import (
	"math"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/vfs"
)

func TestStore_PropertyChecksum(t *testing.T) {
	o := small(vfs.NewMem())
	o.EnabledAppendPropCRC = true
	s := open(t, o)
	r := put(t, s, msg("T", 0, "body", "KEYS", "a"))
	rec, err := s.RecordAt(r.PhyOffset)
	require.NoError(t, err)
	require.Contains(t, string(rec), "__CRC32#")
	require.NoError(t, message.CheckCRC(rec), "it covers the offsets")
	rec[25]++
	require.Error(t, message.CheckCRC(rec))
}

// The offset of VIEW_MESSAGE_BY_ID is a peer's: beyond the log there is no record,
// however far, and nothing failed to be read.
func TestStore_RecordBeyondTheLog(t *testing.T) {
	s := open(t, small(vfs.NewMem()))
	put(t, s, msg("T", 0, "body"))
	for _, phy := range []int64{-1, math.MinInt64, 1 << 40, math.MaxInt64 - 1, math.MaxInt64} {
		_, err := s.RecordAt(phy)
		require.ErrorIs(t, err, ErrNoRecord, "%d", phy)
	}
}

func TestStore_RuntimeInfoCounts(t *testing.T) {
	c := clock.NewManual(time.UnixMilli(1_700_000_000_000))
	o := small(vfs.NewMem())
	o.Clock, o.FileSizeCommitLog = c, 1<<20
	s := open(t, o)
	for range 20 {
		put(t, s, msg("T", 0, "x"))
	}
	settled(t, s)
	readAll(t, s, "T", 0, 0)
	require.NotEqual(t, PutOK, s.Put(&Put{Msg: msg("T", 0, "")}).Status)
	m := s.RuntimeInfo()
	require.Equal(t, "20", m["putMessageTimesTotal"])
	require.Equal(t, "1", m["putMessageFailedTimes"])
	require.Equal(t, "0", m["commitLogMinOffset"])
	require.Equal(t, "0", m["dispatchBehindBytes"])
	require.Equal(t, "1700000000000", m["earliestMessageTimeStamp"])
	require.Equal(t, "1700000000000", m["bootTimestamp"])
	require.Equal(t, "  ", m["putTps"], "windows that are not full are empty")
	require.Equal(t, "Total : 1.0 TiB, Free : 1.0 TiB.", m["commitLogDirCapacity"])
	advance(t, c, time.Second, func() bool { return strings.Count(s.RuntimeInfo()["putMessageDistributeTime"], ":20 ") == 1 })
	require.Contains(t, s.RuntimeInfo()["putMessageDistributeTime"], "[<=0ms]:20 ")
	require.Len(t, strings.Fields(s.RuntimeInfo()["putMessageDistributeTime"]), 13)
	advance(t, c, time.Second, func() bool { return len(strings.Fields(s.RuntimeInfo()["putTps"])) == 2 })
}

// A sample is taken at every second, also when the goroutine is late for some: the
// windows are numbers of samples (StoreStatsService.getPutTps).
func TestStore_SamplesEverySecond(t *testing.T) {
	for _, mode := range []FlushDiskType{AsyncFlush, SyncFlush} {
		c := clock.NewManual(time.UnixMilli(1_700_000_000_000))
		o := small(vfs.NewMem())
		o.Clock, o.FlushDiskType = c, mode
		s := open(t, o)
		taken := func() int {
			s.stats.mu.Lock()
			defer s.stats.mu.Unlock()
			return len(s.stats.samples)
		}
		advance(t, c, time.Second, func() bool { return taken() > 0 })
		first := taken()
		for n := 1; n <= 12; n++ {
			d := 1300 * time.Millisecond
			if n%2 == 0 {
				d = 700 * time.Millisecond
			}
			c.Advance(d)
			require.Eventually(t, func() bool { return taken() == first+n }, 5*time.Second, time.Millisecond)
		}
		require.Len(t, strings.Fields(s.RuntimeInfo()["putTps"]), 1, "ten seconds are full")
	}
}

func TestRuntimeInfo_CapacityIsTheWholeDisk(t *testing.T) {
	mem := vfs.NewMem()
	mem.SetUsage(vfs.Usage{Total: 95 << 30, Free: 45 << 30, Size: 100 << 30, Unused: 50 << 30})
	m := open(t, small(mem)).RuntimeInfo()
	require.Equal(t, "Total : 100.0 GiB, Free : 50.0 GiB.", m["commitLogDirCapacity"])
	require.Equal(t, "0.53", m["commitLogDiskRatio"], "the reserve is neither used nor free: 50 of 95")
}

func TestLatencyClasses_MatchTheirBounds(t *testing.T) {
	bounds := latencyBounds()
	require.Len(t, bounds, latencyClasses)
	for ms := range int64(12_000) {
		k := latencyClass(ms)
		require.LessOrEqual(t, ms, bounds[k])
		if k > 0 {
			require.Greater(t, ms, bounds[k-1])
		}
	}
}

// TestFault_QueuesThatCannotBeWritten: puts are refused while consume queues
// cannot be written, and nothing is missing afterwards.
func TestFault_QueuesThatCannotBeWritten(t *testing.T) {
	c := clock.NewManual(time.UnixMilli(1_700_000_000_000))
	var full atomic.Bool
	in := &vfs.Inject{FS: vfs.NewMem(), Fail: func(op vfs.Op) error {
		if full.Load() && op.Name == "WriteAt" && strings.Contains(op.Path, "consumequeue") {
			return syscall.ENOSPC
		}
		return nil
	}}
	o := small(in)
	o.Clock = c
	s := open(t, o)
	put(t, s, msg("T", 0, "a"))
	full.Store(true)
	advance(t, c, time.Second, func() bool { return s.Writable() != nil })
	require.ErrorIs(t, s.Writable(), ErrDispatch)
	require.ErrorIs(t, s.Writable(), syscall.ENOSPC)
	require.Equal(t, ServiceNotAvailable, s.Put(&Put{Msg: msg("T", 0, "b")}).Status)
	require.Equal(t, []string{"a"}, readAll(t, s, "T", 0, 0), "reading goes on")
	full.Store(false)
	advance(t, c, time.Second, func() bool { return s.Writable() == nil })
	put(t, s, msg("T", 0, "c"))
	settled(t, s)
	require.Equal(t, []string{"a", "c"}, readAll(t, s, "T", 0, 0))
}

func TestOptions_RefusesNonsense(t *testing.T) {
	_, err := Open(Options{})
	require.ErrorContains(t, err, "StorePathRootDir")
	o := small(vfs.NewMem())
	o.MessageDelayLevel = "1s 5x"
	_, err = Open(o)
	require.ErrorContains(t, err, "5x")
	o = small(vfs.NewMem())
	o.StorePathCommitLog = "/a,/b"
	_, err = Open(o)
	require.ErrorContains(t, err, "several directories")
}

func TestOpen_OneStoreADirectory(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"mem": vfs.NewMem(), "os": vfs.OS()} {
		t.Run(name, func(t *testing.T) {
			o := small(fs)
			if name == "os" {
				o.StorePathRootDir = t.TempDir()
			}
			s := open(t, o)
			_, err := Open(o)
			require.ErrorContains(t, err, "locked")
			require.NoError(t, s.Close())
			open(t, o)
		})
	}
}
