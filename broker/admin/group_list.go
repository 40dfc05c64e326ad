package admin

import (
	"strings"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/remoting"
)

// GetAllSubscriptionGroupConfig is GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201): all
// consumer groups with their data version and forbidden topics. As with 21 the
// paging fields of 5.4 tools are ignored.
func (h *Handler) GetAllSubscriptionGroupConfig(*remoting.Request, *header.GetAllSubscriptionGroupRequest) (*remoting.Answer, error) {
	all, version := h.Groups.All()
	w := body.SubscriptionGroupWrapper{
		DataVersion:            version,
		ForbiddenTable:         h.Groups.ForbiddenTable(),
		SubscriptionGroupTable: make(map[string]body.SubscriptionGroupConfig, len(all)),
	}
	for _, c := range all {
		w.SubscriptionGroupTable[c.GroupName] = *c
	}
	return reply(&w)
}

// GetSubscriptionGroupConfig is GET_SUBSCRIPTIONGROUP_CONFIG (352): one consumer
// group, which is made when it may be, as in Java; otherwise
// SUBSCRIPTION_GROUP_NOT_EXIST (26).
func (h *Handler) GetSubscriptionGroupConfig(_ *remoting.Request, q *header.GetSubscriptionGroupConfigRequest) (*remoting.Answer, error) {
	if !q.Group.Set {
		return nil, missing("group")
	}
	c, err := h.Groups.FindOrCreate(q.Group.V)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return refuse(protocol.SubscriptionGroupNotExist, "No group in this broker")
	}
	return reply(c)
}

// forbidRead is the bit of the forbidden table that code 353 sets.
const forbidRead = 2

// UpdateAndGetGroupForbidden is UPDATE_AND_GET_GROUP_FORBIDDEN (353): with the
// field readable it allows or forbids a group to read a topic; it answers how it
// is afterwards.
func (h *Handler) UpdateAndGetGroupForbidden(r *remoting.Request, q *header.UpdateGroupForbiddenRequest) (*remoting.Answer, error) {
	switch {
	case !q.Group.Set:
		return nil, missing("group")
	case !q.Topic.Set:
		return nil, missing("topic")
	}
	g, t := strings.Clone(q.Group.V), strings.Clone(q.Topic.V)
	if q.Readable.Set {
		h.Logger.Info("reading is allowed or forbidden", "group", g, "topic", t, "readable", q.Readable.V, from(r))
		if err := h.Groups.SetForbidden(g, t, forbidRead, !q.Readable.V); err != nil {
			return nil, err
		}
	}
	readable := !h.Groups.ReadForbidden(g, t)
	a, err := reply(&body.GroupForbidden{Group: g, Topic: t, Readable: &readable})
	if a != nil {
		a.HasRemark = true
	}
	return a, err
}
