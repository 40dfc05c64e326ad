package store

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/store/vfs"
)

// tuneRig is an open store with 200 messages in files that are still in use.
type tuneRig struct {
	*testing.T
	mem *vfs.Mem
	s   *Store
	c   *clock.Manual
}

// quiet lets the store's goroutines see the ticks that are due, and flushes: the next
// checkpoint, which flushes too, comes in a minute.
func (r *tuneRig) quiet() {
	for range 64 { // a command and a tick that are both there are taken in any order
		r.s.cleaner.do(func() {})
	}
	r.s.cleaner.do(func() {
		require.NoError(r, r.s.cleaner.checkpoint())
		r.s.cleaner.lastPoint = r.c.Now()
	})
}

// get reads from the start of a queue.
func (r *tuneRig) get(max int) GetResult {
	var res GetResult
	r.s.Get(&GetRequest{Topic: "T", MaxMsgs: max}, &res)
	defer res.Release()
	return res
}

// clean runs the cleaner once and says how many files it deleted.
func (r *tuneRig) clean() int {
	before := len(r.s.clog.Segments())
	advanceUntilCleaned(r.T, r.s, r.c)
	return before - len(r.s.clog.Segments())
}

func (r *tuneRig) full(percent int64) { r.mem.SetUsage(vfs.Usage{Total: 100, Free: 100 - percent}) }

// flushes says whether what is put is on the disk after so much time, in steps of
// a second.
func (r *tuneRig) flushes(within time.Duration) bool {
	put(r.T, r.s, msg("T", 0, "x"))
	for range int(within / time.Second) {
		r.c.Advance(time.Second)
		if soon(func() bool { return r.s.FlushedOffset() == r.s.MaxPhyOffset() }) {
			return true
		}
	}
	return false
}

// soon polls until cond holds, or for 5 ms: goroutines that follow a tick of the
// manual clock run on their own.
func soon(cond func() bool) bool {
	end := time.After(5 * time.Millisecond)
	poll := time.NewTicker(50 * time.Microsecond)
	defer poll.Stop()
	for !cond() {
		select {
		case <-end:
			return cond()
		case <-poll.C:
		}
	}
	return true
}

