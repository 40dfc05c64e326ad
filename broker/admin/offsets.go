package admin

import (
	"strings"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/remoting"
)

// GetAllConsumerOffset is GET_ALL_CONSUMER_OFFSET (43): all committed offsets, in
// the form of consumerOffset.json. Slaves ask for it.
func (h *Handler) GetAllConsumerOffset(*remoting.Request, *header.None) (*remoting.Answer, error) {
	return encoded(h.Offsets.Encode())
}

func encoded(data []byte, err error) (*remoting.Answer, error) {
	if err != nil {
		return nil, err
	}
	return &remoting.Answer{Body: data}, nil
}

// GetAllDelayOffset is GET_ALL_DELAY_OFFSET (45): how far the delay levels have
// come, in the form of delayOffset.json. Slaves ask for it.
func (h *Handler) GetAllDelayOffset(*remoting.Request, *header.None) (*remoting.Answer, error) {
	return encoded(h.Delay.Encode())
}

// CloneGroupOffset is CLONE_GROUP_OFFSET (314): it copies the offsets of srcGroup
// on a topic to destGroup. Without offline, a topic that the online source group
// does not subscribe to is skipped. Without a topic nothing is copied: Java walks
// the topics of the group then, but copies by the empty name. It always succeeds.
func (h *Handler) CloneGroupOffset(r *remoting.Request, q *header.CloneGroupOffsetRequest) (*remoting.Answer, error) {
	if !q.SrcGroup.Set {
		return refuse(protocol.SystemError, "the request has no srcGroup")
	}
	src, dest, name := q.SrcGroup.V, strings.Clone(q.DestGroup.V), q.Topic.V
	if strings.TrimSpace(name) == "" || h.Topics.Find(name) == nil {
		return done()
	}
	if !q.Offline && !h.subscribes(src, name) {
		return done()
	}
	h.Logger.Info("offsets are cloned", "from", src, "to", dest, "topic", name)
	h.Offsets.Clone(src, dest, name)
	return done()
}
