package body

import (
	"strings"

	"github.com/merlinmq/merlin/compat/javastr"
)

// MessageQueue is one queue of a topic in a broker set. It is also the key of
// several maps, where it stands as an object without quotes.
type MessageQueue struct {
	Topic      string `json:"topic"`
	BrokerName string `json:"brokerName"`
	QueueID    int32  `json:"queueId"`
}

// HashCode is Java's hashCode, on which the order in maps rests.
func (q MessageQueue) HashCode() int32 {
	h := 31 + javastr.Hash(q.BrokerName)
	h = 31*h + q.QueueID
	return 31*h + javastr.Hash(q.Topic)
}

// CompareKey orders queues by topic, broker name and id (Comparable).
func (q MessageQueue) CompareKey(other any) int {
	o, _ := other.(MessageQueue)
	if c := strings.Compare(q.Topic, o.Topic); c != 0 {
		return c
	}
	if c := strings.Compare(q.BrokerName, o.BrokerName); c != 0 {
		return c
	}
	return int(q.QueueID) - int(o.QueueID)
}
