package calls

import (
	"fmt"

	"github.com/merlinmq/merlin/conformance/suite"
)

// pull are the fields of a good 11: it names its subscription and does not wait.
func pull() fields {
	return fields{"consumerGroup": "$live", "topic": "$topic", "queueId": "0", "queueOffset": "0", "maxMsgNums": "32", "sysFlag": "4", "commitOffset": "0",
		"suspendTimeoutMillis": "0", "subscription": "*", "subVersion": "1", "expressionType": "TAG"}
}

func pullCases() []Case {
	const a = suite.Consume
	of := func(name string, want int32, promise string, more fields) Case {
		return one(a, name, want, promise, step{code: 11, ext: pull().with(more), look: records})
	}
	return table(
		from(of("pull", 0, "A pull is answered with the messages from its offset and the next offset.", nil)),
		from(one(a, "lite-pull", 0, "A lite pull is answered like a pull.", step{code: 361, ext: pull(), look: records})),
		of("pull-max", 0, "A pull gets no more messages than it asks for.", fields{"maxMsgNums": "2"}),
		of("pull-max-zero", 0, "A pull that asks for no message is answered.", fields{"maxMsgNums": "0"}),
		of("pull-max-negative", 0, "A pull for a negative number of messages is answered.", fields{"maxMsgNums": "-5"}),
		one(a, "pull-max-bytes", 0, "A pull that asks for few bytes is answered; Java 5.3.3 gives it more.", step{code: 11, ext: pull().with(fields{"maxMsgBytes": "300"}), look: counted}),
		of("pull-tag", 0, "A pull gets the messages of its tags.", fields{"subscription": "A"}),
		of("pull-tags", 0, "A pull gets the messages of any of its tags.", fields{"subscription": "A || B"}),
		of("pull-tag-none", 20, "A pull that no message matches is answered with the offset after those it has seen.", fields{"subscription": "C"}),
		of("pull-subscription-empty", 0, "An empty expression selects everything.", fields{"subscription": ""}),
		of("pull-subscription-bars", 0, "Empty parts of an expression are nothing.", fields{"subscription": "|| A ||"}),
		of("pull-end", 19, "A pull at the end of a queue finds no new message.", fields{"queueOffset": "5"}),
		of("pull-beyond", 21, "A pull far beyond the end is told where the end is.", fields{"queueOffset": "1000"}),
		of("pull-one-beyond", 21, "A pull one beyond the end is told where the end is.", fields{"queueOffset": "6"}),
		of("pull-negative", 21, "A pull at a negative offset is told where the queue begins.", fields{"queueOffset": "-1"}),
		of("pull-empty-queue", 19, "A pull at the start of an empty queue finds no new message.", fields{"queueId": "2"}),
		of("pull-empty-queue-beyond", 21, "A pull beyond the start of an empty queue is told to start there.", fields{"queueId": "2", "queueOffset": "7"}),
		of("pull-queue-beyond", 29, "A queue id beyond the topic's queues is refused.", fields{"queueId": "4"}),
		of("pull-queue-negative", 29, "A negative queue id is refused.", fields{"queueId": "-1"}),
		of("pull-unknown-topic", 17, "A topic that does not exist is refused.", fields{"topic": "$unknown"}),
		of("pull-unknown-group", 24, "A group that nobody is a member of has no subscription.", fields{"consumerGroup": "$group", "sysFlag": "0"}),
		of("pull-own-subscription", 0, "Without an expression of its own a pull uses that of the group.", fields{"sysFlag": "0"}),
		of("pull-not-subscribed", 24, "A group that is not subscribed to the topic is refused.", fields{"sysFlag": "0", "topic": "TBW102"}),
		of("pull-not-latest", 25, "A pull with a newer subscription than the broker's is refused.", fields{"sysFlag": "0", "subVersion": "9"}),
		of("pull-sql", 1, "An SQL expression is refused where the broker does not do them.", fields{"expressionType": "SQL92", "subscription": "a > 1"}),
		of("pull-expression-type", 1, "An unknown type of expression is refused.", fields{"expressionType": "REGEX", "subscription": "a"}),
		flow(a, "pull-commit", 11, 0, "A pull may commit an offset.", makeGroup(),
			step{code: 11, ext: pull().with(fields{"consumerGroup": "$new", "sysFlag": "5", "commitOffset": "2"}), look: records},
			step{label: "after", code: 14, ext: fields{"consumerGroup": "$new", "topic": "$topic", "queueId": "0"}, until: extIs("offset", "2")}),
		flow(a, "pull-group-made", 11, 0, "A group that does not exist is made by its first pull.",
			step{code: 11, ext: pull().with(fields{"consumerGroup": "$new"}), look: records}, step{label: "group", code: 352, ext: fields{"group": "$new"}}),
		flow(a, "pull-no-consume", 11, 16, "A group that may not consume is refused.",
			step{quiet: true, code: 200, body: `{"groupName":"$new","consumeEnable":false}`}, step{code: 11, ext: pull().with(fields{"consumerGroup": "$new"})}),
		flow(a, "pull-write-only", 11, 16, "A topic that may not be read is refused.",
			makeTopic("1", fields{"perm": "2"}), step{code: 11, ext: pull().with(fields{"topic": "$new"})}),
		flow(a, "pull-oneway", 11, none, "A one-way pull is not answered.", step{code: 11, ext: pull(), oneway: true}),
		flow(a, "pull-held", 11, 0, "A pull that waits is answered when a message comes.", makeTopic("1", nil),
			step{quiet: true, to: broker, on: "other", code: 310, ext: sendV2().with(fields{"b": "$new"}), body: "x"},
			step{code: 11, ext: pull().with(fields{"topic": "$new", "sysFlag": "6", "suspendTimeoutMillis": "15000"}), look: records, until: answered(0)}),
		one(a, "pull-held-ended", 19, "A pull that waits is answered when its time is over.",
			step{code: 11, ext: pull().with(fields{"queueOffset": "5", "sysFlag": "6", "suspendTimeoutMillis": "100"})}),
	)
}

