package broker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// rig is a broker on free ports of the loopback address and a client for it.
type rig struct {
	*Broker
	t      *testing.T
	dir    string
	extra  string
	client *remoting.Client
}

func newRig(t *testing.T, extra string) *rig {
	r := &rig{t: t, dir: t.TempDir(), extra: extra}
	r.client = remoting.NewClient(remoting.ClientOptions{})
	t.Cleanup(func() { r.client.Close() })
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *rig) start() {
	text := fmt.Sprintf("brokerName=b\nbindAddress=127.0.0.1\nbrokerIP1=127.0.0.1\nlistenPort=0\nstorePathRootDir=%s\nstorePathCommitLog=%s/commitlog\nmappedFileSizeCommitLog=1048576\nmaxHashSlotNum=1000\nmaxIndexNum=4000\n%s\n", r.dir, r.dir, r.extra)
	cfg, _, err := config.Parse([]byte(text), "test.conf")
	require.NoError(r.t, err)
	r.Broker, err = New(Options{Config: config.NewHolder(cfg, config.HolderOptions{}), Rand: rand.IntN})
	require.NoError(r.t, err)
	r.poison = true
	require.NoError(r.t, r.Start())
}

func (r *rig) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(r.t, r.Shutdown(ctx))
}

func (r *rig) call(code protocol.Code, h wire.FieldEncoder, b []byte) *wire.Command {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	a, err := r.client.Invoke(ctx, r.Addr(), &wire.Outgoing{Code: int32(code), Header: h, Version: 401}, b)
	require.NoError(r.t, err)
	return a
}

func sendHeader(topic string, queue int32, props ...string) *header.SendMessageRequestV2 {
	var text []byte
	for i := 0; i < len(props); i += 2 {
		text = message.AppendProperty(text, props[i], props[i+1])
	}
	return &header.SendMessageRequestV2{
		ProducerGroup: wire.Some("P"), Topic: wire.Some(topic), DefaultTopic: wire.Some("TBW102"),
		DefaultTopicQueueNums: wire.Some(int32(4)), QueueID: wire.Some(queue), SysFlag: wire.Some(int32(0)),
		BornTimestamp: wire.Some(time.Now().UnixMilli()), Flag: wire.Some(int32(0)), Properties: wire.Some(string(text)),
	}
}

func (r *rig) send(topic string, queue int32, text string, props ...string) header.SendMessageResponse {
	r.t.Helper()
	a := r.call(protocol.SendMessageV2.Code, sendHeader(topic, queue, props...), []byte(text))
	require.Equal(r.t, protocol.Success, protocol.ResponseCode(a.Code), a.Remark)
	var rh header.SendMessageResponse
	require.NoError(r.t, rh.DecodeFields(a))
	return rh
}

func pullHeader(topic string, queue int32, offset int64, suspend time.Duration) *header.PullMessageRequest {
	flag := int32(4)
	if suspend > 0 {
		flag |= 2
	}
	return &header.PullMessageRequest{
		ConsumerGroup: wire.Some("G"), Topic: wire.Some(topic), QueueID: wire.Some(queue), QueueOffset: wire.Some(offset),
		MaxMsgNums: wire.Some(int32(32)), SysFlag: wire.Some(flag), CommitOffset: wire.Some(int64(0)),
		SuspendTimeoutMillis: wire.Some(suspend.Milliseconds()), Subscription: wire.Some("*"), SubVersion: wire.Some(int64(1)),
		ExpressionType: wire.Some("TAG"),
	}
}

// pull gives the code, the header and the messages.
func (r *rig) pull(h *header.PullMessageRequest) (protocol.ResponseCode, header.PullMessageResponse, []message.Message) {
	r.t.Helper()
	a := r.call(protocol.PullMessage.Code, h, nil)
	var rh header.PullMessageResponse
	require.NoError(r.t, rh.DecodeFields(a))
	var ms []message.Message
	for rest := a.Body; len(rest) > 0; {
		var m message.Message
		n, err := message.Decode(rest, &m, true)
		require.NoError(r.t, err)
		ms = append(ms, m)
		rest = rest[n:]
	}
	return protocol.ResponseCode(a.Code), rh, ms
}

