package query

import (
	"errors"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/remoting"
	"github.com/merlinmq/merlin/store"
)

// View is VIEW_MESSAGE_BY_ID (33): the record at an offset of the commit log. The
// store takes only an offset where a record starts; Java takes any, and may answer
// garbage. None is SYSTEM_ERROR (1), and so is a read that fails, with a remark of
// its own.
func (h *Handler) View(_ *remoting.Request, q *header.ViewMessageRequest) (*remoting.Answer, error) {
	if !q.Offset.Set {
		return nil, missing("offset")
	}
	rec, err := h.Store.RecordAt(q.Offset.V)
	if errors.Is(err, store.ErrNoRecord) {
		h.Logger.Debug("view message", "offset", q.Offset.V, "error", err)
		return nil, protocol.Errorf(protocol.SystemError, "can not find message by the offset, %d", q.Offset.V)
	}
	if err != nil {
		return nil, err
	}
	return &remoting.Answer{Views: [][]byte{rec}}, nil
}
