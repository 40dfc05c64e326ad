package admin

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/stretchr/testify/require"
)

func (w *world) file() string {
	data, err := w.files.Load("broker.conf", nil, nil)
	require.NoError(w.t, err)
	return string(data)
}

func TestUpdateBrokerConfig(t *testing.T) {
	w := newWorld(t)
	for _, key := range []string{"configBlackList", "brokerConfigPath", "rocketmqHome"} {
		_, err := w.UpdateBrokerConfig(bare("brokerPermission=4\n"+key+"=x"), nil)
		refused(t, err, protocol.NoPermission, "Can not update config in black list.")
	}
	_, err := w.UpdateBrokerConfig(bare(`a=\u12`), nil)
	refused(t, err, protocol.SystemError, "string2Properties error")
	for _, bad := range []string{"zzz=1", "brokerPermission=abc", "brokerPermission=9", "listenPort=-1", "aclEnable=true"} {
		_, err = w.UpdateBrokerConfig(bare("traceOn=false\n"+bad), nil)
		require.Equal(t, protocol.SystemError, protocol.CodeOf(err), bad)
		require.Contains(t, err.Error(), strings.Split(bad, "=")[0])
	}
	require.Equal(t, int32(6), w.Config.Get().BrokerPermission)
	require.True(t, w.Config.Get().TraceOn)
	require.Equal(t, "# mine\nbrokerName=broker-a\n", w.file())
	a, err := w.UpdateBrokerConfig(bare(""), nil)
	ok(t, a, err)
	require.Zero(t, w.Config.Version().Counter)

	// A rollout script that Java takes goes on here, and is told what it gets.
	a, err = w.UpdateBrokerConfig(bare("listenPort=1\nenablePopLog=true"), nil)
	ok(t, a, err)
	require.Equal(t, "enablePopLog=true: this broker does not act on it; listenPort=1: it is read at start: it takes effect when the broker is started again", a.Remark)
	require.NoError(t, w.files.Save("broker.conf", []byte("# mine\nbrokerName=broker-a\n")))

	a, err = w.UpdateBrokerConfig(bare("autoCreateTopicEnable=false\n"), nil)
	ok(t, a, err)
	require.False(t, w.Config.Get().AutoCreateTopicEnable)
	require.Zero(t, w.registered)
	version := w.Topics.Version().Counter
	a, err = w.UpdateBrokerConfig(bare("brokerPermission=4\n"), nil)
	require.Empty(t, ok(t, a, err))
	require.Equal(t, 1, w.registered)
	require.Equal(t, version+1, w.Topics.Version().Counter)
	require.Equal(t, "# mine\nbrokerName=broker-a\nautoCreateTopicEnable=false\nbrokerPermission=4\n", w.file())

	a, err = w.GetBrokerConfig(bare(""), nil)
	text := ok(t, a, err)
	require.Contains(t, text, "\nbrokerPermission=4\n")
	require.Equal(t, &header.GetBrokerConfigResponse{Version: str(`{"counter":3,"stateVersion":0,"timestamp":100000}`)}, a.Header)

	// A new name server is told at once.
	a, err = w.UpdateBrokerConfig(bare("namesrvAddr=127.0.0.1:1;127.0.0.1:2\n"), nil)
	require.Empty(t, ok(t, a, err))
	require.Empty(t, a.Remark)
	require.Equal(t, 2, w.registered)
	require.Len(t, w.Config.Get().NameServers(), 2)
}

// runtimeKeys are the keys of code 28 that a 5.3.3 broker answers and that are not
// the store's.
var runtimeKeys = strings.Fields(`EndTransactionQueueSize EndTransactionThreadPoolQueueCapacity ackThreadPoolQueueCapacity
	ackThreadPoolQueueHeadWaitTimeMills ackThreadPoolQueueSize brokerActive brokerVersion brokerVersionDesc
	litePullThreadPoolQueueCapacity litePullThreadPoolQueueHeadWaitTimeMills litePullThreadPoolQueueSize
	msgGetTotalTodayMorning msgGetTotalTodayNow msgGetTotalYesterdayMorning msgPutTotalTodayMorning msgPutTotalTodayNow
	msgPutTotalYesterdayMorning pullThreadPoolQueueCapacity pullThreadPoolQueueHeadWaitTimeMills pullThreadPoolQueueSize
	queryThreadPoolQueueCapacity queryThreadPoolQueueHeadWaitTimeMills queryThreadPoolQueueSize
	sendThreadPoolQueueCapacity sendThreadPoolQueueHeadWaitTimeMills sendThreadPoolQueueSize
	startAcceptSendRequestTimeStamp timerCongestNum timerDequeueTps timerEnqueueTps timerOffsetBehind timerReadBehind`)

