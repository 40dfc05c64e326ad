package body

// TopicRouteData is the route of a topic: where its queues are, of the codes 105, 217.
type TopicRouteData struct {
	BrokerDatas               []BrokerData                     `json:"brokerDatas" java:"nonnil"`
	FilterServerTable         map[string][]string              `json:"filterServerTable" java:"nonnil"`
	OrderTopicConf            string                           `json:"orderTopicConf"`
	QueueDatas                []QueueData                      `json:"queueDatas" java:"nonnil"`
	TopicQueueMappingByBroker map[string]TopicQueueMappingInfo `json:"topicQueueMappingByBroker"`
}

// QueueData is the queues of a topic in a broker set.
type QueueData struct {
	BrokerName     string `json:"brokerName"`
	Perm           int32  `json:"perm"`
	ReadQueueNums  int32  `json:"readQueueNums"`
	TopicSysFlag   int32  `json:"topicSysFlag"`
	WriteQueueNums int32  `json:"writeQueueNums"`
}

// BrokerData names the addresses of a broker set by broker id.
type BrokerData struct {
	BrokerAddrs        map[int64]string `json:"brokerAddrs"`
	BrokerName         string           `json:"brokerName"`
	Cluster            string           `json:"cluster"`
	EnableActingMaster bool             `json:"enableActingMaster"`
	ZoneName           string           `json:"zoneName"`
}

// ClusterInfo is all broker sets and the clusters they belong to, of the codes 106.
type ClusterInfo struct {
	BrokerAddrTable  map[string]BrokerData `json:"brokerAddrTable"`
	ClusterAddrTable map[string][]string   `json:"clusterAddrTable" java:"set"`
}

// BrokerMemberGroup is the live members of a broker set.
type BrokerMemberGroup struct {
	BrokerAddrs map[int64]string `json:"brokerAddrs"`
	BrokerName  string           `json:"brokerName"`
	Cluster     string           `json:"cluster"`
}

// GetBrokerMemberGroupResponseBody is the live members of a broker set, of the codes 901.
type GetBrokerMemberGroupResponseBody struct {
	BrokerMemberGroup *BrokerMemberGroup `json:"brokerMemberGroup"`
}

// KVTable is a table of texts, of the codes 28, 103, 219.
type KVTable struct {
	Table map[string]string `json:"table" java:"nonnil"`
}

// TopicList is a list of topics, of the codes 206, 224, 304, 305, 311, 312, 313, 343.
type TopicList struct {
	BrokerAddr string   `json:"brokerAddr"`
	TopicList  []string `json:"topicList" java:"nonnil,set"`
}

// GroupList is a list of groups, of the codes 300.
type GroupList struct {
	GroupList []string `json:"groupList" java:"nonnil,set"`
}

// DataVersion is the version of a table, of the codes 322.
type DataVersion struct {
	Counter      int64 `json:"counter"`
	StateVersion int64 `json:"stateVersion"`
	Timestamp    int64 `json:"timestamp"`
}
