package delay

import (
	"math"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/merlinmq/merlin/broker/put"
	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeStore has the queues of the levels and takes what is delivered.
type fakeStore struct {
	mu        sync.Mutex
	scheduled map[int32][]store.QueueEntry // by queue
	records   map[int64][]byte
	delivered []message.Message
	refuse    store.PutStatus
	min       int64
	phy       int64
	flushed   int64
	// unreadable and unreadableQueue are errors of reading records and the queue.
	unreadable, unreadableQueue error
	stuck                       chan struct{} // messages with the body "stuck" are stored when it is closed
	only                        int           // how many are stored before the store refuses, 0 = as refuse says
}

func (f *fakeStore) schedule(t *testing.T, body string, due int64) { f.scheduleAt(t, 1, body, due) }

func (f *fakeStore) scheduleAt(t *testing.T, level int, body string, due int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	host := netip.MustParseAddrPort("127.0.0.1:1")
	m := message.Message{Topic: "T", QueueID: 2, Body: []byte(body), BornHost: host, StoreHost: host,
		Properties: message.AppendProperty(nil, "TAGS", "a")}
	d := put.Again(&m)
	levels.Schedule(d, level)
	d.Encode()
	rec, err := message.Append(nil, &d.Msg)
	require.NoError(t, err)
	if f.records == nil {
		f.records, f.scheduled = map[int64][]byte{}, map[int32][]store.QueueEntry{}
	}
	q := put.QueueOf(level)
	f.records[f.phy] = rec
	f.scheduled[q] = append(f.scheduled[q], store.QueueEntry{PhyOffset: f.phy, Size: int32(len(rec)), TagsCode: due, QueueOffset: f.min + int64(len(f.scheduled[q]))})
	f.phy += int64(len(rec))
}

func (f *fakeStore) Entries(name string, q int32, from int64, limit int) ([]store.QueueEntry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unreadableQueue != nil {
		return nil, f.unreadableQueue
	}
	if name != topic.Schedule || from < f.min || from >= f.min+int64(len(f.scheduled[q])) {
		return nil, nil
	}
	out := f.scheduled[q][from-f.min:]
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
	if stuck := f.stuck; stuck != nil && string(puts[0].Msg.Body) == "stuck" {
		<-stuck
	}
	f.mu.Lock()
	for i, p := range puts {
		p.Result.Status, p.Result.Messages, p.Result.Bytes = f.refuse, 1, 100
		if f.only > 0 && i >= f.only {
			p.Result.Status = store.ServiceNotAvailable
		}
		if p.Result.Status == store.PutOK {
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
	return f.min + int64(len(f.scheduled[q]))
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

var levels = put.Levels{time.Second, 2 * time.Second}

type rig struct {
	*Service
	store *fakeStore
	clock *clock.Manual
	files *configfile.Memory
	stats *stats.Manager
}

func newRig(t *testing.T) *rig {
	r := &rig{store: &fakeStore{}, clock: clock.NewManual(time.UnixMilli(10_000)), files: configfile.NewMemory(), stats: stats.New(stats.Options{Cluster: "C"})}
	r.load(t)
	return r
}

func (r *rig) load(t *testing.T) {
	var err error
	r.Service, err = Load(Options{Store: r.store, Put: put.New(put.Options{Store: r.store, Levels: levels, Stats: r.stats}), Levels: levels, Files: r.files, Path: "delayOffset.json",
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
	_, err := r.files.Load("delayOffset.json", nil, nil)
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

// An entry that fills a gap of the queue stands for no message; its place in the log,
// 0, is that of another one.
func TestDeliver_AGapIsNoMessage(t *testing.T) {
	r := newRig(t)
	r.store.schedule(t, "first", 10_000)
	r.store.set(func() {
		r.store.scheduled[0] = append(r.store.scheduled[0], store.QueueEntry{Size: math.MaxInt32, QueueOffset: 1})
	})
	r.store.schedule(t, "second", 10_000)
	r.begin(t)
	require.Eventually(t, func() bool { r.pass(100); return r.offset(1) == 3 }, 5*time.Second, time.Millisecond)
	require.Equal(t, []string{"first", "second"}, r.store.texts())
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

// A level whose deliveries do not come to an end stops no other level.
func TestDeliver_LevelsDoNotWaitForEachOther(t *testing.T) {
	r := newRig(t)
	r.store.stuck = make(chan struct{})
	r.store.scheduleAt(t, 1, "stuck", 10_000)
	r.store.scheduleAt(t, 2, "other", 10_000)
	r.begin(t)
	require.Eventually(t, func() bool { r.pass(100); return len(r.store.texts()) == 1 }, 5*time.Second, time.Millisecond)
	require.Equal(t, []string{"other"}, r.store.texts())
	r.store.scheduleAt(t, 2, "later", r.clock.NowMillis()+1000)
	require.Eventually(t, func() bool { r.pass(100); return len(r.store.texts()) == 2 }, 5*time.Second, time.Millisecond)
	close(r.store.stuck)
	require.Eventually(t, func() bool { r.pass(100); return len(r.store.texts()) == 3 }, 5*time.Second, time.Millisecond)
}

// What was stored before the store refused is not delivered again.
func TestDeliver_GoesOnWhereTheStoreRefused(t *testing.T) {
	r := newRig(t)
	for _, text := range []string{"a", "b", "c"} {
		r.store.schedule(t, text, 10_000)
	}
	r.store.only = 2
	r.begin(t)
	require.Eventually(t, func() bool { r.pass(100); return len(r.store.texts()) >= 2 }, 5*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { r.pass(100); return len(r.store.texts()) >= 3 }, 5*time.Second, time.Millisecond)
	require.Equal(t, []string{"a", "b", "c"}, r.store.texts())
}

// ScheduleMessageService.PutResultProcess.onSuccess.
func TestDeliver_IsCounted(t *testing.T) {
	r := newRig(t)
	r.store.scheduleAt(t, 2, "x", 10_000)
	r.begin(t)
	require.Eventually(t, func() bool { r.pass(100); return r.offset(2) == 1 }, 5*time.Second, time.Millisecond)
	for name, key := range map[string]string{
		stats.QueueGetNums: "SCHEDULE_TOPIC_XXXX@1@SCHEDULE_CONSUMER", stats.GroupGetNums: "SCHEDULE_TOPIC_XXXX@SCHEDULE_CONSUMER",
		stats.TopicPutNums: "T", stats.BrokerPutNums: "C",
	} {
		it, ok := r.stats.Lookup(name, key)
		require.True(t, ok, name)
		require.EqualValues(t, 1, it.Value(), name)
	}
	for name, key := range map[string]string{
		stats.QueueGetSize: "SCHEDULE_TOPIC_XXXX@1@SCHEDULE_CONSUMER", stats.GroupGetSize: "SCHEDULE_TOPIC_XXXX@SCHEDULE_CONSUMER",
		stats.TopicPutSize: "T",
	} {
		it, ok := r.stats.Lookup(name, key)
		require.True(t, ok, name)
		require.EqualValues(t, 100, it.Value(), name)
	}
	_, ok := r.stats.Lookup(stats.BrokerGetNums, "C")
	require.False(t, ok)
}
