package body

// TopicConfig is the configuration of a topic.
type TopicConfig struct {
	Attributes      map[string]string `json:"attributes" java:"nonnil"`
	Order           bool              `json:"order"`
	Perm            int32             `json:"perm"`            // default PermName.PERM_READ | PermName.PERM_WRITE
	ReadQueueNums   int32             `json:"readQueueNums"`   // default defaultReadQueueNums
	TopicFilterType TopicFilterType   `json:"topicFilterType"` // default TopicFilterType.SINGLE_TAG
	TopicName       string            `json:"topicName"`
	TopicSysFlag    int32             `json:"topicSysFlag"`
	WriteQueueNums  int32             `json:"writeQueueNums"` // default defaultWriteQueueNums
}

// TopicConfigSerializeWrapper is the configurations of a broker's topics (topics.json).
type TopicConfigSerializeWrapper struct {
	DataVersion      DataVersion            `json:"dataVersion"`
	TopicConfigTable map[string]TopicConfig `json:"topicConfigTable" java:"nonnil"`
}

// TopicConfigAndMappingSerializeWrapper is the configurations of a broker's topics and of its static topics, of the codes 21.
type TopicConfigAndMappingSerializeWrapper struct {
	TopicConfigSerializeWrapper
	MappingDataVersion         DataVersion                        `json:"mappingDataVersion"`
	TopicQueueMappingDetailMap map[string]TopicQueueMappingDetail `json:"topicQueueMappingDetailMap" java:"nonnil"`
	TopicQueueMappingInfoMap   map[string]TopicQueueMappingInfo   `json:"topicQueueMappingInfoMap" java:"nonnil"`
}

// TopicConfigAndQueueMapping is the configuration of a topic that may be static, of the codes 351.
type TopicConfigAndQueueMapping struct {
	TopicConfig
	MappingDetail *TopicQueueMappingDetail `json:"mappingDetail"`
}

// CreateTopicListRequestBody creates several topics, of the codes 18.
type CreateTopicListRequestBody struct {
	TopicConfigList []TopicConfig `json:"topicConfigList"`
}

// TopicQueueMappingInfo is the head of a static topic on one broker.
type TopicQueueMappingInfo struct {
	Bname       string          `json:"bname"`
	CurrIDMap   map[int32]int32 `json:"currIdMap" java:"nonnil"`
	Dirty       bool            `json:"dirty"`
	Epoch       int64           `json:"epoch"`
	Scope       string          `json:"scope"` // default MixAll.METADATA_SCOPE_GLOBAL
	Topic       string          `json:"topic"`
	TotalQueues int32           `json:"totalQueues"`
}

// TopicQueueMappingDetail is the queues of a static topic on one broker, of the codes 513.
type TopicQueueMappingDetail struct {
	TopicQueueMappingInfo
	HostedQueues map[int32][]LogicQueueMappingItem `json:"hostedQueues" java:"nonnil"`
}

// LogicQueueMappingItem is one stretch of a logical queue.
type LogicQueueMappingItem struct {
	Bname       string `json:"bname"`
	EndOffset   int64  `json:"endOffset"` // default -1
	Gen         int32  `json:"gen"`
	LogicOffset int64  `json:"logicOffset"`
	QueueID     int32  `json:"queueId"`
	StartOffset int64  `json:"startOffset"`
	TimeOfEnd   int64  `json:"timeOfEnd"`   // default -1
	TimeOfStart int64  `json:"timeOfStart"` // default -1
}

// TopicStatsTable is the offsets of a topic by queue, of the codes 202.
type TopicStatsTable struct {
	OffsetTable map[MessageQueue]TopicOffset `json:"offsetTable" java:"nonnil"`
	TopicPutTps float64                      `json:"topicPutTps"`
}

// TopicOffset is the offsets of a queue.
type TopicOffset struct {
	LastUpdateTimestamp int64 `json:"lastUpdateTimestamp"`
	MaxOffset           int64 `json:"maxOffset"`
	MinOffset           int64 `json:"minOffset"`
}
