package store

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/commitlog"
	"github.com/merlinmq/merlin/store/consumequeue"
	"github.com/merlinmq/merlin/store/vfs"
)

var (
	modelSeed   = flag.Int64("model.seed", 1, "seed of the first run of the model test")
	modelRuns   = flag.Int("model.runs", 30, "runs of the model test")
	modelSteps  = flag.Int("model.steps", 60, "steps of a run of the model test")
	modelDouble = flag.Bool("model.double", false, "several damages between two starts")
	modelLog    = flag.Bool("model.log", false, "print what the store says and what is done")
	modelOff    = flag.String("model.off", "", "kinds of steps that are left out, separated by commas")
)

// modelKey is a queue of the model.
type modelKey struct {
	topic string
	queue int32
}

// modelMsg is a message that was acknowledged.
type modelMsg struct {
	off, phy, size int64
	body           string
	hurt           bool // some byte of it, or of its entry, was changed
}

// model is what a store must hold.
type model struct {
	t     *testing.T
	r     *rand.Rand
	disk  *vfs.Mem
	clock *stepClock
	o     Options
	s     *Store
	live  map[modelKey][]*modelMsg
	gone  map[string]bool // bodies of deleted topics
	n     int             // of messages
	// rotten: the log was damaged, and only whole queues tell what lies behind.
	rotten bool
	// unknown: queues were lost, so that those whose messages expired begin anew.
	unknown bool
	trace   []string
}

func (m *model) note(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf(format, args...))
	if *modelLog {
		fmt.Fprintf(os.Stderr, "-- "+format+"\n", args...)
	}
}

func (m *model) fatal(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("%s\nafter:\n  %s", fmt.Sprintf(format, args...), strings.Join(m.trace, "\n  "))
}

// TestModel does random things to a store and compares it, after each start, with
// what was acknowledged: every message can be read at its offset unless its own bytes
// were changed, no offset is given out twice, nothing is there that was not sent.
func TestModel(t *testing.T) {
	for run := range *modelRuns {
		seed := *modelSeed + int64(run)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			m := &model{t: t, r: rand.New(rand.NewSource(seed)), disk: vfs.NewMem(), live: map[modelKey][]*modelMsg{}, gone: map[string]bool{},
				clock: &stepClock{Manual: clock.NewManual(time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC))}}
			m.o = small(nil)
			m.o.Clock, m.o.DeleteFileBatchMax, m.o.CheckpointInterval, m.o.CheckpointBytes = m.clock, 1, time.Hour, 1<<40
			m.o.FileReservedTime = 1
			if m.r.Intn(2) == 0 {
				m.o.FlushDiskType = SyncFlush
			}
			m.o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
			if *modelLog {
				m.o.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
			}
			m.note("seed %d, flush %d", seed, m.o.FlushDiskType)
			m.open()
			for range *modelSteps {
				m.step()
			}
			m.stop()
			m.open()
			require.NoError(t, m.s.Close())
		})
	}
}

func (m *model) step() {
	type kind struct {
		name   string
		weight int
		do     func()
	}
	kinds := []kind{
		{"put", 50, m.puts}, {"delete", 3, m.deleteTopic}, {"checkpoint", 6, m.checkpoint}, {"retention", 3, m.retention},
		{"clock", 4, m.setClock}, {"restart", 10, m.restart}, {"clean", 1, m.cleanQueues}, {"flush", 2, m.flush},
	}
	total := 0
	for _, k := range kinds {
		total += k.weight
	}
	n := m.r.Intn(total)
	for _, k := range kinds {
		if n -= k.weight; n < 0 {
			if !strings.Contains(","+*modelOff+",", ","+k.name+",") {
				k.do()
			}
			return
		}
	}
}

func (m *model) pickTopic() string { return []string{"A", "B", "gone"}[m.r.Intn(3)] }