// tuned shows for each tunable that a change takes effect in an open store: what
// stands before Set is what the store does without it.
var tuned = map[string]func(*tuneRig){
	"MessageIndexDisable": func(r *tuneRig) {
		r.s.Set(func(t *Tunables) { t.MessageIndexDisable = true })
		put(r.T, r.s, msg("T", 0, "x", "UNIQ_KEY", "off"))
		settled(r.T, r.s)
		r.s.Set(func(t *Tunables) { t.MessageIndexDisable = false })
		put(r.T, r.s, msg("T", 0, "x", "UNIQ_KEY", "on"))
		settled(r.T, r.s)
		for key, n := range map[string]int{"off": 0, "on": 1} {
			q, err := r.s.Query("T", key, 9, 0, math.MaxInt64)
			require.NoError(r, err)
			require.Len(r, q.Records, n, key)
		}
	},
	"MaxMessageSize": func(r *tuneRig) {
		put(r.T, r.s, msg("T", 0, "1234567890"))
		r.s.Set(func(t *Tunables) { t.MaxMessageSize = 9 })
		require.Equal(r, MessageIllegal, r.s.Put(&Put{Msg: msg("T", 0, "1234567890")}).Status)
	},
	"OSPageCacheBusyTimeout": func(r *tuneRig) {
		r.s.lockSince.Store(r.c.NowMillis())
		r.c.Advance(500 * time.Millisecond)
		defer r.s.lockSince.Store(0)
		require.Equal(r, PutOK, r.s.Put(&Put{Msg: msg("T", 0, "x")}).Status)
		r.s.lockSince.Store(r.c.NowMillis() - 500)
		r.s.Set(func(t *Tunables) { t.OSPageCacheBusyTimeout = 400 * time.Millisecond })
		require.Equal(r, OSPageCacheBusy, r.s.Put(&Put{Msg: msg("T", 0, "x")}).Status)
	},
	"FlushIntervalCommitLog": func(r *tuneRig) {
		r.s.Set(func(t *Tunables) {
			t.FlushLeastPages, t.FlushIntervalCommitLog = 0, time.Hour
		})
		require.Eventually(r, func() bool { return r.flushes(time.Second) }, 10*time.Second, time.Millisecond, "the interval that runs")
		require.False(r, r.flushes(20*time.Second))
		r.s.Set(func(t *Tunables) { t.FlushIntervalCommitLog = time.Second })
		r.c.Advance(time.Hour)
		require.Eventually(r, func() bool { return r.flushes(3 * time.Second) }, 10*time.Second, time.Millisecond)
	},
	"FlushLeastPages": func(r *tuneRig) {
		require.False(r, r.flushes(5*time.Second), "four pages, or ten seconds")
		r.s.Set(func(t *Tunables) { t.FlushLeastPages = 0 })
		require.True(r, r.flushes(5*time.Second))
	},
	"FlushThoroughInterval": func(r *tuneRig) {
		require.False(r, r.flushes(5*time.Second))
		r.s.Set(func(t *Tunables) { t.FlushThoroughInterval = time.Second })
		require.True(r, r.flushes(5*time.Second))
	},
	"SyncFlushTimeout": func(r *tuneRig) {
		late := func(age int64) bool {
			p := &Put{Msg: msg("T", 0, "x"), begin: r.c.NowMillis() - age, end: math.MaxInt64}
			p.Done = func(*Put) {}
			r.s.committer.mu.Lock()
			r.s.committer.waiting = append(r.s.committer.waiting, p)
			r.s.committer.mu.Unlock()
			r.s.committer.expire()
			r.s.committer.mu.Lock()
			defer r.s.committer.mu.Unlock()
			n := len(r.s.committer.waiting)
			r.s.committer.waiting = nil
			return n == 0
		}
		require.False(r, late(1000))
		r.s.Set(func(t *Tunables) { t.SyncFlushTimeout = 500 * time.Millisecond })
		require.True(r, late(1000))
	},
	"FlushIntervalQueues": func(r *tuneRig) {
		written := func() bool {
			put(r.T, r.s, msg("T", 0, "x"))
			settled(r.T, r.s)
			for range 20 {
				r.c.Advance(time.Second)
				if soon(func() (none bool) {
					r.s.dispatch.do(func() { none = r.s.queues.Waiting() == 0 })
					return none
				}) {
					return true
				}
			}
			return false
		}
		require.Eventually(r, written, 10*time.Second, time.Millisecond)
		r.s.Set(func(t *Tunables) { t.FlushIntervalQueues = time.Hour })
		require.Eventually(r, written, 10*time.Second, time.Millisecond, "the interval that runs")
		require.False(r, written())
	},
	"CheckpointInterval": func(r *tuneRig) {
		point := func() int64 { r.s.cpMu.Lock(); defer r.s.cpMu.Unlock(); return r.s.cp.logics }
		put(r.T, r.s, msg("T", 0, "x"))
		settled(r.T, r.s)
		r.s.cleaner.do(func() { r.s.cleaner.lastPoint = r.c.Now() })
		before := point()
		r.s.cleaner.do(r.s.cleaner.tick)
		require.Equal(r, before, point(), "not yet")
		r.s.Set(func(t *Tunables) { t.CheckpointInterval = 1 })
		r.c.Advance(2)
		r.s.cleaner.do(r.s.cleaner.tick)
		require.Greater(r, point(), before)
	},
	"MaxTransferBytesMemory": func(r *tuneRig) {
		require.Equal(r, 20, r.get(20).Count)
		r.s.Set(func(t *Tunables) { t.MaxTransferBytesMemory = 3000 })
		require.Equal(r, 2, r.get(20).Count)
	},
	"MaxTransferCountMemory": func(r *tuneRig) {
		r.s.Set(func(t *Tunables) { t.MaxTransferCountMemory = 5 })
		require.Equal(r, 5, r.get(20).Count)
	},
	"MaxTransferBytesDisk": func(r *tuneRig) {
		r.s.Set(func(t *Tunables) { t.AccessInMemoryMaxRatio = 0 })
		require.Equal(r, 8, r.get(20).Count)
		r.s.Set(func(t *Tunables) { t.MaxTransferBytesDisk = 3000 })
		require.Equal(r, 2, r.get(20).Count)
	},
	"MaxTransferCountDisk": func(r *tuneRig) {
		r.s.Set(func(t *Tunables) { t.AccessInMemoryMaxRatio, t.MaxTransferCountDisk = 0, 12 })
		require.Equal(r, 12, r.get(20).Count)
	},
	"AccessInMemoryMaxRatio": func(r *tuneRig) {
		require.Equal(r, 20, r.get(20).Count)
		r.s.Set(func(t *Tunables) { t.AccessInMemoryMaxRatio = 0 })
		require.Equal(r, 8, r.get(20).Count)
	},
	"MaxFilterMessageSize": func(r *tuneRig) {
		none := func() int64 {
			var res GetResult
			r.s.Get(&GetRequest{Topic: "T", MaxMsgs: 1, Filter: tagFilter{code: 12345}}, &res)
			return res.Next
		}
		require.EqualValues(r, 100, none(), "the whole queue is looked at")
		r.s.Set(func(t *Tunables) { t.MaxFilterMessageSize = 40 * 20 })
		require.EqualValues(r, 40, none())
	},
	"MaxMsgsNumBatch": func(r *tuneRig) {
		for range 9 {
			put(r.T, r.s, msg("T", 0, "x", "KEYS", "k"))
		}
		settled(r.T, r.s)
		r.s.Set(func(t *Tunables) { t.MaxMsgsNumBatch = 4 })
		q, err := r.s.Query("T", "k", 32, 0, math.MaxInt64)
		require.NoError(r, err)
		require.Len(r, q.Records, 4)
	},
	"FileReservedTime": func(r *tuneRig) {
		r.full(80)
		require.Zero(r, r.clean())
		r.s.Set(func(t *Tunables) { t.FileReservedTime = time.Second })
		require.Positive(r, r.clean())
	},
	"DeleteWhen": func(r *tuneRig) {
		r.s.Set(func(t *Tunables) { t.FileReservedTime = time.Second })
		require.Zero(r, r.clean())
		r.s.Set(func(t *Tunables) { t.DeleteWhen = "12" }) // it is noon
		require.Positive(r, r.clean())
	},
	"CleanForciblyOff": func(r *tuneRig) {
		r.full(86)
		r.s.Set(func(t *Tunables) { t.CleanForciblyOff = true })
		require.Zero(r, r.clean())
		r.s.Set(func(t *Tunables) { t.CleanForciblyOff = false })
		require.Positive(r, r.clean())
	},
	"DiskMaxUsedSpaceRatio": func(r *tuneRig) {
		r.s.Set(func(t *Tunables) { t.FileReservedTime = time.Second })
		r.full(60)
		require.Zero(r, r.clean())
		r.s.Set(func(t *Tunables) { t.DiskMaxUsedSpaceRatio = 50 })
		require.Positive(r, r.clean())
	},
	"DiskCleanForciblyRatio": func(r *tuneRig) {
		r.full(80)
		require.Zero(r, r.clean())
		r.s.Set(func(t *Tunables) { t.DiskCleanForciblyRatio = 70 })
		require.Positive(r, r.clean())
	},
	"DiskWarningLevelRatio": func(r *tuneRig) {
		r.full(80)
		r.clean()
		require.NoError(r, r.s.Writable())
		r.s.Set(func(t *Tunables) { t.DiskWarningLevelRatio = 75 })
		r.clean()
		require.ErrorIs(r, r.s.Writable(), ErrDiskFull)
	},
	"DeleteFileBatchMax": func(r *tuneRig) {
		r.s.Set(func(t *Tunables) { t.DeleteFileBatchMax = 3 })
		r.full(86)
		require.Equal(r, 3, r.clean())
	},
	"DeleteFilesInterval": func(r *tuneRig) {
		r.s.Set(func(t *Tunables) { t.DeleteFilesInterval = time.Hour })
		r.full(86)
		before := len(r.s.clog.Segments())
		r.c.Advance(20 * time.Second) // one goes, and then the hour
		require.Eventually(r, func() bool { r.c.Advance(time.Second); return len(r.s.clog.Segments()) == before-1 }, 10*time.Second, time.Millisecond)
		require.False(r, soon(func() bool { r.c.Advance(time.Second); return len(r.s.clog.Segments()) < before-1 }))
	},
	"CleanResourceInterval": func(r *tuneRig) {
		r.s.cleaner.do(func() { r.s.cleaner.lastClean = r.c.Now() })
		r.full(86)
		r.s.Set(func(t *Tunables) { t.CleanResourceInterval, t.DeleteFileBatchMax = time.Hour, 1 })
		r.c.Advance(20 * time.Second)
		before := len(r.s.clog.Segments())
		r.s.cleaner.do(r.s.cleaner.tick)
		require.Len(r, r.s.clog.Segments(), before)
		r.s.Set(func(t *Tunables) { t.CleanResourceInterval = time.Second })
		r.s.cleaner.do(r.s.cleaner.tick)
		require.Len(r, r.s.clog.Segments(), before-1)
	},
}

// Each tunable is shown to take effect; one that nothing reads fails here.
func TestSet_TakesEffectAtOnce(t *testing.T) {
	for i := range reflect.TypeFor[Tunables]().NumField() {
		name := reflect.TypeFor[Tunables]().Field(i).Name
		t.Run(name, func(t *testing.T) {
			show := tuned[name]
			require.NotNil(t, show, "nothing shows that a change of it takes effect")
			mem := vfs.NewMem()
			s, c := retentionStore(t, mem, func(o *Options) { o.DeleteFilesInterval = 1 })
			defer s.Close()
			r := &tuneRig{T: t, mem: mem, s: s, c: c}
			r.quiet()
			show(r)
		})
	}
	require.Len(t, tuned, reflect.TypeFor[Tunables]().NumField())
}

func TestTune_AndBack(t *testing.T) {
	o, err := Options{StorePathRootDir: "/store"}.withDefaults()
	require.NoError(t, err)
	o.DeleteWhen = strings.Repeat("1", 3)
	var again Options
	again.Tune(o.tunables())
	require.Equal(t, o.tunables(), again.tunables())
	require.Equal(t, 4<<20, again.MaxMessageSize)
}
