package config

import (
	"strings"
	"sync"
)

// idleGroup are known keys that have no effect here, and why that harms nobody.
type idleGroup struct{ why, keys string }

// idleKeys are all keys that this broker does not act on and that promise no
// protection, copies, membership or other storage (those are in promises).
var idleKeys = []idleGroup{
	{"details of access control, which is refused when it is switched on", `
		aclCacheExpiredSecond aclCacheMaxNum aclCacheRefreshSecond authConfigPath authenticationMetadataProvider authenticationProvider
		authenticationStrategy authenticationWhitelist authorizationMetadataProvider authorizationProvider authorizationStrategy
		authorizationWhitelist clusterName configName initAuthenticationUser innerClientAuthenticationCredentials migrateAuthFromV1Enabled
		statefulAuthenticationCacheExpiredSecond statefulAuthenticationCacheMaxNum statefulAuthorizationCacheExpiredSecond
		statefulAuthorizationCacheMaxNum userCacheExpiredSecond userCacheMaxNum userCacheRefreshSecond`},
	{"details of slaves, controllers and DLedger groups, which are refused when they are switched on", `
		brokerElectionPriority brokerHeartbeatInterval brokerIP2 brokerNotActiveTimeoutMillis checkSyncStateSetPeriod controllerAddr
		controllerHeartBeatTimeoutMills dLegerGroup dLegerPeers dLegerSelfId fetchControllerAddrByDnsLookup haFlowControlEnable
		haHousekeepingInterval haListenPort haMasterAddress haMaxGapNotInSync haMaxTimeSlaveNotCatchup haSendHeartbeatInterval haTransferBatchSize
		isBrokerContainer isInBrokerContainer lockInStrictMode maxHaTransferByteInSecond maxSlaveResendLength offsetCheckInSlave
		preferredLeaderId sendHeartbeatTimeoutMillis skipPreOnline slaveTimeout storePathBrokerIdentity storePathDLedgerCommitLog
		storePathEpochFile syncBrokerMemberGroupPeriod syncBrokerMetadataPeriod syncControllerMetadataPeriod syncFromLastFile
		syncMasterFlushOffsetWhenStartup`},
	{"details of RocksDB, which is refused when it is switched on", `
		bottomMostCompressionTypeForConsumeQueueStore cleanRocksDBDirtyCQIntervalMin enableRocksDBLog memTableFlushIntervalMs
		realTimePersistRocksDBConfig rocksdbCompressionType rocksdbFlushWalFrequency rocksdbWalFileRollingThreshold
		statRocksDBCQIntervalSec`},
	{"POP, whose requests are refused", `
		ackMessageThreadPoolNums appendAckAsync appendCkAsync defaultMessageRequestMode defaultPopShareQueueNum
		enableNotifyAfterPopOrderLockRelease enableNotifyBeforePopCalculateLag enablePopBatchAck enablePopBufferMerge enablePopLog
		enablePopMessageThreshold enableRetryTopicV2 enableSkipLongAwaitingAck initPopOffsetByCheckMsgInMem loadBalancePollNameServerInterval
		loadBalanceProcessorThreadPoolNums loadBalanceThreadPoolQueueCapacity maxPopPollingSize popCkMaxBufferSize popCkOffsetMaxQueueSize
		popCkStayBufferTime popCkStayBufferTimeOut popConsumerFSServiceInit popConsumerKVServiceEnable popConsumerKVServiceInit
		popConsumerKVServiceLog popFromRetryProbability popInflightMessageThreshold popLongPollingForceNotifyInterval popPollingMapSize
		popPollingSize popResponseReturnActualRetryTopic popReviveMaxAttemptTimes popReviveMaxReturnSizePerRead
		retrieveMessageFromPopRetryTopicV1 reviveAckWaitMs reviveInterval reviveMaxSlow reviveScanTime serverLoadBalancerEnable
		skipWhenCKRePutReachMaxTimes waitTimeMillsInAckQueue`},
	{"timer messages and their recall, which are refused when they are sent", `
		allowRecallWhenBrokerNotWriteable mappedFileSizeTimerLog recallMessageEnable timerCheckMetricsWhen timerColdDataCheckIntervalMs
		timerCongestNumEachSlot timerEnableCheckMetrics timerEnableDisruptor timerEnableRetryUntilSuccess timerFlushIntervalMs
		timerGetMessageThreadNum timerInterceptDelayLevel timerMaxDelaySec timerMetricSmallThreshold timerPrecisionMs
		timerProgressLogIntervalMs timerPutMessageThreadNum timerRollWindowSlot timerSkipUnknownError timerStopDequeue timerStopEnqueue
		timerWarmEnable timerWheelEnable`},
	{"SQL filters, which are refused when they are subscribed, and their bit maps", `
		bitMapLengthConsumeQueueExt enableCalcFilterBitMap enablePropertyFilter expectConsumerNumUseFilter filterDataCleanTimeSpan
		filterSupportRetry mappedFileSizeConsumeQueueExt maxErrorRateOfBloomFilter`},
	{"compacted topics, batch queues and light queues, which are not there", `
		compactionCqMappedFileSize compactionMappedFileSize compactionScheduleInternal compactionThreadNum enableCompaction enableLmqStats
		mapperFileSizeBatchConsumeQueue maxLmqConsumeQueueNum maxOffsetMapSize pullBatchMaxMessageCount searchBcqByCacheEnable`},
	{"offsets of broadcasting consumers kept here for proxies, which clients of this protocol do not ask for", `
		broadcastOffsetExpireMaxSecond broadcastOffsetExpireSecond enableBroadcastOffsetStore`},
	{"metrics, counters and logs that are not there", `
		accountStatsEnable accountStatsPrintZeroValues autoDeleteUnusedStats commercialBaseCount commercialSizePerMsg diskFallRecorded
		estimateAccumulation isolateLogEnable maxStatsIdleTimeInMinutes
		metricGrpcExporterIntervalInMills metricGrpcExporterTimeOutInMills metricLoggingExporterIntervalInMills metricsExporterType
		metricsGrpcExporterHeader metricsGrpcExporterTarget metricsInDelta metricsLabel metricsOtelCardinalityLimit metricsPromExporterHost
		metricsPromExporterPort printChannelGroups printChannelGroupsMinNum transactionMetricFlushInterval`},
	{"throttling of readers that are far behind, which read at their own cost here", `
		accessMessageInMemoryHotRatio cgColdReadThreshold coldCtrStrategyEnable coldDataFlowControlEnable coldDataScanEnable
		consumerFallbehindThreshold disableConsumeIfConsumerReadSlowly enableNetWorkFlowControl globalColdReadThreshold usePIDColdCtrStrategy`},
	{"sizes of thread pools and queues of requests that are answered without one", `
		consumerManageThreadPoolNums litePullMessageThreadPoolNums pullMessageThreadPoolNums putMessageFutureThreadPoolNums
		putThreadPoolQueueCapacity waitTimeMillsInLitePullQueue waitTimeMillsInPullQueue`},
	{"Netty's workings", `
		channelNotActiveInterval clientAsyncSemaphoreValue clientCallbackExecutorThreads clientChannelMaxIdleTimeSeconds
		clientCloseSocketIfTimeout clientOnewaySemaphoreValue clientPooledByteBufAllocatorEnable clientSocketRcvBufSize
		clientSocketSndBufSize clientWorkerThreads connectTimeoutMillis disableCallbackExecutor disableNettyWorkerGroup
		enableFastChannelEventProcess enableReconnectForGoAway isScanAvailableNameSrv maxReconnectIntervalTimeSeconds serverAsyncSemaphoreValue
		serverCallbackExecutorThreads serverNettyWorkerGroupEnable serverOnewaySemaphoreValue serverPooledByteBufAllocatorEnable
		serverSelectorThreads serverSocketBacklog serverSocketRcvBufSize serverSocketSndBufSize serverWorkerThreads socksProxyConfig
		useEpollNativeSelector writeBufferHighWaterMark writeBufferLowWaterMark`},
	{"how Java's store works inside: locks, threads, mapped files, the pool of buffers before the log (without it a message is in the log when it is answered, which is more)", `
		batchDispatchRequestThreadPoolNums cleanSwapedMapInterval commitCommitLogLeastPages commitCommitLogThoroughInterval
		commitIntervalCommitLog commitLogForceSwapMapInterval commitLogSwapMapInterval commitLogSwapMapReserveFileNum
		correctLogicMinOffsetForceInterval correctLogicMinOffsetSleepInterval dataReadAheadEnable debugLockEnable
		destroyMapedFileIntervalForcibly dispatchCqCacheNum dispatchCqThreads dispatchFromSenderThread enableAsyncReput enableBatchPush
		enableBuildConsumeQueueConcurrently enableScheduleAsyncDeliver fastFailIfNoBufferInStorePool flushCommitLogTimed
		flushConsumeQueueLeastPages flushLeastPagesWhenWarmMapedFile logicQueueForceSwapMapInterval logicQueueSwapMapInterval
		logicQueueSwapMapReserveFileNum mappedFileSwapEnable maxAsyncPutMessageRequests maxBatchDeleteFilesNum maxChecksumRange
		maxConsumeQueueScan maxRecoveryCommitlogFiles messageIndexSafe putConsumeQueueDataByFileChannel putMessageTimeout
		putMsgIndexHightWater readUnCommitted recheckReputOffsetFromCq recoverConcurrently recoverThreadPoolNums
		redeleteHangedFileInterval sampleCountThreshold sampleSteps scheduleAsyncDeliverMaxPendingLimit
		scheduleAsyncDeliverMaxResendNum2Blocked spinLockCollisionRetreatOptimalDegree topicQueueLockNum transferMsgByHeap
		transientStorePoolEnable transientStorePoolSize travelCqFileNumWhenGetMessage useABSLock useReentrantLockWhenPutMessage
		wakeCommitWhenPutMessage wakeFlushWhenPutMessage warmMapedFileEnable`},
	{"behaviours that cannot be switched here", `
		asyncSendEnable autoMessageVersionOnTopicLen cleanOfflineBrokerInterval compatibleWithOldNameSrv compressedRegister
		delayOffsetUpdateVersionStep deleteConsumeQueueFilesInterval disappearTimeAfterStart enableCleanExpiredOffset enableRegisterProducer
		fetchNamesrvAddrInterval flushConsumerOffsetHistoryInterval forceVerifyPropCRC forwardTimeout highSpeedMode
		logicalDiskSpaceCleanForciblyThreshold maxTopicLength realTimeNotifyConsumerChange replicasPerDiskPartition
		updateNameServerAddrPeriod useStaticSubscription`},
	{"where the program and its file are", `brokerConfigPath rocketmqHome`},
}

// IdleKeys gives the keys of each group with the reason why they may be idle.
func IdleKeys() map[string][]string {
	out := map[string][]string{}
	for _, g := range idleKeys {
		out[g.why] = strings.Fields(g.keys)
	}
	return out
}

// does is what this broker does where Java's default says that a feature is
// there: GET_BROKER_CONFIG (26) answers with it, whatever the file says.
var does = map[string]string{
	"timerWheelEnable": "false", "enableCompaction": "false", "enableBroadcastOffsetStore": "false",
	"serverLoadBalancerEnable": "false", "metricsExporterType": "DISABLE", "enablePropertyFilter": "false",
	"recallMessageEnable": "false", "transientStorePoolEnable": "false",
}

// idle says whether a key is one of idleKeys.
func idle(key string) bool { return idleSet()[key] }

var idleSet = sync.OnceValue(func() map[string]bool {
	out := map[string]bool{}
	for _, g := range idleKeys {
		for _, k := range strings.Fields(g.keys) {
			out[k] = true
		}
	}
	return out
})
