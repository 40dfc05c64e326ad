package body

import (
	"math"

	"github.com/merlinmq/merlin/protocol/wire"
)

// The values that a new object has in Java where they are not zero. Unmarshal
// calls SetDefaults before it reads an object.

// NewTopicConfig returns the configuration that Java gives a topic: 16 queues to
// read and write, both allowed.
func NewTopicConfig(name string) TopicConfig {
	var c TopicConfig
	c.SetDefaults()
	c.TopicName = name
	return c
}

// SetDefaults sets Java's defaults.
func (c *TopicConfig) SetDefaults() {
	*c = TopicConfig{Perm: 6, ReadQueueNums: 16, WriteQueueNums: 16, TopicFilterType: SingleTag}
}

// NewSubscriptionGroupConfig returns the configuration that Java gives a group.
func NewSubscriptionGroupConfig(name string) SubscriptionGroupConfig {
	var c SubscriptionGroupConfig
	c.SetDefaults()
	c.GroupName = name
	return c
}

// SetDefaults sets Java's defaults.
func (c *SubscriptionGroupConfig) SetDefaults() {
	*c = SubscriptionGroupConfig{ConsumeEnable: true, ConsumeFromMinEnable: true, ConsumeBroadcastEnable: true,
		RetryQueueNums: 1, RetryMaxTimes: 16, WhichBrokerWhenConsumeSlowly: 1, NotifyConsumerIDsChangedEnable: true,
		ConsumeTimeoutMinute: 15, GroupRetryPolicy: GroupRetryPolicy{Type: RetryCustomized}}
}

// SetDefaults sets Java's defaults.
func (p *GroupRetryPolicy) SetDefaults() { *p = GroupRetryPolicy{Type: RetryCustomized} }

// SetDefaults sets Java's defaults: 5 s, doubled up to 2 h.
func (p *ExponentialRetryPolicy) SetDefaults() {
	*p = ExponentialRetryPolicy{Initial: 5000, Max: 7200000, Multiplier: 2}
}

// SetDefaults sets Java's defaults: the delay levels from the third on.
func (p *CustomizedRetryPolicy) SetDefaults() {
	const s, m = 1000, 60000
	*p = CustomizedRetryPolicy{Next: []int64{1 * s, 5 * s, 10 * s, 30 * s, 1 * m, 2 * m, 3 * m, 4 * m, 5 * m,
		6 * m, 7 * m, 8 * m, 9 * m, 10 * m, 20 * m, 30 * m, 60 * m, 120 * m}}
}

// SetDefaults sets Java's defaults.
func (s *SubscriptionData) SetDefaults() { *s = SubscriptionData{ExpressionType: "TAG"} }

// SetDefaults sets Java's defaults.
func (i *TopicQueueMappingInfo) SetDefaults() { *i = TopicQueueMappingInfo{Scope: "__global__"} }

// SetDefaults sets Java's defaults.
func (i *LogicQueueMappingItem) SetDefaults() {
	*i = LogicQueueMappingItem{EndOffset: -1, TimeOfStart: -1, TimeOfEnd: -1}
}

// SetDefaults sets Java's defaults.
func (r *ConsumeMessageDirectlyResult) SetDefaults() {
	*r = ConsumeMessageDirectlyResult{AutoCommit: true}
}

// SetDefaults sets Java's defaults.
func (e *EpochEntry) SetDefaults() { *e = EpochEntry{EndOffset: math.MaxInt64} }

// SetDefaults sets Java's defaults.
func (a *MessageQueueAssignment) SetDefaults() { *a = MessageQueueAssignment{Mode: ModePull} }

// SetDefaults sets Java's defaults.
func (b *SetMessageRequestModeRequestBody) SetDefaults() {
	*b = SetMessageRequestModeRequestBody{Mode: ModePull}
}

// SetDefaults sets Java's defaults: no language.
func (c *Connection) SetDefaults() { *c = Connection{Language: wire.LanguageUnknown} }

// SetDefaults sets Java's defaults: no language.
func (p *ProducerInfo) SetDefaults() { *p = ProducerInfo{Language: wire.LanguageUnknown} }
