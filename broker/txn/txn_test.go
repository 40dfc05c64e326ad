package txn

import (
	"context"
	"errors"
	"math/rand"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/broker/client"
	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/offset"
	"github.com/merlinmq/merlin/broker/put"
	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/store"
	"github.com/merlinmq/merlin/store/vfs"
)

var host = netip.MustParseAddrPort("127.0.0.1:10911")

// asked is a CHECK_TRANSACTION_STATE that a producer got.
type asked struct {
	header.CheckTransactionStateRequest
	msg message.Message
}

// producer is a connected member of a producer group.
type producer struct {
	mu    sync.Mutex // guards asked
	asked []asked
	dead  bool
}

func (p *producer) RemoteAddr() netip.AddrPort { return host }
func (p *producer) Alive() bool                { return !p.dead }
func (p *producer) Close()                     {}
func (p *producer) Invoke(context.Context, *wire.Outgoing, []byte) (*wire.Command, error) {
	return nil, errors.New("not used")
}
func (p *producer) Oneway(o *wire.Outgoing, b []byte) error {
	a := asked{CheckTransactionStateRequest: *o.Header.(*header.CheckTransactionStateRequest)}
	if _, err := message.Decode(b, &a.msg, true); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, a)
	return nil
}

func (p *producer) take() []asked {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.asked
	p.asked = nil
	return out
}

// world is a service over a store in memory. Rounds of checks and removal
// messages are made by the test; time stands still otherwise.
type world struct {
	*Service
	t        *testing.T
	fs       *vfs.Mem
	files    configfile.Files
	clock    *clock.Manual
	st       *store.Store
	producer *producer
	cfg      *config.Holder
	topics   *topic.Table
	ids      int
	// fails is asked before each operation of the disk from the next start on.
	fails func(vfs.Op) error
}

func newWorld(t *testing.T, settings string) *world {
	w := &world{t: t, fs: vfs.NewMem(), files: configfile.NewMemory(), clock: clock.NewManual(time.UnixMilli(1_700_000_000_000))}
	cfg, _, err := config.Parse([]byte("brokerName=b\nbrokerIP1=127.0.0.1\n"+settings), "b.conf")
	require.NoError(t, err)
	w.cfg = config.NewHolder(cfg, config.HolderOptions{})
	w.open()
	t.Cleanup(func() { _ = w.st.Close() })
	return w
}

// disk is the file system, with the failures that the test wants.
func (w *world) disk() vfs.FS {
	if w.fails == nil {
		return w.fs
	}
	return &vfs.Inject{FS: w.fs, Fail: w.fails}
}

// open is a start of the broker.
func (w *world) open() {
	var err error
	var recovered Recovered
	w.st, err = store.Open(store.Options{
		Recovered: recovered.Note,
		FS:        w.disk(), Clock: w.clock, StorePathRootDir: "/s", FlushDiskType: store.AsyncFlush, FileSizeCommitLog: 1 << 20,
		FileSizeConsumeQueue: 20 * 1000, MaxHashSlotNum: 100, MaxIndexNum: 400, CheckCRCOnRecoverOff: true,
	})
	require.NoError(w.t, err)
	w.topics, err = topic.Load(topic.Options{Files: w.files, Path: "topics.json", Now: w.clock.NowMillis,
		Config: func() topic.Config { return topic.Config{ClusterName: "c", BrokerName: "b"} }})
	require.NoError(w.t, err)
	offsets, err := offset.Load(offset.Options{Files: w.files, Path: "offsets.json", Now: w.clock.NowMillis})
	require.NoError(w.t, err)
	producers := client.NewProducers(w.clock, nil)
	w.producer = &producer{}
	producers.Register("P", &client.Channel{Peer: w.producer, ClientID: "c1"})
	w.wait()
	counts := stats.New(stats.Options{Clock: w.clock, Cluster: "c", System: func(string) bool { return false }})
	w.Service, err = New(Deps{
		Config: w.cfg, Topics: w.topics, Offsets: offsets, Producers: producers, Store: w.st,
		Put:   put.New(put.Options{Store: w.st, Stats: counts, Clock: w.clock, Levels: put.Levels{time.Second, 5 * time.Second}}),
		Stats: counts, Clock: w.clock, StoreHost: host, Recovered: &recovered,
	})
	require.NoError(w.t, err)
}

