package calls

import (
	"github.com/merlinmq/merlin/conformance/suite"
	"github.com/merlinmq/merlin/protocol/wire"
)

func routeCases() []Case {
	const a = suite.Route
	ask := func(topic string, more fields, h how) step {
		return step{to: names, code: 105, ext: fields{"topic": topic}.with(more), how: h}
	}
	standard := fields{"acceptStandardJsonOnly": "true"}
	return table(
		from(one(a, "route", 0, "The route of a topic has its queues and brokers.", ask("$fakeTopic", nil, how{}))),
		one(a, "route-standard", 0, "A client that asks for it gets standard JSON.", ask("$fakeTopic", standard, how{})),
		one(a, "route-standard-old", 0, "An old client that asks for it gets standard JSON, too.", ask("$fakeTopic", standard, how{version: 317})),
		one(a, "route-493", 0, "A client of 4.9.3 gets the old JSON.", ask("$fakeTopic", nil, how{version: 399})),
		one(a, "route-494", 0, "A client of 4.9.4 gets standard JSON.", ask("$fakeTopic", nil, how{version: 401})),
		one(a, "route-future", 0, "A client of an unknown later version gets standard JSON.", ask("$fakeTopic", nil, how{version: 9999})),
		one(a, "route-not-standard", 0, "A new client that does not want standard JSON gets it.", ask("$fakeTopic", fields{"acceptStandardJsonOnly": "false"}, how{})),
		one(a, "route-rust", 0, "Clients of any language get the same.", ask("$fakeTopic", nil, how{language: wire.Rust, version: 317})),
		one(a, "route-broker-topic", 0, "A topic of the broker has a route.", ask("$topic", standard, how{})),
		one(a, "route-cluster", 0, "The cluster's name is a topic.", ask("$cluster", standard, how{})),
		one(a, "route-unknown", 17, "An unknown topic has no route.", ask("$unknown", nil, how{})),
		one(a, "route-empty", 17, "An empty topic has no route.", ask("", nil, how{})),
		one(a, "route-path", 17, "A topic like a path has no route.", ask("$path", nil, how{})),
		one(a, "route-namespace", 0, "Fields for other servers do not matter.", ask("$fakeTopic", fields{"ns": "x", "bname": "y", "lo": "true", "other": "z"}, how{})),
	)
}

func namesrvCases() []Case {
	const a = suite.Route
	topics := ours("topicList")
	return table(
		from(one(a, "cluster-info", 0, "All clusters and brokers are listed.", step{to: names, code: 106, look: ours("brokerAddrTable", "clusterAddrTable")})),
		from(one(a, "all-topics", 0, "All topics are listed.", step{to: names, code: 206, look: topics})),
		from(one(a, "topics-of-cluster", 0, "The topics of a cluster are listed.", step{to: names, code: 224, ext: fields{"cluster": "$fakeCluster"}})),
		one(a, "topics-of-unknown-cluster", 0, "An unknown cluster has no topics.", step{to: names, code: 224, ext: fields{"cluster": "$unknown"}}),
		from(one(a, "system-topics", 0, "The names of clusters and brokers are system topics.", step{to: names, code: 304, look: ownTopics})),
		from(one(a, "unit-topics", 0, "Topics of units are listed.", step{to: names, code: 311, look: topics})),
		from(one(a, "unit-sub-topics", 0, "Topics that units subscribe to are listed.", step{to: names, code: 312, look: topics})),
		from(one(a, "unit-sub-ununit-topics", 0, "Topics outside of units that units subscribe to are listed.", step{to: names, code: 313, look: topics})),
		from(one(a, "member-group", 0, "The brokers of one name are listed.", step{to: names, code: 901, ext: fields{"clusterName": "$fakeCluster", "brokerName": "$fakeBroker"}})),
		one(a, "member-group-unknown", 0, "An unknown broker has no group.", step{to: names, code: 901, ext: fields{"clusterName": "$fakeCluster", "brokerName": "$unknown"}}),
		one(a, "member-group-other-cluster", 0, "The cluster of the request does not matter.", step{to: names, code: 901, ext: fields{"clusterName": "$unknown", "brokerName": "$fakeBroker"}}),
		one(a, "wipe-unknown", 0, "An unknown broker has no permissions to take.", step{to: names, code: 205, ext: fields{"brokerName": "$unknown"}}),
		one(a, "add-perm-unknown", 0, "An unknown broker gets no permissions.", step{to: names, code: 327, ext: fields{"brokerName": "$unknown"}}),
		one(a, "delete-topic-names-unknown", 0, "An unknown topic is deleted without a word.", step{to: names, code: 216, ext: fields{"topic": "$unknown"}}),
		one(a, "delete-topic-names-unknown-cluster", 0, "A topic is not deleted from an unknown cluster.", step{to: names, code: 216, ext: fields{"topic": "$fakeTopic", "clusterName": "$unknown"}}),
	)
}

