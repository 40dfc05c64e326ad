package config

import (
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/merlinmq/merlin/compat/clock"
)

// Millis is a length of time in milliseconds, as the files have it.
type Millis int64

// Duration is m as Go's type, a century at most.
func (m Millis) Duration() time.Duration { return clock.Span(int64(m), time.Millisecond) }

// Config is what this broker acts on, one field a key. The tag conf gives the
// key of broker.conf; "hot" after it says that UPDATE_BROKER_CONFIG (25) takes
// effect at once, because the value is read anew at each use; every other key is
// read at start. The tag min (and max) bounds a number. A Config is made by Parse
// or Default and not changed afterwards, so it may be read from any goroutine.
type Config struct {
	// Identity and addresses.
	BrokerName        string `conf:"brokerName" check:"name"`
	BrokerClusterName string `conf:"brokerClusterName" check:"name"`
	BrokerID          int64  `conf:"brokerId"` // 0: this is a master
	NamesrvAddr       string `conf:"namesrvAddr,hot" check:"nameServers"`
	BrokerIP1         string `conf:"brokerIP1" check:"host"` // address told to clients
	BindAddress       string `conf:"bindAddress"`
	ListenPort        int    `conf:"listenPort" min:"0" max:"65535"` // 0: a free port
	BrokerRole        string `conf:"brokerRole"`                     // ASYNC_MASTER

	// Topics and groups.
	BrokerPermission                   int32  `conf:"brokerPermission,hot" min:"0" max:"7"`
	DefaultTopicQueueNums              int32  `conf:"defaultTopicQueueNums" min:"1"`
	AutoCreateTopicEnable              bool   `conf:"autoCreateTopicEnable,hot"`
	ClusterTopicEnable                 bool   `conf:"clusterTopicEnable"`
	BrokerTopicEnable                  bool   `conf:"brokerTopicEnable"`
	AutoCreateSubscriptionGroup        bool   `conf:"autoCreateSubscriptionGroup,hot"`
	EnableCreateSysGroup               bool   `conf:"enableCreateSysGroup,hot"`
	TraceTopicEnable                   bool   `conf:"traceTopicEnable"`
	MsgTraceTopicName                  string `conf:"msgTraceTopicName"`
	ReviveQueueNum                     int32  `conf:"reviveQueueNum" min:"1"` // queues of the revive topic, which exists from the start
	ValidateSystemTopicWhenUpdateTopic bool   `conf:"validateSystemTopicWhenUpdateTopic,hot"`
	EnableMixedMessageType             bool   `conf:"enableMixedMessageType,hot"`
	ClearRetryTopicWhenDeleteTopic     bool   `conf:"clearRetryTopicWhenDeleteTopic,hot"`
	ConfigBlackList                    string `conf:"configBlackList"` // keys that code 25 refuses, separated by ;

	// Registration with the name servers.
	RegisterNameServerPeriod   Millis `conf:"registerNameServerPeriod" min:"1"` // clamped to 10…60 s
	RegisterBrokerTimeoutMills Millis `conf:"registerBrokerTimeoutMills,hot" min:"1"`
	ForceRegister              bool   `conf:"forceRegister,hot"`
	EnableSingleTopicRegister  bool   `conf:"enableSingleTopicRegister,hot"`
	EnableSplitRegistration    bool   `conf:"enableSplitRegistration,hot"`
	SplitRegistrationSize      int    `conf:"splitRegistrationSize,hot" min:"1"`

	// Sending.
	StartAcceptSendRequestTimeStamp int64  `conf:"startAcceptSendRequestTimeStamp,hot"` // ms since 1970
	RegionID                        string `conf:"regionId,hot"`
	TraceOn                         bool   `conf:"traceOn,hot"`

	// Transactions and replies.
	RejectTransactionMessage   bool   `conf:"rejectTransactionMessage,hot"`
	TransactionTimeOut         Millis `conf:"transactionTimeOut,hot" min:"1"`         // age of a half message at its first check
	TransactionCheckMax        int    `conf:"transactionCheckMax,hot" min:"1"`        // checks of one half message
	TransactionCheckInterval   Millis `conf:"transactionCheckInterval,hot" min:"1"`   // between two rounds of checks
	TransactionOpBatchInterval Millis `conf:"transactionOpBatchInterval,hot" min:"1"` // longest wait of a removal entry
	TransactionOpMsgMaxSize    int    `conf:"transactionOpMsgMaxSize,hot" min:"1"`    // bytes of removal entries in one message
	StoreReplyMessageEnable    bool   `conf:"storeReplyMessageEnable,hot"`

	// Reading and consumer groups.
	LongPollingEnable               bool   `conf:"longPollingEnable,hot"`
	ShortPollingTimeMills           Millis `conf:"shortPollingTimeMills,hot" min:"0"`
	NotifyConsumerIDsChangedEnable  bool   `conf:"notifyConsumerIdsChangedEnable,hot"`
	SlaveReadEnable                 bool   `conf:"slaveReadEnable,hot"`
	LitePullMessageEnable           bool   `conf:"litePullMessageEnable,hot"`
	RejectPullConsumerEnable        bool   `conf:"rejectPullConsumerEnable,hot"`
	UseServerSideResetOffset        bool   `conf:"useServerSideResetOffset,hot"`
	ChannelExpiredTimeout           Millis `conf:"channelExpiredTimeout" min:"1"`
	SubscriptionExpiredTimeout      Millis `conf:"subscriptionExpiredTimeout" min:"1"`
	FlushConsumerOffsetInterval     Millis `conf:"flushConsumerOffsetInterval" min:"1"`
	ConsumerOffsetUpdateVersionStep int64  `conf:"consumerOffsetUpdateVersionStep" min:"1"`

	// Workers and bounded queues, one pair a class of request.
	SendMessageThreadPoolNums              int `conf:"sendMessageThreadPoolNums" min:"1" max:"4096"`
	SendThreadPoolQueueCapacity            int `conf:"sendThreadPoolQueueCapacity" min:"1"`
	PullThreadPoolQueueCapacity            int `conf:"pullThreadPoolQueueCapacity" min:"1"`
	LitePullThreadPoolQueueCapacity        int `conf:"litePullThreadPoolQueueCapacity" min:"1"`
	AckThreadPoolQueueCapacity             int `conf:"ackThreadPoolQueueCapacity" min:"1"`
	QueryMessageThreadPoolNums             int `conf:"queryMessageThreadPoolNums" min:"1" max:"4096"`
	QueryThreadPoolQueueCapacity           int `conf:"queryThreadPoolQueueCapacity" min:"1"`
	AdminBrokerThreadPoolNums              int `conf:"adminBrokerThreadPoolNums" min:"1" max:"4096"`
	AdminBrokerThreadPoolQueueCapacity     int `conf:"adminBrokerThreadPoolQueueCapacity" min:"1"`
	ClientManageThreadPoolNums             int `conf:"clientManageThreadPoolNums" min:"1" max:"4096"`
	ClientManagerThreadPoolQueueCapacity   int `conf:"clientManagerThreadPoolQueueCapacity" min:"1"`
	ConsumerManagerThreadPoolQueueCapacity int `conf:"consumerManagerThreadPoolQueueCapacity" min:"1"`
	HeartbeatThreadPoolNums                int `conf:"heartbeatThreadPoolNums" min:"1" max:"4096"`
	HeartbeatThreadPoolQueueCapacity       int `conf:"heartbeatThreadPoolQueueCapacity" min:"1"`
	EndTransactionThreadPoolNums           int `conf:"endTransactionThreadPoolNums" min:"1" max:"4096"`
	EndTransactionPoolQueueCapacity        int `conf:"endTransactionPoolQueueCapacity" min:"1"`
	ProcessReplyMessageThreadPoolNums      int `conf:"processReplyMessageThreadPoolNums" min:"1" max:"4096"`
	ReplyThreadPoolQueueCapacity           int `conf:"replyThreadPoolQueueCapacity" min:"1"`

	// How long a request may wait in the queue of its class before it is answered
	// with SYSTEM_BUSY.
	BrokerFastFailureEnable         bool   `conf:"brokerFastFailureEnable,hot"`
	WaitTimeMillsInSendQueue        Millis `conf:"waitTimeMillsInSendQueue,hot" min:"1"`
	WaitTimeMillsInHeartbeatQueue   Millis `conf:"waitTimeMillsInHeartbeatQueue,hot" min:"1"`
	WaitTimeMillsInAdminBrokerQueue Millis `conf:"waitTimeMillsInAdminBrokerQueue,hot" min:"1"`
	WaitTimeMillsInTransactionQueue Millis `conf:"waitTimeMillsInTransactionQueue,hot" min:"1"`

	// The network server.
	ServerChannelMaxIdleTimeSeconds int  `conf:"serverChannelMaxIdleTimeSeconds" min:"1"`
	EnableShutdownGracefully        bool `conf:"enableShutdownGracefully"`
	ShutdownWaitTimeSeconds         int  `conf:"shutdownWaitTimeSeconds" min:"0"`

	// What peers may make the broker keep; keys of this broker, 0 = the default.
	PeerMemoryBytes    int64  `conf:"merlinPeerMemoryBytes" min:"0"`    // all peers; a quarter of what the heap may have
	PeerShareBytes     int64  `conf:"merlinPeerShareBytes" min:"0"`     // one connection; a quarter of that
	FrameTimeoutMillis Millis `conf:"merlinFrameTimeoutMillis" min:"0"` // until a begun frame is complete; 30 s

	// The store: where it is and how large its files are.
	StorePathRootDir           string `conf:"storePathRootDir"`
	StorePathCommitLog         string `conf:"storePathCommitLog"` // storePathRootDir/commitlog unless set
	MappedFileSizeCommitLog    int    `conf:"mappedFileSizeCommitLog" min:"4096"`
	MappedFileSizeConsumeQueue int    `conf:"mappedFileSizeConsumeQueue" min:"20"`
	MaxHashSlotNum             int    `conf:"maxHashSlotNum" min:"1"`
	MaxIndexNum                int    `conf:"maxIndexNum" min:"1"`
	MessageIndexEnable         bool   `conf:"messageIndexEnable,hot"`

	// The store: limits and flushing.
	MaxMessageSize                    int    `conf:"maxMessageSize,hot" min:"1" max:"16777216"`
	FlushDiskType                     string `conf:"flushDiskType"` // SYNC_FLUSH or ASYNC_FLUSH
	FlushIntervalCommitLog            Millis `conf:"flushIntervalCommitLog,hot" min:"1"`
	FlushCommitLogLeastPages          int    `conf:"flushCommitLogLeastPages,hot" min:"0"`
	FlushCommitLogThoroughInterval    Millis `conf:"flushCommitLogThoroughInterval,hot" min:"1"`
	FlushIntervalConsumeQueue         Millis `conf:"flushIntervalConsumeQueue,hot" min:"1"`
	FlushConsumeQueueThoroughInterval Millis `conf:"flushConsumeQueueThoroughInterval,hot" min:"1"`
	SyncFlushTimeout                  Millis `conf:"syncFlushTimeout,hot" min:"1"`
	OSPageCacheBusyTimeOutMills       Millis `conf:"osPageCacheBusyTimeOutMills,hot" min:"1"`
	CheckCRCOnRecover                 bool   `conf:"checkCRCOnRecover"`
	EnabledAppendPropCRC              bool   `conf:"enabledAppendPropCRC"` // __CRC32# on stored properties

	// The store: retention and the disk's water marks.
	FileReservedTime             int    `conf:"fileReservedTime,hot" min:"1"`      // hours
	DeleteWhen                   string `conf:"deleteWhen,hot" check:"deleteWhen"` // hours of the day
	CleanFileForciblyEnable      bool   `conf:"cleanFileForciblyEnable,hot"`
	DiskMaxUsedSpaceRatio        int    `conf:"diskMaxUsedSpaceRatio,hot"` // percent, clamped to 10…95
	DiskSpaceCleanForciblyRatio  int    `conf:"diskSpaceCleanForciblyRatio,hot" min:"1" max:"100"`
	DiskSpaceWarningLevelRatio   int    `conf:"diskSpaceWarningLevelRatio,hot" min:"1" max:"100"`
	DeleteFileBatchMax           int    `conf:"deleteFileBatchMax,hot" min:"1"`
	DeleteCommitLogFilesInterval Millis `conf:"deleteCommitLogFilesInterval,hot" min:"0"`
	CleanResourceInterval        Millis `conf:"cleanResourceInterval,hot" min:"1"`

	// The store: reading.
	MaxTransferBytesOnMessageInMemory int `conf:"maxTransferBytesOnMessageInMemory,hot" min:"1"`
	MaxTransferCountOnMessageInMemory int `conf:"maxTransferCountOnMessageInMemory,hot" min:"1"`
	MaxTransferBytesOnMessageInDisk   int `conf:"maxTransferBytesOnMessageInDisk,hot" min:"1"`
	MaxTransferCountOnMessageInDisk   int `conf:"maxTransferCountOnMessageInDisk,hot" min:"1"`
	AccessMessageInMemoryMaxRatio     int `conf:"accessMessageInMemoryMaxRatio,hot" min:"1" max:"100"`
	MaxFilterMessageSize              int `conf:"maxFilterMessageSize,hot" min:"20"`
	MaxMsgsNumBatch                   int `conf:"maxMsgsNumBatch,hot" min:"1" max:"100000"`
	DefaultQueryMaxNum                int `conf:"defaultQueryMaxNum,hot" min:"1" max:"100000"`

	// Counters.
	EnableDetailStat           bool `conf:"enableDetailStat"`               // by queue
	EnableScheduleMessageStats bool `conf:"enableScheduleMessageStats,hot"` // of deliveries of delayed messages

	// Delay levels.
	MessageDelayLevel        string `conf:"messageDelayLevel" check:"delayLevels"`
	FlushDelayOffsetInterval Millis `conf:"flushDelayOffsetInterval" min:"1"`

	// text is the value of every key that has one, for code 26; extra are keys of
	// the file that no class knows.
	text map[string]string
	// fromFile are the keys that the file or an update set.
	fromFile map[string]bool
	// waiting are values that updates wrote into the file and that the next start reads.
	waiting map[string]string
}

