package put

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store"
)

func text(pairs ...string) string {
	var b []byte
	for i := 0; i < len(pairs); i += 2 {
		b = message.AppendProperty(b, pairs[i], pairs[i+1])
	}
	return string(b)
}

func get(t *testing.T, d *Draft, name string) string {
	t.Helper()
	d.Encode()
	v, ok := message.Get(d.Msg.Properties, name)
	require.True(t, ok, name)
	return v
}

// draft is one that a client has sent.
func draft(pairs ...string) *Draft {
	d := &Draft{Put: store.Put{Msg: message.Message{Topic: "T", QueueID: 3}}}
	d.Read(text(pairs...))
	return d
}

func TestRead(t *testing.T) {
	d := draft("TAGS", "a", "UNIQ_KEY", "u", "DELAY", "3", "TRAN_MSG", "true", "TIMER_DELAY_SEC", "5", "x", "y")
	require.Equal(t, Asks{Tags: "a", UniqKey: "u", Delay: "3", Transaction: "true", Timer: true}, d.Asks)
	d.Read("")
	require.Equal(t, Asks{}, d.Asks)
	d.Read("TAGS\x01b")
	require.Equal(t, "b", d.Asks.Tags, "the last separator may be missing")
	d.Read("no separators at all")
	require.Equal(t, Asks{}, d.Asks)
}

func TestAdded_ReplacesTheBrokersProperties(t *testing.T) {
	a := Added{Region: "R", TraceOn: true, Cluster: "C"}
	d := draft("x", "y", "POP_CK", "handle", "MSG_REGION", "theirs")
	a.To(d, "fresh")
	require.Equal(t, "y", get(t, d, "x"))
	require.Equal(t, "R", get(t, d, "MSG_REGION"))
	require.Equal(t, "true", get(t, d, "TRACE_ON"))
	require.Equal(t, "C", get(t, d, "CLUSTER"))
	require.Equal(t, "fresh", get(t, d, "UNIQ_KEY"))
	_, ok := message.Get(d.Msg.Properties, "POP_CK")
	require.False(t, ok, "a POP handle of the client is removed")
	d.Read("x\x01y") // as some clients send it
	a.To(d, "")
	require.Equal(t, "y", get(t, d, "x"))
}

// HookUtils.transformDelayLevelMessage.
func TestSchedule(t *testing.T) {
	ls := Levels{time.Second, 5 * time.Second}
	d := draft("DELAY", "9", "TIMER_DELIVER_MS", "1")
	ls.Schedule(d, 9)
	require.Equal(t, topic.Schedule, d.Msg.Topic)
	require.EqualValues(t, 1, d.Msg.QueueID, "a level beyond the table is the last one")
	require.Equal(t, "T", get(t, d, "REAL_TOPIC"))
	require.Equal(t, "3", get(t, d, "REAL_QID"))
	_, ok := message.Get(d.Msg.Properties, "TIMER_DELIVER_MS")
	require.False(t, ok, "the level wins")
	require.True(t, d.Real())
	require.Equal(t, "T", d.Msg.Topic)
	require.EqualValues(t, 3, d.Msg.QueueID)
	require.False(t, draft("REAL_TOPIC", "T", "REAL_QID", "x").Real())
}

func TestAgain_LeavesOutWhatTheRecordHad(t *testing.T) {
	m := message.Message{Topic: "T", TagsCode: 77, Properties: []byte(text("TAGS", "a", "__CRC32#", "0000000001", "TIMER_DELAY_SEC", "5"))}
	d := Again(&m)
	d.Encode()
	require.Equal(t, text("TAGS", "a", "TIMER_DELAY_SEC", "5"), string(d.Msg.Properties))
	require.Equal(t, message.TagsHash("a"), d.Msg.TagsCode)
	require.False(t, d.Asks.Timer, "what it asked for when it came is not asked for again")
}

func TestIDs(t *testing.T) {
	at := time.Date(2026, 5, 1, 0, 0, 1, 0, time.UTC)
	g := NewIDs(netip.MustParseAddr("127.0.0.1"), 0x1234, 0xdeadbeef, func() time.Time { return at })
	require.Equal(t, "7F0000011234DEADBEEF000003E80001", g.Next())
	require.Equal(t, "7F0000011234DEADBEEF000003E80002", g.Next())
	require.Len(t, NewIDs(netip.MustParseAddr("::1"), 1, 1, func() time.Time { return at }).Next(), 56)
}

// taking is a store that takes what it is told.
type taking struct {
	status store.PutStatus
	puts   [][]*store.Put
}

