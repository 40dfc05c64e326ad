package query

import (
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// uniqueKeyFlag is the extFields entry that says that the key is a unique id
// (UNIQUE_MSG_QUERY_FLAG).
const uniqueKeyFlag = "_UNIQUE_KEY_QUERY"

// Message is QUERY_MESSAGE (12): the messages of a topic that the index knows
// under a key, newest index file first. The body is their records. maxNum is cut
// at maxMsgsNumBatch; a query by unique id takes defaultQueryMaxNum instead.
// Neither topic nor key is compared with what the index found by hash: clients do
// that. Nothing found is QUERY_NOT_FOUND (22), with the position of the index as
// always.
func (h *Handler) Message(r *remoting.Request, q *header.QueryMessageRequest) (*remoting.Answer, error) {
	switch {
	case !q.Topic.Set:
		return nil, missing("topic")
	case !q.Key.Set:
		return nil, missing("key")
	case !q.MaxNum.Set:
		return nil, missing("maxNum")
	}
	cfg := h.Config.Get()
	limit := int(q.MaxNum.V)
	if v, _ := r.Cmd.Lookup(uniqueKeyFlag); v == "true" {
		limit = cfg.DefaultQueryMaxNum
	}
	res, err := h.Store.Query(q.Topic.V, q.Key.V, min(limit, cfg.MaxMsgsNumBatch), q.BeginTimestamp.V, q.EndTimestamp.V)
	if err != nil {
		return nil, err
	}
	a := &remoting.Answer{Header: &header.QueryMessageResponse{
		IndexLastUpdateTimestamp: wire.Some(res.LastUpdateTime),
		IndexLastUpdatePhyoffset: wire.Some(res.LastUpdatePhyOffset),
	}}
	if len(res.Records) == 0 {
		a.Code, a.Remark, a.HasRemark = protocol.QueryNotFound, "can not find message, maybe time range not correct", true
		return a, nil
	}
	a.Views = res.Records
	return a, nil
}