// JoinAddr is an address that others are told: brokerIP1, as it is
// written, with the port that the broker listens on, which is another than listenPort
// when that is 0.
func JoinAddr(host string, port int) string {
	if strings.HasPrefix(host, "[") { // Java writes the brackets into brokerIP1
		return host + ":" + strconv.Itoa(port)
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// NameServers splits namesrvAddr; empty when the broker has none.
func (c *Config) NameServers() []string {
	var out []string
	for _, a := range strings.Split(c.NamesrvAddr, ";") {
		if a = strings.TrimSpace(a); a != "" {
			out = append(out, a)
		}
	}
	return out
}

// CommitLogDir is the directory of the commit log.
func (c *Config) CommitLogDir() string {
	if c.StorePathCommitLog != "" {
		return c.StorePathCommitLog
	}
	return c.StorePathRootDir + "/commitlog"
}

// DelayLevels is messageDelayLevel as durations; level n is element n-1.
func (c *Config) DelayLevels() []time.Duration {
	d, err := parseDelayLevels(c.MessageDelayLevel)
	if err != nil {
		return nil // Parse has refused it
	}
	return d
}

// BlackList is the set of keys that UPDATE_BROKER_CONFIG (25) refuses: those of
// configBlackList and the three that Java always adds.
func (c *Config) BlackList() map[string]bool {
	out := map[string]bool{"brokerConfigPath": true, "rocketmqHome": true, "configBlackList": true}
	for _, k := range strings.Split(c.ConfigBlackList, ";") {
		out[strings.TrimSpace(k)] = true
	}
	return out
}

// FromFile says whether the file or an update set the key.
func (c *Config) FromFile(key string) bool { return c.fromFile[key] }

// Value is the text of a key as code 26 prints it, false when it has none. A
// feature that this broker does not have is off in it, whatever the file says.
func (c *Config) Value(key string) (string, bool) {
	v, ok := c.text[key]
	if d, not := does[key]; not && ok {
		return d, true
	}
	return v, ok
}
