package calls

import "github.com/merlinmq/merlin/conformance/suite"

func queryCases() []Case {
	const a = suite.Query
	key := fields{"topic": "$topic", "key": "$topic-k2", "maxNum": "32", "beginTimestamp": "0", "endTimestamp": "9223372036854775807"}
	found := func(name string, want int32, promise string, more fields) Case {
		return one(a, name, want, promise, step{code: 12, ext: key.with(more), look: records})
	}
	queue := fields{"topic": "$topic", "queueId": "0", "index": "0", "count": "3", "consumerGroup": "$live"}
	return table(
		from(found("query", 0, "A message is found by its key.", nil)),
		found("query-several", 0, "All messages with a key are found, the latest first.", fields{"key": "all"}),
		found("query-max", 0, "No more messages are found than asked for.", fields{"key": "all", "maxNum": "2"}),
		found("query-max-zero", 22, "Asking for no message finds none.", fields{"key": "all", "maxNum": "0"}),
		found("query-max-negative", refused, "Asking for a negative number is refused.", fields{"key": "all", "maxNum": "-1"}),
		found("query-unknown-key", 22, "An unknown key finds nothing.", fields{"key": "$unknown"}),
		found("query-unknown-topic", 22, "An unknown topic finds nothing.", fields{"topic": "$unknown"}),
		found("query-past", 22, "A time before the messages finds nothing.", fields{"endTimestamp": "1"}),
		found("query-future", 22, "A time after the messages finds nothing.", fields{"beginTimestamp": "9223372036854775806"}),
		found("query-swapped", 22, "A time that ends before it begins finds nothing.", fields{"beginTimestamp": "9", "endTimestamp": "1"}),
		found("query-unique", 0, "A message is found by its unique id.", fields{"key": "$topic-u2", "_UNIQUE_KEY_QUERY": "true"}),
		found("query-unique-as-key", 0, "A unique id is no key where it is not asked for as such.", fields{"key": "$topic-u2"}),
		found("query-empty-key", 22, "An empty key finds nothing.", fields{"key": ""}),
		from(one(a, "view", 0, "A message is read by its log offset.", step{code: 33, ext: fields{"topic": "$topic", "offset": "$phy2"}, look: records})),
		one(a, "view-other-topic", 0, "The topic of the request does not matter.", step{code: 33, ext: fields{"topic": "$unknown", "offset": "$phy2"}, look: records}),
		one(a, "view-no-topic", 0, "The topic may be missing.", step{code: 33, ext: fields{"offset": "$phy2"}, look: records}),
		one(a, "view-beyond", 1, "An offset beyond the log is refused.", step{code: 33, ext: fields{"offset": "9223372036854775807"}}),
		one(a, "view-negative", 1, "A negative offset is refused.", step{code: 33, ext: fields{"offset": "-1"}}),
		from(one(a, "consume-queue", 0, "Entries of a consume queue are listed.", step{code: 321, ext: queue})),
		one(a, "consume-queue-other-group", 0, "Without a member of the group there is no filter to show.", step{code: 321, ext: queue.with(fields{"consumerGroup": "$group"})}),
		one(a, "consume-queue-no-group", 0, "A group is not needed.", step{code: 321, ext: queue.with(fields{"consumerGroup": absent})}),
		one(a, "consume-queue-end", 0, "No more entries are listed than there are.", step{code: 321, ext: queue.with(fields{"index": "3", "count": "99"})}),
		one(a, "consume-queue-beyond", 0, "An index beyond the queue is refused.", step{code: 321, ext: queue.with(fields{"index": "99"})}),
		one(a, "consume-queue-negative", 0, "A negative index is answered.", step{code: 321, ext: queue.with(fields{"index": "-1"})}),
		one(a, "consume-queue-count-zero", 0, "No entry is listed when none is asked for.", step{code: 321, ext: queue.with(fields{"count": "0"})}),
		one(a, "consume-queue-unknown", 1, "A queue that does not exist is refused.", step{code: 321, ext: queue.with(fields{"topic": "$new"})}),
		flow(a, "consume-queue-empty", 321, 0, "An empty queue is answered.", step{quiet: true, code: 30, ext: fields{"topic": "$topic", "queueId": "2"}}, step{code: 321, ext: queue.with(fields{"queueId": "2"})}),
		from(one(a, "time-span", 0, "The times of a queue's messages and of the next to be consumed are answered.",
			step{code: 303, ext: fields{"topic": "$topic", "group": "$group"}})),
		one(a, "time-span-unknown-group", 0, "A group without offsets starts at the beginning.", step{code: 303, ext: fields{"topic": "$topic", "group": "$unknown"}}),
		one(a, "time-span-unknown-topic", 17, "An unknown topic is refused.", step{code: 303, ext: fields{"topic": "$unknown", "group": "$group"}}),
	)
}
