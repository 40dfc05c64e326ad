package topic

import "strings"

// Well-known topics.
const (
	AutoCreateKey     = "TBW102"                      // template of auto creation
	Schedule          = "SCHEDULE_TOPIC_XXXX"         // delay levels, queue = level - 1
	Benchmark         = "BenchmarkTest"               //
	TransHalf         = "RMQ_SYS_TRANS_HALF_TOPIC"    // half messages
	TransOpHalf       = "RMQ_SYS_TRANS_OP_HALF_TOPIC" // removals of half messages
	TransCheckMaxTime = "TRANS_CHECK_MAX_TIME_TOPIC"  // half messages that ran out of checks
	Trace             = "RMQ_SYS_TRACE_TOPIC"         //
	SelfTest          = "SELF_TEST_TOPIC"             //
	OffsetMovedEvent  = "OFFSET_MOVED_EVENT"          //
	rocksDBOffset     = "CHECKPOINT_TOPIC"            // reserved name
	Timer             = "rmq_sys_wheel_timer"         //
	RetryPrefix       = "%RETRY%"                     //
	DLQPrefix         = "%DLQ%"                       //
	systemPrefix      = "rmq_sys_"
	syncMemberPrefix  = systemPrefix + "SYNC_BROKER_MEMBER_"
	revivePrefix      = systemPrefix + "REVIVE_LOG_"
	replyPostfix      = "REPLY_TOPIC"
)

// MaxLength is the longest name that a request may give (TOPIC_MAX_LENGTH).
const MaxLength = 127

// MaxRetryLength is the longest name of a retry topic that the store takes
// (HookUtils.MAX_TOPIC_LENGTH).
const MaxRetryLength = 255

// Permission bits of a topic or broker (PermName).
const (
	PermInherit int32 = 1
	PermWrite   int32 = 2
	PermRead    int32 = 4
)

// Bits of TopicSysFlag.
const (
	FlagUnit    int32 = 1
	FlagUnitSub int32 = 2
)

// Retry is the retry topic of a group.
func Retry(group string) string { return RetryPrefix + group }

// DLQ is the dead letter topic of a group.
func DLQ(group string) string { return DLQPrefix + group }

// IsRetry reports whether a topic is a retry topic.
func IsRetry(name string) bool { return strings.HasPrefix(name, RetryPrefix) }

// GroupOfRetry gives the group of a retry topic (KeyBuilder.parseGroup, for
// names that are not POP retry topics).
func GroupOfRetry(name string) string { return strings.TrimPrefix(name, RetryPrefix) }

// Reply is the topic of request-reply in a cluster.
func Reply(cluster string) string { return cluster + "_" + replyPostfix }

var builtinSystem = map[string]bool{
	AutoCreateKey: true, Schedule: true, Benchmark: true, TransHalf: true, TransOpHalf: true, Trace: true,
	TransCheckMaxTime: true, SelfTest: true, OffsetMovedEvent: true, rocksDBOffset: true,
}

var notForSending = map[string]bool{
	Schedule: true, TransHalf: true, TransOpHalf: true, TransCheckMaxTime: true, SelfTest: true, OffsetMovedEvent: true,
}

// ForbidsSending reports whether applications may not send to this topic.
func ForbidsSending(name string) bool { return notForSending[name] }

// legal holds ^[%|a-zA-Z0-9_-]+$.
var legal = func() (t [128]bool) {
	for _, c := range "%|_-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		t[c] = true
	}
	return t
}()

// LegalName reports whether a topic or group has only allowed characters.
func LegalName(name string) bool {
	for i := 0; i < len(name); i++ {
		if name[i] >= 128 || !legal[name[i]] {
			return false
		}
	}
	return true
}

// Validate gives the remark for a name that a request may not use, or "".
func Validate(name string) string {
	switch {
	case strings.TrimSpace(name) == "":
		return "The specified topic is blank."
	case !LegalName(name):
		return "The specified topic contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$"
	case len(name) > MaxLength:
		return "The specified topic is longer than topic max length."
	}
	return ""
}

// PermString is a permission as Java prints it: RWX or dashes.
func PermString(perm int32) string {
	b := []byte("---")
	if perm&PermRead != 0 {
		b[0] = 'R'
	}
	if perm&PermWrite != 0 {
		b[1] = 'W'
	}
	if perm&PermInherit != 0 {
		b[2] = 'X'
	}
	return string(b)
}

// MaxQueues bounds the queues of a topic and of a group's retry topic: each is a line
// in the answers of GET_TOPIC_STATS_INFO and its kin. Java has no bound.
const MaxQueues = 1 << 17
