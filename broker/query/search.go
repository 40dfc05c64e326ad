package query

import (
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// Search is SEARCH_OFFSET_BY_TIMESTAMP (29): the queue offset at a store time.
// boundaryType upper looks for the last message not after it, everything else for
// the first one not before it. An unknown queue answers 0, a read that fails is
// SYSTEM_ERROR (1): a consumer must not be sent anywhere by it.
func (h *Handler) Search(_ *remoting.Request, q *header.SearchOffsetRequest) (*remoting.Answer, error) {
	switch {
	case !q.Topic.Set:
		return nil, missing("topic")
	case !q.QueueID.Set:
		return nil, missing("queueId")
	case !q.Timestamp.Set:
		return nil, missing("timestamp")
	}
	upper := q.BoundaryType.V == header.Upper
	offset, err := h.Store.OffsetByTime(q.Topic.V, q.QueueID.V, q.Timestamp.V, upper)
	if err != nil {
		return nil, err
	}
	return &remoting.Answer{Header: &header.SearchOffsetResponse{Offset: wire.Some(max(offset, 0))}}, nil
}
