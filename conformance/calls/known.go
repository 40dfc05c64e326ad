package calls

import (
	"strings"
	"sync"

	"github.com/merlinmq/merlin/compat/version"
)

// KnownDifference is one field of one case in which Merlin answers otherwise
// than Java, on purpose: what each does, and why.
type KnownDifference struct {
	Difference
	Java, Merlin, Why string
}

// Known lists the differences that stay, each with its reason and what it means
// for an application.
func Known() []KnownDifference {
	var out []KnownDifference
	for _, k := range known {
		for line := range strings.SplitSeq(strings.TrimSpace(k.lines), "\n") {
			p := strings.Split(line, " | ")
			out = append(out, KnownDifference{Difference{Case: p[0], Field: p[1], Expected: p[2], Seen: p[3],
				Known: "Java: " + k.java + " Merlin: " + k.merlin + " " + k.why, Means: k.means}, k.java, k.merlin, k.why})
		}
	}
	return out
}

// fact is a difference without what is known of it.
type fact struct{ name, field, expected, seen string }

var knownFacts = sync.OnceValue(func() map[fact]KnownDifference {
	out := map[fact]KnownDifference{}
	for _, k := range Known() {
		out[fact{k.Case, k.Field, k.Expected, k.Seen}] = k
	}
	return out
})

// explain says why a difference is one on purpose, or nothing, and what it means
// for an application. Only a server that says that it is Merlin is excused: the
// one that was seen, or the reference where it is the Merlin of the two.
func explain(d Difference, expectedBy, seenBy string) (known, means string) {
	if k, ok := knownFacts()[fact{d.Case, d.Field, d.Expected, d.Seen}]; ok && seenBy == version.Implementation {
		return k.Known, k.Means
	}
	if k, ok := knownFacts()[fact{d.Case, d.Field, d.Seen, d.Expected}]; ok && expectedBy == version.Implementation {
		return k.Known, k.Means
	}
	_, field, labelled := strings.Cut(d.Field, ".")
	if !labelled {
		field = d.Field
	}
	switch {
	case d.Field == "answer", strings.HasSuffix(d.Field, "code") && !strings.Contains(d.Field, "body"):
		means = "An application takes for an error what the other server takes for a success, or treats another error: look at what its client does with this code."
	case strings.HasSuffix(d.Field, "remark"):
		means = "Only a text changes, which applications see in exceptions and logs: matters to who searches for it."
	case strings.HasPrefix(d.Field, "ext."), strings.HasPrefix(field, "ext."):
		means = "A client that reads this header field gets another value, and goes on from it."
	case strings.Contains(d.Field, "properties."):
		means = "A consumer sees another property of the message."
	case strings.HasPrefix(d.Field, "body"), strings.HasPrefix(field, "body"):
		means = "Who reads this part of the answer, a client, a tool or a dashboard, is told something else."
	default:
		means = "The answer is another one on the wire; whether an application sees it depends on its client."
	}
	return "", means
}

