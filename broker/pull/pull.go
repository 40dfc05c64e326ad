// Package pull reads messages for consumers: PULL_MESSAGE (11) and
// LITE_PULL_MESSAGE (361). A request that finds nothing may be parked; package
// hold runs it once more then.
//
// It owns no goroutine and no lock.
package pull

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/merlinmq/merlin/broker/client"
	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/filter"
	"github.com/merlinmq/merlin/broker/group"
	"github.com/merlinmq/merlin/broker/hold"
	"github.com/merlinmq/merlin/broker/offset"
	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/compat/budget"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
	"github.com/merlinmq/merlin/store"
)

// Bits of the request's sysFlag (PullSysFlag).
const (
	flagCommitOffset = 1
	flagSuspend      = 2
	flagSubscription = 4
)

// Values of forbiddenType in a refused pull.
const (
	forbiddenBroker       = 1
	forbiddenGroup        = 2
	forbiddenTopic        = 3
	forbiddenBroadcast    = 4
	forbiddenSubscription = 5
)

// Store is what pulling needs of the message store.
type Store interface {
	Get(q *store.GetRequest, res *store.GetResult)
	MinOffset(topic string, queueID int32) int64
	MaxOffset(topic string, queueID int32) int64
}

// Deps are what the handler stands on.
type Deps struct {
	Config    *config.Holder
	Topics    *topic.Table
	Groups    *group.Table
	Consumers *client.Consumers
	Offsets   *offset.Table
	Store     Store
	Stats     *stats.Manager
	Hold      *hold.Service
	Clock     clock.Clock // nil = the machine's
	Logger    *slog.Logger
}

// Handler handles pulls.
type Handler struct{ Deps }

// New makes a handler.
func New(d Deps) *Handler {
	d.Clock = clock.Or(d.Clock)
	return &Handler{Deps: d}
}

// peer is what a pull needs of its sender; it outlives the frame.
type peer struct {
	conn remoting.Peer
	addr netip.AddrPort
	code protocol.Code
}

var results = sync.Pool{New: func() any { return &store.GetResult{} }}

// Pull handles PULL_MESSAGE and LITE_PULL_MESSAGE.
func (h *Handler) Pull(r *remoting.Request, q *header.PullMessageRequest) (*remoting.Answer, error) {
	p := peer{conn: r.Peer, addr: r.Peer.RemoteAddr(), code: protocol.Code(r.Cmd.Code)}
	a, match := h.serve(p, q, true)
	if a.Code != protocol.PullNotFound || q.SysFlag.V&flagSuspend == 0 {
		return a, nil
	}
	wait := clock.Span(q.SuspendTimeoutMillis.V, time.Millisecond)
	if cfg := h.Config.Get(); !cfg.LongPollingEnable {
		wait = cfg.ShortPollingTimeMills.Duration()
	}
	again, to, conn := clone(q), r.To(), r.Peer
	cost := int64(parkedCost + len(again.ConsumerGroup.V) + len(again.Topic.V) + len(again.Subscription.V) +
		len(again.ExpressionType.V) + len(again.ProxyFrowardClientID.V))
	account := conn.Account()
	if !account.Fits(cost) {
		return crowded(), nil
	}
	account.Add(budget.Parked, cost)
	parked := h.Hold.Park(hold.Wait{
		Key: hold.Key{Topic: again.Topic.V, QueueID: q.QueueID.V, Offset: q.QueueOffset.V}, Timeout: wait, Match: match,
		Alive: conn.Alive, Owner: conn,
		Refuse: func() {
			account.Add(budget.Parked, -cost)
			to.Send(crowded())
		},
		Run: func() {
			account.Add(budget.Parked, -cost)
			a, _ := h.serve(p, again, false)
			to.Send(a)
		},
		// The connection is gone: this gives back the place in the lane.
		Drop: func() {
			account.Add(budget.Parked, -cost)
			to.Send(&remoting.Answer{Code: protocol.PullNotFound})
		},
	})
	if parked {
		return nil, nil
	}
	account.Add(budget.Parked, -cost)
	return crowded(), nil
}

