package calls

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/merlinmq/merlin/conformance/suite"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
)

func itoa(n int32) string { return strconv.Itoa(int(n)) }

func sortCases(all []Case) {
	slices.SortFunc(all, func(a, b Case) int { return strings.Compare(a.Name, b.Name) })
}

// makeTopic creates $new with some queues, quietly.
func makeTopic(queues string, more fields) step {
	return step{quiet: true, code: 17, ext: fields{"topic": "$new", "defaultTopic": "TBW102", "readQueueNums": queues, "writeQueueNums": queues,
		"perm": "6", "topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false"}.with(more)}
}

// makeGroup creates the group $new, quietly.
func makeGroup() step {
	return step{quiet: true, code: 200, body: `{"groupName":"$new","retryMaxTimes":16,"retryQueueNums":1}`}
}

// end waits until a queue of $new has the given maximum offset, and notes it.
func end(queue, offset string) step {
	return step{label: "end", code: 30, ext: fields{"topic": "$new", "queueId": queue}, until: extIs("offset", offset)}
}

// send1 are the fields of a good 10.
func send1() fields {
	return fields{"producerGroup": "$makers", "topic": "$new", "defaultTopic": "TBW102", "defaultTopicQueueNums": "4", "queueId": "0", "sysFlag": "0",
		"bornTimestamp": "1700000000000", "flag": "0", "properties": "TAGS\x01A\x02KEYS\x01k\x02", "reconsumeTimes": "0", "unitMode": "false", "batch": "false"}
}

// read notes the messages of a queue of $new from its start.
func read(queue string) step {
	return step{label: "read", code: 11, ext: pull().with(fields{"consumerGroup": "$live", "topic": "$new", "queueId": queue, "subscription": "*"}), look: records,
		until: answered(protocol.Success)}
}

func sendCases() []Case {
	const a = suite.Send
	v2 := func(more fields) fields { return sendV2().with(fields{"b": "$new"}).with(more) }
	to := func(name string, want int32, promise string, st step) Case {
		st.code = 310
		return flow(a, name, 310, want, promise, makeTopic("2", nil), st)
	}
	all := table(
		from(flow(a, "send-v2", 310, 0, "A message is answered with its ids, queue and offset, and stored as sent.",
			makeTopic("2", nil), step{code: 310, ext: v2(nil), body: "hello"}, end("0", "1"), read("0"))),
		from(flow(a, "send-v1", 10, 0, "A message in the first form of the request is answered like the second.",
			makeTopic("2", nil), step{code: 10, ext: send1(), body: "hello"}, end("0", "1"), read("0"))),
		to("send-fast-port", 0, "The fast port takes messages.", step{to: fast, ext: v2(nil), body: "x"}),
		to("send-queue-beyond", 29, "A queue id beyond the topic's queues is refused.", step{ext: v2(fields{"e": "2"}), body: "x"}),
		to("send-queue-huge", 29, "A huge queue id is refused.", step{ext: v2(fields{"e": "2147483647"}), body: "x"}),
		to("send-empty-body", refused, "A message without a body is refused.", step{ext: v2(nil)}),
		to("send-properties-long", 13, "Properties beyond 32767 bytes are refused.",
			step{ext: v2(fields{"i": "k\x01" + strings.Repeat("v", 32768) + "\x02"}), body: "x"}),
		to("send-properties-limit", 0, "Properties of almost 32767 bytes are taken.",
			step{ext: v2(fields{"i": "k\x01" + strings.Repeat("v", 32600) + "\x02"}), body: "x"}),
		to("send-properties-odd", 0, "Properties that are no pairs are taken as they are.", step{ext: v2(fields{"i": "a\x02\x01b\x02c\x01\x02\x02"}), body: "x"}),
		alone(to("send-body-limit", 13, "A message beyond 4 MiB is refused.", step{ext: v2(nil), body: strings.Repeat("b", 4<<20+1)})),
		to("send-negative-flag", 0, "The application's flag may be any number.", step{ext: v2(fields{"h": "-2147483648"}), body: "x"}),
		to("send-delay", 0, "A message with a delay level is answered with the queue and offset of its level.",
			step{ext: v2(fields{"i": "DELAY\x0118\x02"}), body: "x", hide: where}),
		to("send-sysflag-unknown", 0, "Unknown bits of the system flag are taken.", step{ext: v2(fields{"f": "1073741824"}), body: "x"}),
		to("send-born-negative", 0, "The born timestamp may be any number.", step{ext: v2(fields{"g": "-1"}), body: "x"}),
	)
	return append(all, sendTopicCases()...)
}

