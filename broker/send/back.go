package send

import (
	"errors"
	"strconv"

	"github.com/merlinmq/merlin/broker/put"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/remoting"
	"github.com/merlinmq/merlin/store"
)

// Back handles CONSUMER_SEND_MSG_BACK (36): a message that could not be consumed
// goes to the retry topic of its group after a delay, or, when it was tried too
// often, to the dead letter topic.
func (h *Handler) Back(r *remoting.Request, q *header.ConsumerSendMsgBackRequest) (*remoting.Answer, error) {
	if !q.Offset.Set || !q.DelayLevel.Set {
		return nil, protocol.Errorf(protocol.SystemError, "the request has no offset or no delayLevel")
	}
	cfg := h.Config.Get()
	g, err := h.Groups.FindOrCreate(q.Group.V)
	if err != nil {
		return nil, err
	}
	if g == nil {
		return nil, protocol.Errorf(protocol.SubscriptionGroupNotExist, "subscription group not exist, %s %s", q.Group.V, protocol.FAQ)
	}
	if cfg.BrokerPermission&topic.PermWrite == 0 {
		return nil, protocol.Errorf(protocol.NoPermission, "the broker[%s] sending message is forbidden", cfg.BrokerIP1)
	}
	if g.RetryQueueNums <= 0 {
		return &remoting.Answer{Code: protocol.Success}, nil // the group wants no retries
	}
	var flag int32
	if q.UnitMode {
		flag = topic.FlagUnitSub
	}
	retry := topic.Retry(g.GroupName)
	tc, created := h.Topics.CreateForGroup(retry, g.RetryQueueNums, topic.PermRead|topic.PermWrite, flag, false)
	if tc.Perm&topic.PermWrite == 0 {
		return nil, protocol.Errorf(protocol.NoPermission, "the topic[%s] sending message is forbidden", retry)
	}
	rec, err := h.Store.RecordAt(q.Offset.V)
	if err != nil && !errors.Is(err, store.ErrNoRecord) {
		return nil, err // it cannot be read now: the client sends it back again
	}
	if err != nil {
		return nil, protocol.Errorf(protocol.SystemError, "look message by offset failed, %d", q.Offset.V)
	}
	var m message.Message
	if _, err := message.Decode(rec, &m, false); err != nil {
		return nil, protocol.Errorf(protocol.SystemError, "look message by offset failed, %d", q.Offset.V)
	}
	m.QueueID = int32(h.Rand(int(min(g.RetryQueueNums, topic.MaxQueues))))
	deadCreated, err := h.putBack(r, q, &m, tc, g)
	if err != nil {
		return nil, err
	}
	a := &remoting.Answer{Code: protocol.Success}
	if created || deadCreated {
		return h.Told.Answer(r, a)
	}
	return a, nil
}

// putBack stores the copy of m. created says that it made the dead letter topic.
func (h *Handler) putBack(r *remoting.Request, q *header.ConsumerSendMsgBackRequest, m *message.Message, retry *body.TopicConfig, g *body.SubscriptionGroupConfig) (created bool, err error) {
	limit := g.RetryMaxTimes
	if r.Cmd.Version >= version349 && q.MaxReconsumeTimes.Set {
		limit = q.MaxReconsumeTimes.V
	}
	d, origin := put.Again(m), m.Topic
	if was, ok := d.Props.Get(message.PropertyRetryTopic); ok {
		origin = was
	} else {
		d.Props.Add(message.PropertyRetryTopic, m.Topic)
	}
	if id, ok := d.Props.Get(message.PropertyOriginMessageID); !ok || id == "" {
		d.Props.Set(message.PropertyOriginMessageID, message.OffsetMessageID(m.StoreHost, m.PhyOffset))
	}
	level := int(q.DelayLevel.V)
	dead := m.ReconsumeTimes >= limit || level < 0
	d.Msg.Topic = retry.TopicName
	if dead {
		level = 0
		tc, made := h.Topics.CreateForGroup(topic.DLQ(g.GroupName), 1, topic.PermRead|topic.PermWrite, 0, false)
		created = made
		d.Msg.Topic, d.Msg.QueueID = tc.TopicName, 0
	} else if level == 0 {
		level = 3 + int(m.ReconsumeTimes)
	}
	d.Props.Set(message.PropertyDelayLevel, strconv.Itoa(level))
	d.Props.Set(message.PropertyWait, "false")
	d.Delay, d.Counts = level, put.AsSendBack()
	d.Msg.ReconsumeTimes++
	d.Msg.StoreHost = h.StoreHost
	if topic.IsRetry(d.Msg.Topic) && len(d.Msg.Topic) > topic.MaxRetryLength {
		// Behind the schedule topic the store would not see it, and the delivery fail.
		return created, protocol.Errorf(protocol.SystemError, "%s", store.MessageIllegal)
	}
	if res := h.Put.Put(d); res.Status != store.PutOK {
		return created, protocol.Errorf(protocol.SystemError, "%s", res.Status)
	}
	h.countBack(r, q, m, origin, dead)
	return created, nil
}

// countBack counts a message of a topic as sent back, and as a dead letter.
func (h *Handler) countBack(r *remoting.Request, q *header.ConsumerSendMsgBackRequest, m *message.Message, origin string, dead bool) {
	h.Stats.SentBack(origin, q.Group.V)
	if !dead {
		return
	}
	owner, ok := r.Cmd.Lookup("Owner")
	if !ok {
		owner = "null"
	}
	h.Stats.SentToDLQ(owner, q.OriginTopic.Or("null"), q.Group.V)
	h.Logger.Info("message became a dead letter", "group", q.Group.V, "topic", origin, "offset", q.Offset.V, "reconsumeTimes", m.ReconsumeTimes)
}
