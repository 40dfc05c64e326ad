package protocol

import "strconv"

// ResponseCode is the code of an answer (ResponseCode, RemotingSysResponseCode).
type ResponseCode int32

// Response codes, with the case that gives them. Negative codes never travel.
const (
	Success                              ResponseCode = 0     // request done
	SystemError                          ResponseCode = 1     // any uncaught failure inside a processor; also many "not found" admin cases
	SystemBusy                           ResponseCode = 2     // flow control: executor queue full, processor refuses, request waited too long in the queue, page cache busy
	RequestCodeNotSupported              ResponseCode = 3     // no processor is registered for the request code
	TransactionFailed                    ResponseCode = 4     // defined, no server code produces it
	FlushDiskTimeout                     ResponseCode = 10    // message appended, but the synchronous flush did not finish in syncFlushTimeout
	SlaveNotAvailable                    ResponseCode = 11    // END_TRANSACTION on a slave; as a send status it still exists in the mapping, but the current store does not produce it
	FlushSlaveTimeout                    ResponseCode = 12    // message appended, but not enough replicas confirmed in slaveTimeout
	MessageIllegal                       ResponseCode = 13    // message refused by the store checks (topic length, size, properties size, batch rules, timer limits); also ACK with a bad queue
	ServiceNotAvailable                  ResponseCode = 14    // store shut down, slave, disk full, or other not-writeable state
	VersionNotSupported                  ResponseCode = 15    // proxy remoting port only: the request has no broker name (key n for V2 sends, bname otherwise)
	NoPermission                         ResponseCode = 16    // permission bits, forbidden topic/group, authentication or authorization failure, black-listed config keys
	TopicNotExist                        ResponseCode = 17    // topic or route unknown
	TopicExistAlready                    ResponseCode = 18    // defined, topic updates are idempotent and do not use it
	PullNotFound                         ResponseCode = 19    // nothing to read at the offset (after the long poll)
	PullRetryImmediately                 ResponseCode = 20    // everything scanned was filtered out, pull again from the returned offset
	PullOffsetMoved                      ResponseCode = 21    // offset out of range or reset on the server, continue at nextBeginOffset
	QueryNotFound                        ResponseCode = 22    // consumer offset unknown; index query without a hit; KV key unknown
	SubscriptionParseFailed              ResponseCode = 23    // filter expression cannot be parsed
	SubscriptionNotExist                 ResponseCode = 24    // group not registered by heartbeat, or topic not subscribed by the group
	SubscriptionNotLatest                ResponseCode = 25    // broker holds an older subVersion than the pull request
	SubscriptionGroupNotExist            ResponseCode = 26    // consumer group config missing
	FilterDataNotExist                   ResponseCode = 27    // SQL filter data missing
	FilterDataNotLatest                  ResponseCode = 28    // SQL filter data older than the request
	InvalidParameter                     ResponseCode = 29    // bad topic name, queue id, null field
	TransactionShouldCommit              ResponseCode = 200   // defined only
	TransactionShouldRollback            ResponseCode = 201   // defined only
	TransactionStateUnknow               ResponseCode = 202   // defined only
	TransactionStateGroupWrong           ResponseCode = 203   // defined only
	NoBuyerID                            ResponseCode = 204   // defined only; clients treat it as retryable
	NotInCurrentUnit                     ResponseCode = 205   // defined only; clients treat it as retryable
	ConsumerNotOnline                    ResponseCode = 206   // group has no live client (GET_CONSUMER_CONNECTION_LIST, offset reset push)
	ConsumeMsgTimeout                    ResponseCode = 207   // broker waited 10 s for a client callback answer
	NoMessage                            ResponseCode = 208   // ACK / change-invisible offset outside the queue range
	PollingFull                          ResponseCode = 209   // too many parked POP requests
	PollingTimeout                       ResponseCode = 210   // POP long poll ended, or the request arrived too late
	BrokerNotExist                       ResponseCode = 211   // broker container: unknown broker
	BrokerDispatchNotComplete            ResponseCode = 212   // defined, no producer found
	BroadcastConsumption                 ResponseCode = 213   // client-side admin error: group consumes in broadcast mode
	FlowControl                          ResponseCode = 215   // no server code found that returns it; Java push and lite pull consumers back off only 20 ms on it
	NotLeaderForQueue                    ResponseCode = 501   // static topic: this broker does not lead the logical queue
	IllegalOperation                     ResponseCode = 604   // recall handle errors; late END_TRANSACTION after the immunity window
	RPCUnknown                           ResponseCode = -1000 // never sent: forwarding failed
	RPCAddrIsNull                        ResponseCode = -1002 // never sent: no address to forward to
	RPCSendToChannelFailed               ResponseCode = -1004 // never sent: forwarding could not be written
	RPCTimeOut                           ResponseCode = -1006 // never sent: forwarding timed out
	GoAway                               ResponseCode = 1500  // server is shutting down gracefully; only for clients newer than V5_3_1
	ControllerFencedMasterEpoch          ResponseCode = 2000  // stale master epoch
	ControllerFencedSyncStateSetEpoch    ResponseCode = 2001  // stale sync-state-set epoch
	ControllerInvalidMaster              ResponseCode = 2002  // caller is not the known master
	ControllerInvalidReplicas            ResponseCode = 2003  // unknown replica in the new set
	ControllerMasterNotAvailable         ResponseCode = 2004  // no master could be chosen
	ControllerInvalidRequest             ResponseCode = 2005  // e.g. heartbeat without brokerId
	ControllerBrokerNotAlive             ResponseCode = 2006  // replica in the new set has no heartbeat
	ControllerNotLeader                  ResponseCode = 2007  // asked controller is not the raft leader
	ControllerBrokerMetadataNotExist     ResponseCode = 2008  // broker set unknown
	ControllerInvalidCleanBrokerMetadata ResponseCode = 2009  // refused clean-up
	ControllerBrokerNeedToBeRegistered   ResponseCode = 2010  // broker id not applied yet
	ControllerMasterStillExist           ResponseCode = 2011  // election asked, but the old master still lives
	ControllerElectMasterFailed          ResponseCode = 2012  // no candidate
	ControllerAlterSyncStateSetFailed    ResponseCode = 2013  // unchanged set, or set without the master
	ControllerBrokerIDInvalid            ResponseCode = 2014  // broker id already taken or first id not 1
	ControllerJRaftInternalError         ResponseCode = 2015  // jraft failure
	ControllerBrokerLiveInfoNotExists    ResponseCode = 2016  // no heartbeat record
	UserNotExist                         ResponseCode = 3001  // defined, no producer found
	PolicyNotExist                       ResponseCode = 3002  // defined, no producer found
)

