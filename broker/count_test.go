package broker

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
)

// counted is the value of a counter, -1 when there is none.
func (r *rig) counted(name, key string) int64 {
	it, ok := r.stats.Lookup(name, key)
	if !ok {
		return -1
	}
	return it.Value()
}

// back sends a message of topic T back from a group.
func (r *rig) back(m message.Message, group string, level, limit int32) *wire.Command {
	return r.call(protocol.ConsumerSendMsgBack.Code, &header.ConsumerSendMsgBackRequest{
		Offset: wire.Some(m.PhyOffset), Group: wire.Some(group), DelayLevel: wire.Some(level),
		OriginTopic: wire.Some("T"), MaxReconsumeTimes: wire.Some(limit),
	}, nil)
}

// What SendMessageProcessor, AbstractSendMessageProcessor (consumerSendMsgBack),
// ScheduleMessageService, DefaultPullMessageResultHandler, ClientManageProcessor
// and ClientHousekeepingService count.
func TestCounters_AreFedAsInJava(t *testing.T) {
	r := newRig(t, "messageDelayLevel=1s 1s 1s 1s")
	const cluster = "DefaultCluster"
	r.send("T", 1, "now")
	r.send("T", 1, "later", "DELAY", "2")
	require.EqualValues(t, 1, r.counted(stats.TopicPutNums, "T"))
	require.EqualValues(t, 1, r.counted(stats.TopicPutNums, "SCHEDULE_TOPIC_XXXX"))
	require.EqualValues(t, 1, r.counted(stats.QueuePutNums, "SCHEDULE_TOPIC_XXXX@1"))
	require.EqualValues(t, -1, r.counted(stats.QueuePutNums, "T@1"))
	require.EqualValues(t, 2, r.counted(stats.BrokerPutNums, cluster))
	require.GreaterOrEqual(t, r.counted(stats.TopicPutLatency, "1@T"), int64(0))
	require.GreaterOrEqual(t, r.counted(stats.TopicPutLatency, "1@SCHEDULE_TOPIC_XXXX"), int64(0))

	var ms []message.Message
	require.Eventually(t, func() bool { _, _, ms = r.pull(pullHeader("T", 1, 0, 0)); return len(ms) == 2 }, 10*time.Second, 20*time.Millisecond)
	require.EqualValues(t, 2, r.counted(stats.TopicPutNums, "T"), "delivered")
	require.EqualValues(t, 3, r.counted(stats.BrokerPutNums, cluster))
	require.EqualValues(t, 1, r.counted(stats.GroupGetNums, "SCHEDULE_TOPIC_XXXX@SCHEDULE_CONSUMER"))
	require.GreaterOrEqual(t, r.counted(stats.GroupGetNums, "T@G"), int64(2))
	require.GreaterOrEqual(t, r.counted(stats.GroupGetLatency, "1@T@G"), int64(0))

	before := r.counted(stats.BrokerPutNums, cluster)
	require.EqualValues(t, 0, r.back(ms[0], "G", 4, 16).Code)
	require.EqualValues(t, 2, r.counted(stats.TopicPutNums, "SCHEDULE_TOPIC_XXXX"))
	require.Greater(t, r.counted(stats.TopicPutSize, "SCHEDULE_TOPIC_XXXX"), int64(200))
	require.EqualValues(t, 1, r.counted(stats.QueuePutNums, "SCHEDULE_TOPIC_XXXX@3"))
	require.EqualValues(t, before, r.counted(stats.BrokerPutNums, cluster), "Java leaves it out of these")
	require.EqualValues(t, 1, r.counted(stats.SendBackPutNums, "T@G"))
	require.EqualValues(t, 0, r.back(ms[0], "G", -1, 16).Code)
	require.EqualValues(t, -1, r.counted(stats.TopicPutNums, "%DLQ%G"), "Java counts only the schedule topic here")
	require.EqualValues(t, 1, r.counted(stats.SendBackToDLQTimes, "null@T@G@SEND_BACK_TO_DLQ"))
	require.EqualValues(t, 2, r.counted(stats.SendBackPutNums, "T@G"))
	require.Eventually(t, func() bool { return r.counted(stats.TopicPutNums, "%RETRY%G") == 1 }, 10*time.Second, 20*time.Millisecond)

	hb, err := body.Marshal(&body.HeartbeatData{ClientID: "c", ProducerDataSet: []body.ProducerData{{GroupName: "P"}},
		ConsumerDataSet: []body.ConsumerData{{GroupName: "G", ConsumeType: body.ConsumePassively, MessageModel: body.Clustering}}})
	require.NoError(t, err)
	require.EqualValues(t, 0, r.call(protocol.HeartBeat.Code, nil, hb).Code)
	require.GreaterOrEqual(t, r.counted(stats.ConsumerRegisterTime, cluster), int64(0))
	require.GreaterOrEqual(t, r.counted(stats.ProducerRegisterTime, cluster), int64(0))
	require.EqualValues(t, 1, r.counted(stats.ChannelActivity, stats.ChannelConnect))
	r.client.Close()
	require.Eventually(t, func() bool { return r.counted(stats.ChannelActivity, stats.ChannelClose) == 1 }, 5*time.Second, time.Millisecond)
}