// wait until everything stored can be read.
func (w *world) wait() {
	require.Eventually(w.t, func() bool { return w.st.DispatchBehind() == 0 }, 5*time.Second, time.Millisecond)
}

// kill stops the process: what was written to files is there, what was only in
// memory is not. The small file of offsets is as old as its last write.
func (w *world) kill(persisted bool) {
	w.wait()
	if persisted {
		require.NoError(w.t, w.Offsets.Persist())
	}
	old := w.st
	w.fs = w.fs.CrashClone(rand.New(rand.NewSource(1)))
	_ = old.Close()
	w.open()
}

// stop is an orderly stop and a start.
func (w *world) stop() {
	w.Service.Shutdown()
	require.NoError(w.t, w.st.Close())
	require.NoError(w.t, w.Offsets.Persist())
	w.open()
}

// sync puts the log on disk.
func (w *world) sync() {
	require.Eventually(w.t, func() bool {
		w.clock.Advance(time.Second)
		return w.st.FlushedOffset() == w.st.MaxPhyOffset()
	}, 5*time.Second, time.Millisecond)
	w.wait()
}

// send stores a half message as broker/send does, and gives the END_TRANSACTION
// that its producer sends.
func (w *world) send(text string, props ...string) *header.EndTransactionRequest {
	w.ids++
	id := "ID" + strconv.Itoa(w.ids)
	m := message.Message{Topic: "T", QueueID: 3, Flag: 7, SysFlag: message.SysFlagPrepared, Body: []byte(text),
		BornTimestamp: w.clock.NowMillis(), BornHost: host, StoreHost: host}
	props = append(props, "UNIQ_KEY", id, "PGROUP", "P", "TRAN_MSG", "true", "TAGS", "red")
	for i := 0; i < len(props); i += 2 {
		m.Properties = message.AppendProperty(m.Properties, props[i], props[i+1])
	}
	d := put.Again(&m)
	d.Half()
	d.Encode()
	res := w.st.Put(&d.Put)
	require.Equal(w.t, store.PutOK, res.Status)
	w.wait()
	return &header.EndTransactionRequest{
		ProducerGroup: wire.Some("P"), TranStateTableOffset: wire.Some(res.QueueOffset), CommitLogOffset: wire.Some(res.PhyOffset),
		MsgID: wire.Some(id), TransactionID: wire.Some(id), CommitOrRollback: wire.Some(message.SysFlagCommit),
	}
}

// answer is the producer's answer to a check.
func answer(a asked, kind int32) *header.EndTransactionRequest {
	return &header.EndTransactionRequest{ProducerGroup: wire.Some("P"), TranStateTableOffset: a.TranStateTableOffset, CommitLogOffset: a.CommitLogOffset,
		MsgID: a.MsgID, TransactionID: a.TransactionID, CommitOrRollback: wire.Some(kind), FromTransactionCheck: wire.Some(true)}
}

func rollback(q *header.EndTransactionRequest) *header.EndTransactionRequest {
	q.CommitOrRollback = wire.Some(message.SysFlagRollback)
	return q
}

// checks makes a round of checks after the time of an interval.
func (w *world) checks() []asked {
	w.wait()
	w.clock.Advance(30 * time.Second)
	w.round()
	w.wait()
	return w.producer.take()
}

// messages are the bodies in a queue.
func (w *world) messages(name string, queueID int32) (out []message.Message) {
	w.wait()
	entries, err := w.st.Entries(name, queueID, 0, 1000)
	require.NoError(w.t, err)
	for _, e := range entries {
		m, err := w.read(e.PhyOffset)
		require.NoError(w.t, err)
		out = append(out, *m)
	}
	return out
}

func (w *world) bodies(name string, queueID int32) string {
	var out []string
	for _, m := range w.messages(name, queueID) {
		out = append(out, string(m.Body))
	}
	return strings.Join(out, " ")
}

func (w *world) progress() (half, op int64) {
	return w.Offsets.Query(topic.TransHalf, group, 0), w.Offsets.Query(topic.TransOpHalf, group, 0)
}