func (m *model) puts() {
	for range 1 + m.r.Intn(8) {
		m.put()
	}
	settled(m.t, m.s)
}

func (m *model) put() {
	k := modelKey{m.pickTopic(), int32(m.r.Intn(3))}
	p := &Put{Msg: msg(k.topic, k.queue, "")}
	var bodies []string
	for range 1 + m.r.Intn(2)*m.r.Intn(3) {
		m.n++
		body := fmt.Sprintf("%d.%s", m.n, strings.Repeat("x", m.r.Intn(1200)))
		if len(bodies) == 0 && m.r.Intn(4) == 0 {
			body = m.imitation(m.n, k)
		}
		props := hostile(m.r, message.AppendProperty(nil, "UNIQ_KEY", fmt.Sprint(m.n)))
		bodies = append(bodies, body)
		p.Batch = append(p.Batch, message.BatchEntry{Body: []byte(body), Properties: props})
	}
	if len(bodies) == 1 {
		p.Msg.Body, p.Msg.Properties, p.Batch = p.Batch[0].Body, p.Batch[0].Properties, nil
		if m.r.Intn(15) == 0 { // has no queue entry
			p.Msg.SysFlag = []int32{message.SysFlagPrepared, message.SysFlagRollback}[m.r.Intn(2)]
		}
	}
	res := m.s.Put(p)
	if res.Status != PutOK {
		m.fatal("put: %v", res.Err)
	}
	if p.Msg.SysFlag != 0 {
		return
	}
	for i, b := range bodies {
		e := &modelMsg{off: res.QueueOffset + int64(i), phy: res.PhyOffset, body: b}
		if i < len(res.PhyOffsets) {
			e.phy = res.PhyOffsets[i]
		}
		if have := m.live[k]; len(have) > 0 && e.off != have[len(have)-1].off+1 {
			m.fatal("offset %d of %v after %d", e.off, k, have[len(have)-1].off)
		}
		end := res.PhyOffset + int64(res.Bytes)
		if i+1 < len(res.PhyOffsets) {
			end = res.PhyOffsets[i+1]
		}
		e.size = end - e.phy
		m.live[k] = append(m.live[k], e)
	}
}

// imitation is a body of records that name the place at which they will lie.
func (m *model) imitation(n int, k modelKey) string {
	b := []byte(fmt.Sprintf("%d.", n))
	at := m.s.clog.End() + 88
	for range 1 + m.r.Intn(6) {
		if m.r.Intn(2) == 0 {
			b = append(b, make([]byte, m.r.Intn(200))...)
		}
		f := msg(k.topic, k.queue, fmt.Sprintf("FAKE%d", n))
		f.PhyOffset, f.QueueOffset, f.StoreTimestamp = at+int64(len(b)), int64(len(m.live[k])+m.r.Intn(3)), m.clock.NowMillis()
		next, err := message.Append(b, &f)
		require.NoError(m.t, err)
		b = next
	}
	return string(b)
}

func (m *model) deleteTopic() {
	topic := m.pickTopic()
	m.note("delete %s at %d", topic, m.s.clog.End())
	require.NoError(m.t, m.s.DeleteTopic(topic))
	for k, have := range m.live {
		if k.topic == topic {
			for _, e := range have {
				m.gone[e.body] = true
			}
			delete(m.live, k)
		}
	}
}

func (m *model) checkpoint() {
	require.True(m.t, m.s.cleaner.do(func() { require.NoError(m.t, m.s.cleaner.checkpoint()) }))
	m.note("checkpoint, floor %d", m.s.cp.floor)
}

func (m *model) flush() {
	require.True(m.t, m.s.cleaner.do(m.s.committer.now))
}

