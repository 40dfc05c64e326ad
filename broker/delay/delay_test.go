package delay

import (
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/merlinmq/merlin/broker/prepare"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeStore has the queue of level 1 and takes what is delivered.
type fakeStore struct {
	mu        sync.Mutex
	scheduled []store.QueueEntry
	records   map[int64][]byte
	delivered []message.Message
	refuse    store.PutStatus
	min       int64
	phy       int64
	flushed   int64
	// unreadable and unreadableQueue are errors of reading records and the queue.
	unreadable, unreadableQueue error
}

func (f *fakeStore) schedule(t *testing.T, body string, due int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	host := netip.MustParseAddrPort("127.0.0.1:1")
	m := message.Message{Topic: "T", QueueID: 2, Body: []byte(body), BornHost: host, StoreHost: host,
		Properties: message.AppendProperty(nil, "TAGS", "a")}
	prepare.Levels{time.Second}.Schedule(&m, 1)
	rec, err := message.Append(nil, &m)
	require.NoError(t, err)
	if f.records == nil {
		f.records = map[int64][]byte{}
	}
	f.records[f.phy] = rec
	f.scheduled = append(f.scheduled, store.QueueEntry{PhyOffset: f.phy, Size: int32(len(rec)), TagsCode: due, QueueOffset: f.min + int64(len(f.scheduled))})
	f.phy += int64(len(rec))
}

func (f *fakeStore) Entries(name string, q int32, from int64, limit int) ([]store.QueueEntry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unreadableQueue != nil {
		return nil, f.unreadableQueue
	}
	if name != topic.Schedule || q != 0 || from < f.min || from >= f.min+int64(len(f.scheduled)) {
		return nil, nil
	}
	out := f.scheduled[from-f.min:]
	return out[:min(limit, len(out))], nil
}

func (f *fakeStore) RecordAt(phy int64) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unreadable != nil {
		return nil, f.unreadable
	}
	if r, ok := f.records[phy]; ok {
		return r, nil
	}
	return nil, store.ErrNoRecord
}

func (f *fakeStore) PutBatch(puts []*store.Put) {
	f.mu.Lock()
	for _, p := range puts {
		p.Result.Status = f.refuse
		if f.refuse == store.PutOK {
			f.delivered = append(f.delivered, p.Msg)
			f.phy += 100
		}
	}
	f.mu.Unlock()
	for _, p := range puts {
		p.Done(p)
	}
}

func (f *fakeStore) MinOffset(string, int32) int64 { f.mu.Lock(); defer f.mu.Unlock(); return f.min }
func (f *fakeStore) MaxOffset(_ string, q int32) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if q != 0 {
		return 0
	}
	return f.min + int64(len(f.scheduled))
}
func (f *fakeStore) MaxPhyOffset() int64  { f.mu.Lock(); defer f.mu.Unlock(); return f.phy }
func (f *fakeStore) FlushedOffset() int64 { f.mu.Lock(); defer f.mu.Unlock(); return f.flushed }

func (f *fakeStore) texts() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, m := range f.delivered {
		out = append(out, string(m.Body))
	}
	return out
}

func (f *fakeStore) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

type rig struct {
	*Service
	store *fakeStore
	clock *clock.Manual
	files *configfile.Memory
}

func newRig(t *testing.T) *rig {
	r := &rig{store: &fakeStore{}, clock: clock.NewManual(time.UnixMilli(10_000)), files: configfile.NewMemory()}
	r.load(t)
	return r
}

func (r *rig) load(t *testing.T) {
	var err error
	r.Service, err = Load(Options{Store: r.store, Levels: prepare.Levels{time.Second}, Files: r.files, Path: "delayOffset.json",
		Clock: r.clock, PersistEvery: time.Hour})
	require.NoError(t, err)
}

func (r *rig) begin(t *testing.T) {
	r.Start()
	t.Cleanup(r.Shutdown)
	require.Eventually(t, func() bool { return r.clock.Waiters() == 2 }, 5*time.Second, time.Millisecond)
}

// pass lets ms go by, a tick at a time.
func (r *rig) pass(ms int) {
	for range ms / 100 {
		r.clock.Advance(100 * time.Millisecond)
	}
}