func TestSendAndPull(t *testing.T) {
	for _, mode := range []string{"ASYNC_FLUSH", "SYNC_FLUSH"} {
		t.Run(mode, func(t *testing.T) {
			r := newRig(t, "flushDiskType="+mode)
			for i := range 10 {
				rh := r.send("T", 1, "m"+strconv.Itoa(i), "TAGS", "a", "UNIQ_KEY", "k"+strconv.Itoa(i))
				require.EqualValues(t, i, rh.QueueOffset.V)
				require.EqualValues(t, 1, rh.QueueID.V)
				require.Equal(t, "k"+strconv.Itoa(i), rh.TransactionID.V)
				require.Len(t, rh.MsgID.V, 32)
			}
			var ms []message.Message
			var rh header.PullMessageResponse
			require.Eventually(t, func() bool {
				_, rh, ms = r.pull(pullHeader("T", 1, 0, 0))
				return len(ms) == 10
			}, 5*time.Second, time.Millisecond)
			for i, m := range ms {
				require.Equal(t, "m"+strconv.Itoa(i), string(m.Body))
				require.EqualValues(t, i, m.QueueOffset)
				v, _ := message.Get(m.Properties, "CLUSTER")
				require.Equal(t, "DefaultCluster", v)
			}
			require.EqualValues(t, 10, rh.NextBeginOffset.V)
			require.EqualValues(t, 10, rh.MaxOffset.V)

			r.stop()
			r.start()
			_, _, ms = r.pull(pullHeader("T", 1, 8, 0))
			require.Len(t, ms, 2, "after a restart")
			rh2 := r.send("T", 1, "more")
			require.EqualValues(t, 10, rh2.QueueOffset.V)
		})
	}
}

// The cases of 4.6 of the pull rules.
func TestPull_Offsets(t *testing.T) {
	r := newRig(t, "")
	code, _, _ := r.pull(pullHeader("T", 0, 0, 0))
	require.Equal(t, protocol.TopicNotExist, code)
	r.send("T", 0, "x")
	require.Eventually(t, func() bool { c, _, _ := r.pull(pullHeader("T", 0, 0, 0)); return c == protocol.Success }, 5*time.Second, time.Millisecond)

	code, rh, _ := r.pull(pullHeader("T", 0, 1, 0))
	require.Equal(t, protocol.PullNotFound, code)
	require.EqualValues(t, 1, rh.NextBeginOffset.V)
	code, rh, _ = r.pull(pullHeader("T", 0, 9, 0))
	require.Equal(t, protocol.PullOffsetMoved, code)
	require.EqualValues(t, 1, rh.NextBeginOffset.V)
	code, _, _ = r.pull(pullHeader("T", 1, 0, 0))
	require.Equal(t, protocol.PullNotFound, code, "an empty queue")
	code, rh, _ = r.pull(pullHeader("T", 1, 5, 0))
	require.Equal(t, protocol.PullOffsetMoved, code)
	require.EqualValues(t, 0, rh.NextBeginOffset.V)
	code, _, _ = r.pull(pullHeader("T", 4, 0, 0))
	require.Equal(t, protocol.InvalidParameter, code)

	h := pullHeader("T", 0, 0, 0)
	h.Subscription = wire.Some("other")
	h.SubVersion = wire.Some(int64(2))
	code, rh, _ = r.pull(h)
	require.Equal(t, protocol.PullRetryImmediately, code, "everything was filtered out")
	require.EqualValues(t, 1, rh.NextBeginOffset.V)
}

func TestPull_WakesWhenMessageArrives(t *testing.T) {
	r := newRig(t, "")
	r.send("T", 0, "first")
	require.Eventually(t, func() bool { c, _, _ := r.pull(pullHeader("T", 0, 0, 0)); return c == protocol.Success }, 5*time.Second, time.Millisecond)
	got := make(chan []message.Message, 1)
	go func() {
		_, _, ms := r.pull(pullHeader("T", 0, 1, 15*time.Second))
		got <- ms
	}()
	require.Eventually(t, func() bool { return r.hold.Parked() == 1 }, 5*time.Second, time.Millisecond)
	r.send("T", 0, "second")
	select {
	case ms := <-got:
		require.Len(t, ms, 1)
		require.Equal(t, "second", string(ms[0].Body))
	case <-time.After(10 * time.Second):
		t.Fatal("the parked pull was not woken")
	}
}

// A consumer that goes away leaves nothing in work: the shutdown does not wait
// for its parked pull.
func TestShutdown_AfterAParkedConsumerLeft(t *testing.T) {
	r := newRig(t, "")
	r.send("T", 0, "x")
	require.Eventually(t, func() bool { return r.store.MaxOffset("T", 0) == 1 }, 5*time.Second, time.Millisecond)
	gone := remoting.NewClient(remoting.ClientOptions{})
	require.NoError(t, gone.Go(context.Background(), r.Addr(), &wire.Outgoing{Code: int32(protocol.PullMessage.Code), Header: pullHeader("T", 0, 1, 15*time.Second)}, nil,
		func(*wire.Command, error) {}))
	require.Eventually(t, func() bool { return r.hold.Parked() == 1 }, 5*time.Second, time.Millisecond)
	gone.Close()
	began := time.Now()
	r.stop()
	require.Less(t, time.Since(began), 5*time.Second)
	r.start()
}

