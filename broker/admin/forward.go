package admin

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/merlinmq/merlin/broker/client"
	"github.com/merlinmq/merlin/compat/version"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
	"github.com/merlinmq/merlin/store"
)

const (
	// callWait is how long a client may take to answer 307 and 309.
	callWait = 10 * time.Second
	// maxForwards is how many requests may wait for clients at a time.
	maxForwards = 1000
	// statusWait is how long a client may take to answer 221.
	statusWait = 5 * time.Second
	// version318 is MQVersion V3_1_8_SNAPSHOT, the first that can answer 307 and 309.
	version318 = 62
	// version307 is MQVersion V3_0_7_SNAPSHOT, the first that can answer 220 and 221.
	version307 = 28
)

// GetConsumerRunningInfo is GET_CONSUMER_RUNNING_INFO (307): the request goes on
// to the named member of the group and its answer comes back as it is. The member
// offline or too old is SYSTEM_ERROR (1), silent for 10 s CONSUME_MSG_TIMEOUT
// (207).
func (h *Handler) GetConsumerRunningInfo(r *remoting.Request, q *header.GetConsumerRunningInfoRequest) (*remoting.Answer, error) {
	return h.call(r, int32(protocol.GetConsumerRunningInfo.Code), q.ConsumerGroup, q.ClientID, r.Cmd.Ext, r.Cmd.Body)
}

// ConsumeMessageDirectly is CONSUME_MESSAGE_DIRECTLY (309): the message of a
// message id goes to the named member of the group, which consumes it and answers
// with the result. Otherwise as 307.
func (h *Handler) ConsumeMessageDirectly(r *remoting.Request, q *header.ConsumeMessageDirectlyResultRequest) (*remoting.Answer, error) {
	_, phy, err := message.ParseOffsetMessageID(q.MsgID.V)
	if err != nil {
		return refuse(protocol.SystemError, "msgId %q is not a message id of this broker: %v", clip(q.MsgID.V), err)
	}
	rec, err := h.Store.RecordAt(phy)
	if err != nil && !errors.Is(err, store.ErrNoRecord) {
		return nil, err
	}
	if err != nil {
		return refuse(protocol.SystemError, "can not find message by the offset, %d", phy)
	}
	ext := set(r.Cmd.Ext, "brokerName", h.Config.Get().BrokerName)
	if t := h.Topics.Find(q.Topic.V); t != nil {
		ext = set(ext, "topicSysFlag", strconv.Itoa(int(t.TopicSysFlag)))
	}
	if g := h.Groups.Find(q.ConsumerGroup.V); g != nil {
		ext = set(ext, "groupSysFlag", strconv.Itoa(int(g.GroupSysFlag)))
	}
	return h.call(r, int32(protocol.ConsumeMessageDirectly.Code), q.ConsumerGroup, q.ClientID, ext, rec)
}

// laterPeer is a client whose answer comes to a function, and nobody waits for it. An
// error of Go means that done is not called.
type laterPeer interface {
	Go(ctx context.Context, o *wire.Outgoing, body []byte, done func(*wire.Command, error)) error
}

// call sends a request on to a member of a group.
func (h *Handler) call(r *remoting.Request, code int32, groupName, clientID wire.OptString, ext []wire.Field, data []byte) (*remoting.Answer, error) {
	g := h.Consumers.Find(groupName.V)
	if g == nil || g.Channel(clientID.V) == nil {
		return refuse(protocol.SystemError, "The Consumer <%s> <%s> not online", text(groupName), text(clientID))
	}
	ch := g.Channel(clientID.V)
	if ch == nil { // it left in between
		return refuse(protocol.SystemError, "The Consumer <%s> <%s> not online", text(groupName), text(clientID))
	}
	if ch.Version < version318 {
		return refuse(protocol.SystemError, "The Consumer <%s> Version <%s> too low to finish, please upgrade it to V3_1_8_SNAPSHOT",
			clientID.V, version.Name(ch.Version))
	}
	h.Logger.Info("request goes on to a client", "code", code, "group", groupName.V, "client", clientID.V, from(r))
	ctx, cancel := context.WithTimeout(context.Background(), callWait)
	defer cancel()
	o := &wire.Outgoing{Code: code, Ext: ext}
	answer := func(cmd *wire.Command, err error) (*remoting.Answer, error) {
		return forwarded(ch, groupName.V, clientID.V, cmd, err)
	}
	peer, later := ch.Peer.(laterPeer)
	if !later {
		return answer(ch.Peer.Invoke(ctx, o, data))
	}
	// No worker waits: a client that is silent would keep as many of them as there
	// are questions to it. The deadline of ctx counts, its cancelling does not.
	if h.forwards.Add(1) > maxForwards {
		h.forwards.Add(-1)
		return refuse(protocol.SystemBusy, "%d requests wait for clients, no further one goes on to <%s> <%s>", maxForwards, groupName.V, clientID.V)
	}
	to := r.To()
	err := peer.Go(ctx, o, data, func(cmd *wire.Command, err error) {
		h.forwards.Add(-1)
		a, err := answer(cmd, err)
		if pe := (*protocol.Error)(nil); errors.As(err, &pe) {
			a = remoting.Refuse(pe.Code, pe.Remark)
		}
		to.Send(a)
	})
	if err != nil {
		h.forwards.Add(-1)
		return answer(nil, err)
	}
	return nil, nil
}

