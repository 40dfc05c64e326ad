package broker

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
)

// BenchmarkSend sends batches of frames over one connection and waits for all
// answers of a batch: the cost of a send with the network shared by the batch.
// The client's own cost is in it and is small.
func BenchmarkSend(b *testing.B) {
	for _, window := range []int{1, 32, 256} {
		b.Run("window="+strconv.Itoa(window), func(b *testing.B) { benchmarkSend(b, window) })
	}
}

func benchmarkSend(b *testing.B, window int) {
	t := &testing.T{}
	r := &rig{t: t, dir: b.TempDir(), extra: "mappedFileSizeCommitLog=268435456"}
	r.start()
	defer r.stop()
	c, err := net.Dial("tcp", r.Addr())
	require.NoError(b, err)
	defer c.Close()
	payload := bytes.Repeat([]byte{'x'}, 1024)
	var frames []byte
	for i := range window {
		h := sendHeader("Bench", int32(i%4), "UNIQ_KEY", "7F0000011234DEADBEEF000003E80001", "WAIT", "true", "TAGS", "TagA")
		frames = wire.AppendHead(frames, &wire.Outgoing{Code: int32(protocol.SendMessageV2.Code), Opaque: int32(i), Header: h, Version: 401}, len(payload))
		frames = append(frames, payload...)
	}
	in := make([]byte, 1<<20)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	b.ResetTimer()
	for sent := 0; sent < b.N; sent += window {
		exchange(b, c, frames, in, window)
	}
}

// BenchmarkPull catches up on eight queues that lie interleaved in the log, 32
// messages a pull, the pulls of a round pipelined.
func BenchmarkPull(b *testing.B) {
	const queues, each, perPull = 8, 4096, 32
	t := &testing.T{}
	r := &rig{t: t, dir: b.TempDir(), extra: "mappedFileSizeCommitLog=268435456\ndefaultTopicQueueNums=8"}
	r.start()
	defer r.stop()
	c, err := net.Dial("tcp", r.Addr())
	require.NoError(b, err)
	defer c.Close()
	in := make([]byte, 4<<20)
	payload := bytes.Repeat([]byte{'x'}, 1024)
	for range each {
		var frames []byte
		for q := range int32(queues) {
			h := sendHeader("Bench", q, "UNIQ_KEY", "7F0000011234DEADBEEF000003E80001", "WAIT", "true")
			h.DefaultTopicQueueNums = wire.Some(int32(queues))
			frames = append(wire.AppendHead(frames, &wire.Outgoing{Code: int32(protocol.SendMessageV2.Code), Opaque: q, Header: h, Version: 401}, len(payload)), payload...)
		}
		exchange(b, c, frames, in, queues)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for pulled := 0; pulled < b.N; pulled += queues * perPull {
		var frames []byte
		for q := range int32(queues) {
			h := &header.PullMessageRequest{
				ConsumerGroup: wire.Some("BenchGroup"), QueueID: wire.Some(q), MaxMsgNums: wire.Some(int32(perPull)),
				QueueOffset: wire.Some(int64(pulled/queues) % (each - perPull)), SysFlag: wire.Some(int32(4)),
				Subscription: wire.Some("*"), ExpressionType: wire.Some("TAG"),
			}
			h.Topic = wire.Some("Bench")
			frames = wire.AppendHead(frames, &wire.Outgoing{Code: int32(protocol.PullMessage.Code), Opaque: q, Header: h, Version: 401}, 0)
		}
		exchange(b, c, frames, in, queues)
	}
}

// BenchmarkCommit stores offsets of eight queues, 32 in a write.
func BenchmarkCommit(b *testing.B) {
	benchmarkFrames(b, 32, func(i int) (*wire.Outgoing, []byte) {
		h := &header.UpdateConsumerOffsetRequest{ConsumerGroup: wire.Some("BenchGroup"), Topic: wire.Some("Bench"),
			QueueID: wire.Some(int32(i % 8)), CommitOffset: wire.Some(int64(i))}
		return &wire.Outgoing{Code: int32(protocol.UpdateConsumerOffset.Code), Header: h}, nil
	})
}

// BenchmarkHeartbeat is the heartbeat of a client with a producer group and a
// consumer group of two topics, again and again.
func BenchmarkHeartbeat(b *testing.B) {
	hb, err := body.Marshal(&body.HeartbeatData{ClientID: "127.0.0.1@1234",
		ProducerDataSet: []body.ProducerData{{GroupName: "CLIENT_INNER_PRODUCER"}},
		ConsumerDataSet: []body.ConsumerData{{
			GroupName: "BenchGroup", ConsumeType: body.ConsumePassively, MessageModel: body.Clustering, ConsumeFromWhere: "CONSUME_FROM_LAST_OFFSET",
			SubscriptionDataSet: []body.SubscriptionData{
				{Topic: "Bench", SubString: "TagA || TagB", TagsSet: []string{"TagA", "TagB"}, CodeSet: []int32{2598919, 2598920}, SubVersion: 7, ExpressionType: "TAG"},
				{Topic: "%RETRY%BenchGroup", SubString: "*", SubVersion: 7, ExpressionType: "TAG"},
			},
		}}})
	require.NoError(b, err)
	benchmarkFrames(b, 1, func(int) (*wire.Outgoing, []byte) {
		return &wire.Outgoing{Code: int32(protocol.HeartBeat.Code)}, hb
	})
}

// benchmarkFrames exchanges the same window of requests again and again.
func benchmarkFrames(b *testing.B, window int, request func(i int) (*wire.Outgoing, []byte)) {
	r := &rig{t: &testing.T{}, dir: b.TempDir()}
	r.start()
	defer r.stop()
	c, err := net.Dial("tcp", r.Addr())
	require.NoError(b, err)
	defer c.Close()
	var frames []byte
	for i := range window {
		o, payload := request(i)
		o.Opaque, o.Version = int32(i), 401
		frames = append(wire.AppendHead(frames, o, len(payload)), payload...)
	}
	in := make([]byte, 1<<20)
	exchange(b, c, frames, in, window)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += window {
		exchange(b, c, frames, in, window)
	}
}

// exchange writes frames and reads that many answers.
func exchange(b *testing.B, c net.Conn, frames, in []byte, answers int) {
	_, err := c.Write(frames)
	require.NoError(b, err)
	for range answers {
		_, err := io.ReadFull(c, in[:4])
		require.NoError(b, err)
		_, err = io.ReadFull(c, in[:binary.BigEndian.Uint32(in)])
		require.NoError(b, err)
	}
}
