package query

import (
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// MaxOffset is GET_MAX_OFFSET (30): the offset that the next message of a queue
// will have, 0 for an unknown queue. The field committed is not looked at.
func (h *Handler) MaxOffset(_ *remoting.Request, q *header.GetMaxOffsetRequest) (*remoting.Answer, error) {
	if err := queue(q.Topic, q.QueueID); err != nil {
		return nil, err
	}
	offset := h.Store.MaxOffset(q.Topic.V, q.QueueID.V)
	return &remoting.Answer{Header: &header.GetMaxOffsetResponse{Offset: wire.Some(max(offset, 0))}}, nil
}

// MinOffset is GET_MIN_OFFSET (31): the offset of the oldest message of a queue, 0
// for an unknown queue. As in Java the remark is there and empty.
func (h *Handler) MinOffset(_ *remoting.Request, q *header.GetMinOffsetRequest) (*remoting.Answer, error) {
	if err := queue(q.Topic, q.QueueID); err != nil {
		return nil, err
	}
	offset := h.Store.MinOffset(q.Topic.V, q.QueueID.V)
	return &remoting.Answer{HasRemark: true, Header: &header.GetMinOffsetResponse{Offset: wire.Some(max(offset, 0))}}, nil
}

// EarliestStoreTime is GET_EARLIEST_MSG_STORETIME (32): the store time in ms of
// the oldest message of a queue, -1 when there is none. A read that fails is
// SYSTEM_ERROR (1).
func (h *Handler) EarliestStoreTime(_ *remoting.Request, q *header.GetEarliestMsgStoretimeRequest) (*remoting.Answer, error) {
	if err := queue(q.Topic, q.QueueID); err != nil {
		return nil, err
	}
	ts, err := h.Store.EarliestStoreTime(q.Topic.V, q.QueueID.V)
	if err != nil {
		return nil, err
	}
	return &remoting.Answer{Header: &header.GetEarliestMsgStoretimeResponse{Timestamp: wire.Some(ts)}}, nil
}

func queue(topic wire.OptString, id wire.Opt[int32]) error {
	if !topic.Set {
		return missing("topic")
	}
	if !id.Set {
		return missing("queueId")
	}
	return nil
}
