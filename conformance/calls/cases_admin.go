package calls

import (
	"strings"

	"github.com/merlinmq/merlin/conformance/suite"
	"github.com/merlinmq/merlin/protocol/wire"
)

func topicCases() []Case {
	const a = suite.Admin
	ext := fields{"topic": "$new", "defaultTopic": "TBW102", "readQueueNums": "3", "writeQueueNums": "2", "perm": "6", "topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false"}
	get := step{label: "get", code: 351, ext: fields{"topic": "$new"}}
	put := func(name string, want int32, promise string, more fields) Case {
		return flow(a, name, 17, want, promise, step{code: 17, ext: ext.with(more)}, get)
	}
	odd := func(name string, want int32, promise string, more fields) Case { // see Known
		return one(a, name, want, promise, step{code: 17, ext: ext.with(more)})
	}
	list := func(topics ...string) string {
		var all []string
		for _, t := range topics {
			all = append(all, `{"topicName":"`+t+`","readQueueNums":3,"writeQueueNums":2,"perm":6,"topicFilterType":"SINGLE_TAG","topicSysFlag":0,"order":false,"attributes":{}}`)
		}
		return `{"topicConfigList":[` + strings.Join(all, ",") + `]}`
	}
	return table(
		from(put("topic-put", 0, "A topic is made as asked for.", nil)),
		flow(a, "topic-put-again", 17, 0, "A topic is changed as asked for.", step{quiet: true, code: 17, ext: ext}, step{code: 17, ext: ext.with(fields{"readQueueNums": "9", "order": "true"})}, get),
		put("topic-put-illegal", 29, "A topic with characters that names may not have is refused.", fields{"topic": "no spaces $new"}),
		put("topic-put-empty", 29, "An empty name is refused.", fields{"topic": ""}),
		put("topic-put-long", 29, "A name of more than 127 characters is refused.", fields{"topic": "$new" + strings.Repeat("t", 110)}),
		put("topic-put-path", 29, "A name like a path is refused.", fields{"topic": "$path"}),
		put("topic-put-wide", 29, "A name beyond ASCII is refused.", fields{"topic": "$wide"}),
		put("topic-put-system", 29, "A name of the system is refused.", fields{"topic": "SCHEDULE_TOPIC_XXXX"}),
		put("topic-put-default", 29, "The default topic may not be changed.", fields{"topic": "TBW102"}),
		put("topic-put-filter-unknown", 1, "An unknown filter type is refused.", fields{"topicFilterType": "SEVERAL"}),
		put("topic-put-filter-multi", 0, "The other filter type is kept.", fields{"topicFilterType": "MULTI_TAG"}),
		put("topic-put-order", 0, "An ordered topic is made.", fields{"order": "true"}),
		put("topic-put-perm-none", 0, "A topic may have no permissions.", fields{"perm": "0"}),
		odd("topic-put-perm-odd", 0, "Java 5.3.3 keeps permissions that do not exist; a server may refuse them.", fields{"perm": "255"}),
		odd("topic-put-queues-negative", 0, "Java 5.3.3 keeps negative numbers of queues; a server may refuse them.", fields{"readQueueNums": "-1", "writeQueueNums": "-1"}),
		put("topic-put-queues-many", 0, "A topic may have very many queues.", fields{"readQueueNums": "100000", "writeQueueNums": "100000"}),
		put("topic-put-queues-zero", 0, "A topic may have no queues.", fields{"readQueueNums": "0", "writeQueueNums": "0"}),
		put("topic-put-sysflag", 0, "System flags are kept as they are.", fields{"topicSysFlag": "3"}),
		put("topic-put-attribute", 0, "Attributes are kept.", fields{"attributes": "+message.type=FIFO"}),
		put("topic-put-attribute-unknown", 1, "An unknown attribute is refused.", fields{"attributes": "+unknown=x"}),
		odd("topic-put-attribute-batch-queues", 0, "Java 5.3.3 makes a topic with batch queues; a server that has none may refuse it.", fields{"attributes": "+queue.type=BatchCQ"}),
		odd("topic-put-attribute-compaction", 0, "Java 5.3.3 makes a topic that is compacted; a server that compacts none may refuse it.", fields{"attributes": "+cleanup.policy=COMPACTION"}),
		put("topic-put-attribute-value", 1, "A value that an attribute may not have is refused.", fields{"attributes": "+message.type=SOMETHING"}),
		put("topic-put-attribute-form", 1, "An attribute without a sign is refused.", fields{"attributes": "message.type=FIFO"}),
		put("topic-put-attribute-delete-new", 1, "An attribute cannot be taken from a new topic.", fields{"attributes": "-message.type"}),
		put("topic-put-attribute-fixed", 0, "An attribute that cannot change later can be given to a new topic.", fields{"attributes": "+cleanup.policy=DELETE"}),
		from(flow(a, "topic-list-put", 18, 0, "Several topics are made at once.", step{code: 18, body: list("$new", "$other")}, get, step{label: "other", code: 351, ext: fields{"topic": "$other"}})),
		flow(a, "topic-list-put-one-illegal", 18, 29, "None is made when one name is refused.", step{code: 18, body: list("$new", "no spaces $other")}, get),
		flow(a, "topic-list-put-system", 18, 29, "A name of the system is refused.", step{code: 18, body: list("TBW102")}),
		flow(a, "topic-list-put-none", 18, 0, "A list of none is answered.", step{code: 18, body: `{"topicConfigList":[]}`}),
		from(flow(a, "topic-delete", 215, 0, "A deleted topic is gone.", step{quiet: true, code: 17, ext: ext}, step{code: 215, ext: fields{"topic": "$new"}}, get)),
		one(a, "topic-delete-unknown", 0, "An unknown topic is deleted without a word.", step{code: 215, ext: fields{"topic": "$unknown"}}),
		one(a, "topic-delete-empty", 29, "An empty name is refused.", step{code: 215, ext: fields{"topic": ""}}),
		one(a, "topic-delete-blank", 29, "A blank name is refused.", step{code: 215, ext: fields{"topic": "  "}}),
		one(a, "topic-delete-system", 29, "Topics of the system may not be deleted.", step{code: 215, ext: fields{"topic": "SCHEDULE_TOPIC_XXXX"}}),
		one(a, "topic-delete-path", 0, "A name like a path deletes nothing.", step{code: 215, ext: fields{"topic": "$path"}}),
		from(one(a, "topic-get", 0, "A topic is answered.", step{code: 351, ext: fields{"topic": "$topic"}})),
		one(a, "topic-get-unknown", 17, "An unknown topic is refused.", step{code: 351, ext: fields{"topic": "$unknown"}}),
		one(a, "topic-get-logical", 0, "A plain topic has no logical queues.", step{code: 351, ext: fields{"topic": "$topic", "lo": "true"}}),
		one(a, "topic-get-default", 0, "The default topic is answered.", step{code: 351, ext: fields{"topic": "TBW102"}, look: afterDefault}),
		from(one(a, "topic-table", 0, "All topics are answered.", step{code: 21, look: ours("topicConfigTable")})),
		one(a, "topic-table-page", 0, "A page may be asked for.", step{code: 21, ext: fields{"topicSeq": "0", "maxTopicNum": "1", "dataVersion": "{}"}, look: ours("topicConfigTable")}),
		one(a, "topic-table-page-odd", 0, "An odd page is answered.", step{code: 21, ext: fields{"topicSeq": "-5", "maxTopicNum": "-1"}, look: ours("topicConfigTable")}),
		from(one(a, "system-topics-broker", 0, "The topics of the system are listed.", step{code: 305})),
	)
}