// ScheduleMessageService.PutResultProcess.onSuccess asks enableScheduleMessageStats at
// each delivery, and BrokerStatsManager.enableQueueStat is enableDetailStat.
func TestCounters_AreSwitched(t *testing.T) {
	r := newRig(t, "messageDelayLevel=1s\nenableScheduleMessageStats=false\nenableDetailStat=false")
	r.send("T", 1, "later", "DELAY", "1")
	delivered := func(n int) func() bool {
		return func() bool { _, _, ms := r.pull(pullHeader("T", 1, 0, 0)); return len(ms) == n }
	}
	require.Eventually(t, delivered(1), 10*time.Second, 20*time.Millisecond)
	require.EqualValues(t, 1, r.counted(stats.TopicPutNums, "SCHEDULE_TOPIC_XXXX"), "the send is counted")
	require.EqualValues(t, -1, r.counted(stats.TopicPutNums, "T"))
	require.EqualValues(t, -1, r.counted(stats.GroupGetNums, "SCHEDULE_TOPIC_XXXX@SCHEDULE_CONSUMER"))
	require.EqualValues(t, -1, r.counted(stats.QueuePutNums, "SCHEDULE_TOPIC_XXXX@0"))
	require.EqualValues(t, -1, r.counted(stats.GroupGetLatency, "1@T@G"))
	require.GreaterOrEqual(t, r.counted(stats.GroupGetLatency, "T@G"), int64(0))

	require.EqualValues(t, 0, r.call(protocol.UpdateBrokerConfig.Code, nil, []byte("enableScheduleMessageStats=true")).Code)
	r.send("T", 1, "later", "DELAY", "1")
	require.Eventually(t, delivered(2), 10*time.Second, 20*time.Millisecond)
	require.Eventually(t, func() bool { return r.counted(stats.TopicPutNums, "T") == 1 }, 5*time.Second, time.Millisecond)
	require.EqualValues(t, 1, r.counted(stats.GroupGetNums, "SCHEDULE_TOPIC_XXXX@SCHEDULE_CONSUMER"))
	require.EqualValues(t, -1, r.counted(stats.QueueGetNums, "SCHEDULE_TOPIC_XXXX@0@SCHEDULE_CONSUMER"))
	r.stats.TopicDeleted("T")
	require.EqualValues(t, -1, r.counted(stats.GroupGetLatency, "T@G"))
}

// HookUtils.checkBeforePutMessage sees the retry topic before the message is put
// into the schedule topic.
func TestSendBack_RetryTopicTooLong(t *testing.T) {
	r := newRig(t, "")
	r.send("T", 0, "m")
	var ms []message.Message
	require.Eventually(t, func() bool { _, _, ms = r.pull(pullHeader("T", 0, 0, 0)); return len(ms) == 1 }, 5*time.Second, time.Millisecond)
	a := r.back(ms[0], strings.Repeat("g", 248), 1, 16)
	require.EqualValues(t, 0, a.Code, a.Remark)
	a = r.back(ms[0], strings.Repeat("g", 249), 1, 16)
	require.Equal(t, protocol.SystemError, protocol.ResponseCode(a.Code))
	require.Equal(t, "MESSAGE_ILLEGAL", a.Remark)
}
