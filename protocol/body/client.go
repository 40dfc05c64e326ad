package body

import "github.com/merlinmq/merlin/protocol/wire"

// HeartbeatData is a client's producers and consumers, of the codes 34.
type HeartbeatData struct {
	ClientID             string         `json:"clientID"`
	ConsumerDataSet      []ConsumerData `json:"consumerDataSet" java:"nonnil,set"`
	HeartbeatFingerprint int32          `json:"heartbeatFingerprint"`
	ProducerDataSet      []ProducerData `json:"producerDataSet" java:"nonnil,set"`
	WithoutSub           bool           `json:"withoutSub"`
}

// ProducerData is one producer group of a client.
type ProducerData struct {
	GroupName string `json:"groupName"`
}

// ConsumerData is one consumer group of a client.
type ConsumerData struct {
	ConsumeFromWhere    ConsumeFromWhere   `json:"consumeFromWhere"`
	ConsumeType         ConsumeType        `json:"consumeType"`
	GroupName           string             `json:"groupName"`
	MessageModel        MessageModel       `json:"messageModel"`
	SubscriptionDataSet []SubscriptionData `json:"subscriptionDataSet" java:"nonnil,set"`
	UnitMode            bool               `json:"unitMode"`
}

// SubscriptionData is a group's subscription to a topic.
type SubscriptionData struct {
	ClassFilterMode bool     `json:"classFilterMode"`
	CodeSet         []int32  `json:"codeSet" java:"nonnil,set"`
	ExpressionType  string   `json:"expressionType"` // default ExpressionType.TAG
	SubString       string   `json:"subString"`
	SubVersion      int64    `json:"subVersion"`
	TagsSet         []string `json:"tagsSet" java:"nonnil,set"`
	Topic           string   `json:"topic"`
}

// CheckClientRequestBody asks the broker to check a subscription, of the codes 46.
type CheckClientRequestBody struct {
	ClientID         string            `json:"clientId"`
	Group            string            `json:"group"`
	Namespace        string            `json:"namespace"`
	SubscriptionData *SubscriptionData `json:"subscriptionData"`
}

// Connection is one connected client.
type Connection struct {
	ClientAddr string        `json:"clientAddr"`
	ClientID   string        `json:"clientId"`
	Language   wire.Language `json:"language"`
	Version    int32         `json:"version"`
}

// ConsumerConnection is the live consumers of a group, of the codes 203.
type ConsumerConnection struct {
	ConnectionSet     []Connection                `json:"connectionSet" java:"nonnil,set"`
	ConsumeFromWhere  ConsumeFromWhere            `json:"consumeFromWhere"`
	ConsumeType       ConsumeType                 `json:"consumeType"`
	MessageModel      MessageModel                `json:"messageModel"`
	SubscriptionTable map[string]SubscriptionData `json:"subscriptionTable" java:"nonnil"`
}

// ProducerConnection is the live producers of a group, of the codes 204.
type ProducerConnection struct {
	ConnectionSet []Connection `json:"connectionSet" java:"nonnil,set"`
}

// ProducerInfo is one connected producer.
type ProducerInfo struct {
	ClientID            string        `json:"clientId"`
	Language            wire.Language `json:"language"`
	LastUpdateTimestamp int64         `json:"lastUpdateTimestamp"`
	RemoteIP            string        `json:"remoteIP"`
	Version             int32         `json:"version"`
}

// ProducerTableInfo is the connected producers by group, of the codes 328.
type ProducerTableInfo struct {
	Data map[string][]ProducerInfo `json:"data"`
}

// GetConsumerListByGroupResponseBody is the client ids of a group, of the codes 38.
type GetConsumerListByGroupResponseBody struct {
	ConsumerIDList []string `json:"consumerIdList"`
}

// LockBatchRequestBody asks for the locks of queues, of the codes 41.
type LockBatchRequestBody struct {
	ClientID       string         `json:"clientId"`
	ConsumerGroup  string         `json:"consumerGroup"`
	MqSet          []MessageQueue `json:"mqSet" java:"nonnil,set"`
	OnlyThisBroker bool           `json:"onlyThisBroker"`
}

// UnlockBatchRequestBody gives back the locks of queues, of the codes 42.
type UnlockBatchRequestBody struct {
	ClientID       string         `json:"clientId"`
	ConsumerGroup  string         `json:"consumerGroup"`
	MqSet          []MessageQueue `json:"mqSet" java:"nonnil,set"`
	OnlyThisBroker bool           `json:"onlyThisBroker"`
}

// LockBatchResponseBody is the queues that were locked, of the codes 41.
type LockBatchResponseBody struct {
	LockOKMQSet []MessageQueue `json:"lockOKMQSet" java:"nonnil,set"`
}

// QueryAssignmentRequestBody asks which queues a consumer gets, of the codes 400.
type QueryAssignmentRequestBody struct {
	ClientID      string       `json:"clientId"`
	ConsumerGroup string       `json:"consumerGroup"`
	MessageModel  MessageModel `json:"messageModel"`
	StrategyName  string       `json:"strategyName"`
	Topic         string       `json:"topic"`
}

// QueryAssignmentResponseBody is the queues a consumer gets, of the codes 400.
type QueryAssignmentResponseBody struct {
	MessageQueueAssignments []MessageQueueAssignment `json:"messageQueueAssignments" java:"set"`
}

// MessageQueueAssignment is a queue given to a consumer.
type MessageQueueAssignment struct {
	Attachments  map[string]string  `json:"attachments"`
	MessageQueue *MessageQueue      `json:"messageQueue"`
	Mode         MessageRequestMode `json:"mode"` // default MessageRequestMode.PULL
}

// SetMessageRequestModeRequestBody chooses pull or POP for a group and topic, of the codes 401.
type SetMessageRequestModeRequestBody struct {
	ConsumerGroup    string             `json:"consumerGroup"`
	Mode             MessageRequestMode `json:"mode"` // default MessageRequestMode.PULL
	PopShareQueueNum int32              `json:"popShareQueueNum"`
	Topic            string             `json:"topic"`
}

// MessageRequestModeSerializeWrapper is the request modes by topic and group, of the codes 402.
type MessageRequestModeSerializeWrapper struct {
	MessageRequestModeMap map[string]map[string]SetMessageRequestModeRequestBody `json:"messageRequestModeMap" java:"nonnil"`
}

// BatchAckMessageRequestBody acknowledges messages of several queues, of the codes 200151.
type BatchAckMessageRequestBody struct {
	Acks       []BatchAck `json:"acks"`
	BrokerName string     `json:"brokerName"`
}

// BatchAck acknowledges messages of one POP by the bits of BitSet, bit n for the offset startOffset+n (little endian, as BitSet.toByteArray).
type BatchAck struct {
	BitSet        []byte `json:"b"`
	ConsumerGroup string `json:"c"`
	InvisibleTime int64  `json:"it"`
	PopTime       int64  `json:"pt"`
	QueueID       int32  `json:"q"`
	Retry         string `json:"r"`
	ReviveQueueID int32  `json:"rq"`
	StartOffset   int64  `json:"so"`
	Topic         string `json:"t"`
}
