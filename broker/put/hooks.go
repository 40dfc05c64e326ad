package put

import (
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store"
)

// Hook looks at a draft before it is stored (PutMessageHook). It may edit the message
// and its properties, most often to send it to another topic first, and refuses it with
// any status but PutOK. It must not block. The entries of a Batch have no properties
// of their own for it.
type Hook func(d *Draft) store.PutStatus

// innerBatch refuses what claims to be an inner batch and is none
// (HookUtils.checkInnerBatch).
func innerBatch(d *Draft) store.PutStatus {
	if d.Asks.InnerNum && d.Msg.SysFlag&message.SysFlagInnerBatch == 0 {
		return store.MessageIllegal
	}
	return store.PutOK
}

// delays sends a message with a delay level to the queue of the level, and refuses
// arbitrary delays, which are not served (HookUtils.handleScheduleMessage). The level
// wins over them. Half messages and rolled back ones wait for nothing.
func (ls Levels) delays(d *Draft) store.PutStatus {
	if t := d.Msg.SysFlag & message.SysFlagTransactionMask; t != 0 && t != message.SysFlagCommit {
		return store.PutOK
	}
	if d.Delay > 0 && len(ls) > 0 {
		ls.Schedule(d, d.Delay)
		return store.PutOK
	}
	if d.Asks.Timer && !d.Asks.TimerDone {
		return store.WheelTimerNotEnable
	}
	return store.PutOK
}

// Schedule sends a message to the queue of a delay level. Arbitrary delays are dropped.
func (ls Levels) Schedule(d *Draft, level int) {
	for _, name := range [...]string{message.PropertyTimerDelaySec, message.PropertyTimerDelayMS, message.PropertyTimerDeliverMS} {
		d.Props.Delete(name)
	}
	d.detour(topic.Schedule, QueueOf(ls.Clamp(level)))
}