// parkedCost is about what a parked pull takes beside its texts.
const parkedCost = 1024

// crowded is the answer to a pull that cannot be parked. On PULL_NOT_FOUND clients
// ask again at once, on any other code of failure in three seconds
// (pullTimeDelayMillsWhenException, and the same in Go).
func crowded() *remoting.Answer {
	return refuse(protocol.SystemBusy, 0, "[OVERLOAD]too many pulls of this client wait for messages, try again later")
}

// clone copies a header out of its frame.
func clone(q *header.PullMessageRequest) *header.PullMessageRequest {
	c := *q
	for _, s := range []*wire.Opt[string]{&c.ConsumerGroup, &c.Topic, &c.Subscription, &c.ExpressionType, &c.ProxyFrowardClientID} {
		s.V = strings.Clone(s.V)
	}
	c.TopicRpc = header.TopicRpc{} // not used, and its strings are the frame's
	return &c
}

func refuse(code protocol.ResponseCode, forbidden int32, format string, args ...any) *remoting.Answer {
	rh := &header.PullMessageResponse{}
	if forbidden != 0 {
		rh.ForbiddenType = wire.Some(forbidden)
	}
	return &remoting.Answer{Code: code, Remark: fmt.Sprintf(format, args...), HasRemark: true, Header: rh}
}

// serve runs a pull. first is false for the second run of a parked request. match
// is the filter that a parked request waits with.
func (h *Handler) serve(p peer, q *header.PullMessageRequest, first bool) (a *remoting.Answer, match func(int64, []byte) bool) {
	cfg, begun := h.Config.Get(), h.Clock.NowMillis()
	g, tc, a := h.check(cfg, p, q)
	if a != nil {
		return a, nil
	}
	sub, a := h.subscription(cfg, p, g, q)
	if a != nil {
		return a, nil
	}
	f := filter.Tags(sub)

	res := results.Get().(*store.GetResult)
	h.read(cfg, q, f, res)
	if res.Status == store.ReadFailed {
		// Java's reads throw, and its answer to that is this code: clients ask again
		// for the same offset after a pause of 3 s.
		a = refuse(protocol.SystemError, 0, "%s", res.Err)
		res.Release()
		results.Put(res)
		return a, nil
	}
	rh := &header.PullMessageResponse{
		SuggestWhichBrokerID: wire.Some(int64(0)),
		NextBeginOffset:      wire.Some(res.Next),
		MinOffset:            wire.Some(res.Min),
		MaxOffset:            wire.Some(res.Max),
		TopicSysFlag:         wire.Some(tc.TopicSysFlag),
		GroupSysFlag:         wire.Some(g.GroupSysFlag),
	}
	if cfg.SlaveReadEnable {
		rh.SuggestWhichBrokerID.V = g.BrokerID
		if res.SuggestSlave {
			rh.SuggestWhichBrokerID.V = g.WhichBrokerWhenConsumeSlowly
		}
	}
	a = &remoting.Answer{Code: codeOf(res.Status, q.QueueOffset.V), Remark: res.Status.String(), HasRemark: true, Header: rh}
	h.commit(q, g.GroupName, tc.TopicName, res.Next, first)
	if a.Code != protocol.Success {
		if a.Code == protocol.PullOffsetMoved {
			h.Logger.Info("pull offset corrected", "group", g.GroupName, "topic", tc.TopicName, "queue", q.QueueID.V,
				"requested", q.QueueOffset.V, "next", res.Next, "status", res.Status)
		}
		res.Release()
		results.Put(res)
		return a, func(code int64, _ []byte) bool { return f == nil || f.MatchTags(code) }
	}
	h.count(g.GroupName, tc.TopicName, q.QueueID.V, begun, res)
	a.Views = res.Records
	a.Release = func() {
		res.Release()
		results.Put(res)
	}
	return a, nil
}