func TestSend_Batch(t *testing.T) {
	r := newRig(t, "")
	var b []byte
	for i := range 3 {
		b, _ = message.AppendBatchEntry(b, message.BatchEntry{Body: []byte{byte('a' + i)}, Properties: message.AppendProperty(nil, "UNIQ_KEY", "u"+strconv.Itoa(i))})
	}
	h := sendHeader("T", 2)
	h.Batch = wire.Some(true)
	a := r.call(protocol.SendBatchMessage.Code, h, b)
	require.EqualValues(t, 0, a.Code, a.Remark)
	var rh header.SendMessageResponse
	require.NoError(t, rh.DecodeFields(a))
	require.Len(t, rh.MsgID.V, 3*32+2)
	require.False(t, rh.TransactionID.Set, "the batch has no id of its own")
	h = sendHeader("Other", 2, "UNIQ_KEY", "whole")
	h.Batch = wire.Some(true)
	a = r.call(protocol.SendBatchMessage.Code, h, b)
	require.NoError(t, rh.DecodeFields(a))
	require.Equal(t, "whole", rh.TransactionID.V)
	require.Eventually(t, func() bool {
		_, _, ms := r.pull(pullHeader("T", 2, 0, 0))
		return len(ms) == 3 && string(ms[2].Body) == "c"
	}, 5*time.Second, time.Millisecond)
}

// A message that could not be consumed comes back on the retry topic after the
// delay, and at last on the dead letter topic.
func TestSendBack_RetryAndDeadLetter(t *testing.T) {
	r := newRig(t, "messageDelayLevel=1s 1s 1s 1s")
	r.send("T", 0, "poor thing", "TAGS", "x")
	var ms []message.Message
	require.Eventually(t, func() bool { _, _, ms = r.pull(pullHeader("T", 0, 0, 0)); return len(ms) == 1 }, 5*time.Second, time.Millisecond)
	back := func(m message.Message, limit int32) {
		a := r.call(protocol.ConsumerSendMsgBack.Code, &header.ConsumerSendMsgBackRequest{
			Offset: wire.Some(m.PhyOffset), Group: wire.Some("G"), DelayLevel: wire.Some(int32(0)),
			OriginTopic: wire.Some("T"), MaxReconsumeTimes: wire.Some(limit),
		}, nil)
		require.EqualValues(t, 0, a.Code, a.Remark)
	}
	a := r.call(protocol.ConsumerSendMsgBack.Code, &header.ConsumerSendMsgBackRequest{Group: wire.Some("G"), DelayLevel: wire.Some(int32(0))}, nil)
	require.EqualValues(t, protocol.SystemError, a.Code, "no offset is not offset 0")
	back(ms[0], 1)
	require.Eventually(t, func() bool { _, _, ms = r.pull(pullHeader("%RETRY%G", 0, 0, 0)); return len(ms) == 1 }, 10*time.Second, 20*time.Millisecond)
	require.EqualValues(t, 1, ms[0].ReconsumeTimes)
	v, _ := message.Get(ms[0].Properties, "RETRY_TOPIC")
	require.Equal(t, "T", v)
	back(ms[0], 1)
	require.Eventually(t, func() bool { _, _, ms = r.pull(pullHeader("%DLQ%G", 0, 0, 0)); return len(ms) == 1 }, 10*time.Second, 20*time.Millisecond)
	require.Equal(t, "poor thing", string(ms[0].Body))
	require.EqualValues(t, 2, ms[0].ReconsumeTimes)
}

func TestDelayLevel_SurvivesARestart(t *testing.T) {
	r := newRig(t, "messageDelayLevel=1s 2s")
	r.send("T", 3, "later", "DELAY", "2")
	_, _, ms := r.pull(pullHeader("T", 3, 0, 0))
	require.Empty(t, ms)
	r.stop()
	r.start()
	require.Eventually(t, func() bool { _, _, ms = r.pull(pullHeader("T", 3, 0, 0)); return len(ms) == 1 }, 15*time.Second, 20*time.Millisecond)
	require.Equal(t, "later", string(ms[0].Body))
	require.GreaterOrEqual(t, ms[0].StoreTimestamp-ms[0].BornTimestamp, int64(2000), "not early")
}

