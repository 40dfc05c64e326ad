package store

import (
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/vfs"
)

// TestCrash_NothingAcknowledgedIsLost takes images of the disk, as a power
// failure would leave it, before operations of the disk.
func TestCrash_NothingAcknowledgedIsLost(t *testing.T) {
	type image struct {
		at  vfs.Op
		fs  *vfs.Mem
		his *history
	}
	for seed := range int64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			mem, h := vfs.NewMem(), newHistory()
			r := rand.New(rand.NewSource(seed))
			var mu sync.Mutex
			var images []image
			in := &vfs.Inject{FS: mem, Fail: func(op vfs.Op) error {
				mu.Lock()
				defer mu.Unlock()
				if op.Name != "ReadAt" && r.Intn(4) == 0 && len(images) < 120 {
					his := h.clone() // first: what is acknowledged later may be lost
					var src *rand.Rand
					if r.Intn(5) > 0 {
						src = rand.New(rand.NewSource(r.Int63()))
					}
					images = append(images, image{op, mem.CrashClone(src), his})
				}
				return nil
			}}
			s := open(t, crashOptions(in))
			for round := range 3 {
				require.NoError(t, h.write(s, seed*10+int64(round), 20))
				settled(t, s)
				require.True(t, s.cleaner.do(func() { require.NoError(t, s.cleaner.checkpoint()) }))
				require.NoError(t, h.write(s, 100+seed*10+int64(round), 10))
				if round == 1 {
					require.NoError(t, s.Close())
					s = open(t, crashOptions(in))
				}
			}
			require.NoError(t, s.Close())
			for _, im := range images {
				im.his.check(t, crashOptions(im.fs), fmt.Sprintf("before %v (%d acknowledged)", im.at, len(im.his.acked)))
			}
			require.Greater(t, len(images), 30)
		})
	}
}

// TestCrash_DuringRecovery crashes again while the store recovers.
func TestCrash_DuringRecovery(t *testing.T) {
	for seed := range int64(12) {
		mem, h := vfs.NewMem(), newHistory()
		s := open(t, crashOptions(mem))
		require.NoError(t, h.write(s, seed, 40))
		his := h.clone()
		r := rand.New(rand.NewSource(seed))
		disk := mem.CrashClone(r)
		require.NoError(t, s.Close())
		for range 5 {
			var next *vfs.Mem
			at := int64(5 + r.Intn(60))
			in := &vfs.Inject{FS: disk, Fail: func(op vfs.Op) error {
				if op.N == at {
					next = disk.CrashClone(r)
				}
				return nil
			}}
			s, err := Open(crashOptions(in))
			require.NoError(t, err)
			require.NoError(t, his.write(s, seed*100+at, 2))
			kept := his.clone()
			if next == nil {
				next = disk.CrashClone(r)
			} else {
				kept = h.clone()
			}
			require.NoError(t, s.Close())
			disk, his = next, kept
		}
		his.check(t, crashOptions(disk), fmt.Sprint("seed ", seed))
	}
}

// TestCrash_AsyncFlushKeepsWhatIsFlushed: without sync flush the newest messages
// may be lost, but nothing before the flushed position, and nothing before what is
// there.
func TestCrash_AsyncFlushKeepsWhatIsFlushed(t *testing.T) {
	images, kept, lost := 0, 0, 0
	for seed := range int64(10) {
		mem, h := vfs.NewMem(), newHistory()
		r := rand.New(rand.NewSource(seed))
		type image struct {
			fs  *vfs.Mem
			his *history // what was flushed
			all int
		}
		var mu sync.Mutex
		var taken []image
		var s atomic.Pointer[Store]
		in := &vfs.Inject{FS: mem, Fail: func(op vfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if st := s.Load(); st != nil && changes(op) && r.Intn(6) == 0 && len(taken) < 15 {
				his, flushed := h.clone(), st.FlushedOffset()
				all := len(his.acked)
				for b, phy := range his.phy {
					if phy >= flushed {
						delete(his.acked, b)
					}
				}
				taken = append(taken, image{mem.CrashClone(rand.New(rand.NewSource(r.Int63()))), his, all})
			}
			return nil
		}}
		o := crashOptions(in)
		o.FlushDiskType, o.FlushIntervalCommitLog = AsyncFlush, time.Millisecond
		if seed%2 == 1 {
			o.FlushIntervalCommitLog = time.Hour // else a quick flusher may never be behind
		}
		s.Store(open(t, o))
		require.NoError(t, h.write(s.Load(), seed, 60))
		require.NoError(t, s.Load().Close())
		for i, im := range taken {
			o.FS = im.fs
			im.his.check(t, o, fmt.Sprintf("seed %d, image %d", seed, i))
			images, kept, lost = images+1, kept+len(im.his.acked), lost+im.all-len(im.his.acked)
		}
	}
	t.Logf("%d crash images: %d messages were flushed and are there, %d were not flushed", images, kept, lost)
	require.NotZero(t, kept)
	require.NotZero(t, lost)
}

// TestFault_FailedSyncStopsTheStore: after a failed fdatasync nothing more is
// acknowledged, also when the next one would work.
func TestFault_FailedSyncStopsTheStore(t *testing.T) {
	mem := vfs.NewMem()
	var fail sync.Map
	in := &vfs.Inject{FS: mem, Fail: func(op vfs.Op) error {
		if _, on := fail.Load("on"); on && op.Name == "Sync" && strings.Contains(op.Path, "commitlog") {
			return syscall.EIO
		}
		return nil
	}}
	s := open(t, crashOptions(in))
	put(t, s, msg("T", 0, "good"))
	fail.Store("on", true)
	r := s.Put(&Put{Msg: msg("T", 0, "bad")})
	require.Equal(t, ServiceNotAvailable, r.Status)
	require.ErrorIs(t, r.Err, syscall.EIO)
	fail.Delete("on")
	require.Equal(t, ServiceNotAvailable, s.Put(&Put{Msg: msg("T", 0, "after")}).Status)
	require.ErrorIs(t, s.Writable(), syscall.EIO)
	require.Eventually(t, func() bool { return s.MaxOffset("T", 0) == 1 }, 10*time.Second, time.Millisecond)
	require.Equal(t, []string{"good"}, readAll(t, s, "T", 0, 0), "consumers see what is durable")
	require.Error(t, s.Close())
	require.True(t, vfs.Exists(mem, "/store/abort"))
}

// TestFault_NoSpace: a full disk refuses messages, and takes them again when
// there is room.
func TestFault_NoSpace(t *testing.T) {
	mem := vfs.NewMem()
	var full sync.Map
	in := &vfs.Inject{FS: mem, Fail: func(op vfs.Op) error {
		if _, on := full.Load("on"); on && op.Name == "Allocate" {
			return syscall.ENOSPC
		}
		return nil
	}}
	s := open(t, small(in))
	full.Store("on", true)
	r := s.Put(&Put{Msg: msg("T", 0, "x")})
	require.Equal(t, CreateMappedFileFailed, r.Status)
	require.ErrorIs(t, r.Err, syscall.ENOSPC)
	full.Delete("on")
	require.EqualValues(t, 0, put(t, s, msg("T", 0, "y")).QueueOffset)
	settled(t, s)
	require.Equal(t, []string{"y"}, readAll(t, s, "T", 0, 0))
}
