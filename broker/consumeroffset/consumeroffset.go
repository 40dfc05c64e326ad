// Package consumeroffset answers how far consumer groups have come:
// QUERY_CONSUMER_OFFSET (14) and UPDATE_CONSUMER_OFFSET (15). It owns no
// goroutine and no lock.
package consumeroffset

import (
	"log/slog"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/group"
	"github.com/merlinmq/merlin/broker/offset"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// Store is what the not-found rule needs of the message store.
type Store interface {
	MinOffset(topic string, queueID int32) int64
	// InMemory reports whether the message at a queue offset is there and counts
	// as held in memory.
	InMemory(topic string, queueID int32, offset int64) (bool, error)
}

// Deps are what the handlers stand on.
type Deps struct {
	Config  *config.Holder
	Topics  *topic.Table
	Groups  *group.Table
	Offsets *offset.Table
	Store   Store
	Logger  *slog.Logger
}

// Handler handles the codes.
type Handler struct{ Deps }

// New makes a handler.
func New(d Deps) *Handler { return &Handler{Deps: d} }

// Query handles QUERY_CONSUMER_OFFSET (14). Without a stored offset it answers 0
// as long as the queue still has its first message in memory, unless the client
// asked not to; else QUERY_NOT_FOUND, upon which clients apply their
// consumeFromWhere. A read that fails is SYSTEM_ERROR (1): the client must not
// begin anywhere by it.
func (h *Handler) Query(_ *remoting.Request, q *header.QueryConsumerOffsetRequest) (*remoting.Answer, error) {
	if !q.ConsumerGroup.Set || !q.Topic.Set || !q.QueueID.Set {
		return nil, protocol.Errorf(protocol.SystemError, "the request lacks consumerGroup, topic or queueId")
	}
	name, g, id := q.Topic.V, q.ConsumerGroup.V, q.QueueID.V
	at := h.Offsets.Query(name, g, id)
	if at < 0 { // none, or a negative one that somebody committed
		if q.SetZeroIfNotFound.Set && !q.SetZeroIfNotFound.V {
			return nil, protocol.Errorf(protocol.QueryNotFound, "Not found, do not set to zero, maybe this group boot first")
		}
		first := h.Store.MinOffset(name, id) == 0
		if first {
			var err error
			if first, err = h.Store.InMemory(name, id, 0); err != nil {
				return nil, err
			}
		}
		if !first {
			return nil, protocol.Errorf(protocol.QueryNotFound, "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first")
		}
		at = 0
	}
	return &remoting.Answer{Header: &header.QueryConsumerOffsetResponse{Offset: wire.Some(at)}}, nil
}

// Update handles UPDATE_CONSUMER_OFFSET (15). Any value is taken, also one that
// goes back.
func (h *Handler) Update(r *remoting.Request, q *header.UpdateConsumerOffsetRequest) (*remoting.Answer, error) {
	name, g := q.Topic.V, q.ConsumerGroup.V
	if h.Groups.Find(g) == nil {
		if !q.ConsumerGroup.Set {
			g = "null"
		}
		return nil, protocol.Errorf(protocol.SubscriptionGroupNotExist, "Group %s not exist!", g)
	}
	if h.Topics.Find(name) == nil {
		return nil, protocol.Errorf(protocol.TopicNotExist, "Topic %s not exist!", name)
	}
	if !q.QueueID.Set {
		return nil, protocol.Errorf(protocol.InvalidParameter, "QueueId is null, topic is %s", name)
	}
	if !q.CommitOffset.Set {
		return nil, protocol.Errorf(protocol.InvalidParameter, "Offset is null, topic is %s", name)
	}
	if h.Config.Get().UseServerSideResetOffset && h.Offsets.HasReset(name, g, q.QueueID.V) {
		return &remoting.Answer{Remark: "Offset has been previously reset", HasRemark: true}, nil
	}
	if before := h.Offsets.Commit(name, g, q.QueueID.V, q.CommitOffset.V); q.CommitOffset.V < before {
		h.Logger.Warn("a consumer offset went back", "group", g, "topic", name, "queue", q.QueueID.V,
			"from", before, "to", q.CommitOffset.V, "addr", r.Peer.RemoteAddr())
	}
	return &remoting.Answer{}, nil
}