// beatOf is the heartbeat of one consumer.
func beatOf(client, group, topic, more string) string {
	return fmt.Sprintf(`{"clientID":%q,"consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":%q,`+
		`"messageModel":"CLUSTERING","subscriptionDataSet":[{"expressionType":"TAG","subString":"*","subVersion":1,"topic":%q%s}],"unitMode":false}],"producerDataSet":[]}`,
		client, group, topic, more)
}

func memberCases() []Case {
	const a = suite.Consume
	list := func(label string) step { return step{label: label, code: 38, ext: fields{"consumerGroup": "$new"}} }
	leave := fields{"clientID": "$client", "consumerGroup": "$new"}
	return table(
		from(flow(a, "heartbeat", 34, 0, "A consumer's heartbeat makes it a member and its group's retry topic.",
			step{on: "a", code: 34, body: beatOf("$client", "$new", "$topic", "")}, list("members"),
			step{label: "retry", code: 351, ext: fields{"topic": "%RETRY%$new"}}, step{label: "group", code: 352, ext: fields{"group": "$new"}},
			step{label: "again", on: "a", code: 34, body: beatOf("$client", "$new", "$topic", "")})),
		from(flow(a, "unregister", 35, 0, "A member that unregisters is no member.",
			step{quiet: true, on: "a", code: 34, body: beatOf("$client", "$new", "$topic", "")},
			step{on: "a", code: 35, ext: leave}, list("members"))),
		flow(a, "member-told", 40, 0, "A member is told when another one joins.",
			step{quiet: true, on: "a", code: 34, body: beatOf("$client", "$new", "$topic", "")},
			step{quiet: true, on: "b", code: 34, body: beatOf("$client-2", "$new", "$topic", "")},
			step{on: "a", code: 40, pushed: true}, list("members")),
		from(one(a, "members", 0, "The members of a group are listed.", step{code: 38, ext: fields{"consumerGroup": "$live"}})),
		one(a, "members-none", 1, "A group without members has no list.", step{code: 38, ext: fields{"consumerGroup": "$group"}}),
		one(a, "members-unknown", 1, "An unknown group has no list.", step{code: 38, ext: fields{"consumerGroup": "$unknown"}}),
		flow(a, "unregister-stranger", 35, 0, "Who is no member may unregister.", step{code: 35, ext: leave}),
		flow(a, "unregister-producer", 35, 0, "A producer may unregister.",
			step{quiet: true, on: "a", code: 34, body: `{"clientID":"$client","consumerDataSet":[],"producerDataSet":[{"groupName":"$new"}]}`},
			step{on: "a", code: 35, ext: fields{"clientID": "$client", "producerGroup": "$new"}}, step{label: "list", code: 204, ext: fields{"producerGroup": "$new"}}),
		flow(a, "heartbeat-producer", 34, 0, "A producer's heartbeat makes it known.",
			step{on: "a", code: 34, body: `{"clientID":"$client","consumerDataSet":[],"producerDataSet":[{"groupName":"$new"}]}`},
			step{label: "list", code: 204, ext: fields{"producerGroup": "$new"}}),
		one(a, "heartbeat-empty", 0, "A heartbeat of nobody is answered.", step{code: 34, body: `{"clientID":"$client","consumerDataSet":[],"producerDataSet":[]}`}),
		one(a, "heartbeat-sql", 0, "A consumer with an SQL expression may join.",
			step{code: 34, body: beatOf("$client", "$new", "$topic", `,"expressionType":"SQL92","subString":"a > 1"`)}),
		flow(a, "heartbeat-fingerprint", 34, 0, "A client that knows short heartbeats is told whether its subscriptions changed.",
			step{quiet: true, on: "a", code: 34, body: `{"clientID":"$client","heartbeatFingerprint":42,"withoutSub":false,` + beatOf("$client", "$new", "$topic", "")[1:]},
			step{on: "a", code: 34, body: `{"clientID":"$client","heartbeatFingerprint":42,"withoutSub":true,"consumerDataSet":[{"groupName":"$new"}],"producerDataSet":[]}`}, list("members")),
		one(a, "heartbeat-short-first", 0, "Java 5.3.3 takes a short heartbeat of a group that nobody has described since the broker started; a server may ask for the long one.",
			step{on: "a", code: 34, body: `{"clientID":"$client","heartbeatFingerprint":42,"withoutSub":true,"consumerDataSet":[{"groupName":"$new"}],"producerDataSet":[]}`}),
		flow(a, "heartbeat-unknown-model", 34, 0, "A model that does not exist is read as none.",
			step{on: "a", code: 34, body: `{"clientID":"$client","consumerDataSet":[{"groupName":"$new","messageModel":"SOMETHING","consumeType":"NEITHER","subscriptionDataSet":[]}],"producerDataSet":[]}`}),
		flow(a, "member-gone", 38, 1, "A member whose connection ended is none.",
			step{quiet: true, on: "a", code: 34, body: beatOf("$client", "$new", "$topic", "")}, step{quiet: true, on: "a", hangUp: true},
			step{code: 38, ext: fields{"consumerGroup": "$new"}, until: answered(1)}),
		from(one(a, "check-client", 0, "A tag subscription is fine.",
			step{code: 46, body: `{"clientId":"$client","group":"$new","namespace":"","subscriptionData":{"expressionType":"TAG","subString":"*","topic":"$topic"}}`})),
		one(a, "check-client-sql", 1, "An SQL subscription is refused where the broker does not do them.",
			step{code: 46, body: `{"clientId":"$client","group":"$new","subscriptionData":{"expressionType":"SQL92","subString":"a > 1","topic":"$topic"}}`}),
		one(a, "check-client-type", 1, "An unknown type of expression is refused.",
			step{code: 46, body: `{"clientId":"$client","group":"$new","subscriptionData":{"expressionType":"REGEX","subString":"a","topic":"$topic"}}`}),
		one(a, "check-client-nothing", 0, "Nothing to check is fine.", step{code: 46, body: `{"clientId":"$client","group":"$new"}`}),
	)
}

