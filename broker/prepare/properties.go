package prepare

import (
	"strconv"
	"strings"
	"unsafe"

	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/protocol/message"
)

// valueEnd ends a value in the property text.
const valueEnd = 2

// Seen is what a broker needs to know of the properties of a message. The
// strings alias the property text.
type Seen struct {
	Tags    string
	UniqKey string
	Keys    string
	Delay   string // DELAY, a level number
	// Transaction is TRAN_MSG.
	Transaction string
	// Timer is set when one of the arbitrary delays was asked for.
	Timer bool
	// TimerDone is set when the message has been through the timer already.
	TimerDone bool
	// InnerNum is set when the text claims to be an inner batch.
	InnerNum bool
	// replace counts properties that the broker writes itself or removes.
	replace int
}

// Scan reads a property text once.
func Scan(text string) Seen {
	var s Seen
	for n, v := range message.Each(unsafe.Slice(unsafe.StringData(text), len(text))) {
		name, value := view(n), view(v)
		switch name {
		case message.PropertyTags:
			s.Tags = value
		case message.PropertyUniqKey:
			s.UniqKey = value
		case message.PropertyKeys:
			s.Keys = value
		case message.PropertyDelayLevel:
			s.Delay = value
		case message.PropertyTransactionPrepared:
			s.Transaction = value
		case message.PropertyTimerDelaySec, message.PropertyTimerDelayMS, message.PropertyTimerDeliverMS:
			s.Timer = true
		case message.PropertyTimerOutMS:
			s.TimerDone = true
		case message.PropertyInnerNum:
			s.InnerNum = true
		case message.PropertyMsgRegion, message.PropertyTraceSwitch, message.PropertyCluster, message.PropertyPopCK:
			s.replace++
		}
	}
	return s
}

// view looks at bytes of the property text as a string.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Added are the properties that the broker writes on a message that it takes in.
type Added struct {
	Region  string // MSG_REGION
	TraceOn bool   // TRACE_ON
	Cluster string // CLUSTER
}

// Append writes the property text of the stored message: the client's properties
// without those that are the broker's, then the broker's. uniqKey is added when
// it is not empty (the client sent none).
func (a Added) Append(dst []byte, text string, seen *Seen, uniqKey string) []byte {
	if seen.replace == 0 {
		dst = append(dst, text...)
		if len(text) > 0 && text[len(text)-1] != valueEnd {
			dst = append(dst, valueEnd)
		}
	} else {
		dst = append(dst, Without(text, message.PropertyMsgRegion, message.PropertyTraceSwitch, message.PropertyCluster, message.PropertyPopCK)...)
	}
	if uniqKey != "" {
		dst = message.AppendProperty(dst, message.PropertyUniqKey, uniqKey)
	}
	dst = message.AppendProperty(dst, message.PropertyMsgRegion, a.Region)
	dst = message.AppendProperty(dst, message.PropertyTraceSwitch, strconv.FormatBool(a.TraceOn))
	return message.AppendProperty(dst, message.PropertyCluster, a.Cluster)
}

// With gives a copy of the property text with some properties set to new values,
// given as pairs of name and value.
func With(text string, pairs ...string) []byte {
	ps := message.ParseProperties([]byte(text))
	for i := 0; i < len(pairs); i += 2 {
		ps.Set(pairs[i], pairs[i+1])
	}
	return ps.Append(make([]byte, 0, len(text)+64))
}

// Without gives a copy of the property text without these names.
func Without(text string, names ...string) []byte {
	ps := message.ParseProperties([]byte(text))
	for _, name := range names {
		ps.Delete(name)
	}
	return ps.Append(make([]byte, 0, len(text)))
}

// Schedule sends a message to the queue of its delay level, with its topic and
// queue kept in REAL_TOPIC and REAL_QID. Arbitrary delays are dropped: the level
// wins over them. The message's Properties are replaced by new memory.
func (ls Levels) Schedule(m *message.Message, level int) {
	level = ls.Clamp(level)
	props := Without(string(m.Properties), message.PropertyTimerDelaySec, message.PropertyTimerDelayMS, message.PropertyTimerDeliverMS)
	m.Properties = With(string(props), message.PropertyRealTopic, strings.Clone(m.Topic),
		message.PropertyRealQueueID, strconv.Itoa(int(m.QueueID)))
	m.Topic, m.QueueID = topic.Schedule, QueueOf(level)
}
