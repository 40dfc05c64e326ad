package clients

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"net"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/cluster"
	javaclients "github.com/merlinmq/merlin/conformance/java"
	"github.com/merlinmq/merlin/conformance/probe"
	"github.com/merlinmq/merlin/conformance/reference"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
)

// What the wire cases note of both servers is read with this project's own codec.
// Here the bytes of Merlin's answers are read with Java's classes as well
// (RemotingCommand.decode, MessageDecoder.decodes), of both client versions, and
// both must find the same in them: headers in either encoding, and messages of any
// content.
func TestDecode_JavaReadsWhatMerlinWrites(t *testing.T) {
	reference.Need(t)
	c := cluster.Merlin().StartT(t, cluster.Options{})
	frames := sampleFrames(t, c)
	ours := describeFrames(t, frames, true)
	require.Greater(t, strings.Count(ours, "\nmessage "), 20)
	require.Contains(t, ours, "fits=true")
	for _, version := range []string{javaclients.V5, javaclients.V4} {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		cmd := javaclients.Program(ctx, buildJava(t, version), t.TempDir(), "decode")
		var words bytes.Buffer
		cmd.Stdin, cmd.Stderr = bytes.NewReader(bytes.Join(frames, nil)), &words
		theirs, err := cmd.Output()
		cancel()
		require.NoError(t, err, words.String())
		sameLines(t, describeFrames(t, frames, version == javaclients.V5), string(theirs), version)
	}
	// The comparison must be able to fail: a changed byte shows.
	changed := bytes.Replace(frames[len(frames)-1], []byte("KEYS\x01key"), []byte("KEYS\x01kEy"), 1)
	require.NotEqual(t, ours, describeFrames(t, append(frames[:len(frames)-1:len(frames)-1], changed), true))
}

// sameLines compares line by line: some are long.
func sameLines(t *testing.T, a, b, what string) {
	t.Helper()
	short := func(s string) string { return s[:min(len(s), 300)] }
	left, right := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(left), len(right)) {
		require.True(t, left[i] == right[i], "%s, line %d:\n%s\n%s", what, i, short(left[i]), short(right[i]))
	}
	require.Len(t, right, len(left), what)
}

// sampler asks over one connection and keeps the answers as they came.
type sampler struct {
	t      *testing.T
	conn   net.Conn
	opaque int32
	frames [][]byte
}

// ask sends a request in both encodings of the header.
func (s *sampler) ask(code int32, ext map[string]string, body []byte) {
	s.t.Helper()
	for _, e := range []wire.Encoding{wire.JSON, wire.Binary} {
		s.opaque++
		o := &wire.Outgoing{Code: code, Version: 479, Opaque: s.opaque, Encoding: e}
		for k, v := range ext {
			o.Ext = append(o.Ext, wire.Field{Key: k, Value: v})
		}
		_, err := s.conn.Write(append(wire.AppendHead(nil, o, len(body)), body...))
		require.NoError(s.t, err)
		frame := make([]byte, 4)
		_, err = io.ReadFull(s.conn, frame)
		require.NoError(s.t, err)
		rest := make([]byte, binary.BigEndian.Uint32(frame))
		_, err = io.ReadFull(s.conn, rest)
		require.NoError(s.t, err)
		s.frames = append(s.frames, append(frame, rest...))
	}
}