func lockCases() []Case {
	const a = suite.Order
	set := func(client, queues string) string {
		return fmt.Sprintf(`{"clientId":%q,"consumerGroup":"$new","mqSet":[%s],"onlyThisBroker":false}`, client, queues)
	}
	const q0 = `{"brokerName":"$brokerName","queueId":0,"topic":"$topic"}`
	const q1 = `{"brokerName":"$brokerName","queueId":1,"topic":"$topic"}`
	lock := func(label, client, queues string) step {
		return step{label: label, code: 41, body: set(client, queues)}
	}
	return table(
		from(flow(a, "lock", 41, 0, "A member gets the locks of free queues, another one does not.",
			lock("", "$client", q0+","+q1), lock("other", "$other", q0+","+q1), lock("again", "$client", q0))),
		from(flow(a, "unlock", 42, 0, "An unlocked queue can be locked by another member.", lock("lock", "$client", q0+","+q1),
			step{code: 42, body: set("$client", q0)}, lock("other", "$other", q0+","+q1))),
		flow(a, "unlock-other", 42, 0, "A member cannot unlock what another one has locked.", lock("lock", "$client", q0),
			step{code: 42, body: set("$other", q0)}, lock("other", "$other", q0)),
		flow(a, "lock-nothing", 41, 0, "Locking no queue locks nothing.", lock("", "$client", "")),
		flow(a, "lock-unknown-topic", 41, 0, "Queues of unknown topics can be locked.", lock("", "$client", `{"brokerName":"$unknown","queueId":99,"topic":"$unknown"}`)),
		one(a, "lock-no-set", 0, "A request without queues locks nothing.", step{code: 41, body: `{"clientId":"$client","consumerGroup":"$new"}`}),
		one(a, "unlock-no-set", 0, "A request without queues unlocks nothing.", step{code: 42, body: `{"clientId":"$client","consumerGroup":"$new"}`}),
		one(a, "lock-no-client", refused, "Java 5.3.3 fails on a lock without a client; a server may take it.", step{code: 41, body: `{"consumerGroup":"$new","mqSet":[` + q0 + `]}`}),
		one(a, "lock-no-group", refused, "Java 5.3.3 fails on a lock without a group; a server may take it.", step{code: 41, body: `{"clientId":"$client","mqSet":[` + q0 + `]}`}),
	)
}