// EndTransactionProcessor.endMessageTransaction: what a committed message is.
func TestEnd_CommitStoresTheRealMessage(t *testing.T) {
	w := newWorld(t, "")
	q := w.send("a")
	require.Empty(t, w.bodies("T", 3), "a half message is not seen")
	require.NoError(t, w.end(q))
	ms := w.messages("T", 3)
	require.Len(t, ms, 1)
	m := ms[0]
	require.Equal(t, "a", string(m.Body))
	require.Equal(t, int32(7), m.Flag)
	require.Equal(t, message.SysFlagCommit, message.TransactionType(m.SysFlag))
	require.Equal(t, q.CommitLogOffset.V, m.PreparedTransactionOffset)
	for name, want := range map[string]string{"TRAN_MSG": "true", "REAL_TOPIC": "T", "REAL_QID": "3", "__transactionId__": "ID1", "TAGS": "red"} {
		require.Equal(t, want, property(&m, name), name)
	}
	entries, err := w.st.Entries("T", 3, 0, 1)
	require.NoError(t, err)
	require.Equal(t, message.TagsHash("red"), entries[0].TagsCode)

	require.NoError(t, w.end(q), "again")
	require.NoError(t, w.end(rollback(q)), "too late")
	require.Equal(t, "a", w.bodies("T", 3))
	require.NoError(t, w.end(rollback(w.send("b"))))
	require.True(t, w.flushOps(true))
	ops := w.messages(topic.TransOpHalf, 0)
	require.Len(t, ops, 1)
	require.Equal(t, "0,1,", string(ops[0].Body))
	require.Equal(t, "d", property(&ops[0], "TAGS"))
	require.Empty(t, w.checks(), "nothing is open")
	require.Equal(t, "a", w.bodies("T", 3))
	half, _ := w.progress()
	if half != 2 { // the log was not on disk yet
		w.sync()
		w.checks()
	}
	half, op := w.progress()
	require.Equal(t, [2]int64{2, 1}, [2]int64{half, op})
}

func TestEnd_Refusals(t *testing.T) {
	w := newWorld(t, "")
	good := *w.send("a")
	try := func(change func(q *header.EndTransactionRequest), code protocol.ResponseCode, remark string) {
		t.Helper()
		q := good
		change(&q)
		err := w.end(&q)
		require.Equal(t, code, protocol.CodeOf(err))
		var pe *protocol.Error
		if errors.As(err, &pe) {
			require.Equal(t, remark, pe.Remark)
		}
		require.Empty(t, w.bodies("T", 3))
	}
	try(func(q *header.EndTransactionRequest) { q.ProducerGroup.V = "other" }, protocol.SystemError, "The producer group wrong")
	try(func(q *header.EndTransactionRequest) { q.TranStateTableOffset.V++ }, protocol.SystemError, "The transaction state table offset wrong")
	try(func(q *header.EndTransactionRequest) { q.CommitLogOffset.V += 5 }, protocol.SystemError, "Find prepared transaction message failed")
	try(func(q *header.EndTransactionRequest) { q.CommitOrRollback.V = 0 }, protocol.Success, "")
	try(func(q *header.EndTransactionRequest) { q.CommitOrRollback.V = 99 }, protocol.SystemError, "commitOrRollback field wrong")
	try(func(q *header.EndTransactionRequest) { q.MsgID.Set = false }, protocol.SystemError, "the custom field <msgId> is null")
	require.NoError(t, w.end(&good))
	res := w.st.Put(&store.Put{Msg: message.Message{Topic: "T", QueueID: 0, Body: []byte("x"), Properties: message.AppendProperty(nil, "PGROUP", "P"), BornHost: host, StoreHost: host}})
	q := good
	q.CommitLogOffset.V, q.TranStateTableOffset.V = res.PhyOffset, res.QueueOffset
	require.Error(t, w.end(&q), "not a half message")

	late := w.send("late", "CHECK_IMMUNITY_TIME_IN_SECONDS", "10")
	w.clock.Advance(11 * time.Second)
	require.Equal(t, protocol.IllegalOperation, protocol.CodeOf(w.end(late)))
}

