package admin

import (
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/remoting"
)

// GetAllTopicConfig is GET_ALL_TOPIC_CONFIG (21): all topics with their data
// version. The paging fields of 5.4 tools are ignored, as a 5.3.3 broker does:
// the answer is the whole table. There are no static topics, so their version is
// that of the start.
func (h *Handler) GetAllTopicConfig(*remoting.Request, *header.GetAllTopicConfigRequest) (*remoting.Answer, error) {
	all, version := h.Topics.All()
	var w body.TopicConfigAndMappingSerializeWrapper
	w.DataVersion = version
	w.MappingDataVersion.Timestamp = h.started
	w.TopicConfigTable = make(map[string]body.TopicConfig, len(all))
	for _, c := range all {
		w.TopicConfigTable[c.TopicName] = *c
	}
	return reply(&w)
}

// GetTopicConfig is GET_TOPIC_CONFIG (351): one topic, or TOPIC_NOT_EXIST (17).
func (h *Handler) GetTopicConfig(_ *remoting.Request, q *header.GetTopicConfigRequest) (*remoting.Answer, error) {
	if !q.Topic.Set {
		return nil, missing("topic")
	}
	c := h.Topics.Find(q.Topic.V)
	if c == nil {
		return refuse(protocol.TopicNotExist, "No topic in this broker. topic: %s", q.Topic.V)
	}
	return reply(c)
}

// GetSystemTopicListFromBroker is GET_SYSTEM_TOPIC_LIST_FROM_BROKER (305): the
// topics that are the broker's own.
func (h *Handler) GetSystemTopicListFromBroker(*remoting.Request, *header.None) (*remoting.Answer, error) {
	return reply(&body.TopicList{TopicList: h.Topics.SystemTopics()})
}
