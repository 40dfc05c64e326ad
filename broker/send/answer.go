package send

import (
	"unsafe"

	"github.com/merlinmq/merlin/broker/put"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
	"github.com/merlinmq/merlin/store"
)

// answer tells the producer what came of its message, once, and releases o.
func (o *one) answer() {
	h, cfg, res := o.h, o.h.Config.Get(), &o.Result
	v := put.SendVerdict(cfg, res.Status, h.Store.Writable)
	if !put.Stored(res.Status) {
		h.refused(o, v.Remark)
		o.refuse(put.Refuse(cfg, v.Code, v.Remark))
		return
	}
	o.msgID = h.appendMessageIDs(o.msgID[:0], res)
	o.result = header.SendMessageResponse{
		MsgID:       wire.Some(text(o.msgID)),
		QueueID:     wire.Some(o.queueID),
		QueueOffset: wire.Some(res.QueueOffset),
	}
	if len(o.uniqKey) > 0 {
		o.result.TransactionID = wire.Some(text(o.uniqKey))
	}
	o.ext = put.RegionFields(cfg)
	o.reply = remoting.Answer{Code: v.Code, Header: &o.result, Ext: o.ext[:], At: o.At}
	o.to.Send(&o.reply)
	o.release()
}

// refused logs that a message was not stored: one a second, so that a full disk
// under load does not fill the log, with the number of those since the last one.
func (h *Handler) refused(o *one, remark string) {
	if o.Result.Err == nil {
		return
	}
	more := h.silent.Add(1) - 1
	now, last := h.Clock.NowMillis(), h.complained.Load()
	if now-last < 1000 && now >= last || !h.complained.CompareAndSwap(last, now) {
		return
	}
	h.silent.Add(-more - 1)
	h.Logger.Warn("send refused", "topic", o.topic, "queue", o.queueID, "status", remark, "err", o.Result.Err, "more", more)
}

// text looks at bytes as a string, for as long as they do not change.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// appendMessageIDs appends the offset message id, or those of a batch joined by
// commas.
func (h *Handler) appendMessageIDs(dst []byte, res *store.PutResult) []byte {
	if len(res.PhyOffsets) == 0 {
		return message.AppendOffsetMessageID(dst, h.StoreHost, res.PhyOffset)
	}
	for i, phy := range res.PhyOffsets {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = message.AppendOffsetMessageID(dst, h.StoreHost, phy)
	}
	return dst
}
