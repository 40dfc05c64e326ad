package body

// ConsumerRunningInfo is what a consumer tells about itself, of the codes 307.
type ConsumerRunningInfo struct {
	Jstack           string                               `json:"jstack"`
	MqPopTable       map[MessageQueue]PopProcessQueueInfo `json:"mqPopTable" java:"nonnil,sorted"`
	MqTable          map[MessageQueue]ProcessQueueInfo    `json:"mqTable" java:"nonnil,sorted"`
	Properties       map[string]string                    `json:"properties" java:"nonnil"`
	StatusTable      map[string]ConsumeStatus             `json:"statusTable" java:"nonnil,sorted"`
	SubscriptionSet  []SubscriptionData                   `json:"subscriptionSet" java:"nonnil,set"`
	UserConsumerInfo map[string]string                    `json:"userConsumerInfo" java:"nonnil,sorted"`
}

// ProcessQueueInfo is the state of a queue in a consumer.
type ProcessQueueInfo struct {
	CachedMsgCount          int32 `json:"cachedMsgCount"`
	CachedMsgMaxOffset      int64 `json:"cachedMsgMaxOffset"`
	CachedMsgMinOffset      int64 `json:"cachedMsgMinOffset"`
	CachedMsgSizeInMiB      int32 `json:"cachedMsgSizeInMiB"`
	CommitOffset            int64 `json:"commitOffset"`
	Droped                  bool  `json:"droped"`
	LastConsumeTimestamp    int64 `json:"lastConsumeTimestamp"`
	LastLockTimestamp       int64 `json:"lastLockTimestamp"`
	LastPullTimestamp       int64 `json:"lastPullTimestamp"`
	Locked                  bool  `json:"locked"`
	TransactionMsgCount     int32 `json:"transactionMsgCount"`
	TransactionMsgMaxOffset int64 `json:"transactionMsgMaxOffset"`
	TransactionMsgMinOffset int64 `json:"transactionMsgMinOffset"`
	TryUnlockTimes          int64 `json:"tryUnlockTimes"`
}

// PopProcessQueueInfo is the state of a POP queue in a consumer.
type PopProcessQueueInfo struct {
	Droped           bool  `json:"droped"`
	LastPopTimestamp int64 `json:"lastPopTimestamp"`
	WaitAckCount     int32 `json:"waitAckCount"`
}

// ConsumeStatus is the rates of a consumer for one topic.
type ConsumeStatus struct {
	ConsumeFailedMsgs int64   `json:"consumeFailedMsgs"`
	ConsumeFailedTPS  float64 `json:"consumeFailedTPS"`
	ConsumeOKTPS      float64 `json:"consumeOKTPS"`
	ConsumeRT         float64 `json:"consumeRT"`
	PullRT            float64 `json:"pullRT"`
	PullTPS           float64 `json:"pullTPS"`
}

// ConsumeMessageDirectlyResult is a consumer's answer to a message it was told to consume, of the codes 309.
type ConsumeMessageDirectlyResult struct {
	AutoCommit     bool     `json:"autoCommit"` // default true
	ConsumeResult  CMResult `json:"consumeResult"`
	Order          bool     `json:"order"`
	Remark         string   `json:"remark"`
	SpentTimeMills int64    `json:"spentTimeMills"`
}