func kvCases() []Case {
	const a = suite.Admin
	kv := func(code int32, key string) step {
		return step{to: names, code: code, ext: fields{"namespace": "$new", "key": key, "value": "value of " + key}}
	}
	q := func(st step) step { st.quiet = true; return st }
	label := func(l string, st step) step { st.label = l; return st }
	list := step{label: "list", to: names, code: 219, ext: fields{"namespace": "$new"}}
	return table(
		from(flow(a, "kv-put", 100, 0, "A value is kept under its namespace and key.", kv(100, "k"), list, q(kv(102, "k")))),
		from(one(a, "kv-get", 0, "A value is answered.", step{to: names, code: 101, ext: fields{"namespace": "$space", "key": "one"}})),
		one(a, "kv-get-unknown-key", 22, "An unknown key has no value.", step{to: names, code: 101, ext: fields{"namespace": "$space", "key": "three"}}),
		one(a, "kv-get-unknown-space", 22, "An unknown namespace has no values.", step{to: names, code: 101, ext: fields{"namespace": "$unknown", "key": "one"}}),
		from(flow(a, "kv-delete", 102, 0, "A deleted key is gone.", q(kv(100, "k")), q(kv(100, "m")), kv(102, "k"), list, q(kv(102, "m")))),
		flow(a, "kv-delete-last", 102, 0, "A namespace without keys stays.", q(kv(100, "k")), kv(102, "k"), list),
		one(a, "kv-delete-unknown", 0, "An unknown key is deleted without a word.", step{to: names, code: 102, ext: fields{"namespace": "$space", "key": "three"}}),
		flow(a, "kv-replace", 100, 0, "A value is replaced.", q(kv(100, "k")), step{to: names, code: 100, ext: fields{"namespace": "$new", "key": "k", "value": "other"}},
			label("get", kv(101, "k")), q(kv(102, "k"))),
		flow(a, "kv-unicode", 100, 0, "Names and values may be of any script.", step{to: names, code: 100, ext: fields{"namespace": "$new", "key": "$wide", "value": "值\"\\\n"}},
			label("get", kv(101, "$wide")), list, q(kv(102, "$wide"))),
		flow(a, "kv-empty", 100, 0, "Key and value may be empty.", step{to: names, code: 100, ext: fields{"namespace": "$new", "key": "", "value": ""}}, label("get", kv(101, "")), q(kv(102, ""))),
		from(one(a, "kv-list", 0, "All values of a namespace are listed.", step{to: names, code: 219, ext: fields{"namespace": "$space"}})),
		one(a, "kv-list-unknown", 22, "An unknown namespace has no list.", step{to: names, code: 219, ext: fields{"namespace": "$unknown"}}),
	)
}

