package admin

import (
	"strings"

	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/remoting"
)

// DeleteTopicInBroker is DELETE_TOPIC_IN_BROKER (215): it forgets a topic, its
// queues, its offsets and counters, and (clearRetryTopicWhenDeleteTopic) the POP
// retry topics of the groups that have offsets on it. An unknown topic is a
// success. The name servers keep the route until they are told (216).
func (h *Handler) DeleteTopicInBroker(r *remoting.Request, q *header.DeleteTopicRequest) (*remoting.Answer, error) {
	name := q.Topic.V
	if strings.TrimSpace(name) == "" {
		return refuse(protocol.InvalidParameter, "The specified topic is blank.")
	}
	cfg := h.Config.Get()
	if cfg.ValidateSystemTopicWhenUpdateTopic && h.Topics.IsSystem(name) {
		return refuse(protocol.InvalidParameter, "The topic[%s] is conflict with system topic.", name)
	}
	h.changing.Lock()
	defer h.changing.Unlock()
	gone := []string{name}
	if cfg.ClearRetryTopicWhenDeleteTopic {
		for _, g := range h.Offsets.GroupsOf(name) {
			for _, retry := range []string{topic.Retry(g) + "+" + name, topic.Retry(g) + "_" + name} {
				if h.Topics.Find(retry) != nil {
					gone = append(gone, retry)
				}
			}
		}
	}
	for _, t := range gone {
		h.Logger.Info("topic is deleted", "topic", t, from(r))
		if _, err := h.Topics.Delete(t); err != nil {
			return nil, err
		}
		h.Offsets.RemoveTopic(t)
		h.Stats.TopicDeleted(t)
		if err := h.Store.DeleteTopic(t); err != nil {
			return nil, err
		}
	}
	return done()
}