func TestGetBrokerRuntimeInfo(t *testing.T) {
	w := newWorld(t)
	w.store.info = map[string]string{"putTps": "1 2 3"}
	w.Stats.Item(stats.TopicPutNums, "t").Add(5, 1)
	a, err := w.GetBrokerRuntimeInfo(bare(""), nil)
	var b body.KVTable
	require.NoError(t, body.Unmarshal([]byte(ok(t, a, err)), &b))
	for _, k := range runtimeKeys {
		require.Contains(t, b.Table, k)
	}
	require.Len(t, b.Table, len(runtimeKeys)+2)
	require.Equal(t, "1 2 3", b.Table["putTps"])
	require.Equal(t, "5,9", b.Table["scheduleMessageOffset_3"])
	require.Equal(t, "5", b.Table["msgPutTotalTodayNow"])
	require.Equal(t, "479", b.Table["brokerVersion"])
	require.Equal(t, "V5_3_3", b.Table["brokerVersionDesc"])
	require.Equal(t, "10000", b.Table["sendThreadPoolQueueCapacity"])
	require.Equal(t, []wire.Field{{Key: "implementation", Value: "Merlin"}}, a.Ext, "who it is, where no client looks")
}

func TestViewBrokerStatsData(t *testing.T) {
	w := newWorld(t)
	q := &header.ViewBrokerStatsDataRequest{StatsName: str("TOPIC_PUT_NUMS"), StatsKey: str("x")}
	_, err := w.ViewBrokerStatsData(bare(""), q)
	refused(t, err, protocol.SystemError, "The stats <TOPIC_PUT_NUMS> <x> not exist")
	w.Stats.Item(stats.TopicPutNums, "x").Add(1, 1)
	a, err := w.ViewBrokerStatsData(bare(""), q)
	require.Equal(t, `{"statsDay":{"avgpt":0.0,"sum":0,"tps":0.0},"statsHour":{"avgpt":0.0,"sum":0,"tps":0.0},"statsMinute":{"avgpt":0.0,"sum":0,"tps":0.0}}`, ok(t, a, err))
}

func TestStoreRequests(t *testing.T) {
	w := newWorld(t)
	a, err := w.CleanExpiredConsumeQueue(bare(""), nil)
	ok(t, a, err)
	a, err = w.DeleteExpiredCommitLog(bare(""), nil)
	ok(t, a, err)
	require.Equal(t, 11, w.store.cleaned)
	w.topicOf("t")
	w.store.bounds[w.key("t", 0)] = [2]int64{0, 9}
	w.store.bounds[w.key("unused", 0)] = [2]int64{0, 9}
	w.store.bounds[w.key("SCHEDULE_TOPIC_XXXX", 0)] = [2]int64{0, 9}
	a, err = w.CleanUnusedTopic(bare(""), nil)
	ok(t, a, err)
	require.Equal(t, []string{"unused"}, w.store.deleted)

	a, err = w.GetBrokerHaStatus(bare(""), nil)
	require.Equal(t, `{"haClientRuntimeInfo":{"lastReadTimestamp":0,"lastWriteTimestamp":0,"masterFlushOffset":0,"maxOffset":0,"transferredByteInSecond":0},`+
		`"haConnectionInfo":[],"inSyncSlaveNums":0,"master":true,"masterCommitLogMaxOffset":4711}`, ok(t, a, err))
	a, err = w.GetAllDelayOffset(bare(""), nil)
	require.Equal(t, `{"offsetTable":{3:5}}`, ok(t, a, err))
	w.Offsets.Commit("t", "g", 1, 5)
	a, err = w.GetAllConsumerOffset(bare(""), nil)
	require.Contains(t, strings.Join(strings.Fields(ok(t, a, err)), ""), `"t@g":{1:5}`)
}