func TestDeliver_WhenDueAndNotBefore(t *testing.T) {
	r := newRig(t)
	r.begin(t)
	r.store.schedule(t, "first", 11_000)
	r.store.schedule(t, "second", 12_000)
	r.clock.Advance(900 * time.Millisecond)
	require.Never(t, func() bool { return len(r.store.texts()) > 0 }, 50*time.Millisecond, time.Millisecond)
	require.Eventually(t, func() bool { r.pass(100); return len(r.store.texts()) == 1 }, 5*time.Second, time.Millisecond)
	require.GreaterOrEqual(t, r.clock.NowMillis(), int64(11_000))
	require.Eventually(t, func() bool { r.pass(100); return len(r.store.texts()) == 2 }, 5*time.Second, time.Millisecond)
	require.Equal(t, []string{"first", "second"}, r.store.texts())
	m := r.store.delivered[0]
	require.Equal(t, "T", m.Topic)
	require.EqualValues(t, 2, m.QueueID)
	require.Equal(t, message.TagsHash("a"), m.TagsCode)
	require.Equal(t, "2,2", r.Offsets()[1])
}

// A clock that was set back must not hold messages longer than their level.
func TestDeliver_ClockSetBack(t *testing.T) {
	r := newRig(t)
	r.store.schedule(t, "x", 10_000_000)
	r.begin(t)
	require.Eventually(t, func() bool { r.pass(100); return len(r.store.texts()) == 1 }, 5*time.Second, time.Millisecond)
}

func TestDeliver_TriesAgainWhenTheStoreRefuses(t *testing.T) {
	r := newRig(t)
	r.store.schedule(t, "x", 10_000)
	r.store.set(func() { r.store.refuse = store.ServiceNotAvailable })
	r.begin(t)
	r.pass(500)
	require.Empty(t, r.store.texts())
	require.Empty(t, r.Offsets(), "the offset stays")
	r.store.set(func() { r.store.refuse = store.PutOK })
	require.Eventually(t, func() bool { r.pass(100); return len(r.store.texts()) == 1 }, 5*time.Second, time.Millisecond)
}

// A level's offset is written only when the deliveries are on disk: a crash
// before repeats them.
func TestPersist_NotAheadOfTheDisk(t *testing.T) {
	r := newRig(t)
	r.store.schedule(t, "x", 10_000)
	r.begin(t)
	require.Eventually(t, func() bool { r.pass(100); return len(r.Offsets()) == 1 }, 5*time.Second, time.Millisecond)
	require.NoError(t, r.Persist())
	_, err := r.files.Load("delayOffset.json", nil)
	require.ErrorIs(t, err, configfile.ErrNone, "the copy is not flushed")

	again := &rig{store: r.store, clock: r.clock, files: r.files}
	again.load(t)
	require.Zero(t, again.offset(1), "after a crash it is delivered again")

	r.store.set(func() { r.store.flushed = r.store.phy })
	require.NoError(t, r.Persist())
	again.load(t)
	require.EqualValues(t, 1, again.offset(1))
}

// ScheduleMessageService.correctDelayOffset.
func TestLoad_BringsOffsetsIntoTheirQueue(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.files.Save("delayOffset.json", []byte(`{"dataVersion":{"counter":1},"offsetTable":{1:7}}`)))
	r.load(t)
	require.Zero(t, r.offset(1), "beyond the end")
	r.store.min = 9
	r.load(t)
	require.EqualValues(t, 9, r.offset(1), "before the beginning")
}

// A read that fails is not a message that is gone: the offset waits before it.
func TestDeliver_WaitsForWhatCannotBeRead(t *testing.T) {
	for name, fail := range map[string]func(*fakeStore, error){
		"record": func(f *fakeStore, err error) { f.unreadable = err },
		"queue":  func(f *fakeStore, err error) { f.unreadableQueue = err },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.store.schedule(t, "first", 10_000)
			r.store.schedule(t, "second", 10_000)
			r.store.set(func() { fail(r.store, syscall.EIO) })
			r.begin(t)
			r.pass(500)
			require.Empty(t, r.Offsets(), "the offset stays")
			r.store.set(func() { fail(r.store, nil) })
			require.Eventually(t, func() bool { r.pass(100); return len(r.store.texts()) == 2 }, 5*time.Second, time.Millisecond)
			require.Equal(t, []string{"first", "second"}, r.store.texts())
		})
	}
}

func TestDeliver_SkipsWhatIsGone(t *testing.T) {
	r := newRig(t)
	r.store.schedule(t, "lost", 10_000)
	r.store.schedule(t, "kept", 10_000)
	r.store.set(func() { delete(r.store.records, 0) })
	r.begin(t)
	require.Eventually(t, func() bool { r.pass(100); return len(r.store.texts()) == 1 }, 5*time.Second, time.Millisecond)
	require.Equal(t, []string{"kept"}, r.store.texts())
}
