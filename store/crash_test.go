package store

import (
	"errors"
	"fmt"
	"math"
	"math/rand"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/vfs"
)

// history remembers what was acknowledged: by queue the bodies in their order.
type history struct {
	mu    sync.Mutex
	acked map[string]int64 // body to queue offset
	queue map[string]int32
}

func newHistory() *history {
	return &history{acked: map[string]int64{}, queue: map[string]int32{}}
}

func (h *history) add(p *Put, bodies []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, b := range bodies {
		h.acked[b] = p.Result.QueueOffset + int64(i)
		h.queue[b] = p.Msg.QueueID
	}
}

func (h *history) clone() *history {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := newHistory()
	for k, v := range h.acked {
		c.acked[k] = v
		c.queue[k] = h.queue[k]
	}
	return c
}

const crashQueues = 3

// write puts messages in batches of several kinds and notes the acknowledged
// ones; it stops at the first that is refused.
func (h *history) write(s *Store, seed int64, rounds int) error {
	r := rand.New(rand.NewSource(seed))
	for n := range rounds {
		var ps []*Put
		var texts [][]string
		var wg sync.WaitGroup
		for k := range 1 + r.Intn(6) {
			p := &Put{Msg: msg("T", int32(r.Intn(crashQueues)), "")}
			var bs []string
			for j := range 1 + r.Intn(2)*r.Intn(3) {
				body := fmt.Sprintf("%d.%d.%d.%d.%s", seed, n, k, j, strings.Repeat("x", r.Intn(900)))
				bs = append(bs, body)
				e := message.BatchEntry{Body: []byte(body),
					Properties: message.AppendProperty(message.AppendProperty(nil, "UNIQ_KEY", body), "TAGS", body[:3])}
				p.Batch = append(p.Batch, e)
			}
			if len(bs) == 1 {
				p.Msg.Body, p.Msg.Properties, p.Batch = p.Batch[0].Body, p.Batch[0].Properties, nil
			}
			p.Done = func(*Put) { wg.Done() }
			ps, texts = append(ps, p), append(texts, bs)
		}
		wg.Add(len(ps))
		s.PutBatch(ps)
		wg.Wait()
		for i, p := range ps {
			if p.Result.Status != PutOK {
				return p.Result.Err
			}
			h.add(p, texts[i])
		}
	}
	return nil
}

// check opens an image and compares it with what was acknowledged.
func (h *history) check(t *testing.T, o Options, what string) {
	t.Helper()
	s, err := Open(o)
	require.NoError(t, err, what)
	defer func() { require.NoError(t, s.Close(), what) }()
	h.compare(t, s, what)
	// The store goes on where it stopped.
	require.NoError(t, h.write(s, 1<<40+rand.Int63n(1<<40), 3), what)
	settled(t, s)
	h.compare(t, s, what+", written to")
}

func (h *history) compare(t *testing.T, s *Store, what string) {
	t.Helper()
	seen := map[string]bool{}
	total := 0
	for q := range int32(crashQueues) {
		require.EqualValues(t, 0, s.MinOffset("T", q), what)
		for i, b := range readAll(t, s, "T", q, 0) {
			require.False(t, seen[b], "%s: twice %.20s", what, b)
			seen[b] = true
			total++
			e := s.Entries("T", q, int64(i), 1)
			require.Equal(t, message.TagsHash(b[:3]), e[0].TagsCode, what)
			if off, ok := h.acked[b]; ok {
				require.Equal(t, off, int64(i), what)
				require.Equal(t, h.queue[b], q, what)
			}
		}
	}
	for b := range h.acked {
		require.True(t, seen[b], "%s: lost %.20s", what, b)
	}
	n := 0
	for b := range seen { // each message is found by its key, once
		if n++; n > 40 && n%7 != 0 {
			continue
		}
		phys, _, _, err := s.idx.Query("T", b, 9, 0, math.MaxInt64)
		require.NoError(t, err, what)
		require.Len(t, phys, 1, "%s: index of %.20s", what, b)
		rec, err := s.RecordAt(phys[0])
		require.NoError(t, err, what)
		require.Contains(t, string(rec), b, what)
	}
}

func crashOptions(fs vfs.FS) Options {
	o := small(fs)
	o.FlushDiskType = SyncFlush
	o.CheckpointBytes = 8 << 10
	return o
}

// TestCrash_NothingAcknowledgedIsLost takes images of the disk, as a power
// failure would leave it, before operations of the disk.
func TestCrash_NothingAcknowledgedIsLost(t *testing.T) {
	type image struct {
		at  vfs.Op
		fs  *vfs.Mem
		his *history
	}
	for seed := range int64(4) {
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

// TestCrash_AsyncFlushKeepsAPrefix: without sync flush the newest messages may be
// lost, but nothing before them.
func TestCrash_AsyncFlushKeepsAPrefix(t *testing.T) {
	for seed := range int64(10) {
		mem, h := vfs.NewMem(), newHistory()
		o := crashOptions(mem)
		o.FlushDiskType = AsyncFlush
		o.FlushIntervalCommitLog = time.Millisecond
		s := open(t, o)
		require.NoError(t, h.write(s, seed, 60))
		image := mem.CrashClone(rand.New(rand.NewSource(seed)))
		flushed := s.FlushedOffset()
		require.NoError(t, s.Close())
		o.FS = image
		s = open(t, o)
		require.GreaterOrEqual(t, flushed, int64(0))
		newHistory().compare(t, s, "async")
		require.NoError(t, s.Close())
	}
}

// TestFault_EveryOperation lets the n-th operation of the disk fail, for every n,
// with and without a torn write. Whatever happens: what was acknowledged before is
// there after the next start, once and in order, nothing hangs and nothing panics.
func TestFault_EveryOperation(t *testing.T) {
	boom := errors.New("disk failure")
	var failed vfs.Op
	count := func(at int64, kind error) (int64, *vfs.Mem, *history) {
		mem, h := vfs.NewMem(), newHistory()
		in := &vfs.Inject{FS: mem, Fail: func(op vfs.Op) error {
			if op.N == at {
				failed = op
				return kind
			}
			return nil
		}}
		o := crashOptions(in)
		o.FlushIntervalQueues = time.Millisecond
		s, err := Open(o)
		if err != nil {
			require.ErrorIs(t, err, boom)
			return in.Count(), mem, h
		}
		_ = h.write(s, 7, 12)
		s.cleaner.do(func() { _ = s.cleaner.checkpoint() })
		_ = h.write(s, 8, 4)
		_ = s.Close()
		return in.Count(), mem, h
	}
	total, _, _ := count(-1, nil)
	require.Greater(t, total, int64(60))
	for n := int64(1); n <= total; n++ {
		for _, kind := range []error{boom, vfs.ErrShort{Err: boom}} {
			_, mem, h := count(n, kind)
			h.clone().check(t, crashOptions(mem), fmt.Sprintf("%v failed (%T)", failed, kind))
			h.check(t, crashOptions(mem.CrashClone(rand.New(rand.NewSource(n)))), fmt.Sprintf("%v failed (%T), then a crash", failed, kind))
		}
	}
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
