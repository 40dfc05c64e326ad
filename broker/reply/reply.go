// Package reply passes replies on to the clients that asked:
// SEND_REPLY_MESSAGE (324) and SEND_REPLY_MESSAGE_V2 (325). The reply is pushed to
// the producer client that its REPLY_TO_CLIENT names, with
// PUSH_REPLY_MESSAGE_TO_CLIENT (326), and the answer waits for that client's. It
// owns no goroutine and no lock; its lane must not be inline.
package reply

import (
	"context"
	"log/slog"
	"net/netip"
	"strconv"
	"time"

	"github.com/merlinmq/merlin/broker/client"
	"github.com/merlinmq/merlin/broker/cluster"
	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/put"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
	"github.com/merlinmq/merlin/store"
)

// pushTimeout bounds the wait for the asking client (Broker2Client.callClient).
const pushTimeout = 10 * time.Second

// Deps are what the handler stands on.
type Deps struct {
	Config    *config.Holder
	Topics    *topic.Table
	Producers *client.Producers
	Put       *put.Pipeline
	Clock     clock.Clock
	Logger    *slog.Logger
	// Rand gives a random number below n.
	Rand func(n int) int
	// StoreHost is the address that stands in records and message ids.
	StoreHost netip.AddrPort
	// Told waits for the registration of a topic that a request made.
	Told cluster.Told
}

// Handler handles the codes.
type Handler struct{ Deps }

// New makes a handler.
func New(d Deps) *Handler { return &Handler{Deps: d} }

// Send handles SEND_REPLY_MESSAGE (324) and SEND_REPLY_MESSAGE_V2 (325). The
// answer tells how the push went; with storeReplyMessageEnable the reply is also
// stored, whatever came of the push.
func (h *Handler) Send(r *remoting.Request) (*remoting.Answer, error) {
	cfg := h.Config.Get()
	var q header.SendMessageRequestV2
	if err := put.Decode(r.Cmd, &q); err != nil {
		return put.Refuse(cfg, protocol.SystemError, err.Error()), nil
	}
	gate := put.Gate{Config: cfg, Topics: h.Topics, Clock: h.Clock, Rand: h.Rand}
	passed, refused := gate.Check(r, &q)
	if refused != nil {
		return refused, nil
	}
	a := h.handle(cfg, r, &q, passed.Topic.TopicName, passed.QueueID)
	if passed.Created {
		return h.Told.Answer(r, a)
	}
	return a, nil
}

// handle pushes a reply that passed the checks, and stores it when that is wanted.
func (h *Handler) handle(cfg *config.Config, r *remoting.Request, q *header.SendMessageRequestV2, name string, queueID int32) *remoting.Answer {
	ext := put.RegionFields(cfg)
	var d put.Draft
	d.Props.Read(q.Properties.V)
	for _, f := range ext {
		d.Props.Set(f.Key, f.Value)
	}
	a, result := &remoting.Answer{Ext: ext[:]}, &header.SendMessageResponse{}
	a.Header = result
	if remark := h.push(r, q, &d); remark != "" {
		a.Code, a.Remark, a.HasRemark = protocol.SystemError, remark, true
	} else {
		// There is no stored message to name, but clients want the fields.
		result.MsgID, result.QueueID, result.QueueOffset = wire.Some("0"), wire.Some(queueID), wire.Some(int64(0))
	}
	if !cfg.StoreReplyMessageEnable {
		return a
	}
	if res := h.keep(r, q, &d, name, queueID); put.Stored(res.Status) {
		result.MsgID = wire.Some(message.OffsetMessageID(h.StoreHost, res.PhyOffset))
		result.QueueID, result.QueueOffset = wire.Some(queueID), wire.Some(res.QueueOffset)
	} else {
		h.Logger.Warn("a reply was not stored", "status", res.Status, "err", res.Err)
	}
	return a
}

// push hands the reply to the client that waits for it. "" means that it took
// it, anything else is the remark of the answer.
func (h *Handler) push(r *remoting.Request, q *header.SendMessageRequestV2, d *put.Draft) (remark string) {
	to, ok := d.Props.Get(message.PropertyMessageReplyToClient)
	if !ok {
		return "reply message properties[" + message.PropertyMessageReplyToClient + "] is null"
	}
	ch := h.Producers.Client(to)
	if ch == nil {
		return "push reply message fail, channel of <" + to + "> not found."
	}
	now := h.Clock.NowMillis()
	var props message.PropertyView // the stored reply has not this time
	props.Read(string(d.Props.Append(nil)))
	props.Set(message.PropertyPushReplyTime, strconv.FormatInt(now, 10))
	p := &header.ReplyMessageRequest{
		ProducerGroup: q.ProducerGroup, Topic: q.Topic, DefaultTopic: q.DefaultTopic, DefaultTopicQueueNums: q.DefaultTopicQueueNums,
		QueueID: q.QueueID, SysFlag: q.SysFlag, BornTimestamp: q.BornTimestamp, Flag: q.Flag, Properties: wire.Some(string(props.Append(nil))),
		ReconsumeTimes: q.ReconsumeTimes, UnitMode: q.UnitMode.Or(false),
		BornHost: wire.Some(r.Peer.RemoteAddr().String()), StoreHost: wire.Some(h.StoreHost.String()), StoreTimestamp: now,
	}
	ctx, cancel := context.WithTimeout(context.Background(), pushTimeout)
	defer cancel()
	a, err := ch.Peer.Invoke(ctx, &wire.Outgoing{Code: int32(protocol.PushReplyMessageToClient.Code), Header: p}, r.Cmd.Body)
	switch {
	case err != nil:
		h.Logger.Warn("a reply was not pushed", "client", to, "err", err)
	case protocol.ResponseCode(a.Code) != protocol.Success:
		h.Logger.Warn("a client refused a reply", "client", to, "code", a.Code, "remark", a.Remark)
	default:
		return ""
	}
	return "push reply message to " + to + "fail."
}

// keep stores the reply as it came.
func (h *Handler) keep(r *remoting.Request, q *header.SendMessageRequestV2, d *put.Draft, name string, queueID int32) *store.PutResult {
	d.Msg = message.Message{
		Topic: name, QueueID: queueID, Flag: q.Flag.V, Body: r.Cmd.Body,
		BornTimestamp: q.BornTimestamp.V, BornHost: r.Peer.RemoteAddr(), StoreHost: h.StoreHost, ReconsumeTimes: q.ReconsumeTimes.V,
	}
	d.Counts = put.AsPut(name)
	return h.Put.Put(d)
}