// sampleFrames stores messages of many kinds and returns the answers to sends,
// refusals, pulls, and queries.
func sampleFrames(t *testing.T, c cluster.Cluster) [][]byte {
	conn, err := net.DialTimeout("tcp", c.BrokerAddr(), 10*time.Second)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	s := &sampler{t: t, conn: conn}
	const topic = "decode-me"
	require.NoError(t, probe.PutTopic(t.Context(), c.BrokerAddr(), topic, 1))
	send := func(sysFlag, flag int, props, body string, more map[string]string) {
		ext := map[string]string{"a": "makers", "b": topic, "c": "TBW102", "d": "4", "e": "0", "f": fmt.Sprint(sysFlag), "g": "1700000000000",
			"h": fmt.Sprint(flag), "i": props, "j": "0", "k": "false", "l": "0", "m": "false"}
		for k, v := range more {
			ext[k] = v
		}
		s.ask(310, ext, []byte(body))
	}
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	_, err = z.Write([]byte(strings.Repeat("squeeze me ", 500)))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	send(0, 0, "TAGS\x01A\x02KEYS\x01key\x02UNIQ_KEY\x01u1\x02", "first", nil)
	send(0, -2147483648, "", "\x00\x01\xff\xfe", nil)
	send(0, 1, "name\x01消息 ü \U0001F600\x02empty\x01\x02", "消息", nil)
	send(1, 0, "TAGS\x01B\x02", packed.String(), nil)
	send(0, 0, "long\x01"+strings.Repeat("v", 30000)+"\x02", strings.Repeat("b", 200_000), nil)
	send(0, 0, "", "x", map[string]string{"g": "-1", "j": "3"})
	send(0, 0, "", "x", map[string]string{"b": "no such topic"}) // refused, with a remark
	var batch []byte
	for i := range 3 {
		batch, err = message.AppendBatchEntry(batch, message.BatchEntry{Body: fmt.Appendf(nil, "part %d", i), Properties: fmt.Appendf(nil, "UNIQ_KEY\x01b%d\x02", i)})
		require.NoError(t, err)
	}
	s.ask(320, map[string]string{"a": "makers", "b": topic, "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": "1700000000000", "h": "0", "i": "WAIT\x01true\x02", "j": "0", "k": "false", "l": "0", "m": "true"}, batch)
	end := func() bool {
		n, err := probe.End(t.Context(), c.BrokerAddr(), topic, 0)
		return err == nil && n == 18
	}
	require.Eventually(t, end, 20*time.Second, 20*time.Millisecond, "12 messages and two batches of three in the queue")
	pull := map[string]string{"consumerGroup": "readers", "topic": topic, "queueId": "0", "queueOffset": "0", "maxMsgNums": "32", "sysFlag": "4",
		"commitOffset": "0", "suspendTimeoutMillis": "0", "subscription": "*", "subVersion": "1", "expressionType": "TAG"}
	s.ask(11, pull, nil)
	pull["queueOffset"] = "99" // beyond: no body
	s.ask(11, pull, nil)
	s.ask(12, map[string]string{"topic": topic, "key": "key", "maxNum": "9", "beginTimestamp": "0", "endTimestamp": "9223372036854775807"}, nil)
	return s.frames
}

// describeFrames is what Decode.java prints, made with this project's codec. A Java
// client decompresses bodies; that of 5.3.3 also clears the flag that said so.
func describeFrames(t *testing.T, frames [][]byte, clearsFlag bool) string {
	var b strings.Builder
	text := func(s string) string { return hex.EncodeToString([]byte(s)) }
	fields := func(what string, m map[string]string) {
		keys := make([]string, 0, len(m))
		for k := range m {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for _, k := range keys {
			fmt.Fprintf(&b, "%s%s=%s\n", what, text(k), text(m[k]))
		}
	}
	for _, f := range frames {
		var c wire.Command
		require.NoError(t, wire.Decode(f[4:], &c))
		fmt.Fprintf(&b, "frame code=%d opaque=%d response=%t remark=%s\n", c.Code, c.Opaque, c.IsResponse(), text(c.Remark))
		ext := map[string]string{}
		for _, e := range c.Ext {
			ext[e.Key] = e.Value
		}
		fields("ext ", ext)
		for rest := c.Body; len(rest) > 0; {
			var m message.Message
			n, err := message.Decode(rest, &m, true)
			require.NoError(t, err)
			rest = rest[n:]
			body, fits := m.Body, true // Decode has compared the checksum
			if m.SysFlag&1 != 0 {
				z, err := zlib.NewReader(bytes.NewReader(m.Body))
				require.NoError(t, err)
				body, err = io.ReadAll(z)
				require.NoError(t, err)
				if clearsFlag { // and Decode.java takes the body for the one that was sent
					m.SysFlag &^= 1
					fits = m.BodyCRC == crc32.ChecksumIEEE(body)&math.MaxInt32
				}
			}
			fmt.Fprintf(&b, "message topic=%s queue=%d offset=%d log=%d size=%d flag=%d sysFlag=%d born=%d by=%s stored=%d at=%s again=%d prepared=%d id=%s crc=%d fits=%t body=%x\n",
				text(m.Topic), m.QueueID, m.QueueOffset, m.PhyOffset, m.StoreSize, m.Flag, m.SysFlag, m.BornTimestamp, m.BornHost, m.StoreTimestamp, m.StoreHost,
				m.ReconsumeTimes, m.PreparedTransactionOffset, message.OffsetMessageID(m.StoreHost, m.PhyOffset), m.BodyCRC, fits, body)
			props := map[string]string{}
			for k, v := range message.Each(m.Properties) {
				props[string(k)] = string(v)
			}
			fields("property ", props)
		}
	}
	return b.String()
}