func (m *model) retention() {
	m.flush()
	require.True(m.t, m.s.cleaner.do(func() {
		c := m.s.cleaner
		for range m.r.Intn(3) {
			c.deleteSegments(true)
		}
		if m.r.Intn(3) > 0 { // else a stop comes in between
			if first := m.s.clog.Min(); first > c.cleanedMin {
				require.NoError(m.t, c.follow(first))
				c.cleanedMin = first
			}
		}
	}))
	m.note("retention, log begins at %d", m.s.clog.Min())
	m.expire()
}

// expire forgets what retention deleted.
func (m *model) expire() {
	first := m.s.clog.Min()
	for k, have := range m.live {
		n := 0
		for n < len(have) && have[n].phy < first {
			n++
		}
		if n == len(have) && n > 0 {
			n-- // its offset is not given out again
			have[n].hurt = true
		}
		m.live[k] = have[n:]
	}
}

func (m *model) cleanQueues() {
	require.NoError(m.t, m.s.CleanExpiredQueues(nil))
	for k, have := range m.live {
		if len(have) == 1 && have[0].phy < m.s.clog.Min() && m.s.MaxOffset(k.topic, k.queue) == 0 {
			delete(m.live, k)
		}
	}
}

func (m *model) setClock() {
	steps := []time.Duration{-time.Hour, 2 * time.Hour, -24 * time.Hour, time.Minute, -10 * time.Second, 48 * time.Hour}
	m.clock.set.Add(int64(steps[m.r.Intn(len(steps))]))
}

func (m *model) restart() {
	m.stop()
	m.open()
}

// stop ends the store in some way, leaves m.disk, and forgets what may be lost.
func (m *model) stop() {
	settled(m.t, m.s)
	flushed, end := m.s.FlushedOffset(), m.s.MaxPhyOffset()
	kind := m.r.Intn(4)
	if m.r.Intn(6) == 0 { // behind a checkpoint, so that damage is below the floor
		m.checkpoint()
		flushed = end
	}
	disk := m.disk
	switch kind {
	case 0:
		m.note("closed at %d", end)
		require.NoError(m.t, m.s.Close())
		m.disk = killed(m.t, disk)
	case 1, 2:
		m.note("killed at %d", end)
		m.disk = killed(m.t, disk)
		require.NoError(m.t, m.s.Close())
	case 3:
		m.note("power failed at %d, flushed %d", end, flushed)
		m.disk = disk.CrashClone(rand.New(rand.NewSource(m.r.Int63())))
		require.NoError(m.t, m.s.Close())
	}
	if kind != 0 && m.r.Intn(8) == 0 && (!m.rotten || *modelDouble) {
		m.java()
	} else {
		m.damage()
		for *modelDouble && m.r.Intn(2) == 0 {
			m.damage()
		}
	}
}

// java leaves what a killed Java broker would, which had the store for a moment.
func (m *model) java() {
	if strings.Contains(*modelOff, "java") {
		return
	}
	b, err := vfs.ReadFile(m.disk, "/store/checkpoint")
	if err != nil {
		return
	}
	m.note("Java rewrote the checkpoint")
	binary.BigEndian.PutUint64(b, binary.BigEndian.Uint64(b)+7)
	writeFile(m.t, m.disk, "/store/checkpoint", b)
	writeFile(m.t, m.disk, "/store/abort", []byte("4711"))
	m.disk = killed(m.t, m.disk)
}

// damage changes bytes below the floor.
func (m *model) damage() {
	cp, err := loadCheckpoint(m.disk, "/store/checkpoint")
	require.NoError(m.t, err)
	if !cp.known || strings.Contains(*modelOff, "damage") {
		return
	}
	defer func() { m.disk = killed(m.t, m.disk) }()
	switch m.r.Intn(8) {
	case 0, 1:
		if !m.unknown || *modelDouble {
			m.damageLog(cp.floor)
		}
	case 2: // with the log damaged, too, entries are all that tells where records begin
		if !m.rotten || *modelDouble {
			m.damageQueue(cp.floor)
		}
	case 3:
		if !m.rotten || *modelDouble {
			m.loseQueue()
		}
	}
}

