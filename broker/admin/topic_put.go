package admin

import (
	"maps"
	"strings"

	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/remoting"
)

// UpdateAndCreateTopic is UPDATE_AND_CREATE_TOPIC (17): it makes a topic or
// changes its settings, and tells the name servers at once. An unchanged topic is
// a success. Unlike Java it refuses (29) numbers of queues outside 0…131072 and
// permissions outside 0…7.
func (h *Handler) UpdateAndCreateTopic(r *remoting.Request, q *header.CreateTopicRequest) (*remoting.Answer, error) {
	if f := q.TopicFilterType; f.V != "SINGLE_TAG" && f.V != "MULTI_TAG" {
		return refuse(protocol.SystemError, "topicFilterType = [%s] value invalid", text(f))
	}
	switch {
	case !q.ReadQueueNums.Set:
		return nil, missing("readQueueNums")
	case !q.WriteQueueNums.Set:
		return nil, missing("writeQueueNums")
	case !q.Perm.Set:
		return nil, missing("perm")
	}
	changes, err := parseAttributes(strings.Clone(q.Attributes.V))
	if err != nil {
		return nil, err
	}
	c := body.TopicConfig{
		TopicName: strings.Clone(q.Topic.V), ReadQueueNums: q.ReadQueueNums.V, WriteQueueNums: q.WriteQueueNums.V,
		Perm: q.Perm.V, TopicFilterType: body.TopicFilterType(strings.Clone(q.TopicFilterType.V)), TopicSysFlag: q.TopicSysFlag.V,
		Order: q.Order.V, Attributes: changes,
	}
	return h.putTopics(r, []body.TopicConfig{c})
}

// UpdateAndCreateTopicList is UPDATE_AND_CREATE_TOPIC_LIST (18): the same for
// several topics, all of them or none. Java stops at the first unchanged topic
// and leaves the rest; here the rest is done.
func (h *Handler) UpdateAndCreateTopicList(r *remoting.Request, _ *header.CreateTopicListRequest) (*remoting.Answer, error) {
	var q body.CreateTopicListRequestBody
	if err := body.Unmarshal(r.Cmd.Body, &q); err != nil {
		return nil, err
	}
	if q.TopicConfigList == nil {
		return nil, missing("topicConfigList")
	}
	return h.putTopics(r, q.TopicConfigList)
}

// putTopics stores topics whose Attributes are signed changes, and answers when
// the name servers know them. Those who come together share the write of the file;
// a topic that is as it should be has been written too when it is answered.
func (h *Handler) putTopics(r *remoting.Request, cs []body.TopicConfig) (*remoting.Answer, error) {
	changed, settle, err := h.stageTopics(r, cs)
	if err == nil {
		err = settle()
	}
	if err != nil {
		return nil, err
	}
	a, _ := doneUnset()
	if changed {
		return h.Told.Answer(r, a)
	}
	return a, nil
}

// stageTopics checks and stores topics; it reports whether any is different now.
// settle makes them durable.
func (h *Handler) stageTopics(r *remoting.Request, cs []body.TopicConfig) (changed bool, settle func() error, err error) {
	h.changing.Lock()
	defer h.changing.Unlock()
	var put []body.TopicConfig
	for _, c := range cs {
		if err := h.checkTopic(&c); err != nil {
			return false, nil, err
		}
		old := h.Topics.Find(c.TopicName)
		now := map[string]string{}
		if old != nil {
			now = old.Attributes
		}
		attrs, err := alterAttributes(old == nil, topicAttributes, now, c.Attributes)
		if err != nil {
			return false, nil, err
		}
		c.Attributes = attrs
		if old != nil && sameTopic(old, &c) {
			continue
		}
		h.Logger.Info("topic is put", "topic", topic.Describe(&c), from(r))
		put = append(put, c)
	}
	if len(put) == 0 {
		return false, h.Topics.Rewrite, nil // the same again, because the file could not be written
	}
	return true, h.Topics.Stage(put...), nil
}

func (h *Handler) checkTopic(c *body.TopicConfig) error {
	if remark := topic.Validate(c.TopicName); remark != "" {
		return protocol.Errorf(protocol.InvalidParameter, "%s", remark)
	}
	cfg := h.Config.Get()
	if cfg.ValidateSystemTopicWhenUpdateTopic && h.Topics.IsSystem(c.TopicName) {
		return protocol.Errorf(protocol.InvalidParameter, "The topic[%s] is conflict with system topic.", c.TopicName)
	}
	if !cfg.EnableMixedMessageType && c.Attributes["+"+attrMessageType] == "MIXED" {
		return protocol.Errorf(protocol.InvalidParameter, "MIXED message type is not supported.")
	}
	for _, n := range []int32{c.ReadQueueNums, c.WriteQueueNums} {
		if n < 0 || n > topic.MaxQueues {
			return protocol.Errorf(protocol.InvalidParameter, "The number of queues must be between 0 and %d, not %d.", topic.MaxQueues, n)
		}
	}
	if c.Perm < 0 || c.Perm > 7 {
		return protocol.Errorf(protocol.InvalidParameter, "The permission must be between 0 and 7, not %d.", c.Perm)
	}
	return nil
}

func sameTopic(a, b *body.TopicConfig) bool {
	return a.ReadQueueNums == b.ReadQueueNums && a.WriteQueueNums == b.WriteQueueNums && a.Perm == b.Perm &&
		a.TopicFilterType == b.TopicFilterType && a.TopicSysFlag == b.TopicSysFlag && a.Order == b.Order &&
		maps.Equal(a.Attributes, b.Attributes)
}
