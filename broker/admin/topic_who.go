package admin

import (
	"slices"

	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/remoting"
)

// QueryTopicConsumeByWho is QUERY_TOPIC_CONSUME_BY_WHO (300): the groups that
// subscribe to a topic now or have offsets on it.
func (h *Handler) QueryTopicConsumeByWho(_ *remoting.Request, q *header.QueryTopicConsumeByWhoRequest) (*remoting.Answer, error) {
	if !q.Topic.Set {
		return nil, missing("topic")
	}
	groups := append(h.Consumers.GroupsOf(q.Topic.V), h.Offsets.GroupsOf(q.Topic.V)...)
	slices.Sort(groups)
	return reply(&body.GroupList{GroupList: list(slices.Compact(groups))})
}

// QueryTopicsByConsumer is QUERY_TOPICS_BY_CONSUMER (343): the topics that a
// group has offsets on.
func (h *Handler) QueryTopicsByConsumer(_ *remoting.Request, q *header.QueryTopicsByConsumerRequest) (*remoting.Answer, error) {
	if !q.Group.Set {
		return nil, missing("group")
	}
	return reply(&body.TopicList{TopicList: list(h.Offsets.TopicsOf(q.Group.V)), BrokerAddr: h.Addr})
}

// QuerySubscriptionByConsumer is QUERY_SUBSCRIPTION_BY_CONSUMER (345): what a
// group subscribes to on a topic; the subscription is absent when it does not.
func (h *Handler) QuerySubscriptionByConsumer(_ *remoting.Request, q *header.QuerySubscriptionByConsumerRequest) (*remoting.Answer, error) {
	if !q.Group.Set {
		return nil, missing("group")
	}
	return reply(&body.QuerySubscriptionResponseBody{
		Group: q.Group.V, Topic: q.Topic.V, SubscriptionData: h.Consumers.Subscription(q.Group.V, q.Topic.V),
	})
}

// list makes nil an empty list: Java writes [].
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
