package hostile

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
)

// once sends b and then dribbles.
func once(b []byte) func(int, int) []byte {
	return func(_, n int) []byte {
		if n == 0 {
			return b
		}
		return nil
	}
}

// always sends b again and again.
func always(b []byte) func(int, int) []byte { return func(int, int) []byte { return b } }

// raids are the attacks on a broker with large messages at these offsets, and on
// its name server.
func raids(t *testing.T, stored []int64) []raid {
	half := packet(protocol.SendMessageV2.Code, 0, nil, make([]byte, 15<<20+700<<10))
	half = half[:len(half)-4096]
	unknown := packet(protocol.Code(9999), 0, nil, nil)
	unknownOneway := packet(protocol.Code(9999), wire.FlagOneway, nil, nil)
	route := packet(protocol.GetRouteInfoByTopic.Code, 0, &header.GetRouteInfoRequest{Topic: wire.Some("big")}, nil)
	var views []byte
	for _, phy := range stored[:15] {
		views = append(views, packet(protocol.ViewMessageByID.Code, 0, &header.ViewMessageRequest{Offset: wire.Some(phy)}, nil)...)
	}
	query := packet(protocol.QueryMessage.Code, 0, &header.QueryMessageRequest{Topic: wire.Some("big"), Key: wire.Some("key"),
		MaxNum: wire.Some(int32(64)), BeginTimestamp: wire.Some(int64(0)), EndTimestamp: wire.Some(int64(1 << 50))}, nil)
	rs := []raid{
		{name: "half frames", conns: 150, frames: once(half)},
		{name: "headers of empty fields", conns: 50, frames: once(emptyFields(2 << 20))},
		{name: "deep JSON", conns: 20, frames: once(deepHeader(1 << 20)), again: true},
		{name: "unread views", conns: 60, frames: once(views)},
		{name: "unread queries", conns: 60, frames: turns(query, 64)},
		{name: "read queries", conns: 8, frames: turns(query, 8), reads: true},
		{name: "unread pulls", conns: 100, frames: func(_, n int) []byte {
			if n < 50 {
				return pullBig(int32(n))
			}
			return nil
		}},
		{name: "batches that multiply", conns: 8, frames: always(multiplying(t)), reads: true},
		{name: "160,000 tags in a pull", conns: 4, frames: always(manyTags()), reads: true},
		{name: "102,000 parked pulls", conns: 1, frames: parking(102_000)},
		{name: "parked pulls of many", conns: 50, frames: parking(10_000)},
		{name: "locks", conns: 16, frames: locking(t), reads: true},
		{name: "1,500 new groups", conns: 2, frames: newGroups(t), reads: true},
		{name: "unregister storm", conns: 50, frames: always(strings2(packet(protocol.UnregisterClient.Code, 0,
			&header.UnregisterClientRequest{ClientID: wire.Some("x"), ConsumerGroup: wire.Some("nobody")}, nil), 100)), reads: true},
		{name: "connection storm", conns: 50, frames: always(unknown), again: true},
		{name: "silent connections", conns: 1000, frames: once([]byte{0})},
		{name: "one-way flood", conns: 20, frames: always(strings2(unknownOneway, 500))},
		{name: "unknown codes, unread", conns: 20, frames: always(strings2(unknown, 500))},
		{name: "lists of topics, unread", conns: 60, frames: turns(packet(protocol.GetAllTopicConfig.Code, 0, nil, nil), 200)},
		{name: "huge names", conns: 10, frames: always(packet(protocol.SendMessageV2.Code, 0, &header.SendMessageRequestV2{
			ProducerGroup: wire.Some("P"), Topic: wire.Some(strings.Repeat("t", 1<<20)), DefaultTopic: wire.Some("TBW102"),
			DefaultTopicQueueNums: wire.Some(int32(4)), QueueID: wire.Some(int32(0)), SysFlag: wire.Some(int32(0)),
			BornTimestamp: wire.Some(int64(1)), Flag: wire.Some(int32(0))}, []byte("x"))), reads: true},
		{name: "stalled TLS handshakes", conns: 300, frames: once([]byte{0x16, 3, 1, 0x20, 0, 1})},
		{name: "half frames", conns: 150, frames: once(half), names: true},
		{name: "headers of empty fields", conns: 50, frames: once(emptyFields(2 << 20)), names: true},
		{name: "routes, unread", conns: 60, frames: always(strings2(route, 500)), names: true},
		{name: "registrations of big tables", conns: 4, frames: registering(t), reads: true, names: true},
		{name: "unknown codes, unread", conns: 20, frames: always(strings2(unknown, 500)), names: true},
		{name: "connection storm", conns: 50, frames: always(route), again: true, names: true},
		{name: "stalled TLS handshakes", conns: 300, frames: once([]byte{0x16, 3, 1, 0x20, 0, 1}), names: true},
	}
	return rs
}

// turns sends b n times at once and then dribbles.
func turns(b []byte, n int) func(int, int) []byte { return once(strings2(b, n)) }

// strings2 is b n times.
func strings2(b []byte, n int) []byte { return []byte(strings.Repeat(string(b), n)) }

