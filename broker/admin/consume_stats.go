package admin

import (
	"strings"

	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/remoting"
)

// GetConsumeStats is GET_CONSUME_STATS (208): how far a group has come in every
// queue of a topic, of the topics of topicList, or of all topics that it has
// offsets on. Topics that do not exist are left out, and so are topics that an
// online group does not subscribe to, unless they stand in topicList.
func (h *Handler) GetConsumeStats(_ *remoting.Request, q *header.GetConsumeStatsRequest) (*remoting.Answer, error) {
	if !q.ConsumerGroup.Set {
		return nil, missing("consumerGroup")
	}
	g := q.ConsumerGroup.V
	s := body.ConsumeStats{OffsetTable: map[body.MessageQueue]body.OffsetWrapper{}}
	for _, name := range h.statsTopics(q) {
		c := h.Topics.Find(name)
		if c == nil {
			continue
		}
		for id := range c.ReadQueueNums {
			o, err := h.progress(g, name, id)
			if err != nil {
				return nil, err
			}
			o.PullOffset = max(o.ConsumerOffset, h.Offsets.QueryPull(name, g, id))
			s.OffsetTable[h.queue(name, id)] = o
		}
		s.ConsumeTps += h.Stats.MinuteTPS(stats.GroupGetNums, stats.TopicGroupKey(name, g))
	}
	return reply(&s)
}

func (h *Handler) statsTopics(q *header.GetConsumeStatsRequest) []string {
	var given []string
	for _, t := range strings.Split(q.TopicList.V, ";") {
		if t != "" {
			given = append(given, t)
		}
	}
	if len(given) > 0 && strings.TrimSpace(q.TopicList.V) != "" {
		return given
	}
	names := []string{q.Topic.V}
	if strings.TrimSpace(q.Topic.V) == "" {
		names = h.Offsets.TopicsOf(q.ConsumerGroup.V)
	}
	var out []string
	for _, name := range names {
		if h.subscribes(q.ConsumerGroup.V, name) {
			out = append(out, name)
		}
	}
	return out
}

// progress is how far a group has come in a queue, without the pull offset.
func (h *Handler) progress(g, name string, id int32) (body.OffsetWrapper, error) {
	o := body.OffsetWrapper{
		BrokerOffset:   max(0, h.Store.MaxOffset(name, id)),
		ConsumerOffset: max(0, h.Offsets.Query(name, g, id)),
	}
	if o.ConsumerOffset > 0 {
		stored, err := h.Store.StoreTimeAt(name, id, o.ConsumerOffset-1)
		if err != nil {
			return o, err
		}
		o.LastTimestamp = max(0, stored)
	}
	return o, nil
}

// GetBrokerConsumeStats is GET_BROKER_CONSUME_STATS (317): the progress of every
// group on every topic that it has offsets on, with isOrder only of order topics.
// As in Java the queues follow writeQueueNums, and pull offsets are not filled in,
// which makes totalInflightDiff useless.
func (h *Handler) GetBrokerConsumeStats(_ *remoting.Request, q *header.GetConsumeStatsInBroker) (*remoting.Answer, error) {
	l := body.ConsumeStatsList{BrokerAddr: h.Addr, ConsumeStatsList: []map[string][]body.ConsumeStats{}}
	groups, _ := h.Groups.All()
	for _, c := range groups {
		g := c.GroupName
		of := []body.ConsumeStats{}
		for _, name := range h.Offsets.TopicsOf(g) {
			t := h.Topics.Find(name)
			if t == nil || q.IsOrder && !t.Order || !h.subscribes(g, name) {
				continue
			}
			s := body.ConsumeStats{OffsetTable: map[body.MessageQueue]body.OffsetWrapper{}}
			for id := range t.WriteQueueNums {
				o, err := h.progress(g, name, id)
				if err != nil {
					return nil, err
				}
				s.OffsetTable[h.queue(name, id)] = o
				l.TotalDiff += o.BrokerOffset - o.ConsumerOffset
				l.TotalInflightDiff += o.PullOffset - o.ConsumerOffset
			}
			s.ConsumeTps = h.Stats.MinuteTPS(stats.GroupGetNums, stats.TopicGroupKey(name, g))
			of = append(of, s)
		}
		l.ConsumeStatsList = append(l.ConsumeStatsList, map[string][]body.ConsumeStats{g: of})
	}
	return reply(&l)
}