// check asks whether the group may read the queue at all.
func (h *Handler) check(cfg *config.Config, p peer, q *header.PullMessageRequest) (*body.SubscriptionGroupConfig, *body.TopicConfig, *remoting.Answer) {
	if cfg.BrokerPermission&topic.PermRead == 0 {
		return nil, nil, refuse(protocol.NoPermission, forbiddenBroker, "the broker[%s] pulling message is forbidden", cfg.BrokerIP1)
	}
	if p.code == protocol.LitePullMessage.Code && !cfg.LitePullMessageEnable {
		return nil, nil, refuse(protocol.NoPermission, forbiddenBroker, "the broker[%s] for lite pull consumer is forbidden", cfg.BrokerIP1)
	}
	g, err := h.Groups.FindOrCreate(q.ConsumerGroup.V)
	if err != nil {
		return nil, nil, refuse(protocol.SystemError, 0, "%s", err)
	}
	if g == nil {
		return nil, nil, refuse(protocol.SubscriptionGroupNotExist, 0, "subscription group [%s] does not exist, %s", q.ConsumerGroup.V, protocol.FAQ)
	}
	if !g.ConsumeEnable {
		return nil, nil, refuse(protocol.NoPermission, forbiddenGroup, "subscription group no permission, %s", g.GroupName)
	}
	tc := h.Topics.Find(q.Topic.V)
	if tc == nil {
		return nil, nil, refuse(protocol.TopicNotExist, 0, "topic[%s] not exist, apply first please! %s", q.Topic.V, protocol.FAQ)
	}
	if tc.Perm&topic.PermRead == 0 {
		return nil, nil, refuse(protocol.NoPermission, forbiddenTopic, "the topic[%s] pulling message is forbidden", tc.TopicName)
	}
	if why := topic.Unserved(tc); why != "" {
		// An empty queue would tell the consumer that there is nothing.
		return nil, nil, refuse(protocol.SystemError, 0, "%s", why)
	}
	if !q.QueueID.Set || !q.QueueOffset.Set || !q.MaxMsgNums.Set || !q.SysFlag.Set {
		return nil, nil, refuse(protocol.SystemError, 0, "the request lacks queueId, queueOffset, maxMsgNums or sysFlag")
	}
	if id := q.QueueID.V; id < 0 || id >= tc.ReadQueueNums {
		return nil, nil, refuse(protocol.InvalidParameter, 0, "queueId[%d] is illegal, topic:[%s] topicConfig.readQueueNums:[%d] consumer:[/%s]",
			id, tc.TopicName, tc.ReadQueueNums, p.addr)
	}
	return g, tc, nil
}

// subscription finds what the group wants of the topic: from the request, or
// from its heartbeat.
func (h *Handler) subscription(cfg *config.Config, p peer, g *body.SubscriptionGroupConfig, q *header.PullMessageRequest) (*body.SubscriptionData, *remoting.Answer) {
	live := h.Consumers.Find(g.GroupName)
	var sub *body.SubscriptionData
	if q.SysFlag.V&flagSubscription != 0 {
		var a *remoting.Answer
		if sub, a = h.fromRequest(g, q); a != nil {
			return nil, a
		}
	} else {
		if live == nil {
			return nil, refuse(protocol.SubscriptionNotExist, 0, "the consumer's group info not exist%s", protocol.FAQ)
		}
		v := live.View()
		if !g.ConsumeBroadcastEnable && v.MessageModel == body.Broadcasting {
			return nil, refuse(protocol.NoPermission, forbiddenBroadcast, "the consumer group[%s] can not consume by broadcast way", g.GroupName)
		}
		if h.Groups.ReadForbidden(g.GroupName, q.Topic.V) {
			return nil, refuse(protocol.NoPermission, forbiddenSubscription, "the consumer group[%s] is forbidden for topic[%s]", g.GroupName, q.Topic.V)
		}
		if sub = v.Subscription(q.Topic.V); sub == nil {
			return nil, refuse(protocol.SubscriptionNotExist, 0, "the consumer's subscription not exist%s", protocol.FAQ)
		}
		if sub.SubVersion < q.SubVersion.V {
			return nil, refuse(protocol.SubscriptionNotLatest, 0, "the consumer's subscription not latest")
		}
	}
	if !filter.IsTag(sub.ExpressionType) {
		e := filter.Unsupported(sub.ExpressionType)
		return nil, refuse(e.Code, 0, "%s", e.Remark)
	}
	if cfg.RejectPullConsumerEnable && (live == nil || live.View().ConsumeType == body.ConsumeActively) {
		if (live == nil || !live.Has(p.conn)) && !strings.HasPrefix(g.GroupName, "CID_RMQ_SYS_") {
			return nil, refuse(protocol.SubscriptionNotExist, 0, "the consumer's group info not exist, or the pull consumer is rejected by server.%s", protocol.FAQ)
		}
	}
	return sub, nil
}

