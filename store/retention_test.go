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

// advance moves the clock until cond holds: the goroutines wait for its ticks.
func advance(t *testing.T, c *clock.Manual, step time.Duration, cond func() bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		if cond() {
			return true
		}
		c.Advance(step)
		return false
	}, 10*time.Second, time.Millisecond)
}

func retentionStore(t *testing.T, mem *vfs.Mem, change func(*Options)) (*Store, *clock.Manual) {
	c := clock.NewManual(time.Date(2024, 5, 1, 12, 0, 0, 0, time.Local))
	o := small(mem)
	o.Clock, o.DeleteWhen = c, "04"
	if change != nil {
		change(&o)
	}
	s := open(t, o)
	for i := range 200 { // about 13 files
		put(t, s, msg("T", int32(i%2), strings.Repeat("x", 900), "UNIQ_KEY", fmt.Sprint("u", i)))
		c.Advance(time.Second)
	}
	settled(t, s)
	advance(t, c, time.Second, func() bool { return s.FlushedOffset() == s.MaxPhyOffset() })
	require.Greater(t, len(s.clog.Segments()), 10)
	return s, c
}

func TestRetention_DeletesExpiredFilesAtTheHour(t *testing.T) {
	mem := vfs.NewMem()
	s, c := retentionStore(t, mem, func(o *Options) { o.FileReservedTime = 24 * time.Hour })
	before := s.MinPhyOffset()
	require.True(t, s.cleaner.do(s.cleaner.clean))
	require.Equal(t, before, s.MinPhyOffset(), "not the hour, nothing expired")
	c.Advance(40 * time.Hour) // 04:03 two days later
	advance(t, c, time.Second, func() bool { return len(s.clog.Segments()) == 1 })
	require.True(t, s.cleaner.do(func() {}))
	advance(t, c, time.Second, func() bool { return s.MinOffset("T", 0) > 0 })
	low := s.MinOffset("T", 0)
	require.Greater(t, low, int64(80))
	require.EqualValues(t, 100, s.MaxOffset("T", 0))
	require.Len(t, readAll(t, s, "T", 0, low), int(100-low))
	var r GetResult
	s.Get(&GetRequest{Topic: "T", MaxMsgs: 1, Offset: 0}, &r)
	require.Equal(t, OffsetTooSmall, r.Status)
	require.Equal(t, low, r.Next)
	_, err := s.RecordAt(0)
	require.ErrorIs(t, err, ErrNoRecord)
	qr, err := s.Query("T", "u1", 9, 0, math.MaxInt64)
	require.NoError(t, err)
	require.Empty(t, qr.Records)
	files, err := mem.ReadDir("/store/consumequeue/T/0")
	require.NoError(t, err)
	require.LessOrEqual(t, len(files), 2, "consume queue files follow")
	require.NoError(t, s.Close())
	s = open(t, small(mem))
	require.Equal(t, low, s.MinOffset("T", 0))
	require.EqualValues(t, 100, put(t, s, msg("T", 0, "x")).QueueOffset)
}

func TestRetention_WatermarksOfTheDisk(t *testing.T) {
	mem := vfs.NewMem()
	s, c := retentionStore(t, mem, func(o *Options) { o.DeleteFilesInterval = time.Nanosecond })
	use := func(percent int64) { mem.SetUsage(vfs.Usage{Total: 100, Free: 100 - percent}) }
	segs := len(s.clog.Segments())
	clean := func() { advanceUntilCleaned(t, s, c) }

	use(80) // deletion is wanted, but nothing is expired
	clean()
	require.Len(t, s.clog.Segments(), segs)
	require.NoError(t, s.Writable())

	use(86) // forcibly: the oldest go, ten a run
	clean()
	require.Len(t, s.clog.Segments(), segs-10)
	require.NoError(t, s.Writable())

	use(91)
	clean()
	require.ErrorIs(t, s.Writable(), ErrDiskFull)
	require.Equal(t, ServiceNotAvailable, s.Put(&Put{Msg: msg("T", 0, "x")}).Status)
	require.Len(t, s.clog.Segments(), 1, "the last file stays")

	use(50)
	clean()
	put(t, s, msg("T", 0, "x"))
}

func advanceUntilCleaned(t *testing.T, s *Store, c *clock.Manual) {
	t.Helper()
	var done atomic.Bool
	go func() {
		s.cleaner.do(s.cleaner.clean)
		done.Store(true)
	}()
	advance(t, c, time.Microsecond, done.Load)
}

func TestRetention_NothingForciblyWhenSwitchedOff(t *testing.T) {
	mem := vfs.NewMem()
	s, c := retentionStore(t, mem, func(o *Options) { o.CleanForciblyOff = true })
	segs := len(s.clog.Segments())
	mem.SetUsage(vfs.Usage{Total: 100, Free: 5})
	advanceUntilCleaned(t, s, c)
	require.Len(t, s.clog.Segments(), segs)
	require.ErrorIs(t, s.Writable(), ErrDiskFull)
	require.NoError(t, s.CleanNow())
	require.Len(t, s.clog.Segments(), segs, "by hand only what is expired")
}