// sendTopicCases are about topics that do not take messages, or are made by them.
func sendTopicCases() []Case {
	const a = suite.Send
	v2 := func(more fields) fields { return sendV2().with(fields{"b": "$new"}).with(more) }
	return table(
		flow(a, "send-auto-create", 310, 0, "A topic that does not exist is made after the default topic with the queues that the producer asks for.",
			step{code: 310, ext: v2(fields{"d": "3"}), body: "x"}, step{label: "topic", code: 351, ext: fields{"topic": "$new"}}),
		flow(a, "send-auto-create-many", 310, 0, "No more queues are made than the default topic has.",
			step{code: 310, ext: v2(fields{"d": "64"}), body: "x"}, step{label: "topic", code: 351, ext: fields{"topic": "$new"}, look: afterDefault}),
		one(a, "send-default-missing", 17, "A topic is not made when the default topic does not exist.", step{code: 310, ext: v2(fields{"c": "$unknown"}), body: "x"}),
		one(a, "send-default-not-default", 17, "A topic is not made after one that topics may not be made after.", step{code: 310, ext: v2(fields{"c": "$topic"}), body: "x"}),
		one(a, "send-default-negative", 29, "A topic is not made with a negative number of queues.", step{code: 310, ext: v2(fields{"d": "-1"}), body: "x"}),
		one(a, "send-default-zero", 29, "A topic is not made without queues.", step{code: 310, ext: v2(fields{"d": "0"}), body: "x"}),
		one(a, "send-retry-topic-unknown", 0, "A message for a retry topic makes it.", step{code: 310, ext: v2(fields{"b": "%RETRY%$new"}), body: "x"}),
		one(a, "send-system-topic", 16, "Topics of the system are forbidden.", step{code: 310, ext: v2(fields{"b": "SCHEDULE_TOPIC_XXXX"}), body: "x"}),
		one(a, "send-self-test", 16, "The self test topic is forbidden.", step{code: 310, ext: v2(fields{"b": "SELF_TEST_TOPIC"}), body: "x"}),
		one(a, "send-half-topic", 16, "The topic of half messages is forbidden.", step{code: 310, ext: v2(fields{"b": "RMQ_SYS_TRANS_HALF_TOPIC"}), body: "x"}),
		own(one(a, "send-default-topic", 0, "The default topic itself takes messages.", step{code: 310, ext: v2(fields{"b": "TBW102"}), body: "x", hide: where})),
		one(a, "send-topic-illegal", 29, "A topic with characters that names may not have is refused.", step{code: 310, ext: v2(fields{"b": "no spaces $new"}), body: "x"}),
		one(a, "send-topic-empty", 29, "An empty topic is refused.", step{code: 310, ext: v2(fields{"b": ""}), body: "x"}),
		one(a, "send-topic-blank", 29, "A blank topic is refused.", step{code: 310, ext: v2(fields{"b": "  "}), body: "x"}),
		one(a, "send-topic-long", 29, "A topic of more than 127 characters is refused.", step{code: 310, ext: v2(fields{"b": "$new" + strings.Repeat("t", 110)}), body: "x"}),
		flow(a, "send-read-only", 310, 0, "Permissions of a topic are the business of clients.",
			makeTopic("1", fields{"perm": "4"}), step{code: 310, ext: v2(nil), body: "x"}),
		flow(a, "send-no-queue", 310, 0, "A queue that is only read takes messages, too.",
			makeTopic("1", fields{"writeQueueNums": "0"}), step{code: 310, ext: v2(nil), body: "x"}),
		flow(a, "send-oneway", 310, none, "A one-way message is not answered, and stored.",
			makeTopic("1", nil), step{code: 310, ext: v2(nil), body: "x", oneway: true}, end("0", "1")),
		flow(a, "send-half", 310, 0, "A half message is answered and not to be seen in its topic.",
			makeTopic("1", nil), step{code: 310, ext: v2(fields{"f": "4", "i": "TRAN_MSG\x01true\x02PGROUP\x01$makers\x02UNIQ_KEY\x01$new-u\x02"}), body: "x", hide: where},
			step{label: "end", code: 30, ext: fields{"topic": "$new", "queueId": "0"}}),
		flow(a, "send-compressed-flag", 310, 0, "A body that claims to be compressed is stored as it is.",
			makeTopic("1", nil), step{code: 310, ext: v2(fields{"f": "1"}), body: "not compressed"}, end("0", "1"), read("0")),
	)
}