func (m *model) damageLog(floor int64) {
	segs := files(m.t, m.disk, "/store/commitlog")
	if len(segs) == 0 {
		return
	}
	first, _ := commitlog.ParseFileName(strings.TrimPrefix(segs[0], "/store/commitlog/"))
	if floor <= first {
		return
	}
	at := first + m.r.Int63n(floor-first)
	n := []int64{1, 1, 1, 4, 100, 512, 1500}[m.r.Intn(7)]
	n = min(n, floor-at, at/m.o.FileSizeCommitLog*m.o.FileSizeCommitLog+m.o.FileSizeCommitLog-at)
	b := make([]byte, n)
	f, err := m.disk.Open("/store/commitlog/"+commitlog.FileName(at-at%m.o.FileSizeCommitLog), vfs.ReadWrite)
	if err != nil {
		return
	}
	_, err = f.ReadAt(b, at%m.o.FileSizeCommitLog)
	require.NoError(m.t, err)
	how := m.r.Intn(3)
	for i := range b {
		switch how {
		case 0:
			b[i] = 0
		case 1:
			b[i] ^= byte(1 + m.r.Intn(255))
		case 2:
			b[i] ^= 1 << m.r.Intn(8)
		}
	}
	_, err = f.WriteAt(b, at%m.o.FileSizeCommitLog)
	require.NoError(m.t, err)
	require.NoError(m.t, f.Close())
	m.rotten = true
	m.note("damage %d..%d of the log, kind %d, floor %d", at, at+n, how, floor)
	for _, have := range m.live {
		for _, e := range have {
			if e.phy < at+n && at < e.phy+e.size {
				e.hurt = true
			}
		}
	}
}

func (m *model) pickQueue() (modelKey, []string) {
	var keys []modelKey
	for k := range m.live {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b modelKey) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	if len(keys) == 0 {
		return modelKey{}, nil
	}
	k := keys[m.r.Intn(len(keys))]
	dir := fmt.Sprintf("/store/consumequeue/%s/%d", k.topic, k.queue)
	if !vfs.Exists(m.disk, dir) {
		return k, nil
	}
	return k, files(m.t, m.disk, dir)
}

func (m *model) damageQueue(floor int64) {
	k, fs := m.pickQueue()
	if len(fs) == 0 || len(m.live[k]) == 0 {
		return
	}
	e := m.live[k][m.r.Intn(len(m.live[k]))]
	at := e.off * consumequeue.EntrySize
	base := at - at%m.o.FileSizeConsumeQueue
	path := fmt.Sprintf("/store/consumequeue/%s/%d/%020d", k.topic, k.queue, base)
	if !slices.Contains(fs, path) || e.phy >= floor {
		return
	}
	f, err := m.disk.Open(path, vfs.ReadWrite)
	require.NoError(m.t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at-base+int64(m.r.Intn(20)))
	require.NoError(m.t, err)
	in := int64(m.r.Intn(20))
	b[0] ^= byte(1 + m.r.Intn(255))
	_, err = f.WriteAt(b, at-base+in)
	require.NoError(m.t, err)
	require.NoError(m.t, f.Close())
	m.note("damage entry %d of %v, byte %d", e.off, k, in)
	e.hurt = true
}

func (m *model) loseQueue() {
	k, fs := m.pickQueue()
	if len(fs) == 0 {
		return
	}
	switch m.r.Intn(4) {
	case 0:
		m.note("consume queue %v is gone", k)
		m.unknown = true
		require.NoError(m.t, m.disk.RemoveAll(fmt.Sprintf("/store/consumequeue/%s/%d", k.topic, k.queue)))
	case 1:
		path := fs[m.r.Intn(len(fs))]
		m.note("%s is gone", path)
		m.unknown = true
		require.NoError(m.t, m.disk.Remove(path))
	case 2:
		path := fs[m.r.Intn(len(fs))]
		f, err := m.disk.Open(path, vfs.ReadWrite)
		require.NoError(m.t, err)
		n := m.r.Int63n(m.o.FileSizeConsumeQueue)
		m.note("%s is cut to %d", path, n)
		m.unknown = true
		require.NoError(m.t, f.Truncate(n))
		require.NoError(m.t, f.Close())
	case 3:
		m.note("all consume queues are gone")
		m.unknown = true
		require.NoError(m.t, m.disk.RemoveAll("/store/consumequeue"))
	}
}