// rawFrame is a frame with a header as it is.
func rawFrame(h string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(h)+4))
	b = binary.BigEndian.AppendUint32(b, uint32(len(h)))
	return append(b, h...)
}

func emptyFields(n int) []byte {
	return rawFrame(`{"code":34,"extFields":{` + strings.Repeat(`"":"",`, n) + `"":""}}`)
}

func deepHeader(n int) []byte {
	return rawFrame(`{"code":34,"extFields":{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}}`)
}

// multiplying is a SEND_BATCH of 20,000 entries with 30 KB that they share.
func multiplying(t *testing.T) []byte {
	var entries []byte
	for range 20_000 {
		var err error
		entries, err = message.AppendBatchEntry(entries, message.BatchEntry{Body: []byte("x")})
		require.NoError(t, err)
	}
	return packet(protocol.SendBatchMessage.Code, 0, &header.SendMessageRequestV2{
		ProducerGroup: wire.Some("P"), Topic: wire.Some("big"), DefaultTopic: wire.Some("TBW102"), DefaultTopicQueueNums: wire.Some(int32(4)),
		QueueID: wire.Some(int32(0)), SysFlag: wire.Some(int32(0)), BornTimestamp: wire.Some(int64(1)), Flag: wire.Some(int32(0)),
		Batch: wire.Some(true), Properties: wire.Some("k\x01" + strings.Repeat("v", 30_000) + "\x02"),
	}, entries)
}

func pullOf(subscription string, offset int64, opaque int32, wait int64) []byte {
	o := wire.Outgoing{Code: int32(protocol.PullMessage.Code), Opaque: opaque, Version: 479, Header: &header.PullMessageRequest{
		ConsumerGroup: wire.Some("greedy"), Topic: wire.Some("big"), QueueID: wire.Some(int32(0)), QueueOffset: wire.Some(offset),
		MaxMsgNums: wire.Some(int32(32)), SysFlag: wire.Some(int32(4 | 2)), CommitOffset: wire.Some(int64(0)),
		SuspendTimeoutMillis: wire.Some(wait), Subscription: wire.Some(subscription), SubVersion: wire.Some(int64(1)),
	}}
	return wire.AppendHead(nil, &o, 0)
}

func manyTags() []byte {
	var s strings.Builder
	for i := range 160_000 {
		fmt.Fprintf(&s, "tag%d||", i)
	}
	return pullOf(s.String(), 20, 1, 0)
}

// parking parks n pulls a connection. They are made before: it is the server's work
// that counts.
func parking(n int) func(int, int) []byte {
	var turns [][]byte
	for i := range n {
		if i%1000 == 0 {
			turns = append(turns, nil)
		}
		last := &turns[len(turns)-1]
		*last = append(*last, pullOf("*", 20, int32(i), 600_000)...)
	}
	return func(_, turn int) []byte {
		if turn >= len(turns) {
			return nil
		}
		return turns[turn]
	}
}

func locking(t *testing.T) func(int, int) []byte {
	return func(i, n int) []byte {
		q := body.LockBatchRequestBody{ConsumerGroup: fmt.Sprintf("L%d-%d", i, n), ClientID: fmt.Sprintf("c%d-%d", i, n)}
		for k := range int32(5000) {
			q.MqSet = append(q.MqSet, body.MessageQueue{Topic: fmt.Sprintf("%0100d", n), BrokerName: "b", QueueID: k})
		}
		b, err := body.Marshal(&q)
		if err != nil {
			t.Error(err)
		}
		return packet(protocol.LockBatchMQ.Code, 0, nil, b)
	}
}

func newGroups(t *testing.T) func(int, int) []byte {
	return func(i, n int) []byte {
		hb := body.HeartbeatData{ClientID: fmt.Sprintf("hog%d", i)}
		for k := range 1500 {
			hb.ConsumerDataSet = append(hb.ConsumerDataSet, body.ConsumerData{GroupName: fmt.Sprintf("H%d-%d-%d", i, n, k),
				ConsumeType: body.ConsumePassively, MessageModel: body.Clustering})
		}
		b, err := body.Marshal(&hb)
		if err != nil {
			t.Error(err)
		}
		return packet(protocol.HeartBeat.Code, 0, nil, b)
	}
}

func registering(t *testing.T) func(int, int) []byte {
	return func(i, n int) []byte {
		if n > 20 {
			return nil
		}
		b := body.RegisterBrokerBody{}
		b.TopicConfigSerializeWrapper.TopicConfigTable = map[string]body.TopicConfig{}
		for k := range 2000 {
			name := fmt.Sprintf("R%d-%d", i, k)
			b.TopicConfigSerializeWrapper.TopicConfigTable[name] = body.NewTopicConfig(name)
		}
		raw, err := body.Marshal(&b)
		if err != nil {
			t.Error(err)
		}
		return packet(protocol.RegisterBroker.Code, 0, &header.RegisterBrokerRequest{
			BrokerName: wire.Some(fmt.Sprintf("bad%d", i)), BrokerAddr: wire.Some(fmt.Sprintf("127.0.0.1:%d", i+1)), ClusterName: wire.Some("bad"),
			HaServerAddr: wire.Some("127.0.0.1:9"), BrokerID: wire.Some(int64(0)),
		}, raw)
	}
}
