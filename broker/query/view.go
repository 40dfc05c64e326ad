package query

import (
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/remoting"
)

// View is VIEW_MESSAGE_BY_ID (33): the record at an offset of the commit log. The
// store takes only an offset where a record starts; Java takes any, and may answer
// garbage. None is SYSTEM_ERROR (1).
func (h *Handler) View(_ *remoting.Request, q *header.ViewMessageRequest) (*remoting.Answer, error) {
	if !q.Offset.Set {
		return nil, missing("offset")
	}
	rec, err := h.Store.RecordAt(q.Offset.V)
	if err != nil || len(rec) == 0 {
		h.Logger.Debug("view message", "offset", q.Offset.V, "error", err)
		return nil, protocol.Errorf(protocol.SystemError, "can not find message by the offset, %d", q.Offset.V)
	}
	return &remoting.Answer{Views: [][]byte{rec}}, nil
}
