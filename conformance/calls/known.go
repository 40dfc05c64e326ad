package calls

import (
	"slices"
	"strings"
)

// KnownDifference is one field of one case in which Merlin answers otherwise
// than Java, on purpose.
type KnownDifference struct {
	Difference
	Reason string
}

// Known lists the differences that stay, each with its reason.
func Known() []KnownDifference {
	var out []KnownDifference
	for _, k := range known {
		for line := range strings.SplitSeq(strings.TrimSpace(k.lines), "\n") {
			p := strings.Split(line, " | ")
			out = append(out, KnownDifference{Difference{Case: p[0], Field: p[1], Expected: p[2], Seen: p[3]}, k.reason})
		}
	}
	return out
}

// isKnown reports whether the difference is one of the list.
func isKnown(list []KnownDifference, d Difference) bool {
	return slices.ContainsFunc(list, func(k KnownDifference) bool { return k.Difference == d })
}

// known has, by reason, lines of case, field, what Java answers and what Merlin
// answers.
var known = []struct{ reason, lines string }{
	{"Java pushes a reply without a body and then fails to store it; Merlin stores it.", `
reply-empty-body | answer | refused | taken
`},
	{"Java leaves a client that waits for the answer to an unknown outcome without one. Clients send it one way and see no difference.", `
end-unknown | answer | (none) | (absent)
end-unknown | code | (absent) | 0 SUCCESS
end-check-unknown | answer | (none) | (absent)
end-check-unknown | code | (absent) | 0 SUCCESS
`},
	{"Java puts any message it is given into the topic of half messages; Merlin only half messages.", `
resume-plain | code | 0 SUCCESS | 1 SYSTEM_ERROR
resume-plain | remark | (absent) | Exception was thrown when putting message back to RMQ_SYS_TRANS_HALF_TOPIC.
`},
	{"Java 5.3.3 does not read the limit of bytes that newer clients send; Merlin keeps to it.", `
pull-max-bytes | ext.nextBeginOffset | 5 | 1
pull-max-bytes | body | 5 messages | 1 messages
`},
	{"A null pointer inside Java; Merlin takes what is missing for empty. No client leaves it out.", `
lock-no-client | answer | refused | taken
lock-no-group | answer | refused | taken
bad-heart-beat-body-null | answer | refused | taken
bad-lock-batch-mq-body-null | answer | refused | taken
bad-unlock-batch-mq-body-object | answer | refused | taken
bad-unlock-batch-mq-body-null | answer | refused | taken
bad-query-subscription-by-consumer-topic-missing | answer | refused | taken
bad-register-broker-body-null | answer | refused | taken
bad-broker-heartbeat-no-fields | answer | refused | taken
bad-broker-heartbeat-cluster-name-missing | answer | refused | taken
bad-broker-heartbeat-broker-addr-missing | answer | refused | taken
`},
	{"A registration of before 3.0.11 carries no version: Java takes the moment for it, Merlin zero. Both tell the broker to register again.", `
data-version-ancient | body.timestamp | TIME | 0
`},
	{"Java keeps numbers of queues and permissions that no topic can have, and fails later where they are used.", `
topic-put-perm-odd | code | 0 SUCCESS | 29 INVALID_PARAMETER
topic-put-perm-odd | remark | not set any response code | The permission must be between 0 and 7, not 255.
topic-put-queues-negative | code | 0 SUCCESS | 29 INVALID_PARAMETER
topic-put-queues-negative | remark | not set any response code | The number of queues must be between 0 and 65536, not -1.
bad-update-and-create-topic-read-queue-nums-negative | code | 0 SUCCESS | 29 INVALID_PARAMETER
bad-update-and-create-topic-read-queue-nums-negative | remark | not set any response code | The number of queues must be between 0 and 65536, not -1.
bad-update-and-create-topic-write-queue-nums-negative | code | 0 SUCCESS | 29 INVALID_PARAMETER
bad-update-and-create-topic-write-queue-nums-negative | remark | not set any response code | The number of queues must be between 0 and 65536, not -1.
bad-update-and-create-topic-perm-negative | code | 0 SUCCESS | 29 INVALID_PARAMETER
bad-update-and-create-topic-perm-negative | remark | not set any response code | The permission must be between 0 and 7, not -1.
`},
	{"Java 5.3.3 keeps groups of any name. Every client refuses such a name before it asks a broker.", `
group-put-illegal | code | 0 SUCCESS | 29 INVALID_PARAMETER
group-put-illegal | remark | (absent) | The specified group contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$
group-put-long | code | 0 SUCCESS | 29 INVALID_PARAMETER
group-put-long | remark | (absent) | The specified group is longer than group max length 255.
group-put-path | code | 0 SUCCESS | 29 INVALID_PARAMETER
group-put-path | remark | (absent) | The specified group contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$
group-list-put-illegal | code | 0 SUCCESS | 29 INVALID_PARAMETER
group-list-put-illegal | remark | (absent) | The specified group contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$
`},
	{"Java 5.3.3 lists a topic that was subscribed to among its own groups: it records the wrong name.", `
who-consumes | body.groupList[2] | "$topic" | (absent)
who-consumes-binary | body.groupList[2] | "$topic" | (absent)
who-consumes-go | body.groupList[2] | "$topic" | (absent)
who-consumes-cpp | body.groupList[2] | "$topic" | (absent)
who-consumes-ancient | body.groupList[2] | "$topic" | (absent)
`},
	{"Java says yes to settings that it does not know or cannot read, and does nothing; Merlin says so.", `
broker-config-unknown | code | 0 SUCCESS | 1 SYSTEM_ERROR
broker-config-unknown | remark | (absent) | $unknown: unknown key
broker-config-wrong-type | code | 0 SUCCESS | 1 SYSTEM_ERROR
broker-config-wrong-type | remark | (absent) | transactionCheckMax must be a whole number between -2147483648 and 2147483647, not "many"
`},
	{"Java answers in the encoding it is configured with, JSON; Merlin in that of the request. Clients read both (docs/format/frame.md).", `
answer-envelope-binary | encoding | 0 | 1
`},
	{"Merlin reads JSON to a depth of 128; nothing that clients send comes near it.", `
bad-heart-beat-body-deep | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-heart-beat-body-deep | ext.IS_SUB_CHANGE | true | (absent)
bad-heart-beat-body-deep | ext.IS_SUPPORT_HEART_BEAT_V2 | true | (absent)
bad-heart-beat-body-deep | remark | (absent) | heartbeat body: fastjson: bad document: nested deeper than 128 at byte 641
bad-lock-batch-mq-body-deep | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-lock-batch-mq-body-deep | body | JSON | (absent)
bad-lock-batch-mq-body-deep | body.lockOKMQSet | [] | (absent)
bad-lock-batch-mq-body-deep | remark | (absent) | lock body: fastjson: bad document: nested deeper than 128 at byte 641
bad-check-client-config-body-deep | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-check-client-config-body-deep | remark | (absent) | check body: fastjson: bad document: nested deeper than 128 at byte 641
bad-register-broker-body-deep | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-register-broker-body-deep | remark | (absent) | Failed to decode RegisterBrokerBody
bad-register-topic-in-namesrv-body-deep | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-register-topic-in-namesrv-body-deep | remark | (absent) | fastjson: bad document: nested deeper than 128 at byte 641
bad-query-data-version-body-deep | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-query-data-version-body-deep | ext.changed | true | (absent)
bad-query-data-version-body-deep | remark | (absent) | fastjson: bad document: nested deeper than 128 at byte 641
`},
	{"Java reads an array where an object should be as nothing; Merlin refuses it.", `
bad-check-client-config-body-array | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-check-client-config-body-array | remark | (absent) | check body: fastjson: bad document: no '{' at byte 0
bad-register-topic-in-namesrv-body-array | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-register-topic-in-namesrv-body-array | remark | (absent) | fastjson: bad document: no '{' at byte 0
bad-query-data-version-body-array | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-query-data-version-body-array | ext.changed | true | (absent)
bad-query-data-version-body-array | remark | (absent) | fastjson: bad document: no '{' at byte 0
`},
	{"Merlin leaves an empty name out of JSON, like a missing one; readers see the same.", `
bad-query-subscription-by-consumer-topic-empty | body.topic | "" | (absent)
bad-update-and-get-group-forbidden-topic-empty | body.topic | "" | (absent)
bad-get-broker-member-group-cluster-name-empty | body.brokerMemberGroup.cluster | "" | (absent)
bad-get-broker-member-group-broker-name-empty | body.brokerMemberGroup.brokerName | "" | (absent)
`},
	{"Java goes on without a name that must be there, and finds, keeps or deletes nothing; Merlin refuses the request.", `
bad-query-consumer-offset-consumer-group-missing | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-query-consumer-offset-consumer-group-missing | ext.offset | 0 | (absent)
bad-query-consumer-offset-consumer-group-missing | remark | (absent) | the request lacks consumerGroup, topic or queueId
bad-invoke-broker-to-reset-offset-group-missing | code | 26 SUBSCRIPTION_GROUP_NOT_EXIST | 1 SYSTEM_ERROR
bad-invoke-broker-to-reset-offset-group-missing | remark | Group null does not exist | the request has no group
bad-update-and-get-group-forbidden-topic-missing | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-update-and-get-group-forbidden-topic-missing | remark |  | the request has no topic
bad-update-and-get-group-forbidden-topic-missing | body | JSON | (absent)
bad-update-and-get-group-forbidden-topic-missing | body.group | "$new" | (absent)
bad-update-and-get-group-forbidden-topic-missing | body.readable | true | (absent)
bad-put-kv-config-value-missing | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-put-kv-config-value-missing | remark | (absent) | value is null
bad-register-broker-cluster-name-missing | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-register-broker-cluster-name-missing | remark | (absent) | required header field number 1 is missing
bad-unregister-broker-no-fields | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-unregister-broker-no-fields | remark | (absent) | required header field number 1 is missing
bad-unregister-broker-broker-name-missing | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-unregister-broker-broker-name-missing | remark | (absent) | required header field number 1 is missing
bad-unregister-broker-broker-addr-missing | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-unregister-broker-broker-addr-missing | remark | (absent) | required header field number 2 is missing
bad-unregister-broker-cluster-name-missing | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-unregister-broker-cluster-name-missing | remark | (absent) | required header field number 3 is missing
bad-delete-topic-in-namesrv-no-fields | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-delete-topic-in-namesrv-no-fields | remark | (absent) | required header field number 1 is missing
bad-delete-topic-in-namesrv-topic-missing | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-delete-topic-in-namesrv-topic-missing | remark | (absent) | required header field number 1 is missing
bad-register-topic-in-namesrv-no-fields | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-register-topic-in-namesrv-no-fields | remark | (absent) | required header field number 1 is missing
bad-register-topic-in-namesrv-topic-missing | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-register-topic-in-namesrv-topic-missing | remark | (absent) | required header field number 1 is missing
`},
}
