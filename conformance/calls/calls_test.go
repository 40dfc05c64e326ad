package calls

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/suite"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/wire"
)

func TestReadJSON_FastjsonKeys(t *testing.T) {
	v, standard, err := readJSON([]byte(`{"a":{0:"x",{"queueId":1,"brokerName":"b"}:[1,null,true]},"c":"q\"\u00fc"}`))
	require.NoError(t, err)
	require.False(t, standard)
	require.Equal(t, `{a:{0:"x",{brokerName:"b",queueId:1}:[1,null,true]},c:"q\"ü"}`, canonical(v))
	_, standard, err = readJSON([]byte(` {"a": [ ] } `))
	require.NoError(t, err)
	require.True(t, standard)
	for _, bad := range []string{"", "{", `{"a"}`, `[1`, `"x`, "{}x", "abc"} {
		_, _, err = readJSON([]byte(bad))
		require.ErrorIs(t, err, errJSON, bad)
	}
}

// plain are the differences without what is said of them.
func plain(all []Difference) []Difference {
	for i := range all {
		all[i].Known, all[i].Means = "", ""
	}
	return all
}

func TestCompare(t *testing.T) {
	a := []Result{{Name: "one", Status: suite.Passed, Seen: []string{"code = 0", "remark = x"}}, {Name: "gone", Seen: []string{"code = 1"}}, {Name: "skipped", Status: suite.Skipped}}
	b := []Result{{Name: "one", Status: suite.Failed, Seen: []string{"code = 1", "body = y"}}, {Name: "skipped", Seen: []string{"code = 3"}}}
	for _, d := range Compare(a, b) {
		require.NotEmpty(t, d.Means, d.Field)
		require.Empty(t, d.Known, d.Field)
	}
	require.Equal(t, []Difference{{Case: "one", Field: "code", Expected: "0", Seen: "1"}, {Case: "one", Field: "remark", Expected: "x", Seen: absent},
		{Case: "one", Field: "body", Expected: absent, Seen: "y"}}, plain(Compare(a, b)))
}

// A difference is on purpose only where the server that answers otherwise says
// that it is Merlin: the same answer of a Java broker is a difference like any
// other.
func TestCompare_KnownOnlyOfMerlin(t *testing.T) {
	k := Known()[0]
	java := []Result{{Name: k.Case, Seen: []string{k.Field + " = " + k.Expected}}}
	answer := func(by, value string) []Result {
		return []Result{{Name: k.Case, By: by, Seen: []string{k.Field + " = " + value}}}
	}
	require.Equal(t, k.Known, Compare(java, answer("Merlin", k.Seen))[0].Known)
	require.Equal(t, k.Means, Compare(java, answer("Merlin", k.Seen))[0].Means)
	require.Empty(t, Compare(java, answer("", k.Seen))[0].Known, "a Java broker is judged normally")
	require.Empty(t, Compare(java, answer("Merlin", "something else"))[0].Known)
	require.Equal(t, k.Known, Compare(answer("Merlin", k.Seen), java)[0].Known, "Merlin as the reference")
	require.Empty(t, Compare(answer("", k.Seen), java)[0].Known)
	require.Empty(t, Unknown(Compare(java, answer("Merlin", k.Seen))))
	require.Len(t, Unknown(Compare(java, answer("", k.Seen))), 1)
}

// Own names come back as words, those of the cluster only where they stand alone.
func TestScene_Masks(t *testing.T) {
	f := &fixture{broker: "10.0.0.1:10911", prefix: "wire-00", names: map[string]string{"$topic": "wire-00-f-topic", "$broker": "10.0.0.1:10911"},
		values: map[string]string{"$brokerName": "a"}, cluster: masksOf("a", "c")}
	s := newScene(f, 7)
	require.Equal(t, "wire-00-7-new and wire-00-f-topic on a", s.expand("$new and $topic on $brokerName"))
	require.Equal(t, `$new of $topic at $broker, a-b abc [$brokerName] "$brokerName"`, s.mask(`wire-00-7-new of wire-00-f-topic at 10.0.0.1:10911, a-b abc [a] "a"`))
	require.Equal(t, "rmq_sys_SYNC_BROKER_MEMBER_$brokerName rmq_sys_SYNC_BROKER_MEMBER_ab $cluster_REPLY_TOPIC rmq_sys_REVIVE_LOG_$cluster",
		s.mask("rmq_sys_SYNC_BROKER_MEMBER_a rmq_sys_SYNC_BROKER_MEMBER_ab c_REPLY_TOPIC rmq_sys_REVIVE_LOG_c"))
	require.Equal(t, "ADDR TIME ID", s.mask("127.0.0.1:9 1700000000000 7F000001000078C00000000000012345"))
	require.True(t, s.mentions("wire-00-7-new@wire-00-f-topic"))
	require.False(t, s.mentions("wire-00-8-new@wire-00-f-topic"), "another case's")
}

func TestRecorded_ReadsWhatFormatWrites(t *testing.T) {
	r := Recorded()
	require.NotEmpty(t, r)
	require.Equal(t, recording, string(Format(r)))
}

// A broker that is too busy is asked again: its answer then is the one that counts.
func TestScene_AsksABusyBrokerAgain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	asked := 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			cmd, err := readFrame(conn)
			if err != nil {
				return
			}
			asked++
			o := &wire.Outgoing{Code: 0, Opaque: cmd.Opaque, Flag: wire.FlagResponse}
			if asked < 3 {
				o.Code = int32(protocol.SystemBusy)
			}
			_, _ = conn.Write(wire.AppendHead(nil, o, 0))
		}
	}()
	f := testFixture()
	f.broker = l.Addr().String()
	s := newScene(f, 0)
	code, err := s.step(t.Context(), &step{code: 310})
	require.NoError(t, err)
	s.close()
	<-done
	require.Zero(t, code)
	require.Equal(t, 3, asked)
	require.Equal(t, []string{"code = 0 SUCCESS"}, s.lines)
}
