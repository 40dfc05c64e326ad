package admin

import (
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/remoting"
)

// maxConsumeQueuePage bounds an answer of code 321.
const maxConsumeQueuePage = 10_000

// QueryConsumeQueue is QUERY_CONSUME_QUEUE (321): a page of the entries of a
// consume queue, and the subscription of a group on its topic. A queue that
// was never written and is none of its topic is SYSTEM_ERROR (1); an index outside a
// queue is a success that says so in the remark. Java runs messages through the filter only when the queue has
// extension files, which are not served, so eval stays false here as there.
func (h *Handler) QueryConsumeQueue(_ *remoting.Request, q *header.QueryConsumeQueueRequest) (*remoting.Answer, error) {
	name, id := q.Topic.V, q.QueueID
	if tc := h.Topics.Find(name); h.Store.MaxOffset(name, id) <= 0 && (tc == nil || id < 0 || id >= tc.ReadQueueNums) {
		return refuse(protocol.SystemError, "%d@%s is not exist!", id, text(q.Topic))
	}
	b := body.QueryConsumeQueueResponseBody{
		MaxQueueIndex: h.Store.MaxOffset(name, id), MinQueueIndex: h.Store.MinOffset(name, id),
		QueueData: []body.ConsumeQueueData{},
	}
	if q.ConsumerGroup.Set {
		b.SubscriptionData = h.Consumers.Subscription(q.ConsumerGroup.V, name)
		if b.SubscriptionData == nil {
			b.FilterData = q.ConsumerGroup.V + "@" + name + " is not online!"
		} else {
			b.FilterData = "null" // no SQL filter data of this group
		}
	}
	if q.Index < b.MinQueueIndex || q.Index >= b.MaxQueueIndex {
		return &remoting.Answer{HasRemark: true, Remark: "Index " + itoa(q.Index) + " of " + itoa(int64(id)) + "@" + name + " is not exist!"}, nil
	}
	entries, err := h.Store.Entries(name, id, q.Index, int(min(max(q.Count, 0), maxConsumeQueuePage)))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		b.QueueData = append(b.QueueData, body.ConsumeQueueData{PhysicOffset: e.PhyOffset, PhysicSize: e.Size, TagsCode: e.TagsCode})
	}
	return unset(reply(&b))
}

// unset gives an answer the remark that Java leaves in where it sets the code
// alone.
func unset(a *remoting.Answer, err error) (*remoting.Answer, error) {
	if a != nil {
		a.HasRemark, a.Remark = true, "not set any response code"
	}
	return a, err
}