// batch is the body of a batch of n messages.
func batch(n int) func(*scene) []byte {
	return func(*scene) []byte {
		var b []byte
		for i := range n {
			b, _ = message.AppendBatchEntry(b, message.BatchEntry{Body: fmt.Appendf(nil, "part %d", i),
				Properties: fmt.Appendf(nil, "UNIQ_KEY\x01u%d\x02WAIT\x01true\x02", i)})
		}
		return b
	}
}

// where hides the offset in a queue that others write to.
var where = []string{"queueOffset"}

func batchCases() []Case {
	const a = suite.Send
	v2 := func(more fields) fields {
		return sendV2().with(fields{"b": "$new", "m": "true", "i": "WAIT\x01true\x02"}).with(more)
	}
	raw := func(name string, want int32, stored, promise string, ext fields, body func(*scene) []byte) Case {
		return flow(a, name, 320, want, promise, makeTopic("1", nil), step{code: 320, ext: ext, raw: body}, end("0", stored))
	}
	wrong := func(change func([]byte) []byte) func(*scene) []byte {
		return func(s *scene) []byte { return change(batch(2)(s)) }
	}
	all := table(
		from(flow(a, "batch", 320, 0, "A batch is answered with all ids and the first offset, and stored message by message.",
			makeTopic("1", nil), step{code: 320, ext: v2(nil), raw: batch(3)}, end("0", "3"), read("0"))),
		raw("batch-unique-id", 0, "2", "The answer to a batch has the batch's own unique id.", v2(fields{"i": "UNIQ_KEY\x01$new-u\x02"}), batch(2)),
		raw("batch-of-one", 0, "1", "A batch may have one message.", v2(nil), batch(1)),
		raw("batch-empty", refused, "0", "A batch without a body is refused.", v2(nil), batch(0)),
		raw("batch-cut", refused, "0", "A batch whose last message is cut off is refused.", v2(nil), wrong(func(b []byte) []byte { return b[:len(b)-3] })),
		raw("batch-size-zero", 0, "2", "The size that a message of a batch claims to have does not matter.", v2(nil), wrong(func(b []byte) []byte { clear(b[:4]); return b })),
		raw("batch-size-negative", 0, "2", "A negative size of a message of a batch does not matter.", v2(nil),
			wrong(func(b []byte) []byte { binary.BigEndian.PutUint32(b, 0xfffffff0); return b })),
		raw("batch-garbage", refused, "0", "A batch of garbage is refused.", v2(nil), func(*scene) []byte { return []byte(strings.Repeat("garbage", 9)) }),
		raw("batch-delayed", 13, "0", "A batch with a delay is refused.", v2(fields{"i": "DELAY\x011\x02"}), batch(2)),
		raw("batch-retry-topic", 13, "0", "A batch for a retry topic is refused.", v2(fields{"b": "%RETRY%$new"}), batch(2)),
		raw("batch-not-marked", 0, "1", "A batch that is not marked as one is a single message.", v2(fields{"m": "false"}), batch(2)),
		raw("batch-queue-beyond", 29, "0", "A batch for a queue beyond the topic's is refused.", v2(fields{"e": "9"}), batch(2)),
	)
	return all
}

