package admin

import (
	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/remoting"
)

// GetTopicStatsInfo is GET_TOPIC_STATS_INFO (202): the bounds of every queue of a
// topic, and when its newest message was stored. A topic that was just made has
// all its queues with zeros: clients wait for that.
func (h *Handler) GetTopicStatsInfo(_ *remoting.Request, q *header.GetTopicStatsInfoRequest) (*remoting.Answer, error) {
	if !q.Topic.Set {
		return nil, missing("topic")
	}
	name := q.Topic.V
	c := h.Topics.Find(name)
	if c == nil {
		return refuse(protocol.TopicNotExist, "topic[%s] not exist", name)
	}
	t := body.TopicStatsTable{OffsetTable: map[body.MessageQueue]body.TopicOffset{}}
	for id := range max(c.WriteQueueNums, c.ReadQueueNums) {
		o := body.TopicOffset{MinOffset: max(0, h.Store.MinOffset(name, id)), MaxOffset: max(0, h.Store.MaxOffset(name, id))}
		if o.MaxOffset > 0 {
			var err error
			if o.LastUpdateTimestamp, err = h.Store.StoreTimeAt(name, id, o.MaxOffset-1); err != nil {
				return nil, err
			}
		}
		t.OffsetTable[h.queue(name, id)] = o
	}
	t.TopicPutTps = h.Stats.MinuteTPS(stats.TopicPutNums, name)
	return reply(&t)
}