func TestHeartbeat_ListLockAndOffsets(t *testing.T) {
	r := newRig(t, "")
	r.send("T", 0, "x")
	hb, err := body.Marshal(&body.HeartbeatData{ClientID: "c1", ConsumerDataSet: []body.ConsumerData{{
		GroupName: "G", ConsumeType: body.ConsumePassively, MessageModel: body.Clustering, ConsumeFromWhere: "CONSUME_FROM_FIRST_OFFSET",
		SubscriptionDataSet: []body.SubscriptionData{{Topic: "T", SubString: "*", SubVersion: 7, ExpressionType: "TAG"}},
	}}})
	require.NoError(t, err)
	a := r.call(protocol.HeartBeat.Code, nil, hb)
	require.EqualValues(t, 0, a.Code, a.Remark)
	v, _ := a.Lookup("IS_SUPPORT_HEART_BEAT_V2")
	require.Equal(t, "true", v)
	a = r.call(protocol.GetConsumerListByGroup.Code, &header.GetConsumerListByGroupRequest{ConsumerGroup: wire.Some("G")}, nil)
	require.Equal(t, `{"consumerIdList":["c1"]}`, string(a.Body))
	require.NotNil(t, r.topics.Find("%RETRY%G"))

	a = r.call(protocol.QueryConsumerOffset.Code, &header.QueryConsumerOffsetRequest{ConsumerGroup: wire.Some("G"), Topic: wire.Some("T"), QueueID: wire.Some(int32(1))}, nil)
	require.Equal(t, protocol.QueryNotFound, protocol.ResponseCode(a.Code))
	a = r.call(protocol.UpdateConsumerOffset.Code, &header.UpdateConsumerOffsetRequest{ConsumerGroup: wire.Some("G"), Topic: wire.Some("T"), QueueID: wire.Some(int32(1)), CommitOffset: wire.Some(int64(5))}, nil)
	require.EqualValues(t, 0, a.Code, a.Remark)
	r.stop()
	r.start()
	a = r.call(protocol.QueryConsumerOffset.Code, &header.QueryConsumerOffsetRequest{ConsumerGroup: wire.Some("G"), Topic: wire.Some("T"), QueueID: wire.Some(int32(1))}, nil)
	var rh header.QueryConsumerOffsetResponse
	require.NoError(t, rh.DecodeFields(a))
	require.EqualValues(t, 5, rh.Offset.V)
	a = r.call(protocol.UpdateConsumerOffset.Code, &header.UpdateConsumerOffsetRequest{ConsumerGroup: wire.Some("G"), Topic: wire.Some("T"), QueueID: wire.Some(int32(1)), CommitOffset: wire.Some(int64(-7))}, nil)
	require.EqualValues(t, 0, a.Code, a.Remark)
	a = r.call(protocol.QueryConsumerOffset.Code, &header.QueryConsumerOffsetRequest{ConsumerGroup: wire.Some("G"), Topic: wire.Some("T"), QueueID: wire.Some(int32(1))}, nil)
	require.Equal(t, protocol.QueryNotFound, protocol.ResponseCode(a.Code), "a negative offset is none")
}

// Frames are poisoned after their handlers: whatever kept an alias shows here.
func TestManySendersAndPullers(t *testing.T) {
	r := newRig(t, "")
	var all sync.WaitGroup
	const senders, each = 8, 200
	for s := range senders {
		all.Go(func() {
			for i := range each {
				r.send("Many"+strconv.Itoa(s%3), int32(i%4), fmt.Sprintf("%d-%d", s, i), "TAGS", "t"+strconv.Itoa(s), "KEYS", fmt.Sprintf("key-%d-%d", s, i))
			}
		})
	}
	all.Wait()
	seen := map[string]int{}
	for topic := range 3 {
		for q := range int32(4) {
			next := int64(0)
			require.Eventually(t, func() bool {
				_, rh, ms := r.pull(pullHeader("Many"+strconv.Itoa(topic), q, next, 0))
				for _, m := range ms {
					require.Equal(t, "Many"+strconv.Itoa(topic), m.Topic)
					seen[string(m.Body)]++
				}
				next = rh.NextBeginOffset.V
				return len(ms) == 0 && next == r.store.MaxOffset("Many"+strconv.Itoa(topic), q) && r.store.DispatchBehind() == 0
			}, 10*time.Second, time.Millisecond)
		}
	}
	require.Len(t, seen, senders*each)
	for text, n := range seen {
		require.Equal(t, 1, n, text)
	}
	all2, _ := r.topics.All()
	for _, c := range all2 {
		require.NotContains(t, c.TopicName, "\xdb")
	}
}
