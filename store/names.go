package store

import "strconv"

// putNames are the names of PutMessageStatus: they stand in remarks.
var putNames = [...]string{
	PutOK: "PUT_OK", FlushDiskTimeout: "FLUSH_DISK_TIMEOUT", FlushSlaveTimeout: "FLUSH_SLAVE_TIMEOUT",
	SlaveNotAvailable: "SLAVE_NOT_AVAILABLE", ServiceNotAvailable: "SERVICE_NOT_AVAILABLE",
	CreateMappedFileFailed: "CREATE_MAPPED_FILE_FAILED", MessageIllegal: "MESSAGE_ILLEGAL",
	PropertiesSizeExceeded: "PROPERTIES_SIZE_EXCEEDED", OSPageCacheBusy: "OS_PAGE_CACHE_BUSY", UnknownError: "UNKNOWN_ERROR",
	InSyncReplicasNotEnough: "IN_SYNC_REPLICAS_NOT_ENOUGH", LMQConsumeQueueNumExceeded: "LMQ_CONSUME_QUEUE_NUM_EXCEEDED",
	WheelTimerFlowControl: "WHEEL_TIMER_FLOW_CONTROL", WheelTimerMsgIllegal: "WHEEL_TIMER_MSG_ILLEGAL",
	WheelTimerNotEnable: "WHEEL_TIMER_NOT_ENABLE",
}

// String is RocketMQ's name of the outcome.
func (s PutStatus) String() string { return nameOf(putNames[:], int(s)) }

// getNames are the names of GetMessageStatus: they are the remarks of pulls.
var getNames = [...]string{
	Found: "FOUND", NoMatchedMessage: "NO_MATCHED_MESSAGE", MessageWasRemoving: "MESSAGE_WAS_REMOVING",
	OffsetFoundNull: "OFFSET_FOUND_NULL", OffsetOverflowBadly: "OFFSET_OVERFLOW_BADLY",
	OffsetOverflowOne: "OFFSET_OVERFLOW_ONE", OffsetTooSmall: "OFFSET_TOO_SMALL",
	NoMatchedLogicQueue: "NO_MATCHED_LOGIC_QUEUE", NoMessageInQueue: "NO_MESSAGE_IN_QUEUE", OffsetReset: "OFFSET_RESET",
	ReadFailed: "READ_FAILED",
}

// String is RocketMQ's name of the outcome.
func (s GetStatus) String() string { return nameOf(getNames[:], int(s)) }

func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return strconv.Itoa(i)
}

// InMemory reports whether the message at a queue offset is there and counts as
// held in memory (checkInMemByConsumeOffset): so much of the log's end does
// (accessMessageInMemoryMaxRatio of the machine's memory). Errors are those of
// reading.
func (s *Store) InMemory(topic string, queueID int32, offset int64) (bool, error) {
	es, err := s.Entries(topic, queueID, offset, 1)
	if err != nil || len(es) == 0 {
		return false, err
	}
	return es[0].QueueOffset == offset && s.clog.Max()-es[0].PhyOffset <= s.memoryBytes(), nil
}
