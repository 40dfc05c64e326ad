package send

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/put"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/remoting"
)

// maxGrowth is how many times maxMessageSize the records of a batch may have,
// beside encodeSlack, and recordFixed what a record has beside its texts. Java's
// MessageExtEncoder has no bound: its buffer grows until the direct memory is used
// up, and the OutOfMemoryError is the answer, with SYSTEM_ERROR.
const (
	maxGrowth   = 2
	encodeSlack = 64 << 10
	recordFixed = 91
)

var errBatchTooLarge = errors.New("send: the records of the batch are too large together")

// acceptBatch builds the records of a SEND_BATCH_MESSAGE (320): one record per
// entry, all in one queue. The broker's properties are added to each.
func (h *Handler) acceptBatch(cfg *config.Config, r *remoting.Request, o *one, tc *body.TopicConfig) *remoting.Answer {
	q := &o.header
	if len(o.topic) > topic.MaxLength {
		return put.Refuse(cfg, protocol.MessageIllegal, "message topic length too long "+strconv.Itoa(len(o.topic)))
	}
	if topic.IsRetry(o.topic) {
		return put.Refuse(cfg, protocol.MessageIllegal, "batch request does not support retry group "+o.topic)
	}
	o.Read(q.Properties.V)
	delay, err := delayLevel(o.Asks.Delay)
	if err != nil {
		return put.Refuse(cfg, protocol.SystemError, err.Error())
	}
	if delay > 0 || q.SysFlag.V&message.SysFlagTransactionMask != 0 {
		return put.Refuse(cfg, protocol.MessageIllegal, put.IllegalRemark(cfg))
	}
	if len(r.Cmd.Body) > int(cfg.MaxMessageSize) {
		return put.Refuse(cfg, protocol.MessageIllegal, put.IllegalRemark(cfg))
	}
	o.Msg = message.Message{
		Topic: o.topic, QueueID: o.queueID, Flag: q.Flag.V, SysFlag: q.SysFlag.V,
		BornTimestamp: q.BornTimestamp.V, BornHost: r.Peer.RemoteAddr(), StoreHost: h.StoreHost,
		ReconsumeTimes: q.ReconsumeTimes.V,
	}
	if tc.TopicFilterType == body.MultiTag {
		o.Msg.SysFlag |= message.SysFlagMultiTags
	}
	added := put.Added{Region: cfg.RegionID, TraceOn: cfg.TraceOn, Cluster: cfg.BrokerClusterName}
	// The header's properties stand in every record: what a short frame would grow
	// to is known before anything is built.
	common := added.Append(append([]byte(nil), q.Properties.V...))
	most, size := maxGrowth*int(cfg.MaxMessageSize)+encodeSlack, 0
	err = message.DecodeBatchBody(r.Cmd.Body, func(e message.BatchEntry) error {
		size += recordFixed + len(o.topic) + len(e.Body) + len(e.Properties) + len(common)
		if size > most {
			return errBatchTooLarge
		}
		start := len(o.props)
		o.props = append(o.props, e.Properties...)
		if n := len(e.Properties); n > 0 && e.Properties[n-1] != 2 {
			o.props = append(o.props, 2)
		}
		// The header's properties follow those of every entry.
		o.props = append(o.props, common...)
		e.Properties = o.props[start:len(o.props):len(o.props)]
		o.entries = append(o.entries, e)
		return nil
	})
	if errors.Is(err, errBatchTooLarge) {
		return put.Refuse(cfg, protocol.SystemError, fmt.Sprintf("the records of the batch, each with the %d bytes of properties "+
			"that they share, would have more than %d bytes together", len(common), most))
	}
	if err != nil {
		return put.Refuse(cfg, protocol.MessageIllegal, "the batch body is malformed: "+err.Error())
	}
	if len(o.entries) == 0 {
		return put.Refuse(cfg, protocol.MessageIllegal, put.IllegalRemark(cfg))
	}
	o.uniqKey = append(o.uniqKey, o.Asks.UniqKey...) // the batch's own; none without it
	o.Batch = o.entries
	return nil
}
