package admin

import (
	"github.com/merlinmq/merlin/broker/group"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/remoting"
)

// UpdateAndCreateSubscriptionGroup is UPDATE_AND_CREATE_SUBSCRIPTIONGROUP (200):
// it makes a consumer group or replaces its settings. As in Java the name may have
// any characters, though clients refuse most of them; unlike there (29) it has some,
// and not more than 255 bytes.
func (h *Handler) UpdateAndCreateSubscriptionGroup(r *remoting.Request, _ *header.None) (*remoting.Answer, error) {
	var c body.SubscriptionGroupConfig
	if err := body.Unmarshal(r.Cmd.Body, &c); err != nil {
		return nil, err
	}
	if err := h.putGroups(r, []body.SubscriptionGroupConfig{c}); err != nil {
		return nil, err
	}
	return done()
}

// UpdateAndCreateSubscriptionGroupList is
// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST (225): the same for several groups, all
// of them or none.
func (h *Handler) UpdateAndCreateSubscriptionGroupList(r *remoting.Request, _ *header.None) (*remoting.Answer, error) {
	var q body.SubscriptionGroupList
	if err := body.Unmarshal(r.Cmd.Body, &q); err != nil {
		return nil, err
	}
	if q.GroupConfigList == nil {
		return nil, missing("groupConfigList")
	}
	if err := h.putGroups(r, q.GroupConfigList); err != nil {
		return nil, err
	}
	return done()
}

// putGroups checks and stores groups whose Attributes are signed changes.
func (h *Handler) putGroups(r *remoting.Request, cs []body.SubscriptionGroupConfig) error {
	h.changing.Lock()
	defer h.changing.Unlock()
	for i := range cs {
		c := &cs[i]
		switch {
		case c.GroupName == "":
			return protocol.Errorf(protocol.InvalidParameter, "The specified group is blank.")
		case len(c.GroupName) > group.MaxLength:
			return protocol.Errorf(protocol.InvalidParameter, "The specified group is longer than group max length %d.", group.MaxLength)
		case c.RetryQueueNums > topic.MaxQueues:
			return protocol.Errorf(protocol.InvalidParameter, "The number of retry queues must not be above %d, not %d.", topic.MaxQueues, c.RetryQueueNums)
		}
		old := h.Groups.Find(c.GroupName)
		now := map[string]string{}
		if old != nil {
			now = old.Attributes
		}
		attrs, err := alterAttributes(old == nil, nil, now, c.Attributes)
		if err != nil {
			return err
		}
		c.Attributes = attrs
	}
	for i := range cs {
		h.Logger.Info("consumer group is put", "group", cs[i].GroupName, from(r))
	}
	return h.Groups.Put(cs...)
}
