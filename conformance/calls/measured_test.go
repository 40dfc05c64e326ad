package calls

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/suite"
	"github.com/merlinmq/merlin/protocol/message"
)

// Values that exporters take apart are told by form and bounds: a value of another
// form, or one that cannot be true, is not noted like a good one.
func TestRuntime_Forms(t *testing.T) {
	now := fmt.Sprint(time.Now().UnixMilli())
	all := map[string]any{"commitLogMinOffset": "100", "msgPutTotalTodayMorning": "7"}
	for _, test := range []struct{ key, good, bad string }{
		{"putTps", "1.5 2.0 3.25", "1.5,2.0,3.25"},
		{"putTps", "0.0 0.0 0.0", "0.0 0.0"},
		{"getTotalTps", "  ", "NaN NaN NaN"},
		{"commitLogDiskRatio", "0.52", "52.0"},
		{"consumeQueueDiskRatio", "-1.0", "52%"},
		{"runtime", "[ 0 days, 1 hours, 2 minutes, 3 seconds ]", "3723 s"},
		{"commitLogDirCapacity", "Total : 49.9 GiB, Free : 512.0 MiB.", "Total : 49.9 GB, Free : 0.5 GB."},
		{"remainHowManyDataToFlush", "0 B", "0"},
		{"bootTimestamp", now, now[:10]},
		{"bootTimestamp", now, "9" + now[1:]},
		{"commitLogMaxOffset", "100", "99"},
		{"msgPutTotalTodayNow", "7", "6"},
		{"earliestMessageTimeStamp", "-1", "0"},
		{"putMessageTimesTotal", "1", "0"},
		{"putLatency99", "0.25", "0,25"},
		{"putMessageDistributeTime", "[<=0ms]:3 [0~10ms]:1 ", "3"},
		{"sendThreadPoolQueueSize", "0", "-1"},
		{"sendThreadPoolQueueSize", "0", "0.0"},
		{"putMessageAverageSize", "120.5", "-120.5"},
	} {
		f, ok := formats[test.key]
		if !ok {
			f = count
		}
		require.Equal(t, f.name, f.note(test.good, all), test.key)
		require.NotEqual(t, f.name, f.note(test.bad, all), "%s: %q", test.key, test.bad)
		require.Contains(t, f.note(test.bad, all), test.bad, "what was seen is shown")
	}
	exactly := formats["brokerVersion"]
	require.Equal(t, "479", exactly.note("479", nil), "versions are compared as they are")
}

// The whole answer: names and forms, and a wrong one among them.
func TestRuntime_Notes(t *testing.T) {
	s := newScene(testFixture(), 0)
	got := runtime(s, []byte(`{"table":{"putTps":"1.0 2.0 3.0","sendThreadPoolQueueSize":"x","brokerVersion":"479","scheduleMessageOffset_1":"1,2","scheduleMessageOffset_2":"1"}}`))
	require.Equal(t, []field{{"body", "JSON"}, {"body.table.brokerVersion", `"479"`}, {"body.table.putTps", `"three rates"`},
		{"body.table.scheduleMessageOffset_2", `"\"1\", which is not two offsets"`}, {"body.table.sendThreadPoolQueueSize", `"\"x\", which is not a number"`}}, got)
}

// Statistics are numbers that are not negative.
func TestShape_Forms(t *testing.T) {
	s := newScene(testFixture(), 0)
	require.Equal(t, []field{{"body", "JSON"}, {"body.avgpt", `"a number"`}, {"body.sum", `"a negative number"`}, {"body.tps", `"a text"`}},
		shape(s, []byte(`{"avgpt":1.5,"sum":-3,"tps":"1"}`)))
}

func testFixture() *fixture {
	return &fixture{broker: "10.0.0.1:10911", prefix: "wire-00", c: &suite.Cluster{}, names: map[string]string{}, cluster: masksOf("a", "c"),
		settings: map[string]string{"MSG_REGION": "eu"}, seen: netip.MustParseAddrPort("192.0.2.7:1").Addr()}
}

// A stored message is told by its checksum, its times and its addresses, too.
func TestRecords_Origin(t *testing.T) {
	good := message.Message{Topic: "t", Body: []byte("hello"), BornTimestamp: bornAt, BornHost: netip.MustParseAddrPort("192.0.2.7:4711"),
		StoreTimestamp: bornAt + 5, StoreHost: netip.MustParseAddrPort("10.0.0.1:10911"), Properties: []byte("MSG_REGION\x01eu\x02")}
	note := func(change func(*message.Message), damage func([]byte)) string {
		m := good
		change(&m)
		b, err := message.Append(nil, &m)
		require.NoError(t, err)
		damage(b)
		for _, f := range records(newScene(testFixture(), 0), b) {
			if f.name == "body[0].origin" {
				return f.value
			}
		}
		return ""
	}
	same, whole := func(*message.Message) {}, func([]byte) {}
	require.Equal(t, "crc fits, born as sent, by this client, stored TIME, at $broker", note(same, whole))
	for what, got := range map[string]string{
		"crc does not fit": note(same, func(b []byte) { b[8] ^= 1 }), // the third field of a record
		"born TIME":        note(func(m *message.Message) { m.BornTimestamp++ }, whole),
		"by ADDR":          note(func(m *message.Message) { m.BornHost = netip.MustParseAddrPort("192.0.2.8:4711") }, whole),
		"stored 0":         note(func(m *message.Message) { m.StoreTimestamp = 0 }, whole),
		"at ADDR":          note(func(m *message.Message) { m.StoreHost = netip.MustParseAddrPort("10.0.0.1:10912") }, whole),
	} {
		require.Contains(t, got, what)
	}
	b, err := message.Append(nil, &good)
	require.NoError(t, err)
	var region []string
	for _, f := range records(newScene(testFixture(), 0), b) {
		if strings.HasSuffix(f.name, "MSG_REGION") {
			region = append(region, f.value)
		}
	}
	require.Equal(t, []string{"$MSG_REGION"}, region, "as the broker is set")
}