func groupCases() []Case {
	const a = suite.Admin
	get := step{label: "get", code: 352, ext: fields{"group": "$new"}}
	put := func(name string, want int32, promise, body string) Case {
		return flow(a, name, 200, want, promise, step{code: 200, body: body}, get)
	}
	forbid := func(more fields) step {
		return step{code: 353, ext: fields{"group": "$new", "topic": "$topic"}.with(more)}
	}
	return table(
		from(put("group-put", 0, "A group is made as asked for.", `{"groupName":"$new","consumeEnable":true,"consumeFromMinEnable":false,"consumeBroadcastEnable":false,"retryQueueNums":3,`+
			`"retryMaxTimes":5,"brokerId":0,"whichBrokerWhenConsumeSlowly":1,"notifyConsumerIdsChangedEnable":false,"groupSysFlag":7,"consumeTimeoutMinute":4,"consumeMessageOrderly":true}`)),
		put("group-put-defaults", 0, "What is not said has its default.", `{"groupName":"$new"}`),
		put("group-put-policy", 0, "A retry policy is kept.", `{"groupName":"$new","groupRetryPolicy":{"type":"EXPONENTIAL","exponentialRetryPolicy":{"initial":1000,"max":9000,"multiplier":3}}}`),
		put("group-put-policy-custom", 0, "A customized retry policy is kept.", `{"groupName":"$new","groupRetryPolicy":{"type":"CUSTOMIZED","customizedRetryPolicy":{"next":[5,6,7]}}}`),
		put("group-put-attributes", refused, "Attributes that are not known are refused.", `{"groupName":"$new","attributes":{"+priority.factor":"2"}}`),
		put("group-put-attribute-unknown", refused, "An unknown attribute is refused.", `{"groupName":"$new","attributes":{"+unknown":"2"}}`),
		put("group-put-simple", 0, "Simple subscriptions are kept.", `{"groupName":"$new","subscriptionDataSet":[{"topic":"$topic","expressionType":"TAG","expression":"A"}]}`),
		put("group-put-negative", 0, "Numbers are kept as they are.", `{"groupName":"$new","retryQueueNums":-1,"retryMaxTimes":-1,"brokerId":-1}`),
		put("group-put-wrong-types", 0, "Numbers and booleans may be strings.", `{"groupName":"$new","retryQueueNums":"2","consumeEnable":"false"}`),
		put("group-put-unknown-field", 0, "Unknown fields do not matter.", `{"groupName":"$new","something":{"a":[1,2]}}`),
		put("group-put-illegal", 0, "A name may have any characters.", `{"groupName":"no spaces $new"}`),
		put("group-put-nameless", refused, "A missing name is refused.", `{}`),
		put("group-put-long", 0, "Java 5.3.3 keeps a group whose name is longer than clients permit; a server may refuse it.", `{"groupName":"$new`+strings.Repeat("g", 260)+`"}`),
		put("group-put-path", 0, "A name may look like a path.", `{"groupName":"$path"}`),
		from(flow(a, "group-list-put", 225, 0, "Several groups are made at once.", step{code: 225, body: `{"groupConfigList":[{"groupName":"$new","retryMaxTimes":3},{"groupName":"$other"}]}`},
			get, step{label: "other", code: 352, ext: fields{"group": "$other"}})),
		one(a, "group-list-put-none", 0, "A list of none is answered.", step{code: 225, body: `{"groupConfigList":[]}`}),
		one(a, "group-list-put-illegal", 0, "A name of a list may have any characters.", step{code: 225, body: `{"groupConfigList":[{"groupName":"no spaces $new"}]}`}),
		from(one(a, "group-table", 0, "All groups are answered.", step{code: 201, look: ours("subscriptionGroupTable", "forbiddenTable")})),
		one(a, "group-table-page", 0, "A page may be asked for.", step{code: 201, ext: fields{"groupSeq": "0", "maxGroupNum": "1"}, look: ours("subscriptionGroupTable", "forbiddenTable")}),
		from(flow(a, "group-delete", 207, 0, "A deleted group is gone.", makeGroup(), step{code: 207, ext: fields{"groupName": "$new"}}, get)),
		flow(a, "group-delete-offsets", 207, 0, "Its offsets are deleted with it where that is asked for.", makeGroup(),
			step{quiet: true, code: 15, ext: fields{"consumerGroup": "$new", "topic": "$topic", "queueId": "0", "commitOffset": "4"}},
			step{code: 207, ext: fields{"groupName": "$new", "cleanOffset": "true"}}, step{label: "offset", code: 14, ext: fields{"consumerGroup": "$new", "topic": "$topic", "queueId": "0", "setZeroIfNotFound": "false"}}),
		flow(a, "group-delete-keeps-offsets", 207, 0, "Its offsets stay otherwise.", makeGroup(),
			step{quiet: true, code: 15, ext: fields{"consumerGroup": "$new", "topic": "$topic", "queueId": "0", "commitOffset": "4"}},
			step{code: 207, ext: fields{"groupName": "$new"}}, step{label: "offset", code: 14, ext: fields{"consumerGroup": "$new", "topic": "$topic", "queueId": "0", "setZeroIfNotFound": "false"}},
			step{quiet: true, code: 207, ext: fields{"groupName": "$new", "cleanOffset": "true"}}),
		one(a, "group-delete-unknown", 0, "An unknown group is deleted without a word.", step{code: 207, ext: fields{"groupName": "$unknown"}}),
		from(one(a, "group-get", 0, "A group is answered.", step{code: 352, ext: fields{"group": "$group"}})),
		one(a, "group-get-unknown", 0, "An unknown group is made.", step{code: 352, ext: fields{"group": "$new"}}),
		from(flow(a, "forbid", 353, 0, "A group can be kept from a topic.", makeGroup(), forbid(fields{"readable": "false"}),
			step{label: "pull", code: 11, ext: pull().with(fields{"consumerGroup": "$new"})}, func() step { st := forbid(fields{"readable": "true"}); st.label = "allow"; return st }())),
		flow(a, "forbid-ask", 353, 0, "Whether a group is kept from a topic can be asked.", makeGroup(), forbid(nil)),
		flow(a, "forbid-unknown-topic", 353, 0, "A group can be kept from an unknown topic.", step{code: 353, ext: fields{"group": "$new", "topic": "$unknown", "readable": "false"}},
			step{quiet: true, code: 353, ext: fields{"group": "$new", "topic": "$unknown", "readable": "true"}}),
	)
}

