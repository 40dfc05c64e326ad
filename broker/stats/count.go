package stats

import (
	"strconv"
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

// StoredIn counts how long a send took, in ms (incTopicPutLatency).
func (m *Manager) StoredIn(topic string, queueID int32, ms int64) {
	var room [128]byte
	m.Item(TopicPutLatency, key(append(append(strconv.AppendInt(room[:0], int64(queueID), 10), '@'), topic...))).Add(ms, 1)
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