// TransactionalMessageServiceImpl.check.
func TestCheck_AsksUntilTheLimit(t *testing.T) {
	w := newWorld(t, "transactionCheckMax=3\n")
	first := w.send("a")
	w.clock.Advance(5 * time.Second)
	w.round()
	require.Empty(t, w.producer.take(), "younger than transactionTimeOut")
	for n := 1; n <= 3; n++ {
		as := w.checks()
		require.Len(t, as, 1, n)
		a := as[0]
		require.Equal(t, topic.TransHalf, a.Topic.V)
		require.Equal(t, "b", a.Bname.V)
		require.Equal(t, int64(n), a.TranStateTableOffset.V)
		require.Equal(t, "ID1", a.TransactionID.V)
		require.Equal(t, "ID1", a.MsgID.V)
		require.Equal(t, message.OffsetMessageID(host, a.CommitLogOffset.V), a.OffsetMsgID.V)
		require.Equal(t, "T", a.msg.Topic)
		require.Equal(t, int32(3), a.msg.QueueID)
		require.Equal(t, int32(7), a.msg.Flag)
		require.Equal(t, "false", property(&a.msg, "WAIT"))
		require.Equal(t, strconv.Itoa(n), property(&a.msg, "TRANSACTION_CHECK_TIMES"))
	}
	// TransactionalMessageBridge.getMessage counts each half message that is read.
	got, ok := w.Stats.Lookup(stats.GroupGetNums, stats.TopicGroupKey(topic.TransHalf, group))
	require.True(t, ok)
	require.GreaterOrEqual(t, got.Value(), int64(3))
	all, ok := w.Stats.Lookup(stats.BrokerGetNums, "c")
	require.True(t, ok)
	require.Equal(t, got.Value(), all.Value())
	size, _ := w.Stats.Lookup(stats.GroupGetSize, stats.TopicGroupKey(topic.TransHalf, group))
	require.Greater(t, size.Value(), 90*got.Value())
	require.Empty(t, w.checks())
	require.Equal(t, "a", w.bodies(topic.TransCheckMaxTime, 0))
	require.Empty(t, w.checks())

	ms := w.messages(topic.TransCheckMaxTime, 0)
	_, err := w.Resume(nil, &header.ResumeCheckHalfMessageRequest{MsgID: wire.Some(message.OffsetMessageID(host, ms[0].PhyOffset))})
	require.NoError(t, err)
	as := w.checks()
	require.Len(t, as, 1, "resumed")
	require.Equal(t, "1", property(&as[0].msg, "TRANSACTION_CHECK_TIMES"))
	require.NoError(t, w.end(first), "an answer for the first half message counts")
	require.NoError(t, w.end(answer(as[0], message.SysFlagCommit)))
	require.Empty(t, w.checks())
	require.Equal(t, "a", w.bodies("T", 3))
	_, err = w.Resume(nil, &header.ResumeCheckHalfMessageRequest{MsgID: wire.Some("zz")})
	require.Error(t, err)
}

func TestCheck_LateAnswerForAnOldCopy(t *testing.T) {
	w := newWorld(t, "")
	q := w.send("a")
	one := w.checks()
	require.NoError(t, w.end(q)) // was under way while the check asked
	require.NoError(t, w.end(answer(one[0], message.SysFlagCommit)))
	require.Empty(t, w.checks(), "Java asks again here")
	require.Equal(t, "a", w.bodies("T", 3), "Java stores it twice")
}

func TestCheck_OwnImmunityTime(t *testing.T) {
	w := newWorld(t, "transactionCheckMax=2\n")
	q := w.send("slow", "CHECK_IMMUNITY_TIME_IN_SECONDS", "200")
	w.send("fast")
	as := w.checks()
	require.Len(t, as, 1, "one that waits does not hold up others")
	require.Equal(t, "fast", string(as[0].msg.Body))
	require.NoError(t, w.end(answer(as[0], message.SysFlagRollback)))
	for range 4 {
		require.Empty(t, w.checks())
	}
	half := w.messages(topic.TransHalf, 0)
	require.Equal(t, "0", property(&half[len(half)-1], "TRAN_PREPARED_QUEUE_OFFSET"))
	require.True(t, w.flushOps(true)) // else the rolled back one may be asked about again
	w.sync()
	w.kill(true)
	require.Empty(t, w.checks())
	require.NoError(t, w.end(q), "the producer knows the first half message only")
	for range 3 {
		require.Empty(t, w.checks())
	}
	require.Equal(t, "slow", w.bodies("T", 3))
	require.Empty(t, w.bodies(topic.TransCheckMaxTime, 0))
}

