package body

// BrokerStatsData is one counter of a broker over a minute, an hour and a day, of the codes 315.
type BrokerStatsData struct {
	StatsDay    *BrokerStatsItem `json:"statsDay"`
	StatsHour   *BrokerStatsItem `json:"statsHour"`
	StatsMinute *BrokerStatsItem `json:"statsMinute"`
}

// BrokerStatsItem is one counter: sum, per second, and average per event.
type BrokerStatsItem struct {
	Avgpt float64 `json:"avgpt"`
	Sum   int64   `json:"sum"`
	Tps   float64 `json:"tps"`
}

// QueryConsumeQueueResponseBody is a part of a consume queue, for tools, of the codes 321.
type QueryConsumeQueueResponseBody struct {
	FilterData       string             `json:"filterData"`
	MaxQueueIndex    int64              `json:"maxQueueIndex"`
	MinQueueIndex    int64              `json:"minQueueIndex"`
	QueueData        []ConsumeQueueData `json:"queueData"`
	SubscriptionData *SubscriptionData  `json:"subscriptionData"`
}

// ConsumeQueueData is one entry of a consume queue, for tools.
type ConsumeQueueData struct {
	BitMap         string `json:"bitMap"`
	Eval           bool   `json:"eval"`
	ExtendDataJson string `json:"extendDataJson"`
	Msg            string `json:"msg"`
	PhysicOffset   int64  `json:"physicOffset"`
	PhysicSize     int32  `json:"physicSize"`
	TagsCode       int64  `json:"tagsCode"`
}

// QuerySubscriptionResponseBody is the subscription of a group to a topic, of the codes 345.
type QuerySubscriptionResponseBody struct {
	Group            string            `json:"group"`
	SubscriptionData *SubscriptionData `json:"subscriptionData"`
	Topic            string            `json:"topic"`
}

// CheckRocksdbCqWriteResult tells how far the RocksDB queues are, of the codes 354.
type CheckRocksdbCqWriteResult struct {
	CheckResult string `json:"checkResult"`
	CheckStatus int32  `json:"checkStatus"`
}

// TimerMetricsSerializeWrapper counts the timer messages (TimerMetrics.TimerMetricsSerializeWrapper).
type TimerMetricsSerializeWrapper struct {
	DataVersion DataVersion            `json:"dataVersion"`
	TimingCount map[string]TimerMetric `json:"timingCount" java:"nonnil,table=2048"`
}

// TimerMetric counts the timer messages of a topic (TimerMetrics.Metric).
type TimerMetric struct {
	Count     int64 `json:"count"`
	TimeStamp int64 `json:"timeStamp"`
}

// UserInfo is a user of the access control, of the codes 3001, 3002, 3004, 3005.
type UserInfo struct {
	Password   string `json:"password"`
	UserStatus string `json:"userStatus"`
	UserType   string `json:"userType"`
	Username   string `json:"username"`
}

// AclInfo is the access rules of one subject (AclInfo), of the codes 3006, 3007, 3009, 3010.
type AclInfo struct {
	Policies []PolicyInfo `json:"policies"`
	Subject  string       `json:"subject"`
}

// PolicyInfo is the rules of one kind (AclInfo.PolicyInfo).
type PolicyInfo struct {
	Entries    []PolicyEntryInfo `json:"entries"`
	PolicyType string            `json:"policyType"`
}

// PolicyEntryInfo is one rule of a policy (AclInfo.PolicyEntryInfo).
type PolicyEntryInfo struct {
	Actions   []string `json:"actions"`
	Decision  string   `json:"decision"`
	Resource  string   `json:"resource"`
	SourceIps []string `json:"sourceIps"`
}