func (s *taking) PutBatch(ps []*store.Put) {
	s.puts = append(s.puts, append([]*store.Put(nil), ps...))
	for _, p := range ps {
		p.Result = store.PutResult{Status: s.status, Messages: 1, Bytes: 100}
		p.Done(p)
	}
}

func TestPipeline_HooksStoreStatisticsThen(t *testing.T) {
	st := &taking{}
	m := stats.New(stats.Options{Cluster: "C", System: func(string) bool { return false }})
	clk := clock.NewManual(time.UnixMilli(1000))
	p := New(Options{Store: st, Stats: m, Clock: clk, Levels: Levels{time.Second}, Hooks: []Hook{func(d *Draft) store.PutStatus {
		if d.Msg.Topic == "refused" {
			return store.LMQConsumeQueueNumExceeded
		}
		d.Props.Set("seen", d.Msg.Topic)
		return store.PutOK
	}}})
	var order []string
	var drafts []*Draft
	add := func(b *Batch, name string, delay int, pairs ...string) {
		d := draft(pairs...)
		d.Msg.Topic, d.Delay, d.Counts = name, delay, AsSend(3, 990)
		d.Then = func(d *Draft) { order = append(order, name+" "+d.Result.Status.String()) }
		drafts = append(drafts, d)
		b.Add(d)
	}
	b := p.Batch()
	add(b, "a", 0)
	add(b, "refused", 0)
	add(b, "timer", 0, "TIMER_DELAY_SEC", "3")
	add(b, "inner", 0, "INNER_NUM", "3")
	add(b, "late", 4)
	require.Len(t, order, 3, "who is refused knows at once")
	b.Put()
	require.Equal(t, []string{"refused LMQ_CONSUME_QUEUE_NUM_EXCEEDED", "timer WHEEL_TIMER_NOT_ENABLE", "inner MESSAGE_ILLEGAL",
		"a PUT_OK", "late PUT_OK"}, order)
	require.Len(t, st.puts, 1, "neighbours together")
	require.Equal(t, topic.Schedule, st.puts[0][1].Msg.Topic)
	require.Equal(t, text("seen", "a"), string(st.puts[0][0].Msg.Properties))
	v, _ := m.Lookup(stats.TopicPutNums, "a")
	require.EqualValues(t, 1, v.Value())
	v, _ = m.Lookup(stats.TopicPutNums, topic.Schedule)
	require.EqualValues(t, 1, v.Value(), "as Java counts it")
	require.EqualValues(t, 1000, drafts[0].At)

	st.status = store.ServiceNotAvailable
	d := draft()
	d.Counts = AsPut("a")
	require.Equal(t, store.ServiceNotAvailable, p.Put(d).Status)
	v, _ = m.Lookup(stats.TopicPutNums, "a")
	require.EqualValues(t, 1, v.Value(), "what is not stored is not counted")
	d.Reset()
	require.Empty(t, d.Msg.Topic)
}

// Every status of the store has its verdicts, and one that is new has that of unknown
// errors.
func TestVerdicts(t *testing.T) {
	cfg := config.Default()
	writable := func() error { return store.ErrDiskFull }
	for s := store.PutOK; s <= store.WheelTimerNotEnable+1; s++ {
		v, end := SendVerdict(cfg, s, writable), EndVerdict(cfg, s)
		require.Equal(t, Stored(s), v.Remark == "", "%s: refused means that there is a reason", s)
		if !Stored(s) {
			require.NotEqual(t, protocol.Success, v.Code)
			require.NotEqual(t, protocol.Success, end.Code)
			require.NotEmpty(t, end.Remark)
		}
		if ForGood(s) {
			require.Equal(t, protocol.MessageIllegal, v.Code)
		}
	}
	require.Equal(t, "UNKNOWN_ERROR", SendVerdict(cfg, store.LMQConsumeQueueNumExceeded, writable).Remark)
	require.Contains(t, SendVerdict(cfg, store.ServiceNotAvailable, writable).Remark, "too full")
	require.Equal(t, "The message is illegal, maybe msg body or properties length not matched. "+
		"msg body length limit 4194304B, msg properties length limit 32KB.", EndVerdict(cfg, store.MessageIllegal).Remark)
}

func BenchmarkDraft(b *testing.B) {
	a := Added{Region: "DefaultRegion", TraceOn: true, Cluster: "DefaultCluster"}
	in := text("UNIQ_KEY", "7F0000011234DEADBEEF000003E80001", "WAIT", "true", "TAGS", "TagA", "KEYS", "order-1")
	var d Draft
	b.ReportAllocs()
	for b.Loop() {
		d.Read(in)
		a.To(&d, "")
		d.Encode()
	}
}