// fromRequest parses the subscription that came with the pull, or takes the one
// parsed for an earlier pull of the same words.
func (h *Handler) fromRequest(g *body.SubscriptionGroupConfig, q *header.PullMessageRequest) (*body.SubscriptionData, *remoting.Answer) {
	kind := q.ExpressionType.V
	if s := h.Consumers.Pulled(g.GroupName, q.Topic.V, q.Subscription.V, kind, q.SubVersion.V); s != nil {
		return s, nil
	}
	own := clone(q)
	sub, err := filter.Parse(own.Topic.V, own.Subscription.V, own.ExpressionType.V)
	if err != nil {
		return nil, refuse(protocol.SubscriptionParseFailed, 0, "parse the consumer's subscription failed")
	}
	sub.SubVersion = q.SubVersion.V
	h.Consumers.RememberPull(g.GroupName, &sub)
	return &sub, nil
}

func (h *Handler) read(cfg *config.Config, q *header.PullMessageRequest, f store.Filter, res *store.GetResult) {
	name, g, id := q.Topic.V, q.ConsumerGroup.V, q.QueueID.V
	if reset, ok := h.Offsets.TakeReset(name, g, id); ok && cfg.UseServerSideResetOffset {
		*res = store.GetResult{Status: store.OffsetReset, Next: reset, Min: h.Store.MinOffset(name, id), Max: h.Store.MaxOffset(name, id)}
		return
	}
	h.Store.Get(&store.GetRequest{
		Group: g, Topic: name, QueueID: id, Offset: q.QueueOffset.V,
		MaxMsgs: int(q.MaxMsgNums.V), MaxBytes: int(q.MaxMsgBytes.V), Filter: f,
	}, res)
}

// commit stores the offset that a first run carries, and how far the group has
// pulled.
func (h *Handler) commit(q *header.PullMessageRequest, g, name string, next int64, first bool) {
	h.Offsets.CommitPull(name, g, q.QueueID.V, next)
	if first && q.SysFlag.V&flagCommitOffset != 0 && q.CommitOffset.Set {
		h.Offsets.Commit(name, g, q.QueueID.V, q.CommitOffset.V)
	}
}

// count keeps the statistics of a pull that found messages and began at a time in ms.
func (h *Handler) count(g, name string, queueID int32, begun int64, res *store.GetResult) {
	h.Stats.Got(name, g, int64(res.Count), int64(res.Bytes))
	h.Stats.GotIn(name, queueID, g, max(0, h.Clock.NowMillis()-begun))
}

// codeOf maps the outcome of a read to the code of the answer.
func codeOf(s store.GetStatus, requested int64) protocol.ResponseCode {
	switch s {
	case store.Found:
		return protocol.Success
	case store.MessageWasRemoving, store.NoMatchedMessage:
		return protocol.PullRetryImmediately
	case store.NoMatchedLogicQueue, store.NoMessageInQueue:
		if requested != 0 {
			return protocol.PullOffsetMoved
		}
		return protocol.PullNotFound
	case store.OffsetFoundNull, store.OffsetOverflowOne:
		return protocol.PullNotFound
	default: // too small, badly beyond, reset
		return protocol.PullOffsetMoved
	}
}