// registrationCases register brokers of their own: their connections end with
// the case, and the name server forgets them.
func registrationCases() []Case {
	const a = suite.Route
	reg := registration("$new", "$new-c", "$new-t")
	quiet := reg
	quiet.quiet = true
	with := func(more fields) step { st := reg; st.ext = reg.ext.with(more); return st }
	route := step{label: "route", to: names, code: 105, ext: fields{"topic": "$new-t", "acceptStandardJsonOnly": "true"}}
	group := step{label: "group", to: names, code: 901, ext: fields{"clusterName": "$new-c", "brokerName": "$new"}}
	on := func(st step) step { st.on, st.to = "$new", names; return st }
	perm := func(code int32) step { return step{to: names, code: code, ext: fields{"brokerName": "$new"}} }
	gone := func(more fields) step {
		return on(step{code: 104, ext: fields{"brokerName": "$new", "brokerAddr": "127.0.0.1:1", "clusterName": "$new-c", "brokerId": "0"}.with(more)})
	}
	version := func(body string) step {
		return on(step{code: 322, body: body, ext: fields{"brokerName": "$new", "brokerAddr": "127.0.0.1:1", "clusterName": "$new-c", "brokerId": "0"}})
	}
	return table(
		from(flow(a, "register", 103, 0, "A broker that registers is known with its topics.", reg, group, route)),
		flow(a, "register-slave", 103, 0, "A slave is told its master.", quiet, with(fields{"brokerId": "1", "brokerAddr": "127.0.0.1:11"}), group),
		flow(a, "register-checksum", 103, 1, "A body that does not fit its checksum is refused.", with(fields{"bodyCrc32": "12345"}), group),
		flow(a, "register-acting", 103, 0, "A broker may want its slaves to act for it.", with(fields{"enableActingMaster": "true"}), group),
		flow(a, "register-garbage", 103, 1, "A body that is no registration is refused.", func() step { st := reg; st.body = "garbage"; return st }()),
		flow(a, "register-not-compressed", 103, 1, "A body that claims to be compressed and is not is refused.", with(fields{"compressed": "true"})),
		flow(a, "register-single-first", 103, 1, "A first registration of a single topic is refused.",
			func() step {
				st := reg
				st.body = `{"topicConfigSerializeWrapper":{"dataVersion":{"counter":1},"topicConfigTable":{"$new-t":{"topicName":"$new-t","perm":6,"readQueueNums":1,"writeQueueNums":1}}}}`
				return st
			}()),
		from(flow(a, "unregister-broker", 104, 0, "A broker that unregisters is forgotten.", quiet, gone(nil), step{label: "route", to: names, code: 105, ext: fields{"topic": "$new-t"}, until: answered(17)}, group)), // it is forgotten some time after the answer
		flow(a, "unregister-other-address", 104, 0, "Another address does not unregister a broker.", quiet, gone(fields{"brokerAddr": "127.0.0.1:9"}), group),
		flow(a, "unregister-unknown", 104, 0, "Who never registered may unregister.", gone(nil)),
		from(flow(a, "data-version", 322, 0, "A broker whose data is known need not register; Java 5.3.3 takes the moment for the version of one that sends none.", quiet, version(`{"counter":1,"stateVersion":0,"timestamp":1700000000000}`))),
		flow(a, "data-version-changed", 322, 0, "A broker whose data is newer must register.", quiet, version(`{"counter":2,"stateVersion":0,"timestamp":1700000000000}`)),
		flow(a, "data-version-unknown", 322, 0, "A broker that is not known must register.", version(`{"counter":1,"stateVersion":0,"timestamp":1700000000000}`)),
		from(flow(a, "wipe", 205, 0, "A broker can be kept from being written to.", quiet, perm(205), route)),
		from(flow(a, "add-perm", 327, 0, "A broker can be written to again.", quiet, func() step { st := perm(205); st.quiet = true; return st }(), perm(327), route)),
		flow(a, "broker-heartbeat", 904, 0, "A broker's heartbeat is answered.", quiet,
			on(step{code: 904, ext: fields{"clusterName": "$new-c", "brokerAddr": "127.0.0.1:1", "brokerName": "$new"}})),
		one(a, "broker-heartbeat-unknown", 0, "The heartbeat of an unknown broker is answered.",
			step{to: names, code: 904, ext: fields{"clusterName": "$new-c", "brokerAddr": "127.0.0.1:1", "brokerName": "$new"}}),
		from(flow(a, "register-topic", 217, 0, "A topic can be registered alone.", quiet,
			on(step{code: 217, ext: fields{"topic": "$new-s"}, body: `{"queueDatas":[{"brokerName":"$new","perm":6,"readQueueNums":5,"writeQueueNums":5,"topicSysFlag":0}],"brokerDatas":[]}`}),
			step{label: "route", to: names, code: 105, ext: fields{"topic": "$new-s", "acceptStandardJsonOnly": "true"}},
			step{quiet: true, to: names, code: 216, ext: fields{"topic": "$new-s"}})),
		flow(a, "register-topic-unknown-broker", 217, 0, "A topic of an unknown broker has no route.",
			step{to: names, code: 217, ext: fields{"topic": "$new-s"}, body: `{"queueDatas":[{"brokerName":"$unknown","perm":6,"readQueueNums":5,"writeQueueNums":5}]}`},
			step{label: "route", to: names, code: 105, ext: fields{"topic": "$new-s"}}),
		flow(a, "register-topic-no-queues", 217, 0, "A topic without queues is answered.",
			step{to: names, code: 217, ext: fields{"topic": "$new-s"}, body: `{"queueDatas":[]}`}, step{label: "route", to: names, code: 105, ext: fields{"topic": "$new-s"}}),
		from(flow(a, "delete-topic-names", 216, 0, "A deleted topic has no route.", quiet, step{to: names, code: 216, ext: fields{"topic": "$new-t"}},
			step{label: "route", to: names, code: 105, ext: fields{"topic": "$new-t"}})),
		flow(a, "delete-topic-names-cluster", 216, 0, "A topic can be deleted from one cluster.", quiet, step{to: names, code: 216, ext: fields{"topic": "$new-t", "clusterName": "$new-c"}},
			step{label: "route", to: names, code: 105, ext: fields{"topic": "$new-t"}}),
	)
}