// known has, by what Java and what Merlin does, why, and what it means for an
// application, lines of case, field, what Java answers and what Merlin answers.
var known = []struct{ java, merlin, why, means, lines string }{
	{"Pushes a reply without a body and then fails to store it: an error.",
		"Pushes it and stores it: a success.",
		"Who asked has the answer either way.",
		"A replier of an empty body gets a success instead of an error; who asked gets the reply from both.", `
reply-empty-body | answer | refused | taken
`},
	{"Does not answer the end of a transaction whose outcome is unknown.",
		"Answers it with success.",
		"Nothing waits without end.",
		"None: clients send the end of a transaction one way.", `
end-unknown | answer | (none) | (absent)
end-unknown | code | (absent) | 0 SUCCESS
end-check-unknown | answer | (none) | (absent)
end-check-unknown | code | (absent) | 0 SUCCESS
`},
	{"Puts any message it is given into the topic of half messages.",
		"Refuses what is no half message.",
		"A plain message there would be checked and offered to producers.",
		"None: an operator who resumes the check of a message that is no half message is told so.", `
resume-plain | code | 0 SUCCESS | 1 SYSTEM_ERROR
resume-plain | remark | (absent) | Exception was thrown when putting message back to RMQ_SYS_TRANS_HALF_TOPIC.
`},
	{"5.3.3 does not read the limit of bytes (maxMsgBytes) that newer clients send.",
		"Keeps to it.",
		"The client asked for it.",
		"A client that limits the bytes of a pull gets fewer messages at a time, and asks again.", `
pull-max-bytes | ext.nextBeginOffset | 5 | 1
pull-max-bytes | body | 5 messages | 1 messages
`},
	{"Fails with a null pointer on a field that is missing.",
		"Takes what is missing for empty.",
		"The words of the failure are of no use to anybody.",
		"None: no client leaves it out.", `
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
	{"Takes the moment for the data version that a broker of before 3.0.11 does not send.",
		"Takes zero.",
		"Both tell the broker to register again.",
		"None: only brokers of before 3.0.11 register so.", `
data-version-ancient | body.timestamp | TIME | 0
`},
	{"Keeps numbers of queues and permissions that no topic can have, and fails later where they are used.",
		"Refuses them with 29.",
		"The mistake shows where it is made.",
		"A tool that sets such a number is told so at once, where Java takes it and the topic cannot be used.", `
topic-put-perm-odd | code | 0 SUCCESS | 29 INVALID_PARAMETER
topic-put-perm-odd | remark | not set any response code | The permission must be between 0 and 7, not 255.
topic-put-queues-negative | code | 0 SUCCESS | 29 INVALID_PARAMETER
topic-put-queues-negative | remark | not set any response code | The number of queues must be between 0 and 131072, not -1.
bad-update-and-create-topic-read-queue-nums-negative | code | 0 SUCCESS | 29 INVALID_PARAMETER
bad-update-and-create-topic-read-queue-nums-negative | remark | not set any response code | The number of queues must be between 0 and 131072, not -1.
bad-update-and-create-topic-write-queue-nums-negative | code | 0 SUCCESS | 29 INVALID_PARAMETER
bad-update-and-create-topic-write-queue-nums-negative | remark | not set any response code | The number of queues must be between 0 and 131072, not -1.
bad-update-and-create-topic-perm-negative | code | 0 SUCCESS | 29 INVALID_PARAMETER
bad-update-and-create-topic-perm-negative | remark | not set any response code | The permission must be between 0 and 7, not -1.
`},
	{"Makes topics with batch queues and topics that are compacted.",
		"Refuses them with 1 and says why, as long as there is neither.",
		"They would be served as ordinary topics: batches in them could not be read, and messages would be deleted with their files.",
		"A tool that makes such a topic is told so; topics of other kinds are not touched.", `
topic-put-attribute-batch-queues | code | 0 SUCCESS | 1 SYSTEM_ERROR
topic-put-attribute-batch-queues | remark | not set any response code | queue.type=BatchCQ is not supported: there are no batch queues yet
topic-put-attribute-compaction | code | 0 SUCCESS | 1 SYSTEM_ERROR
topic-put-attribute-compaction | remark | not set any response code | cleanup.policy=COMPACTION is not supported: topics are not compacted yet, messages would be deleted with their files
`},
	{"Takes a short heartbeat (without subscriptions) of a group that nobody has described since the broker started, and refuses the pulls of that group.",
		"Answers that the subscriptions have changed, so that the client says them again.",
		"A restart of the broker must not stop consumers that use short heartbeats.",
		"Consumers with short heartbeats (useHeartbeatV2) go on after a restart of the broker.", `
heartbeat-short-first | ext.IS_SUB_CHANGE | false | true
`},
	{"5.3.3 keeps groups whose name is longer than 255.",
		"Refuses them with 29.",
		"Clients refuse such a name before they ask a broker.",
		"A tool that makes a group with such a name is refused; no client could use that group.", `
group-put-long | code | 0 SUCCESS | 29 INVALID_PARAMETER
group-put-long | remark | (absent) | The specified group is longer than group max length 255.
`},
	{"5.3.3 lists a topic that was subscribed to among its own consumer groups (QUERY_TOPIC_CONSUME_BY_WHO, 300): it records the wrong name.",
		"Lists the groups.",
		"It is a mistake of 5.3.3.",
		"Dashboards, topicStatus and messageTrack list the real groups of a topic and no longer the topic itself among them.", `
who-consumes | body.groupList[2] | "$topic" | (absent)
who-consumes-binary | body.groupList[2] | "$topic" | (absent)
who-consumes-go | body.groupList[2] | "$topic" | (absent)
who-consumes-cpp | body.groupList[2] | "$topic" | (absent)
who-consumes-ancient | body.groupList[2] | "$topic" | (absent)
`},
	{"Answers 28 and 319 without header fields.",
		"Answers with one, implementation=Merlin.",
		"A tool must be able to tell what it talks to.",
		"None: no client or tool reads header fields there, and what brokerStatus and dashboards show is the same.", `
runtime-info | ext.implementation | (absent) | Merlin
runtime-info-binary | ext.implementation | (absent) | Merlin
runtime-info-go | ext.implementation | (absent) | Merlin
runtime-info-cpp | ext.implementation | (absent) | Merlin
runtime-info-ancient | ext.implementation | (absent) | Merlin
names-config | ext.implementation | (absent) | Merlin
names-config-binary | ext.implementation | (absent) | Merlin
names-config-go | ext.implementation | (absent) | Merlin
names-config-cpp | ext.implementation | (absent) | Merlin
names-config-ancient | ext.implementation | (absent) | Merlin
names-config-put | get.ext.implementation | (absent) | Merlin
`},
	{"Says yes to settings that it does not know or cannot read, and does nothing.",
		"Refuses them with 1 and says why.",
		"A setting that is believed and has no effect is worse than an error.",
		"A script that sets an unknown key or a wrong value gets an error instead of a success without effect.", `
broker-config-unknown | code | 0 SUCCESS | 1 SYSTEM_ERROR
broker-config-unknown | remark | (absent) | $unknown: unknown key
broker-config-wrong-type | code | 0 SUCCESS | 1 SYSTEM_ERROR
broker-config-wrong-type | remark | (absent) | transactionCheckMax must be a whole number between -2147483648 and 2147483647, not "many"
`},
	{"Answers in the encoding that it is configured with, JSON.",
		"Answers in that of the request.",
		"Shorter, and clients read both (docs/format/frame.md).",
		"None: clients read both encodings.", `
answer-envelope-binary | encoding | 0 | 1
`},
	{"Reads JSON of any depth.",
		"Reads it to a depth of 128.",
		"Depth costs stack; nothing that clients send comes near it.",
		"None: no client nests so deeply.", `
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
	{"Reads a JSON array where an object should be as nothing.",
		"Refuses it.",
		"The request was made wrongly.",
		"None: no client sends an array there.", `
bad-check-client-config-body-array | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-check-client-config-body-array | remark | (absent) | check body: fastjson: bad document: no '{' at byte 0
bad-register-topic-in-namesrv-body-array | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-register-topic-in-namesrv-body-array | remark | (absent) | fastjson: bad document: no '{' at byte 0
bad-query-data-version-body-array | code | 0 SUCCESS | 1 SYSTEM_ERROR
bad-query-data-version-body-array | ext.changed | true | (absent)
bad-query-data-version-body-array | remark | (absent) | fastjson: bad document: no '{' at byte 0
`},
	{"Writes an empty name into JSON.",
		"Leaves it out, like a missing one.",
		"Readers see the same.",
		"None: readers take a missing name and an empty one alike.", `
bad-query-subscription-by-consumer-topic-empty | body.topic | "" | (absent)
bad-update-and-get-group-forbidden-topic-empty | body.topic | "" | (absent)
bad-get-broker-member-group-cluster-name-empty | body.brokerMemberGroup.cluster | "" | (absent)
bad-get-broker-member-group-broker-name-empty | body.brokerMemberGroup.brokerName | "" | (absent)
`},
	{"Goes on without a name that must be there, and finds, keeps or deletes nothing.",
		"Refuses the request.",
		"The request was made wrongly, and silence hides it.",
		"None for official clients, which always send these fields; a client of your own that forgets one is told so.", `
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