func statsCases() []Case {
	const a = suite.Admin
	return table(
		from(one(a, "topic-stats", 0, "The offsets of all queues of a topic are answered.", step{code: 202, ext: fields{"topic": "$topic"}, look: only("offsetTable")})),
		one(a, "topic-stats-unknown", 17, "An unknown topic is refused.", step{code: 202, ext: fields{"topic": "$unknown"}}),
		from(one(a, "consume-stats", 0, "The progress of a group is answered.", step{code: 208, ext: fields{"consumerGroup": "$group"}})),
		one(a, "consume-stats-topic", 0, "The progress on one topic can be asked for.", step{code: 208, ext: fields{"consumerGroup": "$group", "topic": "$topic"}}),
		one(a, "consume-stats-topics", 0, "The progress on several topics can be asked for.", step{code: 208, ext: fields{"consumerGroup": "$group", "topicList": "$topic;$unknown"}}),
		one(a, "consume-stats-unknown-topic", 0, "An unknown topic has none.", step{code: 208, ext: fields{"consumerGroup": "$group", "topic": "$unknown"}}),
		one(a, "consume-stats-unknown", 0, "An unknown group has none.", step{code: 208, ext: fields{"consumerGroup": "$unknown"}}),
		from(one(a, "consume-stats-all", 0, "The progress of all groups is answered.", step{code: 317, ext: fields{"isOrder": "false"}, look: ours("consumeStatsList")})),
		one(a, "consume-stats-ordered", 0, "The progress on ordered topics is answered.", step{code: 317, ext: fields{"isOrder": "true"}, look: ours("consumeStatsList")}),
		from(one(a, "who-consumes", 0, "The groups of a topic are listed; Java 5.3.3 lists the topic itself among them.", step{code: 300, ext: fields{"topic": "$topic"}, look: ours("groupList")})),
		one(a, "who-consumes-unknown", 0, "An unknown topic has no groups.", step{code: 300, ext: fields{"topic": "$unknown"}}),
		from(one(a, "topics-of-group", 0, "The topics of a group are listed.", step{code: 343, ext: fields{"group": "$group"}})),
		one(a, "topics-of-unknown-group", 0, "An unknown group has no topics.", step{code: 343, ext: fields{"group": "$unknown"}}),
		from(one(a, "subscription", 0, "The subscription of a group is answered.", step{code: 345, ext: fields{"group": "$live", "topic": "$topic"}})),
		one(a, "subscription-none", 0, "A group that is not online has none.", step{code: 345, ext: fields{"group": "$group", "topic": "$topic"}}),
		one(a, "subscription-other-topic", 0, "A topic that is not subscribed to has none.", step{code: 345, ext: fields{"group": "$live", "topic": "$unknown"}}),
		one(a, "stats-data-unknown", 1, "Statistics of unknown names do not exist.", step{code: 315, ext: fields{"statsName": "SOMETHING", "statsKey": "$topic"}}),
		one(a, "stats-data-unknown-key", 1, "Statistics of unknown keys do not exist.", step{code: 315, ext: fields{"statsName": "TOPIC_PUT_NUMS", "statsKey": "$unknown"}}),
		from(one(a, "stats-data", 0, "Statistics of a topic are answered.", step{code: 315, ext: fields{"statsName": "TOPIC_PUT_NUMS", "statsKey": "$topic"}, look: shape})),
		from(one(a, "ha-status", 0, "The state of replication is answered.", step{code: 907, look: shape})),
	)
}

