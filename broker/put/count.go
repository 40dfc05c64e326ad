package put

import (
	"github.com/merlinmq/merlin/broker/topic"
)

// Counting says how a stored message is counted. The zero value counts nothing.
type Counting struct {
	way     way
	name    string // topic
	queueID int32
	since   int64 // ms
}

type way uint8

const (
	nothing way = iota
	asSend
	asSendBack
	asPut
	asDelivery
)

// scheduleGroup is the group that statistics name as the reader of the schedule topic.
const scheduleGroup = "SCHEDULE_CONSUMER"

// AsSend counts a message of a producer (handlePutMessageResult), whose queue is queueID
// before any detour and which came at a time in ms of the clock.
func AsSend(queueID int32, since int64) Counting {
	return Counting{way: asSend, queueID: queueID, since: since}
}

// AsSendBack counts a message that a consumer sent back: the put counts only while it
// waits in the schedule topic.
func AsSendBack() Counting { return Counting{way: asSendBack} }

// AsPut counts a message that the broker puts into a topic, whatever detour it takes.
func AsPut(name string) Counting { return Counting{way: asPut, name: name} }

// AsDelivery counts a message whose delay level is over: it is got from the schedule
// topic and put to its own (ScheduleMessageService.PutResultProcess.onSuccess).
func AsDelivery(level int) Counting { return Counting{way: asDelivery, queueID: QueueOf(level)} }

// count counts d, which is stored.
func (c *Counting) count(d *Draft) {
	m, n, size := d.pipe.stats, int64(d.Result.Messages), int64(d.Result.Bytes)
	name := d.Msg.Topic
	switch c.way {
	case asSend:
		if name == topic.Schedule {
			m.StoredInQueue(name, d.Msg.QueueID, n, size)
		}
		m.Sent(name, c.queueID, n, size, max(0, d.At-c.since))
	case asSendBack:
		if name == topic.Schedule {
			m.StoredInternally(name, n, size)
			m.StoredInQueue(name, d.Msg.QueueID, n, size)
		}
	case asPut:
		m.Stored(c.name, n, size)
	case asDelivery:
		m.GotFromQueue(topic.Schedule, c.queueID, scheduleGroup, n, size)
		m.GotInternally(topic.Schedule, scheduleGroup, n, size)
		m.Stored(name, n, size)
	}
}