func TestCheck_NothingThereLeavesNoOffset(t *testing.T) {
	w := newWorld(t, "")
	for range 3 {
		require.Empty(t, w.checks())
	}
	half, op := w.progress()
	require.Equal(t, []int64{-1, -1}, []int64{half, op})
}

func TestCheck_TooOld(t *testing.T) {
	w := newWorld(t, "fileReservedTime=1\n")
	w.producer.dead = true
	w.send("a")
	require.Empty(t, w.checks(), "nobody to ask")
	w.clock.Advance(61 * time.Minute)
	require.Empty(t, w.checks())
	require.Equal(t, "a", w.bodies(topic.TransCheckMaxTime, 0))
}

// One client's half message that cannot be put again stops nobody's checks.
func TestCheck_OneThatCannotBePutAgain(t *testing.T) {
	w := newWorld(t, "")
	const limit = 32767
	w.send("full", "FILL", strings.Repeat("x", limit-200)) // no room for the number of checks
	w.send("behind")
	full := w.messages(topic.TransHalf, 0)[0]
	w.send("fuller", "FILL", strings.Repeat("x", limit-200+limit-len(full.Properties)))
	w.send("last")
	var seen []string
	for range 3 {
		for _, a := range w.checks() {
			seen = append(seen, string(a.msg.Body))
		}
	}
	require.Contains(t, seen, "behind")
	require.Contains(t, seen, "last")
	require.Equal(t, "fuller", w.bodies(topic.TransCheckMaxTime, 0), "asked about once, then set aside")
	n := 0
	for _, s := range seen {
		if s == "fuller" {
			n++
		}
	}
	require.Equal(t, 1, n)
}

func TestCheck_SettingsAreHot(t *testing.T) {
	w := newWorld(t, "")
	w.send("a")
	require.NoError(t, w.cfg.Update(map[string]string{"transactionTimeOut": "100000"}))
	require.Empty(t, w.checks())
	require.NoError(t, w.cfg.Update(map[string]string{"transactionTimeOut": "1"}))
	require.Len(t, w.checks(), 1)
	require.NoError(t, w.cfg.Update(map[string]string{"transactionCheckMax": "1"}))
	require.Empty(t, w.checks())
	require.Equal(t, "a", w.bodies(topic.TransCheckMaxTime, 0))
}

// A process that dies in any state: half stored; asked; committed without and
// with removal entry; rolled back without and with it. With offsets as of then,
// and with none written.
func TestKill_InEveryState(t *testing.T) {
	for _, persisted := range []bool{true, false} {
		for _, ops := range []bool{true, false} {
			name := "offsets " + strconv.FormatBool(persisted) + ", removal entries " + strconv.FormatBool(ops)
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, "")
				w.send("open")
				for n := range 3 {
					as := w.checks()
					require.Len(t, as, 1, n)
				}
				require.NoError(t, w.end(w.send("committed")))
				require.NoError(t, w.end(rollback(w.send("rolledback"))))
				if ops {
					require.True(t, w.flushOps(true))
				}
				w.sync()
				w.kill(persisted)
				require.Empty(t, w.producer.take(), "nobody is asked at the start")
				as := w.checks()
				got := map[string]int{}
				for _, a := range as {
					got[string(a.msg.Body)]++
					switch string(a.msg.Body) {
					case "rolledback":
						require.NoError(t, w.end(answer(a, message.SysFlagRollback)))
					default:
						require.NoError(t, w.end(answer(a, message.SysFlagCommit)))
					}
				}
				want := map[string]int{"open": 1}
				if !ops {
					want = map[string]int{"open": 1, "rolledback": 1}
				}
				require.Equal(t, want, got, "each open one is asked for once, not once a copy")
				require.Empty(t, w.checks())
				all := strings.Fields(w.bodies("T", 3))
				require.Equal(t, []string{"committed", "open"}, all, "once, with and without its removal entry")
				w.stop()
				require.Empty(t, w.checks())
				require.Len(t, strings.Fields(w.bodies("T", 3)), len(all))
			})
		}
	}
}