func clientCases() []Case {
	const a = suite.Admin
	return table(
		from(one(a, "consumer-connections", 0, "The connections of a group and its subscriptions are listed.", step{code: 203, ext: fields{"consumerGroup": "$live"}})),
		one(a, "consumer-connections-none", 206, "A group that is not online has none.", step{code: 203, ext: fields{"consumerGroup": "$group"}}),
		flow(a, "consumer-connections-old", 203, 0, "Version and language of a client are shown.",
			step{quiet: true, on: "a", code: 34, body: beatOf("$client", "$new", "$topic", ""), how: how{language: wire.CPP, version: 317}}, step{code: 203, ext: fields{"consumerGroup": "$new"}}),
		flow(a, "consumer-connections-broadcast", 203, 0, "Model and type of a group are shown.",
			step{quiet: true, on: "a", code: 34, body: `{"clientID":"$client","consumerDataSet":[{"groupName":"$new","consumeFromWhere":"CONSUME_FROM_TIMESTAMP","consumeType":"CONSUME_ACTIVELY",` +
				`"messageModel":"BROADCASTING","subscriptionDataSet":[]}],"producerDataSet":[]}`}, step{code: 203, ext: fields{"consumerGroup": "$new"}}),
		from(one(a, "producer-connections", 0, "The connections of a producer group are listed.", step{code: 204, ext: fields{"producerGroup": "$makers"}})),
		one(a, "producer-connections-none", 1, "A producer group that is not online has none.", step{code: 204, ext: fields{"producerGroup": "$unknown"}}),
		from(one(a, "producers", 0, "All producers are listed.", step{code: 328, look: ours("data")})),
		from(one(a, "running-info", 0, "A member is asked for its state, and its answer passed on.", step{code: 307, ext: fields{"consumerGroup": "$live", "clientId": "$member", "jstackEnable": "false"}})),
		one(a, "running-info-stranger", 1, "Who is no member cannot be asked.", step{code: 307, ext: fields{"consumerGroup": "$live", "clientId": "$unknown"}}),
		one(a, "running-info-nobody", 1, "A group that is not online cannot be asked.", step{code: 307, ext: fields{"consumerGroup": "$group", "clientId": "$member"}}),
		flow(a, "running-info-old", 307, 1, "An old client is not asked.",
			step{quiet: true, on: "a", code: 34, body: beatOf("$client", "$new", "$topic", ""), how: how{version: 10}}, step{code: 307, ext: fields{"consumerGroup": "$new", "clientId": "$client"}}),
		from(one(a, "consume-directly", 0, "A member is given a message to consume, and its answer passed on.",
			step{code: 309, ext: fields{"consumerGroup": "$live", "clientId": "$member", "msgId": "$id0", "brokerName": "$brokerName"}})),
		one(a, "consume-directly-stranger", 1, "Who is no member cannot be given a message.", step{code: 309, ext: fields{"consumerGroup": "$live", "clientId": "$unknown", "msgId": "$id0"}}),
		one(a, "consume-directly-no-id", refused, "Without a message id nothing is given.", step{code: 309, ext: fields{"consumerGroup": "$live", "clientId": "$member"}}),
		one(a, "consume-directly-bad-id", refused, "A bad message id is refused.", step{code: 309, ext: fields{"consumerGroup": "$live", "clientId": "$member", "msgId": "no id"}}),
	)
}

