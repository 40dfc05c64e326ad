package put

import (
	"strconv"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/store"
)

// Stored reports whether a message is in the store, also when it is not yet where it
// was to be.
func Stored(s store.PutStatus) bool { return s <= store.SlaveNotAvailable }

// ForGood says of a status that the store will not take the same message later either:
// it has no room for another property, is larger than maxMessageSize is by now, or is
// otherwise not what may be stored. After any other refusal it may be tried again.
func ForGood(s store.PutStatus) bool {
	return s == store.MessageIllegal || s == store.PropertiesSizeExceeded
}

// Verdict is what a client is told of an outcome.
type Verdict struct {
	Code   protocol.ResponseCode
	Remark string
}

// verdicts has the answers to a send and to the end of a transaction; the others of
// UnknownError.
var verdicts = map[store.PutStatus][2]Verdict{
	store.PutOK:             {{Code: protocol.Success}},
	store.FlushDiskTimeout:  {{Code: protocol.FlushDiskTimeout}},
	store.FlushSlaveTimeout: {{Code: protocol.FlushSlaveTimeout}},
	store.SlaveNotAvailable: {{Code: protocol.SlaveNotAvailable}},
	store.InSyncReplicasNotEnough: {
		{protocol.SystemError, "in-sync replicas not enough"},
		{protocol.SystemError, "in-sync replicas not enough"}},
	store.CreateMappedFileFailed: {
		{protocol.SystemError, "create mapped file failed, server is busy or broken."},
		{protocol.SystemError, "Create mapped file failed."}},
	store.MessageIllegal:         {{Code: protocol.MessageIllegal}, {Code: protocol.MessageIllegal}}, // remark: illegal
	store.PropertiesSizeExceeded: {{Code: protocol.MessageIllegal}, {Code: protocol.MessageIllegal}}, // the same
	store.ServiceNotAvailable: {
		{Code: protocol.ServiceNotAvailable}, // remark: notAvailable
		{protocol.ServiceNotAvailable, "Service not available now."}},
	store.OSPageCacheBusy: {
		{protocol.SystemBusy, "[PC_SYNCHRONIZED]broker busy, start flow control for a while"},
		{protocol.SystemError, "OS page cache busy, please try another machine"}},
	store.WheelTimerNotEnable: {
		{protocol.SystemError, "accurate timer message is not enabled, timerWheelEnable is false"},
		{protocol.SystemError, "UNKNOWN_ERROR"}},
	store.UnknownError: {
		{protocol.SystemError, "UNKNOWN_ERROR"},
		{protocol.SystemError, "UNKNOWN_ERROR"}},
}

func verdictOf(s store.PutStatus, which int) Verdict {
	v, ok := verdicts[s]
	if !ok {
		v = verdicts[store.UnknownError]
	}
	return v[which]
}

// SendVerdict is what a producer is told (handlePutMessageResult). writable says why
// nothing can be stored now, or nil (store.Store.Writable).
func SendVerdict(cfg *config.Config, s store.PutStatus, writable func() error) Verdict {
	if s == store.PutOK {
		return Verdict{}
	}
	v := verdictOf(s, 0)
	switch v.Code {
	case protocol.MessageIllegal:
		v.Remark = IllegalRemark(cfg)
	case protocol.ServiceNotAvailable:
		why := "it takes messages again"
		if err := writable(); err != nil {
			why = err.Error()
		}
		v.Remark = "service not available now. It may be caused by one of the following reasons: " +
			"the broker's disk is full [" + why + "], messages are put to the slave, message store has been shut down, etc."
	}
	return v
}

// EndVerdict is what a producer is told of a transaction whose message is not stored
// (EndTransactionProcessor.sendFinalMessage).
func EndVerdict(cfg *config.Config, s store.PutStatus) Verdict {
	v := verdictOf(s, 1)
	if v.Code == protocol.MessageIllegal {
		v.Remark = "The" + IllegalRemark(cfg)[len("the"):]
	}
	return v
}

// IllegalRemark is the remark of MESSAGE_ILLEGAL.
func IllegalRemark(cfg *config.Config) string {
	return "the message is illegal, maybe msg body or properties length not matched. msg body length limit " +
		strconv.Itoa(int(cfg.MaxMessageSize)) + "B, msg properties length limit 32KB."
}
