package send

import (
	"strconv"
	"unsafe"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/intake"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
	"github.com/merlinmq/merlin/store"
)

// answer tells the producer what came of its message, once, and releases o.
func (o *one) answer() {
	h, cfg, res := o.h, o.h.Config.Get(), &o.put.Result
	code, remark := verdict(cfg, h.Store, res)
	if !stored(res.Status) {
		h.refused(o, remark)
		o.to.Send(h.refuse(cfg, code, remark))
		o.release()
		return
	}
	now := h.Clock.NowMillis()
	h.count(o, now)
	o.msgID = h.appendMessageIDs(o.msgID[:0], res)
	o.result = header.SendMessageResponse{
		MsgID:       wire.Some(text(o.msgID)),
		QueueID:     wire.Some(o.queueID),
		QueueOffset: wire.Some(res.QueueOffset),
	}
	if len(o.uniqKey) > 0 {
		o.result.TransactionID = wire.Some(text(o.uniqKey))
	}
	o.ext = intake.RegionFields(cfg)
	o.reply = remoting.Answer{Code: code, Header: &o.result, Ext: o.ext[:], At: now}
	o.to.Send(&o.reply)
	o.release()
}

// refused logs that a message was not stored: one a second, so that a full disk
// under load does not fill the log, with the number of those since the last one.
func (h *Handler) refused(o *one, remark string) {
	if o.put.Result.Err == nil {
		return
	}
	more := h.silent.Add(1) - 1
	now, last := h.Clock.NowMillis(), h.complained.Load()
	if now-last < 1000 && now >= last || !h.complained.CompareAndSwap(last, now) {
		return
	}
	h.silent.Add(-more - 1)
	h.Logger.Warn("send refused", "topic", o.topic, "queue", o.queueID, "status", remark, "err", o.put.Result.Err, "more", more)
}

// text looks at bytes as a string, for as long as they do not change.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func stored(s store.PutStatus) bool { return s <= store.SlaveNotAvailable }

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

// count keeps the statistics of a message that is stored at a time in ms.
func (h *Handler) count(o *one, now int64) {
	n, size := int64(o.put.Result.Messages), int64(o.put.Result.Bytes)
	name := o.put.Msg.Topic
	if name == topic.Schedule {
		h.Stats.StoredInQueue(name, o.put.Msg.QueueID, n, size)
	}
	h.Stats.Sent(name, o.queueID, n, size, max(0, now-o.arrived))
}

// verdict maps the outcome of an append to the code and remark of the answer.
func verdict(cfg *config.Config, s Store, res *store.PutResult) (protocol.ResponseCode, string) {
	switch res.Status {
	case store.PutOK:
		return protocol.Success, ""
	case store.FlushDiskTimeout:
		return protocol.FlushDiskTimeout, ""
	case store.FlushSlaveTimeout:
		return protocol.FlushSlaveTimeout, ""
	case store.SlaveNotAvailable:
		return protocol.SlaveNotAvailable, ""
	case store.InSyncReplicasNotEnough:
		return protocol.SystemError, "in-sync replicas not enough"
	case store.CreateMappedFileFailed:
		return protocol.SystemError, "create mapped file failed, server is busy or broken."
	case store.MessageIllegal, store.PropertiesSizeExceeded:
		return protocol.MessageIllegal, illegalRemark(cfg)
	case store.ServiceNotAvailable:
		why := "it takes messages again"
		if err := s.Writable(); err != nil {
			why = err.Error()
		}
		return protocol.ServiceNotAvailable, "service not available now. It may be caused by one of the following reasons: " +
			"the broker's disk is full [" + why + "], messages are put to the slave, message store has been shut down, etc."
	case store.OSPageCacheBusy:
		return protocol.SystemBusy, "[PC_SYNCHRONIZED]broker busy, start flow control for a while"
	case store.WheelTimerNotEnable:
		return protocol.SystemError, "accurate timer message is not enabled, timerWheelEnable is false"
	default:
		return protocol.SystemError, "UNKNOWN_ERROR"
	}
}

func illegalRemark(cfg *config.Config) string {
	return "the message is illegal, maybe msg body or properties length not matched. msg body length limit " +
		strconv.Itoa(int(cfg.MaxMessageSize)) + "B, msg properties length limit 32KB."
}