func replyCases() []Case {
	const a = suite.Send
	props := "MSG_TYPE\x01reply\x02REPLY_TO_CLIENT\x01$client\x02CORRELATION_ID\x01c1\x02TTL\x013000\x02CLUSTER\x01$cluster\x02"
	beat := step{quiet: true, on: "asker", code: 34, replies: map[int32]string{326: ""},
		body: `{"clientID":"$client","consumerDataSet":[],"producerDataSet":[{"groupName":"$new"}]}`}
	v2 := func(more fields) fields {
		return sendV2().with(fields{"a": "$group", "b": "$cluster_REPLY_TOPIC", "i": props, "e": "0"}).with(more)
	}
	got := step{label: "asker", on: "asker", code: 326, pushed: true}
	return table(
		from(flow(a, "reply-v2", 325, 0, "A reply is pushed to the client that asked.", beat, step{code: 325, hide: where, ext: v2(nil), body: "answer"}, got)),
		flow(a, "reply-v1", 324, 0, "A reply in the first form of the request is pushed, too.", beat,
			step{code: 324, hide: where, ext: send1().with(fields{"topic": "$cluster_REPLY_TOPIC", "properties": props}), body: "answer"}, got),
		one(a, "reply-nobody", 1, "A reply to a client that is gone is refused.", step{code: 325, hide: where, ext: v2(nil), body: "answer"}),
		one(a, "reply-no-properties", 1, "A reply that does not say to whom is refused.", step{code: 325, ext: v2(fields{"i": ""}), hide: where, body: "answer"}),
		flow(a, "reply-empty-body", 325, refused, "Java 5.3.3 refuses a reply without a body, after pushing it; a server may take it.", beat, step{code: 325, ext: v2(nil)}),
		one(a, "reply-topic-unknown", 17, "A reply to a topic that does not exist and may not be made is refused.",
			step{code: 325, ext: v2(fields{"b": "$unknown", "c": "$unknown"}), body: "answer"}),
	)
}

func backCases() []Case {
	const a = suite.Retry
	ext := func(more fields) fields {
		return fields{"offset": "$phy0", "group": "$new", "delayLevel": "0", "originMsgId": "$id0", "originTopic": "$topic", "unitMode": "false", "maxReconsumeTimes": "16"}.with(more)
	}
	back := func(name string, want int32, promise string, more fields) Case {
		return flow(a, name, 36, want, promise, makeGroup(), step{code: 36, ext: ext(more)})
	}
	return table(
		from(flow(a, "send-back", 36, 0, "A message that is sent back makes the retry topic of its group.",
			makeGroup(), step{code: 36, ext: ext(nil)}, step{label: "topic", code: 351, ext: fields{"topic": "%RETRY%$new"}})),
		flow(a, "send-back-dead", 36, 0, "A negative delay level sends a message to the dead letters.",
			makeGroup(), step{code: 36, ext: ext(fields{"delayLevel": "-1"})},
			step{label: "topic", code: 351, ext: fields{"topic": "%DLQ%$new"}},
			step{label: "read", code: 11, ext: pull().with(fields{"consumerGroup": "$live", "topic": "%DLQ%$new", "subscription": "*"}), look: records, until: answered(0)}),
		flow(a, "send-back-no-times", 36, 0, "A message that may not be consumed again is a dead letter at once.",
			makeGroup(), step{code: 36, ext: ext(fields{"maxReconsumeTimes": "0"})}, step{label: "topic", code: 351, ext: fields{"topic": "%DLQ%$new"}}),
		one(a, "send-back-name-too-long", 1, "A message of a group whose retry topic would have a name that is too long is refused.",
			step{code: 36, ext: ext(fields{"group": "$new" + strings.Repeat("g", 230)})}),
		back("send-back-level-beyond", 0, "A delay level beyond the table is taken.", fields{"delayLevel": "99"}),
		back("send-back-offset-negative", 1, "A negative offset is refused.", fields{"offset": "-1"}),
		back("send-back-offset-beyond", 1, "An offset beyond the log is refused.", fields{"offset": "9223372036854775807"}),
		back("send-back-offset-inside", 1, "An offset inside a message is refused.", fields{"offset": "1"}),
		back("send-back-without-ids", 0, "Id and topic of the message are not needed.", fields{"originMsgId": absent, "originTopic": absent}),
		back("send-back-unit", 0, "A group of a unit gets a retry topic of a unit.", fields{"unitMode": "true"}),
		one(a, "send-back-unknown-group", 0, "A group that does not exist is made.", step{code: 36, ext: ext(fields{"group": "$new"})}),
		flow(a, "send-back-no-retries", 36, 0, "A group without retry queues drops what comes back.",
			step{quiet: true, code: 200, body: `{"groupName":"$new","retryQueueNums":0}`}, step{code: 36, ext: ext(nil)}, step{label: "topic", code: 351, ext: fields{"topic": "%RETRY%$new"}}),
	)
}

// keepHalf learns what the end of a transaction needs.
func keepHalf(s *scene, a *wire.Command) {
	for _, k := range []string{"msgId", "queueOffset", "transactionId"} {
		v, _ := a.Lookup(k)
		s.set("$"+k, v, false)
		if k == "msgId" {
			if _, phy, err := message.ParseOffsetMessageID(v); err == nil {
				s.set("$phyOffset", strconv.FormatInt(phy, 10), false)
			}
		}
	}
}

