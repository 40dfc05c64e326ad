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
	"github.com/merlinmq/merlin/broker/intake"
	"github.com/merlinmq/merlin/broker/prepare"
	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
	"github.com/merlinmq/merlin/store"
)

// version349 is MQVersion V3_4_9: from here on clients send maxReconsumeTimes.
const version349 = 121

// Store is what sending needs of the message store.
type Store interface {
	PutBatch(puts []*store.Put)
	Put(p *store.Put) store.PutResult
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
	Stats  *stats.Manager
	Levels prepare.Levels
	IDs    *prepare.IDs
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
	pool sync.Pool // *batch

	complained atomic.Int64 // ms, when a refusal was logged last
	silent     atomic.Int64 // refusals since
}

// New makes a handler.
func New(d Deps) *Handler {
	h := &Handler{Deps: d}
	h.pool.New = func() any { return &batch{} }
	return h
}

// batch is the working memory of one wake-up.
type batch struct {
	puts []*store.Put
}

// one is a message (or a batch request) on its way into the store. It is reused
// when it was answered; what it keeps over that time is its own memory.
type one struct {
	h       *Handler
	put     store.Put
	to      remoting.ReplyTo
	header  header.SendMessageRequestV2
	props   []byte
	uniqKey []byte
	entries []message.BatchEntry
	queueID int32
	topic   string // canonical name, not the frame's
	created bool   // the send made the topic
	arrived int64  // ms

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
	b := h.pool.Get().(*batch)
	cfg := h.Config.Get()
	for _, r := range rs {
		o := ones.Get().(*one)
		o.h, o.to, o.arrived = h, r.To(), r.Arrived
		if a := h.accept(cfg, r, o); a != nil {
			o.to.Send(a)
			o.release()
			continue
		}
		b.puts = append(b.puts, &o.put)
	}
	if len(b.puts) > 0 {
		h.Store.PutBatch(b.puts)
	}
	clear(b.puts)
	b.puts = b.puts[:0]
	h.pool.Put(b)
}

// completed is the Done of every put.
func completed(p *store.Put) {
	o := p.Arg.(*one)
	if o.created {
		o.h.Told.Then(o.answer)
		return
	}
	o.answer()
}

func (o *one) release() {
	o.put = store.Put{}
	o.props, o.uniqKey, o.msgID = o.props[:0], o.uniqKey[:0], o.msgID[:0]
	clear(o.entries)
	o.entries = o.entries[:0]
	if cap(o.props) > 64<<10 {
		o.props = nil
	}
	o.topic, o.to, o.h, o.created = "", remoting.ReplyTo{}, nil, false
	ones.Put(o)
}

// accept checks a request and fills o.put. A non-nil answer refuses it.
func (h *Handler) accept(cfg *config.Config, r *remoting.Request, o *one) *remoting.Answer {
	if err := intake.Decode(r.Cmd, &o.header); err != nil {
		return h.refuse(cfg, protocol.SystemError, err.Error())
	}
	q := &o.header
	gate := intake.Gate{Config: cfg, Topics: h.Topics, Clock: h.Clock, Rand: h.Rand}
	passed, a := gate.Check(r, q)
	if a != nil {
		return a
	}
	o.topic, o.queueID, o.created = passed.Topic.TopicName, passed.QueueID, passed.Created
	if q.Batch.Or(false) {
		return h.acceptBatch(cfg, r, o, passed.Topic)
	}
	return h.acceptSingle(cfg, r, o, passed.Topic)
}

// acceptSingle builds the record of one message.
func (h *Handler) acceptSingle(cfg *config.Config, r *remoting.Request, o *one, tc *body.TopicConfig) *remoting.Answer {
	q, text := &o.header, o.header.Properties.V
	seen := prepare.Scan(text)
	delay, err := delayLevel(seen.Delay)
	if err != nil {
		return h.refuse(cfg, protocol.SystemError, err.Error())
	}
	m := &o.put.Msg
	*m = message.Message{
		Topic: o.topic, QueueID: o.queueID, Flag: q.Flag.V, SysFlag: q.SysFlag.V, Body: r.Cmd.Body,
		BornTimestamp: q.BornTimestamp.V, BornHost: r.Peer.RemoteAddr(), StoreHost: h.StoreHost,
		ReconsumeTimes: q.ReconsumeTimes.V, TagsCode: message.TagsHash(seen.Tags),
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
			text = string(prepare.With(text, message.PropertyDelayLevel, "-1"))
			seen = prepare.Scan(text)
		}
	}
	// Old clients send retries of transaction messages with TRAN_MSG.
	half := strings.EqualFold(seen.Transaction, "true") && !(m.ReconsumeTimes > 0 && delay > 0)
	if half && cfg.RejectTransactionMessage {
		return h.refuse(cfg, protocol.NoPermission, "the broker["+cfg.BrokerIP1+"] sending transaction message is forbidden")
	}
	fresh := ""
	if seen.UniqKey == "" {
		fresh = h.IDs.Next()
		o.uniqKey = append(o.uniqKey, fresh...)
	} else {
		o.uniqKey = append(o.uniqKey, seen.UniqKey...)
	}
	added := prepare.Added{Region: cfg.RegionID, TraceOn: cfg.TraceOn, Cluster: cfg.BrokerClusterName}
	o.props = added.Append(o.props, text, &seen, fresh)
	m.Properties = o.props
	if half {
		m.SysFlag = message.WithTransactionType(m.SysFlag, 0)
		delay = 0 // it counts when the transaction is committed
	}
	if a := h.detour(cfg, m, &seen, delay); a != nil {
		return a
	}
	if half {
		prepare.Half(m)
	}
	o.put.Done, o.put.Arg = completed, o
	return nil
}

// detour sends delayed messages to the schedule topic and refuses what is not
// served.
func (h *Handler) detour(cfg *config.Config, m *message.Message, seen *prepare.Seen, delay int) *remoting.Answer {
	if seen.InnerNum && m.SysFlag&message.SysFlagInnerBatch == 0 {
		return h.refuse(cfg, protocol.MessageIllegal, illegalRemark(cfg))
	}
	if t := m.SysFlag & message.SysFlagTransactionMask; t != 0 && t != message.SysFlagCommit {
		return nil
	}
	if delay > 0 {
		h.Levels.Schedule(m, delay)
		return nil
	}
	if seen.Timer && !seen.TimerDone {
		return h.refuse(cfg, protocol.SystemError, "accurate timer message is not enabled, timerWheelEnable is false")
	}
	return nil
}

// retryOrDead looks at a send to a retry topic (3.6 of the behaviours): too many
// tries, or a group that consumes in order, and the message is a dead letter.
func (h *Handler) retryOrDead(cfg *config.Config, r *remoting.Request, o *one) (dead bool, a *remoting.Answer) {
	name := topic.GroupOfRetry(o.topic)
	g, err := h.Groups.FindOrCreate(name)
	if err != nil {
		return false, h.refuse(cfg, protocol.SystemError, err.Error())
	}
	if g == nil {
		return false, h.refuse(cfg, protocol.SubscriptionGroupNotExist, "subscription group not exist, "+name+" "+intake.FAQ)
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
	o.put.Msg.Topic, o.put.Msg.QueueID = o.topic, o.queueID
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

// refuse is a failed send: even these carry the region and the trace switch.
func (h *Handler) refuse(cfg *config.Config, code protocol.ResponseCode, remark string) *remoting.Answer {
	return intake.Refuse(cfg, code, remark)
}
