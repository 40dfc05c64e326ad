package body

// ConsumeStats is a group's progress in its queues, of the codes 208.
type ConsumeStats struct {
	ConsumeTps  float64                        `json:"consumeTps"`
	OffsetTable map[MessageQueue]OffsetWrapper `json:"offsetTable" java:"nonnil"`
}

// OffsetWrapper is a group's progress in one queue.
type OffsetWrapper struct {
	BrokerOffset   int64 `json:"brokerOffset"`
	ConsumerOffset int64 `json:"consumerOffset"`
	LastTimestamp  int64 `json:"lastTimestamp"`
	PullOffset     int64 `json:"pullOffset"`
}

// ConsumeStatsList is the progress of all groups of a broker, of the codes 317.
type ConsumeStatsList struct {
	BrokerAddr        string                      `json:"brokerAddr"`
	ConsumeStatsList  []map[string][]ConsumeStats `json:"consumeStatsList" java:"nonnil"`
	TotalDiff         int64                       `json:"totalDiff"`
	TotalInflightDiff int64                       `json:"totalInflightDiff"`
}

// ResetOffsetBody is new offsets by queue, of the codes 220, 222.
type ResetOffsetBody struct {
	OffsetTable map[MessageQueue]int64 `json:"offsetTable"`
}

// ResetOffsetBodyForC is new offsets for C++ clients, of the codes 220.
type ResetOffsetBodyForC struct {
	OffsetTable []MessageQueueForC `json:"offsetTable"`
}

// MessageQueueForC is a queue and its offset for C++ clients.
type MessageQueueForC struct {
	BrokerName string `json:"brokerName"`
	Offset     int64  `json:"offset"`
	QueueID    int32  `json:"queueId"`
	Topic      string `json:"topic"`
}

// GetConsumerStatusBody is the offsets of consumers, by client, of the codes 221, 223.
type GetConsumerStatusBody struct {
	ConsumerTable     map[string]map[MessageQueue]int64 `json:"consumerTable" java:"nonnil"`
	MessageQueueTable map[MessageQueue]int64            `json:"messageQueueTable" java:"nonnil"`
}

// ConsumerOffsetSerializeWrapper is all consumer offsets: "topic@group" to queue to offset (consumerOffset.json), of the codes 43.
type ConsumerOffsetSerializeWrapper struct {
	DataVersion *DataVersion               `json:"dataVersion"`
	OffsetTable map[string]map[int32]int64 `json:"offsetTable" java:"nonnil,table=1024"`
}

// DelayOffsetSerializeWrapper is the progress of the delay levels (delayOffset.json), of the codes 45.
type DelayOffsetSerializeWrapper struct {
	DataVersion *DataVersion    `json:"dataVersion"`
	OffsetTable map[int32]int64 `json:"offsetTable" java:"nonnil,table=64"`
}

// QueryCorrectionOffsetBody is the corrected offsets by queue, of the codes 308.
type QueryCorrectionOffsetBody struct {
	CorrectionOffsets map[int32]int64 `json:"correctionOffsets" java:"nonnil"`
}

// RollbackStats is the outcome of an offset reset for one queue.
type RollbackStats struct {
	BrokerName      string `json:"brokerName"`
	BrokerOffset    int64  `json:"brokerOffset"`
	ConsumerOffset  int64  `json:"consumerOffset"`
	QueueID         int64  `json:"queueId"`
	RollbackOffset  int64  `json:"rollbackOffset"`
	TimestampOffset int64  `json:"timestampOffset"`
}

// QueryConsumeTimeSpanBody is the time spans of queues, of the codes 303.
type QueryConsumeTimeSpanBody struct {
	ConsumeTimeSpanSet []QueueTimeSpan `json:"consumeTimeSpanSet" java:"nonnil"`
}

// QueueTimeSpan is the times of the messages in a queue, in ms; the texts are made by the sender for people.
type QueueTimeSpan struct {
	ConsumeTimeStamp    int64         `json:"consumeTimeStamp"`
	ConsumeTimeStampStr string        `json:"consumeTimeStampStr"`
	DelayTime           int64         `json:"delayTime"`
	MaxTimeStamp        int64         `json:"maxTimeStamp"`
	MaxTimeStampStr     string        `json:"maxTimeStampStr"`
	MessageQueue        *MessageQueue `json:"messageQueue"`
	MinTimeStamp        int64         `json:"minTimeStamp"`
	MinTimeStampStr     string        `json:"minTimeStampStr"`
}