func TestCloneGroupOffset(t *testing.T) {
	w := newWorld(t)
	w.topicOf("t")
	w.Offsets.Commit("t", "src", 1, 5)
	clone := func(dest, topicName string, offline bool) int64 {
		a, err := w.CloneGroupOffset(bare(""), &header.CloneGroupOffsetRequest{SrcGroup: str("src"), DestGroup: str(dest), Topic: str(topicName), Offline: offline})
		ok(t, a, err)
		return w.Offsets.Query("t", dest, 1)
	}
	require.Equal(t, int64(5), clone("a", "t", false))
	require.Equal(t, int64(-1), clone("b", "", false), "Java copies nothing without a topic")
	w.online("src", &fakePeer{id: 1}, "c", 400, "other")
	require.Equal(t, int64(-1), clone("c", "t", false))
	require.Equal(t, int64(5), clone("d", "t", true))
	_, err := w.CloneGroupOffset(bare(""), &header.CloneGroupOffsetRequest{DestGroup: str("e")})
	refused(t, err, protocol.SystemError, "the request has no srcGroup")
}

func TestQueryConsumeQueue(t *testing.T) {
	w := newWorld(t)
	q := &header.QueryConsumeQueueRequest{Topic: str("t"), Index: 3, Count: 2}
	_, err := w.QueryConsumeQueue(bare(""), q)
	refused(t, err, protocol.SystemError, "0@t is not exist!")
	w.topicOf("t")
	a, err := w.QueryConsumeQueue(bare(""), q)
	require.Empty(t, ok(t, a, err))
	require.Equal(t, "Index 3 of 0@t is not exist!", a.Remark, "a queue that was never written is an empty one")
	w.store.bounds[w.key("t", 0)] = [2]int64{2, 9}
	q.ConsumerGroup = str("g")
	a, err = w.QueryConsumeQueue(bare(""), q)
	require.Equal(t, `{"filterData":"g@t is not online!","maxQueueIndex":9,"minQueueIndex":2,"queueData":[`+
		`{"eval":false,"physicOffset":300,"physicSize":100,"tagsCode":3},{"eval":false,"physicOffset":400,"physicSize":100,"tagsCode":4}]}`, ok(t, a, err))
	w.online("g", &fakePeer{id: 1}, "c", 400, "t")
	a, err = w.QueryConsumeQueue(bare(""), q)
	require.Contains(t, ok(t, a, err), `"filterData":"null"`)
	q.Index = 1
	a, err = w.QueryConsumeQueue(bare(""), q)
	require.Empty(t, ok(t, a, err))
	require.Equal(t, "Index 1 of 0@t is not exist!", a.Remark)
}

func TestResetOffset_OnTheBroker(t *testing.T) {
	w := newWorld(t)
	_, err := w.InvokeBrokerToResetOffset(bare(""), &header.ResetOffsetRequest{Topic: str("t"), Group: str("g"), QueueID: -1, Timestamp: -1})
	refused(t, err, protocol.TopicNotExist, "Topic t does not exist")
	w.topicOf("t")
	_, err = w.InvokeBrokerToResetOffset(bare(""), &header.ResetOffsetRequest{Topic: str("t"), Group: str("g"), QueueID: -1, Timestamp: -1})
	refused(t, err, protocol.SubscriptionGroupNotExist, "Group g does not exist")
	_, err = w.Groups.FindOrCreate("g")
	require.NoError(t, err)
	w.store.bounds[w.key("t", 0)] = [2]int64{2, 9}
	a, err := w.InvokeBrokerToResetOffset(bare(""), &header.ResetOffsetRequest{Topic: str("t"), Group: str("g"), QueueID: -1, Timestamp: -1})
	text := ok(t, a, err)
	require.Contains(t, text, `{"brokerName":"broker-a","queueId":0,"topic":"t"}:9`)
	require.Contains(t, text, `{"brokerName":"broker-a","queueId":1,"topic":"t"}:0`)
	require.True(t, w.Offsets.HasReset("t", "g", 0))
	require.Equal(t, int64(9), w.Offsets.Query("t", "g", 0))
	one := &header.ResetOffsetRequest{Topic: str("t"), Group: str("g"), QueueID: 0, Timestamp: -1, Offset: wire.Some[int64](11)}
	_, err = w.InvokeBrokerToResetOffset(bare(""), one)
	refused(t, err, protocol.SystemError, "Target offset 11 not in consume queue range [2-9]")
	one.Offset = wire.Some[int64](4)
	a, err = w.InvokeBrokerToResetOffset(bare(""), one)
	require.Equal(t, `{"offsetTable":{{"brokerName":"broker-a","queueId":0,"topic":"t"}:4}}`, ok(t, a, err))
	one.Offset, one.Timestamp = wire.Opt[int64]{}, 1006
	a, err = w.InvokeBrokerToResetOffset(bare(""), one)
	require.Contains(t, ok(t, a, err), `:6}`)
}

