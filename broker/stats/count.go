package stats

import (
	"strconv"
	"strings"
	"unsafe"
)

// Keys of ChannelActivity.
const (
	ChannelConnect   = "CONNECT"
	ChannelIdle      = "IDLE"
	ChannelException = "EXCEPTION"
	ChannelClose     = "CLOSE"
)

// Stored counts messages that were put to a topic (incTopicPutNums,
// incTopicPutSize, incBrokerPutNums). Strings may alias a frame, here and below.
func (m *Manager) Stored(topic string, messages, bytes int64) {
	m.StoredInternally(topic, messages, bytes)
	m.Item(BrokerPutNums, m.opts.Cluster).Add(messages, 1)
}

// StoredInternally counts messages that are not among those that the broker took.
func (m *Manager) StoredInternally(topic string, messages, bytes int64) {
	m.Item(TopicPutNums, topic).Add(messages, 1)
	m.Item(TopicPutSize, topic).Add(bytes, 1)
}

// StoredInQueue counts messages that were put to a queue, which Java does for the
// schedule topic alone (incQueuePutNums, incQueuePutSize).
func (m *Manager) StoredInQueue(topic string, queueID int32, messages, bytes int64) {
	var room [128]byte
	k := key(strconv.AppendInt(append(append(room[:0], topic...), '@'), int64(queueID), 10))
	m.Item(QueuePutNums, k).Add(messages, 1)
	m.Item(QueuePutSize, k).Add(bytes, 1)
}

// sendKey names the counters of a queue that a send adds to.
type sendKey struct {
	topic string
	queue int32
}

// sendCounters are the counters that each send to a queue adds to.
type sendCounters struct{ nums, size, latency, broker *Item }

// Sent counts the messages of a send that was stored, as Stored, and how long it took,
// in ms (incTopicPutLatency). It looks once where the counters are.
func (m *Manager) Sent(topic string, queueID int32, messages, bytes, ms int64) {
	m.sendsMu.RLock()
	c := m.sends[sendKey{topic, queueID}]
	m.sendsMu.RUnlock()
	if c == nil {
		c = m.sendCounters(topic, queueID)
	}
	c.nums.Add(messages, 1)
	c.size.Add(bytes, 1)
	c.latency.Add(ms, 1)
	c.broker.Add(messages, 1)
}

// sendCounters finds the counters of a queue, and keeps them at hand while there is
// room for counters at all.
func (m *Manager) sendCounters(topic string, queueID int32) *sendCounters {
	var room [128]byte
	m.sendsMu.Lock()
	defer m.sendsMu.Unlock()
	c := &sendCounters{
		broker: m.Item(BrokerPutNums, m.opts.Cluster), nums: m.Item(TopicPutNums, topic), size: m.Item(TopicPutSize, topic),
		latency: m.Item(TopicPutLatency, key(append(append(strconv.AppendInt(room[:0], int64(queueID), 10), '@'), topic...))),
	}
	if o := &m.overflow; c.latency != o && c.nums != o && c.size != o && c.broker != o {
		m.sends[sendKey{strings.Clone(topic), queueID}] = c
	}
	return c
}

// forgetSends drops what is at hand of a topic whose counters were removed.
func (m *Manager) forgetSends(topic string) {
	m.sendsMu.Lock()
	defer m.sendsMu.Unlock()
	for k := range m.sends {
		if k.topic == topic {
			delete(m.sends, k)
		}
	}
}

// Got counts messages that a group took from a topic (incGroupGetNums,
// incGroupGetSize, incBrokerGetNums).
func (m *Manager) Got(topic, group string, messages, bytes int64) {
	m.GotInternally(topic, group, messages, bytes)
	m.Item(BrokerGetNums, m.opts.Cluster).Add(messages, 1)
}

// GotInternally counts messages that are not among those that the broker gave away.
func (m *Manager) GotInternally(topic, group string, messages, bytes int64) {
	var room [256]byte
	k := key(append(append(append(room[:0], topic...), '@'), group...))
	m.Item(GroupGetNums, k).Add(messages, 1)
	m.Item(GroupGetSize, k).Add(bytes, 1)
}

// GotFromQueue counts messages that a group took from a queue, which Java does for
// the schedule topic alone (incQueueGetNums, incQueueGetSize).
func (m *Manager) GotFromQueue(topic string, queueID int32, group string, messages, bytes int64) {
	k := QueueGroupKey(topic, queueID, group)
	m.Item(QueueGetNums, k).Add(messages, 1)
	m.Item(QueueGetSize, k).Add(bytes, 1)
}

// GotIn counts how long a pull took that found messages, in ms
// (incGroupGetLatency): by queue, or without details by topic and group.
func (m *Manager) GotIn(topic string, queueID int32, group string, ms int64) {
	var room [256]byte
	k := room[:0]
	if !m.opts.NoDetails {
		k = append(strconv.AppendInt(k, int64(queueID), 10), '@')
	}
	k = append(k, topic...)
	m.Item(GroupGetLatency, key(append(append(k, '@'), group...))).Add(ms, 1)
}

// SentBack counts a message that a group sent back (incSendBackNums), and one that
// became a dead letter so (SNDBCK2DLQ_TIMES; owner is a field of the request).
func (m *Manager) SentBack(topic, group string) {
	m.Item(SendBackPutNums, TopicGroupKey(topic, group)).Add(1, 1)
}

// SentToDLQ is described at SentBack.
func (m *Manager) SentToDLQ(owner, topic, group string) {
	m.Item(SendBackToDLQTimes, owner+"@"+topic+"@"+group+"@SEND_BACK_TO_DLQ").Add(1, 1)
}

// Registered counts how long it took to take in an entry of a heartbeat, in ms:
// name is ConsumerRegisterTime or ProducerRegisterTime.
func (m *Manager) Registered(name string, ms int64) { m.Item(name, m.opts.Cluster).Add(ms, 1) }

// Channel counts an event of a connection, one of the Channel… keys.
func (m *Manager) Channel(event string) { m.Item(ChannelActivity, event).Add(1, 1) }

// key looks at bytes as a string; Item copies what it keeps.
func key(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
