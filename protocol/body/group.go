package body

// SubscriptionGroupConfig is the configuration of a consumer group, of the codes 200, 352.
type SubscriptionGroupConfig struct {
	Attributes                     map[string]string        `json:"attributes" java:"nonnil"`
	BrokerID                       int64                    `json:"brokerId"`               // default MixAll.MASTER_ID
	ConsumeBroadcastEnable         bool                     `json:"consumeBroadcastEnable"` // default true
	ConsumeEnable                  bool                     `json:"consumeEnable"`          // default true
	ConsumeFromMinEnable           bool                     `json:"consumeFromMinEnable"`   // default true
	ConsumeMessageOrderly          bool                     `json:"consumeMessageOrderly"`
	ConsumeTimeoutMinute           int32                    `json:"consumeTimeoutMinute"` // default 15
	GroupName                      string                   `json:"groupName"`
	GroupRetryPolicy               GroupRetryPolicy         `json:"groupRetryPolicy"`
	GroupSysFlag                   int32                    `json:"groupSysFlag"`
	NotifyConsumerIDsChangedEnable bool                     `json:"notifyConsumerIdsChangedEnable"` // default true
	RetryMaxTimes                  int32                    `json:"retryMaxTimes"`                  // default 16
	RetryQueueNums                 int32                    `json:"retryQueueNums"`                 // default 1
	SubscriptionDataSet            []SimpleSubscriptionData `json:"subscriptionDataSet" java:"set"`
	WhichBrokerWhenConsumeSlowly   int64                    `json:"whichBrokerWhenConsumeSlowly"` // default 1
}

// SubscriptionGroupWrapper is the configurations of all groups (subscriptionGroup.json), of the codes 201.
type SubscriptionGroupWrapper struct {
	DataVersion            DataVersion                        `json:"dataVersion"`
	ForbiddenTable         map[string]map[string]int32        `json:"forbiddenTable" java:"table=2048"`
	SubscriptionGroupTable map[string]SubscriptionGroupConfig `json:"subscriptionGroupTable" java:"nonnil,table=2048"`
}

// SubscriptionGroupList configures several groups, of the codes 225.
type SubscriptionGroupList struct {
	GroupConfigList []SubscriptionGroupConfig `json:"groupConfigList"`
}

// SimpleSubscriptionData is a subscription kept in the group configuration.
type SimpleSubscriptionData struct {
	Expression     string `json:"expression"`
	ExpressionType string `json:"expressionType"`
	Topic          string `json:"topic"`
	Version        int64  `json:"version"`
}

// GroupRetryPolicy is how a group retries.
type GroupRetryPolicy struct {
	CustomizedRetryPolicy  *CustomizedRetryPolicy  `json:"customizedRetryPolicy"`
	ExponentialRetryPolicy *ExponentialRetryPolicy `json:"exponentialRetryPolicy"`
	Type                   GroupRetryPolicyType    `json:"type"` // default GroupRetryPolicyType.CUSTOMIZED
}

// ExponentialRetryPolicy is growing retry delays, in ms.
type ExponentialRetryPolicy struct {
	Initial    int64 `json:"initial"`    // default TimeUnit.SECONDS.toMillis(5)
	Max        int64 `json:"max"`        // default TimeUnit.HOURS.toMillis(2)
	Multiplier int64 `json:"multiplier"` // default 2
}

// CustomizedRetryPolicy is a list of retry delays in ms.
type CustomizedRetryPolicy struct {
	Next []int64 `json:"next" java:"inline"`
}

// GroupForbidden says whether a group may read a topic, of the codes 353.
type GroupForbidden struct {
	Group    string `json:"group"`
	Readable *bool  `json:"readable"`
	Topic    string `json:"topic"`
}
