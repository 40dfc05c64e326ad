package put

import (
	"strconv"
	"strings"
	"unsafe"

	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store"
)

// Draft is a message on its way into the store. Who brings it fills it; from Batch.Add
// or Pipeline.Put on it is the pipeline's, until Then is called or Put returns.
type Draft struct {
	// Put has the message and what came of it. Its Properties are written by the
	// pipeline out of Props, unless Batch is set, whose entries have theirs; Done and Arg
	// are the pipeline's.
	store.Put
	// Props are the properties.
	Props message.PropertyView
	// Asks is what a client asks for in them, see Draft.Read; the zero value asks for
	// nothing.
	Asks Asks
	// Delay is the delay level that the message waits for, 0 = none.
	Delay int
	// Counts says how it is counted when it is stored.
	Counts Counting
	// Then is called once, when the message is stored or refused. nil is for Put, which
	// waits.
	Then func(*Draft)
	// Owner is the caller's.
	Owner any
	// At is the time when it was stored or refused, in ms of the clock.
	At int64

	text []byte // the properties as they are stored
	pipe *Pipeline
}

// Asks is what a client may ask for in the properties of a message. The strings alias
// the property text.
type Asks struct {
	Tags    string
	UniqKey string
	Delay   string // DELAY, a level number
	// Transaction is TRAN_MSG.
	Transaction string
	// Timer is set when one of the arbitrary delays was asked for, and TimerDone when
	// the message has been through the timer already.
	Timer, TimerDone bool
	// InnerNum is set when the text claims to be an inner batch.
	InnerNum bool

	brokers bool // it has properties that the broker writes itself or removes
}

// Read reads the property text of a message that a client sends. The text must live
// until the message is stored or refused.
func (d *Draft) Read(text string) {
	d.Props.Read(text)
	a := Asks{}
	for i := range d.Props.Len() {
		name, value := d.Props.At(i)
		switch name {
		case message.PropertyTags:
			a.Tags = value
		case message.PropertyUniqKey:
			a.UniqKey = value
		case message.PropertyDelayLevel:
			a.Delay = value
		case message.PropertyTransactionPrepared:
			a.Transaction = value
		case message.PropertyTimerDelaySec, message.PropertyTimerDelayMS, message.PropertyTimerDeliverMS:
			a.Timer = true
		case message.PropertyTimerOutMS:
			a.TimerDone = true
		case message.PropertyInnerNum:
			a.InnerNum = true
		case message.PropertyMsgRegion, message.PropertyTraceSwitch, message.PropertyCluster, message.PropertyPopCK:
			a.brokers = true
		}
	}
	d.Asks = a
}

// Again makes a draft of a stored message, to be put once more by the broker itself:
// without what only its record had, and asking for nothing. m's bytes must not change
// until the draft is stored.
func Again(m *message.Message) *Draft {
	d := &Draft{Put: store.Put{Msg: *m}}
	d.Props.Read(unsafe.String(unsafe.SliceData(m.Properties), len(m.Properties)))
	d.Props.Delete(message.PropertyCRC32)
	d.Msg.TagsCode = 0
	if tags, ok := d.Props.Get(message.PropertyTags); ok {
		d.Msg.TagsCode = message.TagsHash(tags)
	}
	return d
}

// Encode writes the properties into the message.
func (d *Draft) Encode() {
	d.text = d.Props.Append(d.text[:0])
	d.Msg.Properties = d.text
}

// keepText is the longest property text whose memory a draft keeps for the next.
const keepText = 64 << 10

// Reset makes the draft empty and keeps its memory.
func (d *Draft) Reset() {
	text := d.text[:0]
	if cap(text) > keepText {
		text = nil
	}
	props := d.Props
	props.Reset()
	*d = Draft{Props: props, text: text}
}

// Added are the properties that the broker writes on a message that a client sends.
type Added struct {
	Region  string // MSG_REGION
	TraceOn bool   // TRACE_ON
	Cluster string // CLUSTER
}

// To gives the draft the broker's properties, and takes those out that only the broker
// may write. uniqKey is added when it is not empty: the client sent none.
func (a Added) To(d *Draft, uniqKey string) {
	if d.Asks.brokers {
		for _, name := range [...]string{message.PropertyMsgRegion, message.PropertyTraceSwitch, message.PropertyCluster, message.PropertyPopCK} {
			d.Props.Delete(name)
		}
	}
	if uniqKey != "" {
		if d.Asks.UniqKey == "" {
			d.Props.Add(message.PropertyUniqKey, uniqKey)
		} else {
			d.Props.Set(message.PropertyUniqKey, uniqKey)
		}
	}
	d.Props.Add(message.PropertyMsgRegion, a.Region)
	d.Props.Add(message.PropertyTraceSwitch, strconv.FormatBool(a.TraceOn))
	d.Props.Add(message.PropertyCluster, a.Cluster)
}

// Append writes the broker's properties behind the text of an entry of a batch, which
// they follow whatever stands in it.
func (a Added) Append(dst []byte) []byte {
	dst = message.AppendProperty(dst, message.PropertyMsgRegion, a.Region)
	dst = message.AppendProperty(dst, message.PropertyTraceSwitch, strconv.FormatBool(a.TraceOn))
	return message.AppendProperty(dst, message.PropertyCluster, a.Cluster)
}

// Half turns a message of a transaction into a half message: it goes to queue 0
// of RMQ_SYS_TRANS_HALF_TOPIC, its topic and queue are kept in REAL_TOPIC and
// REAL_QID, and __transactionId__ is its UNIQ_KEY. The transaction bits are
// cleared, so that it has a place in the queue that the check reads.
//
// A delay level stays where it is and counts when the transaction is committed.
// (Java's store sends the half message itself through the schedule topic and
// loses it on the way back.)
func (d *Draft) Half() {
	if id, ok := d.Props.Get(message.PropertyUniqKey); ok && id != "" {
		d.Props.Set(message.PropertyTransactionID, id)
	}
	d.detour(topic.TransHalf, 0)
	d.Msg.SysFlag = message.WithTransactionType(d.Msg.SysFlag, 0)
}

// detour sends the message to another topic, with its own topic and queue kept in
// REAL_TOPIC and REAL_QID.
func (d *Draft) detour(name string, queueID int32) {
	d.Props.Set(message.PropertyRealTopic, d.Msg.Topic)
	d.Props.Set(message.PropertyRealQueueID, strconv.Itoa(int(d.Msg.QueueID)))
	d.Msg.Topic, d.Msg.QueueID = name, queueID
}

// Real gives the message back the topic and queue that a detour has kept. It reports
// false when it has none.
func (d *Draft) Real() bool {
	name, ok := d.Props.Get(message.PropertyRealTopic)
	text, _ := d.Props.Get(message.PropertyRealQueueID)
	queueID, err := strconv.ParseInt(text, 10, 32)
	if !ok || err != nil || name == "" {
		return false
	}
	d.Msg.Topic, d.Msg.QueueID = strings.Clone(name), int32(queueID)
	return true
}