func TestResetOffset_AtTheClients(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.Config.Update(map[string]string{"useServerSideResetOffset": "false"}))
	w.topicOf("t")
	q := &header.ResetOffsetRequest{Topic: str("t"), Group: str("g"), QueueID: -1, Timestamp: 1001}
	_, err := w.InvokeBrokerToResetOffset(bare(""), q)
	refused(t, err, protocol.SystemError, "THe consumer group <g> not exist")
	w.Offsets.Commit("t", "g", 0, 5)
	w.Offsets.Commit("t", "g", 1, 0)
	_, err = w.InvokeBrokerToResetOffset(bare(""), q)
	refused(t, err, protocol.ConsumerNotOnline, "Consumer not online, so can not reset offset, Group: g Topic: t Timestamp: 1001")
	p := &fakePeer{id: 1}
	w.online("g", p, "c", 400, "t")
	a, err := w.InvokeBrokerToResetOffset(bare(""), q)
	text := ok(t, a, err)
	require.Contains(t, text, `{"brokerName":"broker-a","queueId":0,"topic":"t"}:1`)
	require.Contains(t, text, `{"brokerName":"broker-a","queueId":1,"topic":"t"}:0`, "not forward without force")
	require.Equal(t, int32(220), p.oneway[0].Code)
	require.Equal(t, text, string(p.bodies[0]))
	r := bare("")
	r.Cmd.Language = wire.CPP
	_, err = w.InvokeBrokerToResetOffset(r, q)
	require.NoError(t, err)
	require.Equal(t, `{"offsetTable":[{"brokerName":"broker-a","offset":1,"queueId":0,"topic":"t"},{"brokerName":"broker-a","offset":0,"queueId":1,"topic":"t"}]}`, string(p.bodies[1]))
	require.Equal(t, int64(5), w.Offsets.Query("t", "g", 0), "the client commits it")
}

func TestForward(t *testing.T) {
	w := newWorld(t)
	ask := &header.GetConsumerRunningInfoRequest{ConsumerGroup: str("g"), ClientID: str("c")}
	_, err := w.GetConsumerRunningInfo(bare(""), ask)
	refused(t, err, protocol.SystemError, "The Consumer <g> <c> not online")
	_, err = w.GetConsumerRunningInfo(bare(""), &header.GetConsumerRunningInfoRequest{ConsumerGroup: str("g")})
	refused(t, err, protocol.SystemError, "The Consumer <g> <null> not online")
	p := &fakePeer{id: 1}
	w.online("g", p, "old", 61, "t")
	_, err = w.GetConsumerRunningInfo(bare(""), &header.GetConsumerRunningInfoRequest{ConsumerGroup: str("g"), ClientID: str("old")})
	refused(t, err, protocol.SystemError, "The Consumer <old> Version <V3_1_7> too low to finish, please upgrade it to V3_1_8_SNAPSHOT")

	w.online("g", &fakePeer{id: 2, invoke: func(o *wire.Outgoing, data []byte) (*wire.Command, error) {
		require.Equal(t, int32(307), o.Code)
		require.Equal(t, []wire.Field{{Key: "jstackEnable", Value: "true"}}, o.Ext)
		return &wire.Command{Code: 0, Remark: "r", HasRemark: true, Body: []byte("info")}, nil
	}}, "c", 400, "t")
	r := bare("")
	r.Cmd.Ext = []wire.Field{{Key: "jstackEnable", Value: "true"}}
	a, err := w.GetConsumerRunningInfo(r, ask)
	require.Equal(t, "info", ok(t, a, err))
	require.Equal(t, "r", a.Remark)
}

