package store

import (
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/commitlog"
)

// PutStatus is the outcome of an append (PutMessageStatus).
type PutStatus uint8

// Outcomes of an append. The first four mean that the message is stored.
const (
	PutOK PutStatus = iota
	FlushDiskTimeout
	FlushSlaveTimeout
	SlaveNotAvailable
	ServiceNotAvailable
	CreateMappedFileFailed
	MessageIllegal
	PropertiesSizeExceeded
	OSPageCacheBusy
	UnknownError
	InSyncReplicasNotEnough
	LMQConsumeQueueNumExceeded
	WheelTimerFlowControl
	WheelTimerMsgIllegal
	WheelTimerNotEnable
)

// Put is one append. Msg (or each of Batch) is encoded before PutBatch returns:
// the caller may reuse all bytes then. A Put belongs to the store from PutBatch
// until Done.
type Put struct {
	// Msg is the message. With Batch set it gives topic, queue, hosts, times and
	// sysFlag, and Batch the bodies, flags and properties.
	Msg message.Message
	// Batch, when not empty, is appended as that many records with consecutive
	// queue offsets in one file (SEND_BATCH_MESSAGE).
	Batch []message.BatchEntry
	// Done is called once, when the Put is final: before PutBatch returns, or
	// later from a goroutine of the store when the message has to be on disk
	// first (SyncFlush). The Put is the caller's again from then on, so a caller
	// of PutBatch must not look at a Put before. It must not block.
	Done func(*Put)
	// Arg is the caller's.
	Arg any

	// Result is valid when the Put is final.
	Result PutResult

	recs  [2]int // its records in the batch, from and to
	size  int    // of its records, in bytes
	end   int64  // in the log, behind its last record
	begin int64  // ms, when PutBatch saw it
}

// PutResult is what an append came to.
type PutResult struct {
	Status         PutStatus
	Err            error   // detail for logs and remarks, nil when stored
	PhyOffset      int64   // of the first record
	PhyOffsets     []int64 // of every record of a batch, nil otherwise
	QueueOffset    int64   // of the first record
	StoreTimestamp int64   // ms
	Bytes          int     // size of the record(s) in the log
	Messages       int     // number of records
}

// GetStatus is the outcome of a read (GetMessageStatus).
type GetStatus uint8

// Outcomes of a read.
const (
	Found GetStatus = iota
	NoMatchedMessage
	MessageWasRemoving
	OffsetFoundNull
	OffsetOverflowBadly
	OffsetOverflowOne
	OffsetTooSmall
	NoMatchedLogicQueue
	NoMessageInQueue
	OffsetReset
	// ReadFailed is not Java's, whose reads throw: the disk or the process could not
	// read, or the store closes. Err says why. Next is the requested offset: nothing
	// may move.
	ReadFailed
)

// Filter decides which messages a read returns.
type Filter interface {
	// MatchTags sees the tags code of a consume queue entry.
	MatchTags(tagsCode int64) bool
	// NeedsRecord says whether MatchRecord must be asked.
	NeedsRecord() bool
	// MatchRecord sees the whole stored record, valid during the call.
	MatchRecord(record []byte) bool
}

// GetRequest asks for messages of one queue.
type GetRequest struct {
	Group    string
	Topic    string
	QueueID  int32
	Offset   int64
	MaxMsgs  int
	MaxBytes int    // 0: only the store's own limits
	Filter   Filter // nil: everything
}

// GetResult is filled by Store.Get. Records stay valid until Release.
type GetResult struct {
	Status       GetStatus
	Err          error    // of ReadFailed, nil otherwise
	Next         int64    // nextBeginOffset
	Min, Max     int64    // bounds of the queue
	Records      [][]byte // views; neighbours in the log may be joined in one view
	Count        int      // messages in Records
	Bytes        int
	SuggestSlave bool // the data lags far behind what fits in memory
	InMemory     bool // the data counted as hot when it was read

	held []held
}

// held is memory that a GetResult gives back.
type held struct {
	view commitlog.View
	buf  *buffer
}

// Release gives the memory of Records back. It may be called more than once, and
// the GetResult may be used again.
func (r *GetResult) Release() {
	for i := range r.held {
		r.held[i].view.Release()
		r.held[i].buf.release()
		r.held[i] = held{}
	}
	r.held = r.held[:0]
	clear(r.Records)
	r.Records = r.Records[:0]
}

// Arrival tells that a queue has a new entry.
type Arrival struct {
	Topic          string
	QueueID        int32
	QueueOffset    int64 // of the new entry; the queue's max is one more
	TagsCode       int64
	StoreTimestamp int64
	Properties     []byte // encoded, valid during the call
}
