// Package send takes messages in: SEND_MESSAGE (10), SEND_MESSAGE_V2 (310),
// SEND_BATCH_MESSAGE (320) and CONSUMER_SEND_MSG_BACK (36).
//
// All sends of one read wake-up of a connection arrive together and go into the
// store together. Under asynchronous flush they are answered before the handler
// returns; under synchronous flush the store's flusher completes them and answers
// from its own goroutine. The package owns no goroutine and no lock.
package send

import (
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/merlinmq/merlin/broker/client"
	"github.com/merlinmq/merlin/broker/cluster"
	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/group"
	"github.com/merlinmq/merlin/broker/put"
	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// version349 is MQVersion V3_4_9: from here on clients send maxReconsumeTimes.
const version349 = 121

// Store is what sending needs of the message store.
type Store interface {
	RecordAt(phyOffset int64) ([]byte, error)
	// Writable says why nothing can be stored, or nil.
	Writable() error
}

// Deps are what the handlers stand on.
type Deps struct {
	Config *config.Holder
	Topics *topic.Table
	Groups *group.Table
	Locks  *client.Locks
	Store  Store
	Put    *put.Pipeline
	Stats  *stats.Manager
	IDs    *put.IDs
	Clock  clock.Clock
	Logger *slog.Logger
	// Rand gives a random number below n.
	Rand func(n int) int
	// StoreHost is the address that stands in records and message ids.
	StoreHost netip.AddrPort
	// Told waits for the registration of a topic that a request made.
	Told cluster.Told
}

// Handler handles the send codes.
type Handler struct {
	Deps

	complained atomic.Int64 // ms, when a refusal was logged last
	silent     atomic.Int64 // refusals since
}

// New makes a handler.
func New(d Deps) *Handler { return &Handler{Deps: d} }

// one is a message (or a batch request) on its way into the store. It is reused
// when it was answered; what it keeps over that time is its own memory.
type one struct {
	put.Draft
	h       *Handler
	to      remoting.ReplyTo
	header  header.SendMessageRequestV2
	props   []byte // of the entries of a batch
	uniqKey []byte
	entries []message.BatchEntry
	queueID int32
	topic   string // canonical name, not the frame's
	created bool   // the send made the topic

	// The answer, here so that it needs no memory of its own.
	reply  remoting.Answer
	result header.SendMessageResponse
	ext    [2]wire.Field
	msgID  []byte
}

var ones = sync.Pool{New: func() any { return &one{} }}

// Sends handles neighbouring SEND_MESSAGE, SEND_MESSAGE_V2 and
// SEND_BATCH_MESSAGE requests of a connection in their order.
func (h *Handler) Sends(rs []*remoting.Request) {
	cfg, b := h.Config.Get(), h.Put.Batch()
	for _, r := range rs {
		o := ones.Get().(*one)
		if err := put.Decode(r.Cmd, &o.header); err != nil {
			o.h, o.to = h, r.To()
			o.refuse(put.Refuse(cfg, protocol.SystemError, err.Error()))
			continue
		}
		h.enter(cfg, b, r, o)
	}
	b.Put()
}

// Send handles a SEND_MESSAGE_V2, or a SEND_BATCH_MESSAGE, with its header decoded: one
// of a caller inside the process, which has no neighbours.
func (h *Handler) Send(r *remoting.Request, q *header.SendMessageRequestV2) (*remoting.Answer, error) {
	b, o := h.Put.Batch(), ones.Get().(*one)
	o.header = *q
	h.enter(h.Config.Get(), b, r, o)
	b.Put()
	return nil, nil
}

// enter checks a request and adds it to the batch, or refuses it.
func (h *Handler) enter(cfg *config.Config, b *put.Batch, r *remoting.Request, o *one) {
	o.h, o.to = h, r.To()
	if a := h.accept(cfg, r, o); a != nil {
		o.refuse(a)
		return
	}
	o.Then, o.Owner, o.Counts = completed, o, put.AsSend(o.queueID, r.Arrived)
	b.Add(&o.Draft)
}

func (o *one) refuse(a *remoting.Answer) {
	o.to.Send(a)
	o.release()
}

// completed is the Then of every draft.
func completed(d *put.Draft) {
	o := d.Owner.(*one)
	if o.created && put.Stored(o.Result.Status) {
		o.h.Told.Then(o.answer)
		return
	}
	o.answer()
}

func (o *one) release() {
	o.Draft.Reset()
	o.props, o.uniqKey, o.msgID = o.props[:0], o.uniqKey[:0], o.msgID[:0]
	clear(o.entries)
	o.entries = o.entries[:0]
	if cap(o.props) > 64<<10 {
		o.props = nil
	}
	o.topic, o.to, o.h, o.created = "", remoting.ReplyTo{}, nil, false
	ones.Put(o)
}

// accept checks a request and fills the draft. A non-nil answer refuses it.
func (h *Handler) accept(cfg *config.Config, r *remoting.Request, o *one) *remoting.Answer {
	gate := put.Gate{Config: cfg, Topics: h.Topics, Clock: h.Clock, Rand: h.Rand}
	passed, a := gate.Check(r, &o.header)
	if a != nil {
		return a
	}
	o.topic, o.queueID, o.created = passed.Topic.TopicName, passed.QueueID, passed.Created
	if o.header.Batch.Or(false) {
		return h.acceptBatch(cfg, r, o, passed.Topic)
	}
	return h.acceptSingle(cfg, r, o, passed.Topic)
}

// acceptSingle fills the draft of one message.
func (h *Handler) acceptSingle(cfg *config.Config, r *remoting.Request, o *one, tc *body.TopicConfig) *remoting.Answer {
	q := &o.header
	o.Read(q.Properties.V)
	delay, err := delayLevel(o.Asks.Delay)
	if err != nil {
		return put.Refuse(cfg, protocol.SystemError, err.Error())
	}
	m := &o.Msg
	*m = message.Message{
		Topic: o.topic, QueueID: o.queueID, Flag: q.Flag.V, SysFlag: q.SysFlag.V, Body: r.Cmd.Body,
		BornTimestamp: q.BornTimestamp.V, BornHost: r.Peer.RemoteAddr(), StoreHost: h.StoreHost,
		ReconsumeTimes: q.ReconsumeTimes.V, TagsCode: message.TagsHash(o.Asks.Tags),
	}
	if tc.TopicFilterType == body.MultiTag {
		m.SysFlag |= message.SysFlagMultiTags
	}
	if topic.IsRetry(o.topic) {
		dead, a := h.retryOrDead(cfg, r, o)
		if a != nil {
			return a
		}
		if dead {
			delay = 0
			o.Props.Set(message.PropertyDelayLevel, "-1")
		}
	}
	// Old clients send retries of transaction messages with TRAN_MSG.
	half := strings.EqualFold(o.Asks.Transaction, "true") && !(m.ReconsumeTimes > 0 && delay > 0)
	if half && cfg.RejectTransactionMessage {
		return put.Refuse(cfg, protocol.NoPermission, "the broker["+cfg.BrokerIP1+"] sending transaction message is forbidden")
	}
	fresh := ""
	if o.Asks.UniqKey == "" {
		fresh = h.IDs.Next()
		o.uniqKey = append(o.uniqKey, fresh...)
	} else {
		o.uniqKey = append(o.uniqKey, o.Asks.UniqKey...)
	}
	put.Added{Region: cfg.RegionID, TraceOn: cfg.TraceOn, Cluster: cfg.BrokerClusterName}.To(&o.Draft, fresh)
	if o.Delay = delay; half {
		o.Delay = 0 // it counts when the transaction is committed
		o.Half()
	}
	return nil
}

// retryOrDead looks at a send to a retry topic (3.6 of the behaviours): too many
// tries, or a group that consumes in order, and the message is a dead letter.
func (h *Handler) retryOrDead(cfg *config.Config, r *remoting.Request, o *one) (dead bool, a *remoting.Answer) {
	name := topic.GroupOfRetry(o.topic)
	g, err := h.Groups.FindOrCreate(name)
	if err != nil {
		return false, put.Refuse(cfg, protocol.SystemError, err.Error())
	}
	if g == nil {
		return false, put.Refuse(cfg, protocol.SubscriptionGroupNotExist, "subscription group not exist, "+name+" "+protocol.FAQ)
	}
	limit := g.RetryMaxTimes
	if r.Cmd.Version >= version349 && o.header.MaxReconsumeTimes.Set {
		limit = o.header.MaxReconsumeTimes.V
	}
	if o.header.ReconsumeTimes.V <= limit && !h.Locks.AnyLive(name) {
		return false, nil
	}
	tc, created := h.Topics.CreateForGroup(topic.DLQ(name), 1, topic.PermRead|topic.PermWrite, 0, false)
	o.topic, o.queueID, o.created = tc.TopicName, 0, o.created || created
	o.Msg.Topic, o.Msg.QueueID = o.topic, o.queueID
	return true, nil
}

func delayLevel(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, protocol.Errorf(protocol.SystemError, "For input string: %q", text)
	}
	return int(n), nil
}
