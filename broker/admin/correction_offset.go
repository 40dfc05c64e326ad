package admin

import (
	"math"
	"slices"
	"strings"

	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/remoting"
)

// QueryCorrectionOffset is QUERY_CORRECTION_OFFSET (308): by queue of a topic, the
// smallest offset that a group has committed and that is still there, without the
// groups of filterGroups, and the largest number where that is beyond what
// compareGroup, unless it is one of them, has committed: its offset is no more
// there. Java deletes the offsets of the filtered groups while it looks, and fails
// where no group has an offset that is still there; here they stay, and such a queue
// is left out.
func (h *Handler) QueryCorrectionOffset(_ *remoting.Request, q *header.QueryCorrectionOffset) (*remoting.Answer, error) {
	if !q.Topic.Set {
		return nil, missing("topic")
	}
	name := q.Topic.V
	var without []string
	if strings.TrimSpace(q.FilterGroups.V) != "" {
		without = strings.Split(q.FilterGroups.V, ",")
	}
	b := body.QueryCorrectionOffsetBody{CorrectionOffsets: map[int32]int64{}}
	for _, g := range h.Offsets.GroupsOf(name) {
		if slices.Contains(without, g) {
			continue
		}
		for id, at := range h.Offsets.Queues(name, g) {
			if at < h.Store.MinOffset(name, id) {
				continue
			}
			if least, ok := b.CorrectionOffsets[id]; !ok || at < least {
				b.CorrectionOffsets[id] = at
			}
		}
	}
	if slices.Contains(without, q.CompareGroup.V) {
		return reply(&b)
	}
	for id, at := range h.Offsets.Queues(name, q.CompareGroup.V) {
		if least, ok := b.CorrectionOffsets[id]; ok && least > at {
			b.CorrectionOffsets[id] = math.MaxInt64
		}
	}
	return reply(&b)
}