// The commit names the copy that its producer was asked about first; the one that
// is checked next stands further on.
func TestKill_CommitOfAnOldCopy(t *testing.T) {
	for _, persisted := range []bool{true, false} {
		w := newWorld(t, "")
		w.send("m")
		first := w.checks()
		require.Len(t, first, 1)
		require.Len(t, w.checks(), 1)
		require.NoError(t, w.end(answer(first[0], message.SysFlagCommit)))
		w.sync()
		for range 3 { // the second and third find the entry that the first wrote
			w.kill(persisted)
			require.Empty(t, w.checks())
			require.Equal(t, "m", strings.TrimSpace(w.bodies("T", 3)))
			w.sync()
		}
	}
}

func TestRecovered_KeepsTheNewest(t *testing.T) {
	var r Recovered
	for i := range int64(3 * recoveredLimit) {
		r.Note(&message.Message{SysFlag: message.SysFlagCommit, PreparedTransactionOffset: i})
		r.Note(&message.Message{SysFlag: message.SysFlagRollback, PreparedTransactionOffset: -1})
		r.Note(&message.Message{PreparedTransactionOffset: -1})
	}
	require.Len(t, r.commits, recoveredLimit)
	for _, c := range r.commits {
		require.GreaterOrEqual(t, c.half, int64(2*recoveredLimit))
	}
}

// A retry of a committed message keeps its flag and names place 0 of the log,
// where the half message of another transaction may stand.
func TestKill_PlaceZeroIsNoHalfMessage(t *testing.T) {
	w := newWorld(t, "")
	w.send("open") // the first record of the log
	res := w.st.Put(&store.Put{Msg: message.Message{Topic: "%RETRY%g", SysFlag: message.SysFlagCommit, Body: []byte("retry"),
		Properties: message.AppendProperty(nil, "UNIQ_KEY", "other"), BornHost: host, StoreHost: host}})
	require.Equal(t, store.PutOK, res.Status)
	w.sync()
	w.kill(true)
	require.Len(t, w.checks(), 1)
}

func TestShutdown_WritesWhatWaits(t *testing.T) {
	w := newWorld(t, "")
	w.Start()
	require.NoError(t, w.end(w.send("a")))
	w.stop()
	require.Empty(t, w.checks())
	require.Equal(t, "0,", w.bodies(topic.TransOpHalf, 0))
}

func TestOps_Batches(t *testing.T) {
	w := newWorld(t, "transactionOpMsgMaxSize=5\n")
	w.Start()
	defer w.Service.Shutdown()
	for range 3 {
		require.NoError(t, w.end(w.send("a")))
	}
	require.Eventually(t, func() bool { return w.bodies(topic.TransOpHalf, 0) == "0,1,2," }, 5*time.Second, time.Millisecond)
	require.NoError(t, w.end(w.send("a")))
	w.clock.Advance(3 * time.Second)
	require.Eventually(t, func() bool { return w.bodies(topic.TransOpHalf, 0) == "0,1,2, 3," }, 5*time.Second, time.Millisecond)
}

func TestEnd_DelayCountsFromTheCommit(t *testing.T) {
	w := newWorld(t, "")
	require.NoError(t, w.end(w.send("a", "DELAY", "2")))
	require.Empty(t, w.bodies("T", 3))
	ms := w.messages(topic.Schedule, 1)
	require.Len(t, ms, 1)
	require.Equal(t, "T", property(&ms[0], "REAL_TOPIC"))
	require.Equal(t, "3", property(&ms[0], "REAL_QID"))
}

func TestEnd_ConcurrentlyOnce(t *testing.T) {
	w := newWorld(t, "")
	q := w.send("a")
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() { require.NoError(t, w.end(q)) })
	}
	wg.Wait()
	require.Equal(t, "a", w.bodies("T", 3))
}

func TestCheck_TwoTransactionsWithOneKey(t *testing.T) {
	w := newWorld(t, "")
	w.send("a")
	w.clock.Advance(time.Second)
	w.ids-- // an application that makes its own UNIQ_KEY
	w.send("b")
	w.checks()
	as := w.checks()
	require.Len(t, as, 2)
	w.kill(false)
	as = w.checks()
	require.Len(t, as, 2)
	for _, a := range as {
		require.NoError(t, w.end(answer(a, message.SysFlagCommit)))
	}
	require.ElementsMatch(t, []string{"a", "b"}, strings.Fields(w.bodies("T", 3)))
}
