package prepare

import (
	"strconv"
	"strings"

	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/protocol/message"
)

// Half turns a message of a transaction into a half message: it goes to queue 0
// of RMQ_SYS_TRANS_HALF_TOPIC, its topic and queue are kept in REAL_TOPIC and
// REAL_QID, and __transactionId__ is its UNIQ_KEY. The transaction bits are
// cleared, so that it has a place in the queue that the check reads. The
// message's Properties are replaced by new memory.
//
// A delay level stays where it is and counts when the transaction is committed.
// (Java's store sends the half message itself through the schedule topic and
// loses it on the way back.)
func Half(m *message.Message) {
	ps := message.ParseProperties(m.Properties)
	if id, ok := ps.Get(message.PropertyUniqKey); ok && id != "" {
		ps.Set(message.PropertyTransactionID, id)
	}
	ps.Set(message.PropertyRealTopic, strings.Clone(m.Topic))
	ps.Set(message.PropertyRealQueueID, strconv.Itoa(int(m.QueueID)))
	m.Properties = ps.Append(make([]byte, 0, len(m.Properties)+96))
	m.SysFlag = message.WithTransactionType(m.SysFlag, 0)
	m.Topic, m.QueueID = topic.TransHalf, 0
}
