package header

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol/wire"
)

// sendV2 is a SEND_MESSAGE_V2 frame as a Java producer writes it.
func sendV2() []byte {
	h := &SendMessageRequestV2{
		ProducerGroup: wire.Some("group"), Topic: wire.Some("TopicTest"), DefaultTopic: wire.Some("TBW102"),
		DefaultTopicQueueNums: wire.Some(int32(4)), QueueID: wire.Some(int32(1)), SysFlag: wire.Some(int32(0)),
		BornTimestamp: wire.Some(int64(1700000000000)), Flag: wire.Some(int32(0)),
		Properties:     wire.Some("UNIQ_KEY\x017F0000010BF3251A69D73B3C3A5E0000\x02WAIT\x01true\x02TAGS\x01TagA\x02"),
		ReconsumeTimes: wire.Some(int32(0)), UnitMode: wire.Some(false), Batch: wire.Some(false), BrokerName: wire.Some("broker-a"),
	}
	return append(wire.AppendHead(nil, &wire.Outgoing{Code: 310, Header: h}, 4), "body"...)
}

func TestSendV2_NoAllocations(t *testing.T) {
	frame := sendV2()[4:]
	var c wire.Command
	var h SendMessageRequestV2
	dst := make([]byte, 0, 2048)
	o := &wire.Outgoing{Code: 310, Header: &h}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if wire.Decode(frame, &c) != nil || h.DecodeFields(&c) != nil {
			t.Fatal("frame does not read")
		}
		wire.AppendHead(dst, o, 4)
	}))
	require.Equal(t, "TopicTest", h.Topic.V)
	require.True(t, strings.HasSuffix(h.Properties.V, "TagA\x02"))
}

// Java keeps a field's default when its text is no number, but the four classes
// with a hand-written codec fail the request.
func TestDecode_BadNumbersAsJava(t *testing.T) {
	c := &wire.Command{Ext: []wire.Field{{Key: "queueId", Value: "x"}, {Key: "topic", Value: "t"}}}
	var lenient GetMaxOffsetRequest
	require.NoError(t, lenient.DecodeFields(c))
	require.False(t, lenient.QueueID.Set)
	require.Equal(t, wire.Some("t"), lenient.Topic)
	var strict PullMessageRequest
	var number *wire.NumberError
	require.ErrorAs(t, strict.DecodeFields(c), &number)
	require.Equal(t, "x", number.Text)
}

func TestDecode_DefaultsComeBack(t *testing.T) {
	h := GetMaxOffsetRequest{Topic: wire.Some("old")}
	require.NoError(t, h.DecodeFields(&wire.Command{}))
	require.Equal(t, GetMaxOffsetRequest{Committed: true}, h)
	var r ResetOffsetRequest
	require.NoError(t, r.DecodeFields(&wire.Command{Ext: []wire.Field{{Key: "timestamp", Value: "5"}, {Key: "bname", Value: "b"}}}))
	require.Equal(t, ResetOffsetRequest{QueueID: -1, Timestamp: 5, TopicRpc: TopicRpc{Rpc: Rpc{Bname: wire.Some("b")}}}, r)
}

func TestDecode_BoundaryType(t *testing.T) {
	for text, want := range map[string]BoundaryType{"upper": Upper, "UPPER": Upper, "lower": Lower, "other": Lower} {
		var h SearchOffsetRequest
		require.NoError(t, h.DecodeFields(&wire.Command{Ext: []wire.Field{{Key: "boundaryType", Value: text}}}))
		require.Equal(t, wire.Some(want), h.BoundaryType, text)
	}
}

func BenchmarkSendV2_Decode(b *testing.B) {
	var c wire.Command
	var h SendMessageRequestV2
	require.NoError(b, wire.Decode(sendV2()[4:], &c))
	b.ReportAllocs()
	for b.Loop() {
		if err := h.DecodeFields(&c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSendResponse_Encode(b *testing.B) {
	o := &wire.Outgoing{Flag: wire.FlagResponse, Header: &SendMessageResponse{
		MsgID: wire.Some("0A01020300002A9F0000000000000400"), QueueID: wire.Some(int32(1)), QueueOffset: wire.Some(int64(123456))}}
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		wire.AppendHead(dst, o, 0)
	}
}

// FuzzFields: no header class panics on any fields, and what it writes of them
// reads the same.
func FuzzFields(f *testing.F) {
	f.Add("SendMessageRequestHeaderV2", "a", "1", "d", "-5", false)
	f.Add("SearchOffsetRequestHeader", "boundaryType", "upper", "timestamp", "9223372036854775808", true)
	f.Fuzz(func(t *testing.T, class, k1, v1, k2, v2 string, binary bool) {
		h := New(class)
		if h == nil {
			return
		}
		c := &wire.Command{Ext: []wire.Field{{Key: k1, Value: v1}, {Key: k2, Value: v2}}}
		if h.DecodeFields(c) != nil {
			return
		}
		o := &wire.Outgoing{Header: h}
		if binary {
			o.Encoding = wire.Binary
		}
		first := wire.AppendHead(nil, o, 0)
		if err := wire.Decode(first[4:], c); err != nil {
			t.Fatal(err)
		}
		h2 := New(class)
		if err := h2.DecodeFields(c); err != nil {
			t.Fatal(err)
		}
		o.Header = h2
		if second := wire.AppendHead(nil, o, 0); !binary && string(second) != string(first) {
			t.Fatalf("%q became %q", first, second)
		}
	})
}

// Keys are written as they are.
func TestKeys_NeedNoEscapes(t *testing.T) {
	plain := regexp.MustCompile(`^[A-Za-z0-9_]+$`)
	files, err := filepath.Glob("zz_*.go")
	require.NoError(t, err)
	n := 0
	for _, file := range files {
		src, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?:w\.[A-Za-z0-9]+\(|write[A-Za-z]+\(w, )"([^\n]*?)",`).FindAllSubmatch(src, -1) {
			require.Regexp(t, plain, string(m[1]), file)
			n++
		}
	}
	require.Greater(t, n, 500)
}
