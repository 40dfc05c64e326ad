package put

import (
	"strconv"
	"time"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// Decode reads the header of any send code into the V2 form.
func Decode(c *wire.Command, q *header.SendMessageRequestV2) error {
	q.Reset()
	if protocol.Code(c.Code) != protocol.SendMessage.Code && protocol.Code(c.Code) != protocol.SendReplyMessage.Code {
		return q.DecodeFields(c)
	}
	var v1 header.SendMessageRequest
	v1.Reset()
	if err := v1.DecodeFields(c); err != nil {
		return err
	}
	*q = header.SendMessageRequestV2{
		ProducerGroup: v1.ProducerGroup, Topic: v1.Topic, DefaultTopic: v1.DefaultTopic,
		DefaultTopicQueueNums: v1.DefaultTopicQueueNums, QueueID: v1.QueueID, SysFlag: v1.SysFlag,
		BornTimestamp: v1.BornTimestamp, Flag: v1.Flag, Properties: v1.Properties, ReconsumeTimes: v1.ReconsumeTimes,
		UnitMode: v1.UnitMode, MaxReconsumeTimes: v1.MaxReconsumeTimes, Batch: v1.Batch, BrokerName: v1.Bname,
	}
	return nil
}

// reply reports whether a send is a reply, whose system flag nobody reads.
func reply(code int32) bool {
	return protocol.Code(code) == protocol.SendReplyMessage.Code || protocol.Code(code) == protocol.SendReplyMessageV2.Code
}

// Gate lets sends in.
type Gate struct {
	Config *config.Config
	Topics *topic.Table
	Clock  clock.Clock
	// Rand gives a random number below n.
	Rand func(n int) int
}

// Passed is what the checks found out of a send.
type Passed struct {
	Topic   *body.TopicConfig // immutable
	QueueID int32
	// Created says that the send made the topic: it is answered when the name
	// servers know it (cluster.Registrar.Told).
	Created bool
}

// Check gives the topic of a send, made when it may be, and the queue, chosen
// when the client left it open. A non-nil answer refuses the send.
func (g *Gate) Check(r *remoting.Request, q *header.SendMessageRequestV2) (p Passed, a *remoting.Answer) {
	if start := g.Config.StartAcceptSendRequestTimeStamp; start > 0 && g.Clock.NowMillis() < start {
		return p, g.refuse(protocol.SystemError, "broker unable to service, until "+humanTime(start))
	}
	if p.Topic, p.Created, a = g.checkTopic(r, q); a != nil {
		return p, a
	}
	if p.QueueID = q.QueueID.V; p.QueueID < 0 {
		if p.Topic.WriteQueueNums <= 0 {
			return p, g.refuse(protocol.SystemError, "topic["+p.Topic.TopicName+"] has no write queues")
		}
		p.QueueID = int32(g.Rand(int(p.Topic.WriteQueueNums)))
	}
	return p, nil
}

// checkTopic is msgCheck: may the topic be sent to, is it there or may it be
// made, is the queue one of its queues.
func (g *Gate) checkTopic(r *remoting.Request, q *header.SendMessageRequestV2) (tc *body.TopicConfig, created bool, a *remoting.Answer) {
	name := q.Topic.V // a missing topic is a blank one
	tc = g.Topics.Find(name)
	if g.Config.BrokerPermission&topic.PermWrite == 0 && tc != nil && tc.Order {
		return nil, false, g.refuse(protocol.NoPermission, "the broker["+g.Config.BrokerIP1+"] sending message is forbidden")
	}
	if remark := topic.Validate(name); remark != "" {
		return nil, false, g.refuse(protocol.InvalidParameter, remark)
	}
	if !q.QueueID.Set || !q.BornTimestamp.Set || !q.Flag.Set || !q.SysFlag.Set && !reply(r.Cmd.Code) {
		return nil, false, g.refuse(protocol.SystemError, "the request has no queueId, sysFlag, bornTimestamp or flag")
	}
	if topic.ForbidsSending(name) {
		return nil, false, g.refuse(protocol.NoPermission, "Sending message to topic["+name+"] is forbidden.")
	}
	if tc == nil {
		if tc, created = g.makeTopic(q); tc == nil {
			return nil, false, g.refuse(protocol.TopicNotExist, "topic["+name+"] not exist, apply first please!"+protocol.FAQ)
		}
	}
	if why := topic.Unserved(tc); why != "" {
		return nil, false, g.refuse(protocol.SystemError, why)
	}
	if q.QueueID.V >= max(tc.WriteQueueNums, tc.ReadQueueNums) {
		return nil, false, g.refuse(protocol.InvalidParameter, "request queueId["+strconv.Itoa(int(q.QueueID.V))+"] is illegal, "+
			topic.Describe(tc)+" Producer: "+r.Peer.RemoteAddr().String())
	}
	return tc, created, nil
}

func (g *Gate) makeTopic(q *header.SendMessageRequestV2) (tc *body.TopicConfig, created bool) {
	name := q.Topic.V
	var flag int32
	if q.UnitMode.Or(false) {
		flag = topic.FlagUnit
		if topic.IsRetry(name) {
			flag = topic.FlagUnitSub
		}
	}
	tc, created = g.Topics.CreateOnSend(name, q.DefaultTopic.V, q.DefaultTopicQueueNums.V, flag)
	if tc == nil && topic.IsRetry(name) {
		tc, created = g.Topics.CreateForGroup(name, 1, topic.PermRead|topic.PermWrite, flag, false)
	}
	return tc, created
}

func (g *Gate) refuse(code protocol.ResponseCode, remark string) *remoting.Answer {
	return Refuse(g.Config, code, remark)
}

// Refuse is a failed send: even these carry the region and the trace switch.
func Refuse(cfg *config.Config, code protocol.ResponseCode, remark string) *remoting.Answer {
	ext := RegionFields(cfg)
	return &remoting.Answer{Code: code, Remark: remark, HasRemark: true, Ext: ext[:]}
}

// RegionFields are the fields that every answer to a send carries.
func RegionFields(cfg *config.Config) [2]wire.Field {
	return [2]wire.Field{{Key: message.PropertyMsgRegion, Value: cfg.RegionID}, {Key: message.PropertyTraceSwitch, Value: strconv.FormatBool(cfg.TraceOn)}}
}

// humanTime is Java's timeMillisToHumanString2.
func humanTime(ms int64) string { return time.UnixMilli(ms).Format("2006-01-02 15:04:05,000") }
