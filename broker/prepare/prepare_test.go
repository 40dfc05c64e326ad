package prepare

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/protocol/message"
)

func text(pairs ...string) string {
	var b []byte
	for i := 0; i < len(pairs); i += 2 {
		b = message.AppendProperty(b, pairs[i], pairs[i+1])
	}
	return string(b)
}

func get(t *testing.T, props []byte, name string) string {
	t.Helper()
	v, ok := message.Get(props, name)
	require.True(t, ok, name)
	return v
}

func TestScan(t *testing.T) {
	s := Scan(text("TAGS", "a", "UNIQ_KEY", "u", "KEYS", "k1 k2", "DELAY", "3", "TRAN_MSG", "true", "TIMER_DELAY_SEC", "5", "x", "y"))
	require.Equal(t, "a", s.Tags)
	require.Equal(t, "u", s.UniqKey)
	require.Equal(t, "k1 k2", s.Keys)
	require.Equal(t, "3", s.Delay)
	require.Equal(t, "true", s.Transaction)
	require.True(t, s.Timer)
	require.Equal(t, Seen{}, Scan(""))
	require.Equal(t, "b", Scan("TAGS\x01b").Tags, "the last separator may be missing")
	require.Equal(t, Seen{}, Scan("no separators at all"))
}

func TestAdded_ReplacesTheBrokersProperties(t *testing.T) {
	a := Added{Region: "R", TraceOn: true, Cluster: "C"}
	in := text("x", "y", "POP_CK", "handle", "MSG_REGION", "theirs")
	seen := Scan(in)
	out := a.Append(nil, in, &seen, "fresh")
	require.Equal(t, "y", get(t, out, "x"))
	require.Equal(t, "R", get(t, out, "MSG_REGION"))
	require.Equal(t, "true", get(t, out, "TRACE_ON"))
	require.Equal(t, "C", get(t, out, "CLUSTER"))
	require.Equal(t, "fresh", get(t, out, "UNIQ_KEY"))
	_, ok := message.Get(out, "POP_CK")
	require.False(t, ok, "a POP handle of the client is removed")

	open := "x\x01y" // as some clients send it
	seen = Scan(open)
	require.Equal(t, "y", get(t, a.Append(nil, open, &seen, ""), "x"))
}

// HookUtils.transformDelayLevelMessage.
func TestSchedule(t *testing.T) {
	ls := Levels{time.Second, 5 * time.Second}
	m := message.Message{Topic: "T", QueueID: 3, Properties: []byte(text("DELAY", "9", "TIMER_DELIVER_MS", "1"))}
	ls.Schedule(&m, 9)
	require.Equal(t, topic.Schedule, m.Topic)
	require.EqualValues(t, 1, m.QueueID, "a level beyond the table is the last one")
	require.Equal(t, "T", get(t, m.Properties, "REAL_TOPIC"))
	require.Equal(t, "3", get(t, m.Properties, "REAL_QID"))
	_, ok := message.Get(m.Properties, "TIMER_DELIVER_MS")
	require.False(t, ok, "the level wins")
}

func TestIDs(t *testing.T) {
	at := time.Date(2026, 5, 1, 0, 0, 1, 0, time.UTC)
	g := NewIDs(netip.MustParseAddr("127.0.0.1"), 0x1234, 0xdeadbeef, func() time.Time { return at })
	require.Equal(t, "7F0000011234DEADBEEF000003E80001", g.Next())
	require.Equal(t, "7F0000011234DEADBEEF000003E80002", g.Next())
	require.Len(t, NewIDs(netip.MustParseAddr("::1"), 1, 1, func() time.Time { return at }).Next(), 56)
}

func BenchmarkPrepare(b *testing.B) {
	a := Added{Region: "DefaultRegion", TraceOn: true, Cluster: "DefaultCluster"}
	in := text("UNIQ_KEY", "7F0000011234DEADBEEF000003E80001", "WAIT", "true", "TAGS", "TagA", "KEYS", "order-1")
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		seen := Scan(in)
		dst = a.Append(dst[:0], in, &seen, "")
	}
}
