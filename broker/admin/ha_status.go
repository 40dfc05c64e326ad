package admin

import (
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/remoting"
)

// GetBrokerHaStatus is GET_BROKER_HA_STATUS (907): the state of replication. This
// broker is always a master and has no replication yet, so there are no slaves.
func (h *Handler) GetBrokerHaStatus(*remoting.Request, *header.None) (*remoting.Answer, error) {
	return reply(&body.HARuntimeInfo{
		Master:                   true,
		MasterCommitLogMaxOffset: h.Store.MaxPhyOffset(),
	})
}
