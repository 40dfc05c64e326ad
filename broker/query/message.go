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
// that. Nothing found is QUERY_NOT_FOUND (22) with zeros instead of the position
// of the index; a missing topic or key is never found.
func (h *Handler) Message(r *remoting.Request, q *header.QueryMessageRequest) (*remoting.Answer, error) {
	switch {
	case !q.MaxNum.Set:
		return nil, missing("maxNum")
	case !q.BeginTimestamp.Set:
		return nil, missing("beginTimestamp")
	case !q.EndTimestamp.Set:
		return nil, missing("endTimestamp")
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
	if len(res.Records) == 0 {
		return &remoting.Answer{Code: protocol.QueryNotFound, Remark: "can not find message, maybe time range not correct", HasRemark: true,
			Header: &header.QueryMessageResponse{IndexLastUpdateTimestamp: wire.Some[int64](0), IndexLastUpdatePhyoffset: wire.Some[int64](0)}}, nil
	}
	return &remoting.Answer{Views: res.Records, Header: &header.QueryMessageResponse{
		IndexLastUpdateTimestamp: wire.Some(res.LastUpdateTime),
		IndexLastUpdatePhyoffset: wire.Some(res.LastUpdatePhyOffset),
	}}, nil
}
