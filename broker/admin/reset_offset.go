package admin

import (
	"slices"
	"strings"

	"github.com/merlinmq/merlin/broker/client"
	"github.com/merlinmq/merlin/broker/offset"
	"github.com/merlinmq/merlin/compat/version"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// InvokeBrokerToResetOffset is INVOKE_BROKER_TO_RESET_OFFSET (222): it moves the
// offsets of a group on a topic to a time, or of one queue to an offset, and
// answers the new offsets. With useServerSideResetOffset the broker sets them
// itself and the next pull of each queue learns of it; without, the online members
// of the group are told to (RESET_CONSUMER_CLIENT_OFFSET, 220).
func (h *Handler) InvokeBrokerToResetOffset(r *remoting.Request, q *header.ResetOffsetRequest) (*remoting.Answer, error) {
	switch {
	case !q.Topic.Set:
		return nil, missing("topic")
	case !q.Group.Set:
		return nil, missing("group")
	}
	h.Logger.Info("offsets are reset", "topic", q.Topic.V, "group", q.Group.V, "queue", q.QueueID,
		"timestamp", q.Timestamp, "offset", q.Offset.Or(-1), "force", q.IsForce, from(r))
	var table map[body.MessageQueue]int64
	var err error
	if h.Config.Get().UseServerSideResetOffset {
		table, err = h.resetHere(q)
	} else {
		table, err = h.resetAtClients(r, q)
	}
	if err != nil {
		return nil, err
	}
	return reply(&body.ResetOffsetBody{OffsetTable: table})
}

// resetHere sets the offsets in the table; the commits of members that do not know
// yet are ignored until their next pull.
func (h *Handler) resetHere(q *header.ResetOffsetRequest) (map[body.MessageQueue]int64, error) {
	name, g := strings.Clone(q.Topic.V), strings.Clone(q.Group.V)
	c := h.Topics.Find(name)
	if c == nil {
		return nil, protocol.Errorf(protocol.TopicNotExist, "Topic %s does not exist", name)
	}
	if h.Groups.Find(g) == nil {
		return nil, protocol.Errorf(protocol.SubscriptionGroupNotExist, "Group %s does not exist", g)
	}
	to := map[int32]int64{}
	switch {
	case q.QueueID >= 0 && q.QueueID >= max(c.ReadQueueNums, c.WriteQueueNums):
		return nil, protocol.Errorf(protocol.SystemError, "No queues to reset.")
	case q.QueueID >= 0 && q.Offset.Or(-1) != -1:
		lo, hi := h.Store.MinOffset(name, q.QueueID), h.Store.MaxOffset(name, q.QueueID)
		if lo >= 0 && q.Offset.V < lo || q.Offset.V > hi+1 {
			return nil, protocol.Errorf(protocol.SystemError, "Target offset %d not in consume queue range [%d-%d]", q.Offset.V, lo, hi)
		}
		to[q.QueueID] = q.Offset.V
	case q.QueueID >= 0:
		at, err := h.offsetAt(name, q.QueueID, q.Timestamp)
		if err != nil {
			return nil, err
		}
		to[q.QueueID] = at
	default:
		for id := range c.ReadQueueNums {
			at, err := h.offsetAt(name, id, q.Timestamp)
			if err != nil {
				return nil, err // of all queues or of none
			}
			to[id] = at
		}
	}
	if len(to) == 0 {
		return nil, protocol.Errorf(protocol.SystemError, "No queues to reset.")
	}
	table := map[body.MessageQueue]int64{}
	for id, at := range to {
		h.Offsets.AssignReset(name, g, id, at)
		table[h.queue(name, id)] = at
	}
	return table, nil
}

// offsetAt is the offset of a queue at a time in ms; below 0 means its end.
func (h *Handler) offsetAt(name string, id int32, timestamp int64) (int64, error) {
	if timestamp < 0 {
		return max(0, h.Store.MaxOffset(name, id)), nil
	}
	at, err := h.Store.OffsetByTime(name, id, timestamp, false)
	return max(0, at), err
}

// resetAtClients computes the offsets and tells the members of the group.
func (h *Handler) resetAtClients(r *remoting.Request, q *header.ResetOffsetRequest) (map[body.MessageQueue]int64, error) {
	name, g := q.Topic.V, q.Group.V
	c := h.Topics.Find(name)
	if c == nil {
		return nil, protocol.Errorf(protocol.TopicNotExist, "[reset-offset] reset offset failed, no topic in this broker. topic=%s", name)
	}
	table := map[body.MessageQueue]int64{}
	for id := range c.WriteQueueNums {
		now := h.Offsets.Query(name, g, id)
		if now == offset.None {
			return nil, protocol.Errorf(protocol.SystemError, "THe consumer group <%s> not exist", g)
		}
		at, err := h.offsetAt(name, id, q.Timestamp)
		if err != nil {
			return nil, err
		}
		if !q.IsForce {
			at = min(at, now)
		}
		table[h.queue(name, id)] = at
	}
	members := h.Consumers.Find(g)
	if members == nil {
		return nil, protocol.Errorf(protocol.ConsumerNotOnline,
			"Consumer not online, so can not reset offset, Group: %s Topic: %s Timestamp: %d", g, name, q.Timestamp)
	}
	return table, h.tell(members.Channels(), q, table, r.Cmd.Language == wire.CPP)
}

// tell sends the offsets to clients; those in C++ want a list, not a map.
func (h *Handler) tell(members []*client.Channel, q *header.ResetOffsetRequest, table map[body.MessageQueue]int64, list bool) error {
	data, err := body.Marshal(&body.ResetOffsetBody{OffsetTable: table})
	if list {
		data, err = body.Marshal(&body.ResetOffsetBodyForC{OffsetTable: queueList(table)})
	}
	if err != nil {
		return err
	}
	for _, ch := range members {
		if ch.Version < version307 {
			return protocol.Errorf(protocol.SystemError, "the client does not support this feature. version=%s", version.Name(ch.Version))
		}
		out := &wire.Outgoing{
			Code:   int32(protocol.ResetConsumerClientOffset.Code),
			Header: &header.ResetOffsetRequest{Topic: q.Topic, Group: q.Group, QueueID: -1, Timestamp: q.Timestamp},
		}
		if err := ch.Peer.Oneway(out, data); err != nil {
			h.Logger.Warn("a client is not told of its reset offsets", "group", q.Group.V, "client", ch.ClientID, "error", err)
		}
	}
	return nil
}

func queueList(table map[body.MessageQueue]int64) []body.MessageQueueForC {
	out := make([]body.MessageQueueForC, 0, len(table))
	for mq, at := range table {
		out = append(out, body.MessageQueueForC{Topic: mq.Topic, BrokerName: mq.BrokerName, QueueID: mq.QueueID, Offset: at})
	}
	slices.SortFunc(out, func(a, b body.MessageQueueForC) int { return int(a.QueueID - b.QueueID) })
	return out
}
