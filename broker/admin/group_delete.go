package admin

import (
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/remoting"
)

// DeleteSubscriptionGroup is DELETE_SUBSCRIPTIONGROUP (207): it forgets the
// settings and counters of a consumer group, with cleanOffset its offsets too. An
// unknown group is a success. A heartbeat makes the group again when groups are
// made automatically.
func (h *Handler) DeleteSubscriptionGroup(r *remoting.Request, q *header.DeleteSubscriptionGroupRequest) (*remoting.Answer, error) {
	if !q.GroupName.Set {
		return nil, missing("groupName")
	}
	h.changing.Lock()
	defer h.changing.Unlock()
	h.Logger.Info("consumer group is deleted", "group", q.GroupName.V, "cleanOffset", q.CleanOffset, from(r))
	if _, err := h.Groups.Delete(q.GroupName.V); err != nil {
		return nil, err
	}
	if q.CleanOffset {
		h.Offsets.RemoveGroup(q.GroupName.V)
	}
	h.Stats.GroupDeleted(q.GroupName.V)
	return done()
}