// configKeys are settings that a broker shows whatever its version.
var configKeys = []string{"autoCreateTopicEnable", "autoCreateSubscriptionGroup", "brokerId", "brokerName", "brokerClusterName", "defaultTopicQueueNums", "deleteWhen",
	"enablePropertyFilter", "fileReservedTime", "flushDiskType", "brokerRole", "maxMessageSize", "messageDelayLevel", "transactionCheckMax", "traceTopicEnable", "namesrvAddr"}

func configCases() []Case {
	const a = suite.Admin
	show := step{label: "get", code: 26, look: properties("transactionCheckMax")}
	return table(
		from(one(a, "broker-config", 0, "The settings of a broker are answered as properties.", step{code: 26, look: settings(configKeys...)})),
		from(one(a, "runtime-info", 0, "The state of a broker is answered, in the forms that Java 5.3.3 has for it.", step{code: 28, look: runtime})),
		own(flow(a, "broker-config-put", 25, 0, "A setting is changed.", step{code: 25, body: "transactionCheckMax=16\n"}, show, step{quiet: true, code: 25, body: "transactionCheckMax=15\n"})),
		own(one(a, "broker-config-unknown", 0, "Java 5.3.3 says yes to an unknown setting and does nothing; a server may say so.", step{code: 25, body: "$unknown=1\n"})),
		own(one(a, "broker-config-forbidden", 16, "Settings that may not change are refused.", step{code: 25, body: "brokerConfigPath=/x\n"})),
		own(one(a, "broker-config-empty", 0, "Without a body nothing changes.", step{code: 25})),
		own(one(a, "broker-config-comment", 0, "Properties without a setting change nothing.", step{code: 25, body: "# nothing\n"})),
		own(one(a, "broker-config-wrong-type", 0, "Java 5.3.3 says yes to a value of the wrong type and does nothing; a server may say so.", step{code: 25, body: "transactionCheckMax=many\n"})),
		from(one(a, "names-config", 0, "The settings of a name server are answered as properties, as Java 5.3.3 does.", step{to: names, code: 319,
			look: properties("clusterTest", "orderMessageEnable", "returnOrderTopicConfigToBroker", "clientRequestThreadPoolNums", "defaultThreadPoolNums", "enableTopicList")})),
		own(flow(a, "names-config-put", 318, 0, "A setting is changed, and shown as Java 5.3.3 shows it.", step{to: names, code: 318, body: "productEnvName=$new\n"},
			step{label: "get", to: names, code: 319, look: properties("productEnvName")}, step{quiet: true, to: names, code: 318, body: "productEnvName=center\n"})),
		own(one(a, "names-config-unknown", 0, "An unknown setting does not matter.", step{to: names, code: 318, body: "$unknown=1\n"})),
		own(one(a, "names-config-forbidden", 16, "Settings that may not change are refused.", step{to: names, code: 318, body: "kvConfigPath=/x\n"})),
		own(one(a, "names-config-empty", 0, "Without a body nothing changes.", step{to: names, code: 318})),
		alone(one(a, "clean-queues", 0, "Consume queues without messages are cleaned up.", step{code: 306})),
		alone(one(a, "clean-topics", 0, "Consume queues of topics that are gone are cleaned up.", step{code: 316})),
		alone(one(a, "clean-log", 0, "Old log files are cleaned up.", step{code: 329})),
	)
}