func transactionCases() []Case {
	const a = suite.Transaction
	half := step{quiet: true, code: 310, keep: keepHalf, body: "half", ext: sendV2().with(fields{"b": "$new", "f": "4",
		"i": "TRAN_MSG\x01true\x02PGROUP\x01$makers\x02UNIQ_KEY\x01$new-u\x02TAGS\x01A\x02"})}
	ext := func(more fields) fields {
		return fields{"topic": "$new", "producerGroup": "$makers", "tranStateTableOffset": "$queueOffset", "commitLogOffset": "$phyOffset", "commitOrRollback": "8",
			"fromTransactionCheck": "false", "msgId": "$new-u", "transactionId": "$transactionId"}.with(more)
	}
	ended := func(name string, want int32, promise string, more fields, then ...step) Case {
		return flow(a, name, 37, want, promise, append([]step{makeTopic("1", nil), half, {code: 37, ext: ext(more)}}, then...)...)
	}
	stays := step{label: "end", code: 30, ext: fields{"topic": "$new", "queueId": "0"}}
	quiet := func(name, promise string, more fields) Case {
		return flow(a, name, 37, none, promise, makeTopic("1", nil), half, step{code: 37, ext: ext(more), silent: true}, stays)
	}
	return table(
		from(ended("end-commit", 0, "A committed message appears in its topic as it was sent.", nil, end("0", "1"), read("0"))),
		ended("end-rollback", 0, "A message that is rolled back never appears.", fields{"commitOrRollback": "12"}, stays),
		ended("end-check-commit", 0, "An answer to a check commits as well.", fields{"fromTransactionCheck": "true"}, end("0", "1")),
		quiet("end-unknown", "An end that does not know changes nothing; Java 5.3.3 does not answer it.", fields{"commitOrRollback": "0"}),
		quiet("end-check-unknown", "An answer to a check that does not know changes nothing; Java 5.3.3 does not answer it.", fields{"commitOrRollback": "0", "fromTransactionCheck": "true"}),
		ended("end-ordinal", 1, "An outcome that does not exist is refused.", fields{"commitOrRollback": "99"}, stays),
		ended("end-wrong-group", 1, "Another producer group cannot end a transaction.", fields{"producerGroup": "$unknown"}, withCode(stays)...),
		ended("end-wrong-queue-offset", 1, "A wrong queue offset is refused.", fields{"tranStateTableOffset": "987654"}),
		ended("end-wrong-log-offset", refused, "An offset where no half message is is refused.", fields{"commitLogOffset": "$phy0"}),
		ended("end-log-offset-beyond", 1, "An offset beyond the log is refused.", fields{"commitLogOffset": "9223372036854775807"}),
		ended("end-log-offset-negative", 1, "A negative offset is refused.", fields{"commitLogOffset": "-1"}),
		ended("end-other-topic", 0, "The topic in the request does not matter.", fields{"topic": "$unknown"}, end("0", "1")),
		flow(a, "end-oneway", 37, none, "A one-way end commits, too.", makeTopic("1", nil), half, step{code: 37, ext: ext(nil), oneway: true}, end("0", "1")),
		flow(a, "end-twice", 37, 0, "A transaction is ended once, however often the producer ends it.",
			makeTopic("1", nil), half, step{code: 37, ext: ext(nil)}, end("0", "1"), step{label: "again", code: 37, ext: ext(nil), look: size}),
		one(a, "resume-unknown", 1, "Checking cannot be resumed for a message that does not exist.", step{code: 323, ext: fields{"topic": "$topic", "msgId": "$unknown"}}),
		one(a, "resume-plain", 0, "Java 5.3.3 resumes checking for any message; a server may refuse what is no half message.", step{code: 323, ext: fields{"topic": "$topic", "msgId": "$id0"}}),
		flow(a, "resume-half", 323, 0, "Checking is resumed for a half message.", makeTopic("1", nil), half,
			step{code: 323, ext: fields{"topic": "RMQ_SYS_TRANS_HALF_TOPIC", "msgId": "$msgId"}}),
		one(a, "resume-no-id", 1, "Without an id nothing is resumed.", step{code: 323, ext: fields{"topic": "$topic"}}),
	)
}

func withCode(st step) []step { return []step{st} }
