package store

import (
	"fmt"
	"math"
	"math/rand"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/vfs"
)

// tester is what the checks of this package need of a test: a *testing.T, or a
// recorder where a check is expected to fail.
type tester interface {
	require.TestingT
	Helper()
}

// recorder keeps what a check complains about.
type recorder struct{ text string }

// Errorf implements tester.
func (r *recorder) Errorf(format string, args ...any) { r.text += fmt.Sprintf(format, args...) }

// FailNow implements tester.
func (r *recorder) FailNow() { runtime.Goexit() }

// Helper implements tester.
func (*recorder) Helper() {}

// complaint runs a check and gives what it complained about, "" for nothing. A
// panic is a complaint too.
func complaint(check func(t tester)) string {
	r := &recorder{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if v := recover(); v != nil {
				r.text += fmt.Sprint("panic: ", v)
			}
		}()
		check(r)
	}()
	<-done
	return r.text
}

// history remembers what was acknowledged: by queue the bodies in their order.
type history struct {
	mu      sync.Mutex
	acked   map[string]int64 // body to queue offset
	queue   map[string]int32
	phy     map[string]int64
	removed int64      // log files up to here may have been deleted
	saved   checkpoint // was written when the checkpoint was said to be
	buried  []string   // bodies of a topic whose deletion was confirmed
}

func newHistory() *history {
	return &history{acked: map[string]int64{}, queue: map[string]int32{}, phy: map[string]int64{}}
}

func (h *history) add(p *Put, bodies []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, b := range bodies {
		h.acked[b] = p.Result.QueueOffset + int64(i)
		h.queue[b] = p.Msg.QueueID
		h.phy[b] = p.Result.PhyOffset
		if i < len(p.Result.PhyOffsets) {
			h.phy[b] = p.Result.PhyOffsets[i]
		}
	}
}

func (h *history) clone() *history {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := newHistory()
	for k, v := range h.acked {
		c.acked[k] = v
		c.queue[k], c.phy[k] = h.queue[k], h.phy[k]
	}
	c.removed, c.saved, c.buried = h.removed, h.saved, slices.Clone(h.buried)
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
				e.Properties = hostile(r, e.Properties)
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

// hostile adds, to some messages, properties that look like what a power failure
// leaves: sectors of zeros, a last byte of zero, a checksum property that is wrong, a
// record.
func hostile(r *rand.Rand, props []byte) []byte {
	switch r.Intn(12) {
	case 0:
		return message.AppendProperty(props, "zeros", strings.Repeat("\x00", r.Intn(1500)))
	case 1:
		return append(props, 0)
	case 2:
		for range r.Intn(600) {
			props = message.AppendProperty(props, "\x00", "\x00")
		}
	case 3:
		return message.AppendProperty(props, message.PropertyCRC32, "0123456789")
	case 4:
		props = append(append(props, "\x00"...), make([]byte, r.Intn(1200))...)
		return message.AppendProperty(props, message.PropertyCRC32, "0000000000")
	}
	return props
}

// check opens an image and compares it with what was acknowledged.
func (h *history) check(t tester, o Options, what string) {
	t.Helper()
	cp, err := loadCheckpoint(o.FS, o.StorePathRootDir+"/checkpoint")
	require.NoError(t, err, what)
	require.GreaterOrEqual(t, cp.logics, h.saved.logics, "%s: the checkpoint was written", what)
	s, err := Open(o)
	require.NoError(t, err, what)
	defer func() { require.NoError(t, s.Close(), what) }()
	h.compare(t, s, what)
	if s.MaxOffset("gone", 0) > 0 {
		for _, b := range readAll(t, s, "gone", 0, s.MinOffset("gone", 0)) {
			require.NotContains(t, h.buried, b, "%s: a deleted topic is back", what)
		}
	}
	// The store goes on where it stopped.
	require.NoError(t, h.write(s, 1<<40+rand.Int63n(1<<40), 3), what)
	settled(t, s)
	h.compare(t, s, what+", written to")
}

func (h *history) compare(t tester, s *Store, what string) {
	t.Helper()
	seen := map[string]bool{}
	total := 0
	for q := range int32(crashQueues) {
		low := s.MinOffset("T", q)
		if h.removed == 0 {
			require.EqualValues(t, 0, low, what)
		}
		for i, b := range readAll(t, s, "T", q, low) {
			i := i + int(low)
			require.False(t, seen[b], "%s: twice %.20s", what, b)
			seen[b] = true
			total++
			e, err := s.Entries("T", q, int64(i), 1)
			require.NoError(t, err, what)
			require.Equal(t, message.TagsHash(b[:3]), e[0].TagsCode, what)
			if off, ok := h.acked[b]; ok {
				require.Equal(t, off, int64(i), what)
				require.Equal(t, h.queue[b], q, what)
			}
		}
	}
	for b := range h.acked {
		require.True(t, seen[b] || h.phy[b] < h.removed, "%s: lost %.20s", what, b)
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