// open starts the store, sometimes interrupted on the way, and compares it.
func (m *model) open() {
	for m.r.Intn(3) == 0 {
		at, power, seed := int64(m.r.Intn(80)), m.r.Intn(2) == 0, m.r.Int63()
		var next *vfs.Mem
		m.o.FS = &vfs.Inject{FS: m.disk, Fail: func(op vfs.Op) error {
			if op.N == at && next == nil {
				if power {
					next = m.disk.CrashClone(rand.New(rand.NewSource(seed)))
				} else {
					next = killed(m.t, m.disk)
				}
			}
			return nil
		}}
		s, err := Open(m.o)
		if err != nil {
			m.fatal("open: %v", err)
		}
		require.NoError(m.t, s.Close())
		if next == nil {
			m.note("started and closed")
			m.disk = killed(m.t, m.disk)
			continue
		}
		m.note("stopped at operation %d of a start, power %t", at, power)
		m.disk = next
	}
	m.o.FS = m.disk
	s, err := Open(m.o)
	if err != nil {
		m.fatal("open: %v", err)
	}
	m.s = s
	m.t.Cleanup(func() { _ = s.Close() })
	m.note("open, log %d..%d", s.clog.Min(), s.clog.Max())
	m.compare()
}

func (m *model) compare() {
	s, end := m.s, m.s.clog.Max()
	m.expire()
	for k, have := range m.live { // what was not flushed may be lost, from some place on
		for len(have) > 0 && have[len(have)-1].phy >= end {
			if m.o.FlushDiskType == SyncFlush {
				m.fatal("the log ends at %d, message %d of %v at %d is lost", end, have[len(have)-1].off, k, have[len(have)-1].phy)
			}
			have = have[:len(have)-1]
		}
		m.live[k] = have
	}
	for k, have := range m.live {
		if len(have) == 0 {
			delete(m.live, k)
			continue
		}
		got := readable(m.t, s, k.topic, k.queue)
		for _, e := range have {
			if !e.hurt && got[e.off] != e.body {
				m.fatal("message %d of %v at %d is lost, queue %d..%d: %.30q, want %.30q", e.off, k, e.phy,
					s.MinOffset(k.topic, k.queue), s.MaxOffset(k.topic, k.queue), got[e.off], e.body)
			}
			delete(got, e.off)
		}
		for off, b := range got {
			if off > have[len(have)-1].off || m.gone[b] || strings.HasPrefix(b, "FAKE") {
				m.fatal("%v has %.30q at %d, which nobody sent there", k, b, off)
			}
		}
		if m.unknown && have[len(have)-1].phy < s.clog.Min() && s.MaxOffset(k.topic, k.queue) == 0 {
			delete(m.live, k)
			continue
		}
		if max := s.MaxOffset(k.topic, k.queue); max != have[len(have)-1].off+1 {
			m.fatal("%v ends at %d, not at %d", k, max, have[len(have)-1].off+1)
		}
	}
	for _, topic := range s.Topics() {
		for _, q := range s.QueueIDs(topic) {
			if !m.rotten && m.live[modelKey{topic, q}] == nil && len(readable(m.t, s, topic, q)) > 0 {
				m.fatal("queue %d of %s should be empty: %.60q", q, topic, fmt.Sprint(readable(m.t, s, topic, q)))
			}
		}
	}
}