func TestForward_Failures(t *testing.T) {
	w := newWorld(t)
	p := &fakePeer{id: 1}
	w.online("g", p, "c", 400, "t")
	ask := &header.GetConsumerRunningInfoRequest{ConsumerGroup: str("g"), ClientID: str("c")}
	p.invoke = func(*wire.Outgoing, []byte) (*wire.Command, error) { return nil, context.DeadlineExceeded }
	_, err := w.GetConsumerRunningInfo(bare(""), ask)
	refused(t, err, protocol.ConsumeMsgTimeout, "consumer <g> <c> Timeout: wait response on the channel <10.1.2.3:1> timeout, 10000(ms)")
	p.invoke = func(*wire.Outgoing, []byte) (*wire.Command, error) { return nil, errors.New("gone") }
	_, err = w.GetConsumerRunningInfo(bare(""), ask)
	refused(t, err, protocol.SystemError, "invoke consumer <g> <c> Exception: gone")
}

func TestConsumeMessageDirectly(t *testing.T) {
	w := newWorld(t)
	w.topicOf("t")
	p := &fakePeer{id: 1}
	w.online("g", p, "c", 400, "t")
	ask := &header.ConsumeMessageDirectlyResultRequest{ConsumerGroup: str("g"), ClientID: str("c"), Topic: str("t")}
	for _, id := range []string{"", "xx", "7F00000100002A9F0000000000000000"} {
		ask.MsgID = str(id)
		_, err := w.ConsumeMessageDirectly(bare(""), ask)
		require.Equal(t, protocol.SystemError, protocol.CodeOf(err), id)
	}
	ask.MsgID = str("7F00000100002A9F000000000000012C") // offset 300
	p.invoke = func(o *wire.Outgoing, data []byte) (*wire.Command, error) {
		require.Equal(t, int32(309), o.Code)
		require.Equal(t, "the record", string(data))
		require.Contains(t, o.Ext, wire.Field{Key: "brokerName", Value: "broker-a"})
		require.Contains(t, o.Ext, wire.Field{Key: "topicSysFlag", Value: "0"})
		return &wire.Command{Body: []byte(`{"consumeResult":"CR_SUCCESS"}`)}, nil
	}
	a, err := w.ConsumeMessageDirectly(bare(""), ask)
	require.Equal(t, `{"consumeResult":"CR_SUCCESS"}`, ok(t, a, err))
}

func TestInvokeBrokerToGetConsumerStatus(t *testing.T) {
	w := newWorld(t)
	ask := &header.GetConsumerStatusRequest{Topic: str("t"), Group: str("g")}
	_, err := w.InvokeBrokerToGetConsumerStatus(bare(""), ask)
	refused(t, err, protocol.SystemError, "No Any Consumer online in the consumer group: [g]")
	answer := func(o *wire.Outgoing, _ []byte) (*wire.Command, error) {
		require.Equal(t, int32(221), o.Code)
		return &wire.Command{Body: []byte(`{"messageQueueTable":{{"brokerName":"b","queueId":1,"topic":"t"}:7}}`)}, nil
	}
	w.online("g", &fakePeer{id: 1, invoke: answer}, "c1", 400, "t")
	w.online("g", &fakePeer{id: 2, invoke: func(*wire.Outgoing, []byte) (*wire.Command, error) { return nil, errors.New("gone") }}, "c2", 400, "t")
	a, err := w.InvokeBrokerToGetConsumerStatus(bare(""), ask)
	require.Equal(t, `{"consumerTable":{"c1":{{"brokerName":"b","queueId":1,"topic":"t"}:7}},"messageQueueTable":{}}`, ok(t, a, err))
	ask.ClientAddr = str("c2")
	a, err = w.InvokeBrokerToGetConsumerStatus(bare(""), ask)
	require.Equal(t, `{"consumerTable":{},"messageQueueTable":{}}`, ok(t, a, err))
	require.Equal(t, "not set any response code", a.Remark)
}
