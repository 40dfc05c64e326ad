package topic

import (
	"strings"

	"github.com/merlinmq/merlin/protocol/body"
)

// ForGroup is a retry topic that a consumer group needs; see CreateForGroup.
type ForGroup struct {
	Name          string
	Queues        int32
	Perm, SysFlag int32
	Order         bool
}

// CreateForGroups makes, or marks as ordered or not, what CreateForGroup would,
// with one write of the file for all of them. It returns when they are written,
// and reports whether it made or changed any.
func (t *Table) CreateForGroups(wants []ForGroup) (created bool) {
	var changed []body.TopicConfig
	for _, w := range wants {
		c := t.Find(w.Name)
		switch {
		case c == nil:
			n := body.NewTopicConfig(strings.Clone(w.Name))
			n.ReadQueueNums = min(w.Queues, MaxQueues) // of a group that a Java broker left
			n.WriteQueueNums = n.ReadQueueNums
			n.Perm, n.TopicSysFlag, n.Order = w.Perm, w.SysFlag, w.Order
			changed = append(changed, n)
		case c.Order != w.Order:
			next := *c
			next.Order = w.Order
			changed = append(changed, next)
		}
	}
	if len(changed) == 0 {
		return false
	}
	for i := range changed {
		t.opts.Logger.Info("topic created", "topic", changed[i].TopicName, "queues", changed[i].WriteQueueNums, "perm", PermString(changed[i].Perm))
	}
	if err := t.Put(changed...); err != nil {
		t.unwritten(changed[len(changed)-1].TopicName, err)
	}
	return true
}
