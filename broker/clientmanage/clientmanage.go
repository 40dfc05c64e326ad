// Package clientmanage handles what clients say of themselves and ask of their group:
// HEART_BEAT (34), UNREGISTER_CLIENT (35), GET_CONSUMER_LIST_BY_GROUP (38),
// LOCK_BATCH_MQ (41), UNLOCK_BATCH_MQ (42) and CHECK_CLIENT_CONFIG (46). It owns
// no goroutine and no lock.
package clientmanage

import (
	"fmt"
	"log/slog"
	"strconv"

	"github.com/merlinmq/merlin/broker/client"
	"github.com/merlinmq/merlin/broker/cluster"
	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/filter"
	"github.com/merlinmq/merlin/broker/group"
	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// Fields of the heartbeat answer that have no header class.
const (
	supportV2 = "IS_SUPPORT_HEART_BEAT_V2"
	subChange = "IS_SUB_CHANGE"
)

// Deps are what the handlers stand on.
type Deps struct {
	Config    *config.Holder
	Topics    *topic.Table
	Groups    *group.Table
	Consumers *client.Consumers
	Producers *client.Producers
	Locks     *client.Locks
	Stats     *stats.Manager
	Clock     clock.Clock // nil = the machine's
	Logger    *slog.Logger
	// Told waits for the registration of a topic that a request made.
	Told cluster.Told
}

// Handler handles the codes.
type Handler struct{ Deps }

// New makes a handler.
func New(d Deps) *Handler {
	d.Clock = clock.Or(d.Clock)
	return &Handler{Deps: d}
}

// maxBody bounds what a client says of itself in one request: 10,000 subscriptions and
// more. Java has no bound of its own.
const maxBody = 4 << 20

// decode reads the body of a request of a client.
func decode(r *remoting.Request, v any) error {
	if n := len(r.Cmd.Body); n > maxBody {
		return fmt.Errorf("it has %d bytes, at most %d are taken", n, maxBody)
	}
	return body.Unmarshal(r.Cmd.Body, v)
}

// Heartbeat handles HEART_BEAT (34). A consumer entry whose group is unknown and
// may not be created is passed over, as Java does: the client learns it from its
// pulls.
func (h *Handler) Heartbeat(r *remoting.Request, _ *header.HeartbeatRequest) (*remoting.Answer, error) {
	var hb body.HeartbeatData
	if err := decode(r, &hb); err != nil {
		return nil, protocol.Errorf(protocol.SystemError, "heartbeat body: %s", err)
	}
	if !r.Peer.Alive() {
		return &remoting.Answer{}, nil // nobody's: it must not bring back a group that was deleted since
	}
	changed, created := h.consumers(r, &hb)
	for _, p := range hb.ProducerDataSet {
		begun := h.Clock.NowMillis()
		h.Producers.Register(p.GroupName, channel(r, hb.ClientID))
		h.Stats.Registered(stats.ProducerRegisterTime, max(0, h.Clock.NowMillis()-begun))
	}
	if !r.Peer.Alive() {
		// It was closed while this heartbeat waited for its turn, and nobody
		// would tell of it again.
		h.Consumers.Closed(r.Peer)
		h.Producers.Closed(r.Peer)
	}
	if hb.HeartbeatFingerprint == 0 {
		changed = true // a classic heartbeat is always told so
	}
	a := &remoting.Answer{Ext: []wire.Field{{Key: supportV2, Value: "true"}, {Key: subChange, Value: strconv.FormatBool(changed)}}}
	if created {
		return h.Told.Answer(r, a) // the client asks for the route of its retry topic next
	}
	return a, nil
}

func channel(r *remoting.Request, clientID string) *client.Channel {
	return &client.Channel{Peer: r.Peer, ClientID: clientID, Language: r.Cmd.Language, Version: r.Cmd.Version}
}

// consumers takes the consumer entries of a heartbeat in. What is new of groups
// and of retry topics is written once each, however many there are. created says
// that it made retry topics.
func (h *Handler) consumers(r *remoting.Request, hb *body.HeartbeatData) (changed, created bool) {
	cfg := h.Config.Get()
	var names []string
	var entries []*body.ConsumerData
	for i := range hb.ConsumerDataSet {
		c := &hb.ConsumerDataSet[i]
		if cfg.RejectPullConsumerEnable && c.ConsumeType == body.ConsumeActively {
			continue
		}
		names, entries = append(names, c.GroupName), append(entries, c)
	}
	groups := h.Groups.FindOrCreateAll(names)
	var retries []topic.ForGroup
	for i, g := range groups {
		if g != nil {
			retries = append(retries, h.retryTopic(g, entries[i]))
		}
	}
	created = h.Topics.CreateForGroups(retries)
	for i, g := range groups {
		if g != nil && h.register(r, hb, g, entries[i]) {
			changed = true
		}
	}
	return changed, created
}

// retryTopic is the retry topic that a group's heartbeat calls for.
func (h *Handler) retryTopic(g *body.SubscriptionGroupConfig, c *body.ConsumerData) topic.ForGroup {
	w := topic.ForGroup{Name: topic.Retry(g.GroupName), Queues: g.RetryQueueNums, Perm: topic.PermRead | topic.PermWrite}
	for _, s := range c.SubscriptionDataSet {
		if tc := h.Topics.Find(s.Topic); tc != nil && tc.Order {
			w.Order = true
		}
	}
	if c.UnitMode {
		w.SysFlag = topic.FlagUnitSub
	}
	return w
}

// register takes one consumer entry in and tells whether it changed the group.
func (h *Handler) register(r *remoting.Request, hb *body.HeartbeatData, g *body.SubscriptionGroupConfig, c *body.ConsumerData) bool {
	begun := h.Clock.NowMillis()
	changed := h.Consumers.Register(client.Registration{
		Group: g.GroupName, Channel: channel(r, hb.ClientID),
		ConsumeType: c.ConsumeType, MessageModel: c.MessageModel, ConsumeFromWhere: c.ConsumeFromWhere,
		Subscriptions: c.SubscriptionDataSet,
		WithoutSub:    hb.WithoutSub && hb.HeartbeatFingerprint != 0,
		Fingerprint:   hb.HeartbeatFingerprint,
		Notify:        g.NotifyConsumerIDsChangedEnable,
	})
	h.Stats.Registered(stats.ConsumerRegisterTime, max(0, h.Clock.NowMillis()-begun))
	return changed
}

// Unregister handles UNREGISTER_CLIENT (35).
func (h *Handler) Unregister(r *remoting.Request, q *header.UnregisterClientRequest) (*remoting.Answer, error) {
	if q.ProducerGroup.Set {
		h.Producers.Unregister(q.ProducerGroup.V, r.Peer)
	}
	if q.ConsumerGroup.Set {
		g, err := h.Groups.FindOrCreate(q.ConsumerGroup.V)
		if err != nil {
			return nil, err
		}
		h.Consumers.Unregister(q.ConsumerGroup.V, r.Peer, g == nil || g.NotifyConsumerIDsChangedEnable)
	}
	return &remoting.Answer{}, nil
}

// ListConsumers handles GET_CONSUMER_LIST_BY_GROUP (38).
func (h *Handler) ListConsumers(_ *remoting.Request, q *header.GetConsumerListByGroupRequest) (*remoting.Answer, error) {
	g := h.Consumers.Find(q.ConsumerGroup.V)
	if g == nil {
		return nil, protocol.Errorf(protocol.SystemError, "no consumer for this group, %s", q.ConsumerGroup.V)
	}
	b, err := body.Marshal(&body.GetConsumerListByGroupResponseBody{ConsumerIDList: g.ClientIDs()})
	return &remoting.Answer{Body: b}, err
}

// Lock handles LOCK_BATCH_MQ (41).
func (h *Handler) Lock(r *remoting.Request, _ *header.LockBatchMqRequest) (*remoting.Answer, error) {
	var q body.LockBatchRequestBody
	if err := decode(r, &q); err != nil {
		return nil, protocol.Errorf(protocol.SystemError, "lock body: %s", err)
	}
	held := h.Locks.Lock(q.ConsumerGroup, q.MqSet, q.ClientID)
	b, err := body.Marshal(&body.LockBatchResponseBody{LockOKMQSet: held})
	return &remoting.Answer{Body: b}, err
}

// Unlock handles UNLOCK_BATCH_MQ (42).
func (h *Handler) Unlock(r *remoting.Request, _ *header.UnlockBatchMqRequest) (*remoting.Answer, error) {
	var q body.UnlockBatchRequestBody
	if err := decode(r, &q); err != nil {
		return nil, protocol.Errorf(protocol.SystemError, "unlock body: %s", err)
	}
	h.Locks.Unlock(q.ConsumerGroup, q.MqSet, q.ClientID)
	return &remoting.Answer{}, nil
}

// CheckConfig handles CHECK_CLIENT_CONFIG (46): may this subscription be used?
// The topic is not looked at.
func (h *Handler) CheckConfig(r *remoting.Request, _ *header.None) (*remoting.Answer, error) {
	if len(r.Cmd.Body) == 0 {
		return &remoting.Answer{}, nil // nothing to check
	}
	var q body.CheckClientRequestBody
	if err := decode(r, &q); err != nil {
		return nil, protocol.Errorf(protocol.SystemError, "check body: %s", err)
	}
	if s := q.SubscriptionData; s != nil && !filter.IsTag(s.ExpressionType) {
		return nil, filter.Unsupported(s.ExpressionType)
	}
	return &remoting.Answer{}, nil
}