func offsetCases() []Case {
	const a = suite.Offset
	q := fields{"topic": "$topic", "queueId": "0"}
	of := func(group, queue string) fields {
		return fields{"consumerGroup": group, "topic": "$topic", "queueId": queue}
	}
	commit := func(more fields) fields { return of("$new", "0").with(fields{"commitOffset": "2"}).with(more) }
	after := step{label: "after", code: 14, ext: of("$new", "0")}
	return table(
		from(one(a, "max-offset", 0, "The maximum offset of a queue is that of its next message.", step{code: 30, ext: q})),
		one(a, "max-offset-committed", 0, "The maximum offset of what is on disk can be asked for.", step{code: 30, ext: q.with(fields{"committed": "true"})}),
		one(a, "max-offset-empty", 0, "The maximum offset of an empty queue is 0.", step{code: 30, ext: q.with(fields{"queueId": "3"})}),
		one(a, "max-offset-logical", 0, "A plain topic has no logical queues: the field does not matter.", step{code: 30, ext: q.with(fields{"lo": "true"})}),
		one(a, "max-offset-unknown", 0, "The maximum offset of an unknown topic is 0.", step{code: 30, ext: q.with(fields{"topic": "$unknown"})}),
		from(one(a, "min-offset", 0, "The minimum offset of a queue is that of its oldest message.", step{code: 31, ext: q})),
		one(a, "min-offset-logical", 0, "A plain topic has no logical queues: the field does not matter.", step{code: 31, ext: q.with(fields{"lo": "true"})}),
		one(a, "min-offset-negative", 0, "The minimum offset of a queue with a negative number is that of an empty queue.", step{code: 31, ext: q.with(fields{"queueId": "-1"})}),
		one(a, "min-offset-unknown", 0, "The minimum offset of an unknown topic is that of an empty queue.", step{code: 31, ext: q.with(fields{"topic": "$unknown"})}),
		from(one(a, "earliest-time", 0, "The store time of the oldest message is answered.", step{code: 32, ext: q})),
		one(a, "earliest-time-empty", 0, "An empty queue has no store time.", step{code: 32, ext: q.with(fields{"queueId": "3"})}),
		one(a, "earliest-time-unknown", 0, "An unknown topic has no store time.", step{code: 32, ext: q.with(fields{"topic": "$unknown"})}),
		from(one(a, "search", 0, "A search by time finds the first message that is not older.", step{code: 29, ext: q.with(fields{"timestamp": "$time0"})})),
		one(a, "search-past", 0, "A search before all messages finds the first.", step{code: 29, ext: q.with(fields{"timestamp": "1"})}),
		one(a, "search-future", 0, "A search after all messages finds the last.", step{code: 29, ext: q.with(fields{"timestamp": "9999999999999"})}),
		one(a, "search-future-upper", 0, "A search after all messages with the upper bound finds the last.",
			step{code: 29, ext: q.with(fields{"timestamp": "9999999999999", "boundaryType": "UPPER"})}),
		one(a, "search-past-upper", 0, "A search before all messages with the upper bound finds the first.",
			step{code: 29, ext: q.with(fields{"timestamp": "1", "boundaryType": "upper"})}),
		one(a, "search-boundary-unknown", 0, "An unknown bound is the lower one.", step{code: 29, ext: q.with(fields{"timestamp": "1", "boundaryType": "MIDDLE"})}),
		one(a, "search-empty", 0, "A search in an empty queue finds 0.", step{code: 29, ext: q.with(fields{"timestamp": "1", "queueId": "2"})}),
		one(a, "search-unknown", 0, "A search in an unknown topic is answered.", step{code: 29, ext: q.with(fields{"timestamp": "1", "topic": "$unknown"})}),
		from(one(a, "offset", 0, "A committed offset is answered.", step{code: 14, ext: of("$group", "0")})),
		one(a, "offset-none", 22, "An empty queue without a committed offset is told so.", step{code: 14, ext: of("$group", "2")}),
		one(a, "offset-none-not-zero", 22, "A client that asks not to be given 0 is told that there is no offset.",
			step{code: 14, ext: of("$group", "2").with(fields{"setZeroIfNotFound": "false"})}),
		one(a, "offset-unknown-group", 0, "An unknown group is treated like a new one.", step{code: 14, ext: of("$unknown", "0")}),
		one(a, "offset-unknown-topic", 22, "An unknown topic has no committed offset.", step{code: 14, ext: of("$group", "0").with(fields{"topic": "$unknown"})}),
		from(flow(a, "commit", 15, 0, "A committed offset is there at once.", makeGroup(), step{code: 15, ext: commit(nil)}, after)),
		flow(a, "commit-back", 15, 0, "An offset may go back.", makeGroup(), step{quiet: true, code: 15, ext: commit(nil)}, step{code: 15, ext: commit(fields{"commitOffset": "1"})}, after),
		flow(a, "commit-negative", 15, 0, "A negative offset is taken as it is.", makeGroup(), step{code: 15, ext: commit(fields{"commitOffset": "-7"})}, after),
		flow(a, "commit-beyond", 15, 0, "An offset beyond the end is taken as it is.", makeGroup(), step{code: 15, ext: commit(fields{"commitOffset": "1000"})}, after),
		one(a, "commit-unknown-topic", 17, "An unknown topic is refused.", step{code: 15, ext: commit(fields{"topic": "$unknown", "consumerGroup": "$group"})}),
		one(a, "commit-unknown-group", 26, "An unknown group is refused.", step{code: 15, ext: commit(nil)}),
		flow(a, "commit-queue-beyond", 15, 0, "A queue id beyond the topic's is taken as it is.", makeGroup(), step{code: 15, ext: commit(fields{"queueId": "77"})},
			step{label: "after", code: 14, ext: of("$new", "77")}),
		flow(a, "commit-oneway", 15, none, "A one-way commit counts.", makeGroup(), step{code: 15, ext: commit(nil), oneway: true},
			step{label: "after", code: 14, ext: of("$new", "0"), until: extIs("offset", "2")}),
		from(one(a, "all-offsets", 0, "All committed offsets are answered.", step{code: 43, look: offsetTables})),
		from(one(a, "delay-offsets", 0, "The offsets of delay levels are answered.", step{code: 45, look: size})),
	)
}