// forwarded is the answer to a request that went on to a client.
func forwarded(ch *client.Channel, group, id string, cmd *wire.Command, err error) (*remoting.Answer, error) {
	if errors.Is(err, context.DeadlineExceeded) {
		return refuse(protocol.ConsumeMsgTimeout, "consumer <%s> <%s> Timeout: wait response on the channel <%s> timeout, %d(ms)",
			group, id, ch.Peer.RemoteAddr(), callWait.Milliseconds())
	}
	if err != nil {
		return refuse(protocol.SystemError, "invoke consumer <%s> <%s> Exception: %v", group, id, err)
	}
	return &remoting.Answer{
		Code: protocol.ResponseCode(cmd.Code), Remark: cmd.Remark, HasRemark: cmd.HasRemark, Ext: cmd.Ext, Body: cmd.Body,
	}, nil
}

// InvokeBrokerToGetConsumerStatus is INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223):
// it asks the members of a group, or only the one with the client id clientAddr,
// for their offsets on a topic (GET_CONSUMER_STATUS_FROM_CLIENT, 221), one after the
// other as Java does, and answers those that came within 5 s each. No worker waits.
func (h *Handler) InvokeBrokerToGetConsumerStatus(r *remoting.Request, q *header.GetConsumerStatusRequest) (*remoting.Answer, error) {
	g := h.Consumers.Find(q.Group.V)
	if g == nil {
		return refuse(protocol.SystemError, "No Any Consumer online in the consumer group: [%s]", text(q.Group))
	}
	only := strings.TrimSpace(q.ClientAddr.V)
	s := &statuses{h: h, to: r.To(), table: map[string]map[body.MessageQueue]int64{}}
	s.ask.Topic, s.ask.Group = q.Topic, q.Group
	s.ask.Topic.V, s.ask.Group.V = strings.Clone(q.Topic.V), strings.Clone(q.Group.V)
	for _, ch := range g.Channels() {
		if ch.Version < version307 {
			return refuse(protocol.SystemError, "the client does not support this feature. version=%s", version.Name(ch.Version))
		}
		if only == "" || q.ClientAddr.V == ch.ClientID {
			s.left = append(s.left, ch)
		}
	}
	if h.forwards.Add(1) > maxForwards {
		h.forwards.Add(-1)
		return refuse(protocol.SystemBusy, "%d requests wait for clients, no further one goes on to the members of <%s>", maxForwards, s.ask.Group.V)
	}
	if !s.next() {
		return nil, nil
	}
	h.forwards.Add(-1)
	return s.answer()
}

// statuses gathers the answers to 221 for one request. It belongs to the handler until
// a member answers later, from then on to who brings the answer: one at a time.
type statuses struct {
	h     *Handler
	to    remoting.ReplyTo
	ask   header.GetConsumerStatusRequest
	left  []*client.Channel // members that have not been asked yet
	table map[string]map[body.MessageQueue]int64
}

// next asks the members that are left, until one answers later: then it is false, and
// s belongs to somebody else.
func (s *statuses) next() bool {
	for len(s.left) > 0 {
		ch := s.left[0]
		s.left = s.left[1:]
		if s.askOne(ch) {
			return false
		}
	}
	return true
}

// askOne says whether a member answers later.
func (s *statuses) askOne(ch *client.Channel) bool {
	ctx, cancel := context.WithTimeout(context.Background(), statusWait)
	defer cancel()
	o := &wire.Outgoing{Code: int32(protocol.GetConsumerStatusFromClient.Code), Header: &s.ask}
	peer, later := ch.Peer.(laterPeer)
	if !later {
		s.note(ch.ClientID)(ch.Peer.Invoke(ctx, o, nil))
		return false
	}
	note := s.note(ch.ClientID)
	err := peer.Go(ctx, o, nil, func(cmd *wire.Command, err error) {
		if note(cmd, err); !s.next() {
			return
		}
		s.h.forwards.Add(-1)
		a, err := s.answer()
		if err != nil {
			a = remoting.Refuse(protocol.SystemError, err.Error())
		}
		s.to.Send(a)
	})
	if err != nil {
		note(nil, err)
	}
	return err == nil
}

// note takes what a member answers.
func (s *statuses) note(clientID string) func(*wire.Command, error) {
	return func(cmd *wire.Command, err error) {
		var offsets map[body.MessageQueue]int64
		if err == nil {
			offsets, err = statusOf(cmd)
		}
		if err != nil {
			s.h.Logger.Warn("a client does not tell its offsets", "group", s.ask.Group.V, "client", clientID, "error", err)
		} else if offsets != nil {
			s.table[clientID] = offsets
		}
	}
}

func (s *statuses) answer() (*remoting.Answer, error) {
	return unset(reply(&body.GetConsumerStatusBody{ConsumerTable: s.table, MessageQueueTable: map[body.MessageQueue]int64{}}))
}

// statusOf is nil when the client answered, but not with offsets.
func statusOf(cmd *wire.Command) (map[body.MessageQueue]int64, error) {
	if cmd.Code != int32(protocol.Success) || len(cmd.Body) == 0 {
		return nil, nil
	}
	var b body.GetConsumerStatusBody
	if err := body.Unmarshal(cmd.Body, &b); err != nil {
		return nil, err
	}
	if b.MessageQueueTable == nil {
		b.MessageQueueTable = map[body.MessageQueue]int64{}
	}
	return b.MessageQueueTable, nil
}

// set gives a copy of fields with one replaced or added.
func set(fields []wire.Field, key, value string) []wire.Field {
	out := make([]wire.Field, 0, len(fields)+1)
	for _, f := range fields {
		if f.Key != key {
			out = append(out, f)
		}
	}
	return append(out, wire.Field{Key: key, Value: value})
}

// clip keeps a remark short whatever a peer sends.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
