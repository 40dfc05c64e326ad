package body

// Enumerations travel as their names; the empty string is null.

// ConsumeType says how a consumer gets its messages.
type ConsumeType string

// Consume types.
const (
	ConsumeActively  ConsumeType = "CONSUME_ACTIVELY"  // it pulls
	ConsumePassively ConsumeType = "CONSUME_PASSIVELY" // push consumer
	ConsumePop       ConsumeType = "CONSUME_POP"
)

// Names lists the names by ordinal.
func (ConsumeType) Names() []string {
	return []string{"CONSUME_ACTIVELY", "CONSUME_PASSIVELY", "CONSUME_POP"}
}

// MessageModel says whether the members of a group share the messages.
type MessageModel string

// Message models.
const (
	Broadcasting MessageModel = "BROADCASTING" // every member gets all
	Clustering   MessageModel = "CLUSTERING"   // members share
)

// Names lists the names by ordinal.
func (MessageModel) Names() []string { return []string{"BROADCASTING", "CLUSTERING"} }

// ConsumeFromWhere says where a new group starts.
type ConsumeFromWhere string

// Places to start; RocketMQ marks the three others of Names as old.
const (
	ConsumeFromLastOffset  ConsumeFromWhere = "CONSUME_FROM_LAST_OFFSET"
	ConsumeFromFirstOffset ConsumeFromWhere = "CONSUME_FROM_FIRST_OFFSET"
	ConsumeFromTimestamp   ConsumeFromWhere = "CONSUME_FROM_TIMESTAMP"
)

// Names lists the names by ordinal.
func (ConsumeFromWhere) Names() []string {
	return []string{"CONSUME_FROM_LAST_OFFSET", "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST",
		"CONSUME_FROM_MIN_OFFSET", "CONSUME_FROM_MAX_OFFSET", "CONSUME_FROM_FIRST_OFFSET", "CONSUME_FROM_TIMESTAMP"}
}

// MessageRequestMode says how clients of a group fetch from a topic.
type MessageRequestMode string

// Request modes.
const (
	ModePull MessageRequestMode = "PULL"
	ModePop  MessageRequestMode = "POP"
)

// Names lists the names by ordinal.
func (MessageRequestMode) Names() []string { return []string{"PULL", "POP"} }

// TopicFilterType says whether messages of a topic have several tags; only the
// first value is in use.
type TopicFilterType string

// Filter types.
const (
	SingleTag TopicFilterType = "SINGLE_TAG"
	MultiTag  TopicFilterType = "MULTI_TAG"
)

// Names lists the names by ordinal.
func (TopicFilterType) Names() []string { return []string{"SINGLE_TAG", "MULTI_TAG"} }

// CMResult is the outcome of consuming a message directly.
type CMResult string

// Outcomes.
const (
	CRSuccess        CMResult = "CR_SUCCESS"
	CRLater          CMResult = "CR_LATER"
	CRRollback       CMResult = "CR_ROLLBACK"
	CRCommit         CMResult = "CR_COMMIT"
	CRThrowException CMResult = "CR_THROW_EXCEPTION"
	CRReturnNull     CMResult = "CR_RETURN_NULL"
)

// Names lists the names by ordinal.
func (CMResult) Names() []string {
	return []string{"CR_SUCCESS", "CR_LATER", "CR_ROLLBACK", "CR_COMMIT", "CR_THROW_EXCEPTION", "CR_RETURN_NULL"}
}

// GroupRetryPolicyType selects the policy of a GroupRetryPolicy.
type GroupRetryPolicyType string

// Policies.
const (
	RetryExponential GroupRetryPolicyType = "EXPONENTIAL"
	RetryCustomized  GroupRetryPolicyType = "CUSTOMIZED"
)

// Names lists the names by ordinal.
func (GroupRetryPolicyType) Names() []string { return []string{"EXPONENTIAL", "CUSTOMIZED"} }
