package broker

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
)

// A short SEND_BATCH whose header properties would stand in every record is
// refused before it grows: 490 KB made 3 GiB. MessageExtEncoder.encode.
func TestBatch_DoesNotMultiply(t *testing.T) {
	r := newRig(t, "")
	r.send("T", 0, "x")
	var entries []byte
	for range 20_000 {
		var err error
		entries, err = message.AppendBatchEntry(entries, message.BatchEntry{Body: []byte("x")})
		require.NoError(t, err)
	}
	h := sendHeader("T", 0, "k", strings.Repeat("v", 30_000))
	h.Batch = wire.Some(true)
	began := time.Now()
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			a := r.call(protocol.SendBatchMessage.Code, h, entries)
			require.Equal(t, protocol.SystemError, protocol.ResponseCode(a.Code))
			require.Contains(t, a.Remark, "bytes of properties")
		}
	}).AllocedBytesPerOp()
	require.Less(t, time.Since(began), 30*time.Second)
	require.Less(t, allocated, int64(64<<20), "bytes for a frame of half a MB")
	r.send("T", 0, "still there")
}

// A heartbeat with 1,500 new groups costs two writes of files, not 3,000, and so
// do two of them; others are answered meanwhile.
func TestHeartbeat_ManyNewGroups(t *testing.T) {
	r := newRig(t, "")
	var hb body.HeartbeatData
	hb.ClientID = "hog"
	for i := range 1500 {
		hb.ConsumerDataSet = append(hb.ConsumerDataSet, body.ConsumerData{
			GroupName:   "G" + strings.Repeat("x", 20) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676)),
			ConsumeType: body.ConsumePassively, MessageModel: body.Clustering,
		})
	}
	b, err := body.Marshal(&hb)
	require.NoError(t, err)
	began := time.Now()
	a := r.call(protocol.HeartBeat.Code, nil, b)
	require.Zero(t, a.Code, a.Remark)
	require.Less(t, time.Since(began), 5*time.Second, "two of them took half a minute")
	require.NotNil(t, r.groups.Find(hb.ConsumerDataSet[1499].GroupName))
	require.NotNil(t, r.topics.Find("%RETRY%"+hb.ConsumerDataSet[1499].GroupName))
}

// LOCK_BATCH_MQ keeps no more than the table's bound, whatever it is asked for.
func TestLock_IsBounded(t *testing.T) {
	r := newRig(t, "")
	q := body.LockBatchRequestBody{ConsumerGroup: "G", ClientID: "hog"}
	for i := range int32(70_000) {
		q.MqSet = append(q.MqSet, body.MessageQueue{Topic: "nowhere", BrokerName: "b", QueueID: i})
	}
	b, err := body.Marshal(&q)
	require.NoError(t, err)
	a := r.call(protocol.LockBatchMQ.Code, nil, b)
	require.Zero(t, a.Code, a.Remark)
	require.LessOrEqual(t, r.locks.Len(), 20_000)
}

// The settings of the budget are those of both ports.
func TestBudget_Settings(t *testing.T) {
	r := newRig(t, "merlinPeerMemoryBytes=50000000\nmerlinPeerShareBytes=1000000")
	require.EqualValues(t, 50_000_000, r.budget.Limit())
	require.EqualValues(t, 1_000_000, r.budget.Share())
	r.send("T", 0, "x")
	used := r.budget.Used()
	require.Positive(t, used, "the connection is charged")
}

// A client's description of itself has a bound, before it is decoded: the structs of
// a body of millions of empty elements take many times its bytes.
func TestHeartbeat_BodyIsBounded(t *testing.T) {
	r := newRig(t, "")
	for _, code := range []protocol.Code{protocol.HeartBeat.Code, protocol.LockBatchMQ.Code, protocol.UnlockBatchMQ.Code, protocol.CheckClientConfig.Code} {
		a := r.call(code, nil, []byte(`{"clientID":"`+strings.Repeat("x", 5<<20)+`"}`))
		require.Equal(t, protocol.SystemError, protocol.ResponseCode(a.Code), code)
		require.Contains(t, a.Remark, "at most 4194304 are taken", code)
	}
}