func resetCases() []Case {
	const a = suite.Offset
	member := step{quiet: true, on: "member", code: 34, body: beatOf("$client", "$new", "$topic", ""), replies: map[int32]string{
		221: `{"messageQueueTable":{{"brokerName":"$brokerName","queueId":0,"topic":"$topic"}:3},"consumerTable":{}}`}}
	ext := func(more fields) fields {
		return fields{"topic": "$topic", "group": "$new", "timestamp": "1", "isForce": "true", "queueId": "-1"}.with(more)
	}
	put := step{quiet: true, code: 15, ext: fields{"consumerGroup": "$new", "topic": "$topic", "queueId": "0", "commitOffset": "4"}}
	clone := func(more fields) fields {
		return fields{"srcGroup": "$group", "destGroup": "$new", "topic": "$topic", "offline": "false"}.with(more)
	}
	after := step{label: "after", code: 14, ext: fields{"consumerGroup": "$new", "topic": "$topic", "queueId": "0"}}
	other := step{quiet: true, code: 200, body: `{"groupName":"$other"}`}
	commit := func(group, queue, offset string) step {
		return step{quiet: true, code: 15, ext: fields{"consumerGroup": group, "topic": "$new", "queueId": queue, "commitOffset": offset}}
	}
	return table(
		from(flow(a, "reset", 222, 0, "Offsets are reset to those of a time.", member, put,
			step{code: 222, ext: ext(nil)}, after)),
		flow(a, "reset-end", 222, 0, "A negative time resets to the end.", member, put,
			step{code: 222, ext: ext(fields{"timestamp": "-1"})}),
		flow(a, "reset-not-forced", 222, 0, "Without force an offset only goes back.", member, put,
			step{code: 222, ext: ext(fields{"timestamp": "-1", "isForce": "false"})}),
		flow(a, "reset-nobody", 222, 0, "A group that is not online is reset by the broker alone.", makeGroup(), put, step{code: 222, ext: ext(nil)}, after),
		one(a, "reset-unknown-group", 26, "An unknown group is refused.", step{code: 222, ext: ext(nil)}),
		one(a, "reset-unknown-topic", 17, "An unknown topic cannot be reset.", step{code: 222, ext: ext(fields{"topic": "$unknown"})}),
		flow(a, "reset-by-offset", 222, 0, "An offset of one queue may be given.", makeGroup(), put, step{code: 222, ext: ext(fields{"queueId": "0", "offset": "2"})}, after),
		flow(a, "status-old", 223, 1, "Members of old versions cannot be asked.", func() step { st := member; st.how = how{version: -1}; return st }(),
			step{code: 223, ext: fields{"topic": "$topic", "group": "$new", "clientAddr": ""}}),
		except("ancient", from(flow(a, "status", 223, 0, "A member is asked for its offsets.", member, step{code: 223, ext: fields{"topic": "$topic", "group": "$new", "clientAddr": ""}}))),
		flow(a, "status-client", 223, 0, "One member can be asked alone.", member, step{code: 223, ext: fields{"topic": "$topic", "group": "$new", "clientAddr": "$client"}}),
		flow(a, "status-stranger", 223, 0, "Who is no member is not asked.", member, step{code: 223, ext: fields{"topic": "$topic", "group": "$new", "clientAddr": "$unknown"}}),
		one(a, "status-nobody", refused, "A group that is not online has no status.", step{code: 223, ext: fields{"topic": "$topic", "group": "$group", "clientAddr": ""}}),
		from(flow(a, "clone", 314, 0, "A group gets a copy of another group's offsets.", makeGroup(), step{code: 314, ext: clone(nil)}, after)),
		flow(a, "correction", 308, 0, "The smallest offset that a group has committed is answered by queue.",
			makeTopic("2", nil), makeGroup(), other, commit("$new", "0", "7"), commit("$other", "0", "5"), commit("$other", "1", "9"),
			step{code: 308, ext: fields{"topic": "$new", "compareGroup": "$other"}}),
		flow(a, "correction-filter", 308, 0, "Groups may be left out.",
			makeTopic("2", nil), makeGroup(), other, commit("$new", "0", "7"), commit("$other", "0", "5"),
			step{code: 308, ext: fields{"topic": "$new", "compareGroup": "$other", "filterGroups": "$other"}}),
		one(a, "correction-unknown", 0, "An unknown topic has no offsets.", step{code: 308, ext: fields{"topic": "$unknown", "compareGroup": "$group"}}),
		flow(a, "correction-no-group", 308, 0, "A group to compare with is not needed.",
			makeTopic("2", nil), makeGroup(), commit("$new", "1", "7"), step{code: 308, ext: fields{"topic": "$new"}}),
		flow(a, "clone-all", 314, 0, "Without a topic all topics are copied.", makeGroup(), step{code: 314, ext: clone(fields{"topic": ""})}, after),
		flow(a, "clone-unknown", 314, 0, "A group without offsets has nothing to copy.", makeGroup(), step{code: 314, ext: clone(fields{"srcGroup": "$unknown"})}, after),
		flow(a, "clone-unknown-topic", 314, 0, "An unknown topic has nothing to copy.", makeGroup(), step{code: 314, ext: clone(fields{"topic": "$unknown"})}, after),
		flow(a, "clone-online", 314, 0, "A group that is online may be copied.", makeGroup(), step{code: 314, ext: clone(fields{"srcGroup": "$live"})}, after),
	)
}