func TestRetention_ReadersKeepTheirFile(t *testing.T) {
	mem := vfs.NewMem()
	s, c := retentionStore(t, mem, func(o *Options) { o.DeleteFilesInterval = time.Nanosecond })
	var r GetResult
	s.Get(&GetRequest{Topic: "T", MaxMsgs: 5}, &r)
	require.Equal(t, Found, r.Status)
	mem.SetUsage(vfs.Usage{Total: 100, Free: 14})
	advanceUntilCleaned(t, s, c)
	require.Equal(t, 5, r.Count)
	require.Contains(t, string(r.Records[0]), "xxxx")
	r.Release()
	require.Positive(t, s.MinPhyOffset())
}

func TestRetention_ExpiredQueuesGo(t *testing.T) {
	mem := vfs.NewMem()
	s, c := retentionStore(t, mem, func(o *Options) { o.DeleteFilesInterval = time.Nanosecond })
	put(t, s, msg("other", 0, "x"))
	settled(t, s)
	advance(t, c, time.Second, func() bool { return s.FlushedOffset() == s.MaxPhyOffset() })
	mem.SetUsage(vfs.Usage{Total: 100, Free: 14})
	advanceUntilCleaned(t, s, c)
	advanceUntilCleaned(t, s, c)
	require.Len(t, s.clog.Segments(), 1)
	for range 40 { // the log moves past all messages of T
		put(t, s, msg("other", 0, strings.Repeat("x", 900)))
	}
	settled(t, s)
	advance(t, c, time.Second, func() bool { return s.FlushedOffset() == s.MaxPhyOffset() })
	advanceUntilCleaned(t, s, c)
	require.NoError(t, s.CleanExpiredQueues(func(topic string) bool { return topic == "kept" }))
	require.Equal(t, []string{"other"}, s.Topics())
	require.EqualValues(t, 0, put(t, s, msg("T", 0, "again")).QueueOffset)
	settled(t, s)
	require.Equal(t, []string{"again"}, readAll(t, s, "T", 0, 0))
}

// blockedSync lets the syncs of the log wait.
func TestSyncFlush_TimeoutAndNoWait(t *testing.T) {
	mem := vfs.NewMem()
	c := clock.NewManual(time.Date(2024, 5, 1, 12, 0, 0, 0, time.Local))
	release := make(chan struct{})
	var block atomic.Bool
	in := &vfs.Inject{FS: mem, Fail: func(op vfs.Op) error {
		if op.Name == "Sync" && block.Load() && strings.Contains(op.Path, "commitlog") {
			<-release
		}
		return nil
	}}
	o := crashOptions(in)
	o.Clock, o.FileSizeCommitLog = c, 1<<20
	s := open(t, o)
	put(t, s, msg("T", 0, "first"))
	block.Store(true)
	done := make(chan *Put, 3)
	p := &Put{Msg: msg("T", 0, "late"), Done: func(p *Put) { done <- p }}
	no := &Put{Msg: msg("T", 0, "no wait", "WAIT", "false"), Done: func(p *Put) { done <- p }}
	s.PutBatch([]*Put{p, no})
	require.Same(t, no, <-done)
	require.Equal(t, PutOK, no.Result.Status)
	advance(t, c, 100*time.Millisecond, func() bool { return len(done) == 1 })
	require.Same(t, p, <-done)
	require.Equal(t, FlushDiskTimeout, p.Result.Status)
	require.EqualValues(t, 1, p.Result.QueueOffset)
	require.EqualValues(t, 1, s.MaxOffset("T", 0), "what is not durable is not shown")
	block.Store(false)
	close(release)
	require.Eventually(t, func() bool { return s.MaxOffset("T", 0) == 3 }, 10*time.Second, time.Millisecond)
	require.Empty(t, done, "Done is called once")
}

// Consume queues that are not on the disk yet could not be made from files of the log
// that are gone: a queue would end earlier and give its offsets out again.
func TestRetention_KeepsWhatTheQueuesNeed(t *testing.T) {
	for name, fails := range map[string]bool{"a checkpoint is made first": false, "no checkpoint can be made": true} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			var full atomic.Bool
			o := small(&vfs.Inject{FS: mem, Fail: func(op vfs.Op) error {
				if full.Load() && strings.HasSuffix(op.Path, "checkpoint") {
					return syscall.ENOSPC
				}
				return nil
			}})
			o.Clock = clock.NewManual(time.Date(2024, 5, 1, 12, 0, 0, 0, time.Local))
			o.FlushDiskType, o.DeleteFileBatchMax = SyncFlush, 1 // no pause between two
			s := open(t, o)
			for i := range 100 {
				put(t, s, msg("T", 0, strings.Repeat("x", 900), "UNIQ_KEY", fmt.Sprint("u", i)))
			}
			settled(t, s)
			full.Store(fails)
			deleted := 0
			require.True(t, s.cleaner.do(func() { deleted = s.cleaner.deleteSegments(true) }))
			require.Equal(t, fails, deleted == 0)
			killed := mem.CrashClone(nil)
			again := open(t, small(killed))
			require.EqualValues(t, 100, again.MaxOffset("T", 0))
		})
	}
}