// responseNames are RocketMQ's names.
var responseNames = map[ResponseCode]string{
	Success:                              "SUCCESS",
	SystemError:                          "SYSTEM_ERROR",
	SystemBusy:                           "SYSTEM_BUSY",
	RequestCodeNotSupported:              "REQUEST_CODE_NOT_SUPPORTED",
	TransactionFailed:                    "TRANSACTION_FAILED",
	FlushDiskTimeout:                     "FLUSH_DISK_TIMEOUT",
	SlaveNotAvailable:                    "SLAVE_NOT_AVAILABLE",
	FlushSlaveTimeout:                    "FLUSH_SLAVE_TIMEOUT",
	MessageIllegal:                       "MESSAGE_ILLEGAL",
	ServiceNotAvailable:                  "SERVICE_NOT_AVAILABLE",
	VersionNotSupported:                  "VERSION_NOT_SUPPORTED",
	NoPermission:                         "NO_PERMISSION",
	TopicNotExist:                        "TOPIC_NOT_EXIST",
	TopicExistAlready:                    "TOPIC_EXIST_ALREADY",
	PullNotFound:                         "PULL_NOT_FOUND",
	PullRetryImmediately:                 "PULL_RETRY_IMMEDIATELY",
	PullOffsetMoved:                      "PULL_OFFSET_MOVED",
	QueryNotFound:                        "QUERY_NOT_FOUND",
	SubscriptionParseFailed:              "SUBSCRIPTION_PARSE_FAILED",
	SubscriptionNotExist:                 "SUBSCRIPTION_NOT_EXIST",
	SubscriptionNotLatest:                "SUBSCRIPTION_NOT_LATEST",
	SubscriptionGroupNotExist:            "SUBSCRIPTION_GROUP_NOT_EXIST",
	FilterDataNotExist:                   "FILTER_DATA_NOT_EXIST",
	FilterDataNotLatest:                  "FILTER_DATA_NOT_LATEST",
	InvalidParameter:                     "INVALID_PARAMETER",
	TransactionShouldCommit:              "TRANSACTION_SHOULD_COMMIT",
	TransactionShouldRollback:            "TRANSACTION_SHOULD_ROLLBACK",
	TransactionStateUnknow:               "TRANSACTION_STATE_UNKNOW",
	TransactionStateGroupWrong:           "TRANSACTION_STATE_GROUP_WRONG",
	NoBuyerID:                            "NO_BUYER_ID",
	NotInCurrentUnit:                     "NOT_IN_CURRENT_UNIT",
	ConsumerNotOnline:                    "CONSUMER_NOT_ONLINE",
	ConsumeMsgTimeout:                    "CONSUME_MSG_TIMEOUT",
	NoMessage:                            "NO_MESSAGE",
	PollingFull:                          "POLLING_FULL",
	PollingTimeout:                       "POLLING_TIMEOUT",
	BrokerNotExist:                       "BROKER_NOT_EXIST",
	BrokerDispatchNotComplete:            "BROKER_DISPATCH_NOT_COMPLETE",
	BroadcastConsumption:                 "BROADCAST_CONSUMPTION",
	FlowControl:                          "FLOW_CONTROL",
	NotLeaderForQueue:                    "NOT_LEADER_FOR_QUEUE",
	IllegalOperation:                     "ILLEGAL_OPERATION",
	RPCUnknown:                           "RPC_UNKNOWN",
	RPCAddrIsNull:                        "RPC_ADDR_IS_NULL",
	RPCSendToChannelFailed:               "RPC_SEND_TO_CHANNEL_FAILED",
	RPCTimeOut:                           "RPC_TIME_OUT",
	GoAway:                               "GO_AWAY",
	ControllerFencedMasterEpoch:          "CONTROLLER_FENCED_MASTER_EPOCH",
	ControllerFencedSyncStateSetEpoch:    "CONTROLLER_FENCED_SYNC_STATE_SET_EPOCH",
	ControllerInvalidMaster:              "CONTROLLER_INVALID_MASTER",
	ControllerInvalidReplicas:            "CONTROLLER_INVALID_REPLICAS",
	ControllerMasterNotAvailable:         "CONTROLLER_MASTER_NOT_AVAILABLE",
	ControllerInvalidRequest:             "CONTROLLER_INVALID_REQUEST",
	ControllerBrokerNotAlive:             "CONTROLLER_BROKER_NOT_ALIVE",
	ControllerNotLeader:                  "CONTROLLER_NOT_LEADER",
	ControllerBrokerMetadataNotExist:     "CONTROLLER_BROKER_METADATA_NOT_EXIST",
	ControllerInvalidCleanBrokerMetadata: "CONTROLLER_INVALID_CLEAN_BROKER_METADATA",
	ControllerBrokerNeedToBeRegistered:   "CONTROLLER_BROKER_NEED_TO_BE_REGISTERED",
	ControllerMasterStillExist:           "CONTROLLER_MASTER_STILL_EXIST",
	ControllerElectMasterFailed:          "CONTROLLER_ELECT_MASTER_FAILED",
	ControllerAlterSyncStateSetFailed:    "CONTROLLER_ALTER_SYNC_STATE_SET_FAILED",
	ControllerBrokerIDInvalid:            "CONTROLLER_BROKER_ID_INVALID",
	ControllerJRaftInternalError:         "CONTROLLER_JRAFT_INTERNAL_ERROR",
	ControllerBrokerLiveInfoNotExists:    "CONTROLLER_BROKER_LIVE_INFO_NOT_EXISTS",
	UserNotExist:                         "USER_NOT_EXIST",
	PolicyNotExist:                       "POLICY_NOT_EXIST",
}

// String returns RocketMQ's name of the code, or its number.
func (c ResponseCode) String() string {
	if n, ok := responseNames[c]; ok {
		return n
	}
	return strconv.Itoa(int(c))
}

// ResponseNames returns all response codes and RocketMQ's names of them, as a copy
// that the caller may change.
func ResponseNames() map[ResponseCode]string {
	m := make(map[ResponseCode]string, len(responseNames))
	for c, n := range responseNames {
		m[c] = n
	}
	return m
}
