package calls

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/merlinmq/merlin/conformance/suite"
	"github.com/merlinmq/merlin/protocol"
)

// good is a request that is answered well; the hostile cases are made by
// spoiling it, field by field.
type good struct {
	area   string
	to     place
	code   int32
	ext    fields
	body   string
	raw    func(*scene) []byte
	writes bool // spoilt it may leave traces: only for clusters of the caller's
	hide   []string
	look   look
	skip   string // cases that would change what others see, or that others change
}

// goods has one request of each code that takes arguments.
func goods() []good {
	q := fields{"topic": "$topic", "queueId": "0"}
	group := fields{"consumerGroup": "$group"}
	me := fields{"brokerName": "$new", "brokerAddr": "127.0.0.1:1", "clusterName": "$new-c", "brokerId": "0"}
	reply := "MSG_TYPE\x01reply\x02REPLY_TO_CLIENT\x01$unknown\x02CORRELATION_ID\x01c1\x02TTL\x013000\x02CLUSTER\x01$cluster\x02"
	return append([]good{
		{area: suite.Send, code: 10, ext: send1().with(fields{"topic": "$scratch"}), body: "x", writes: true, hide: where},
		{area: suite.Send, code: 310, ext: sendV2().with(fields{"b": "$scratch"}), body: "x", writes: true, hide: where},
		{area: suite.Send, code: 320, ext: sendV2().with(fields{"b": "$scratch", "m": "true"}), raw: batch(2), writes: true, hide: where},
		{area: suite.Send, code: 324, ext: send1().with(fields{"topic": "$cluster_REPLY_TOPIC", "properties": reply}), body: "x", writes: true, hide: where},
		{area: suite.Send, code: 325, ext: sendV2().with(fields{"b": "$cluster_REPLY_TOPIC", "i": reply}), body: "x", writes: true, hide: where},
		{area: suite.Consume, code: 11, ext: pull(), writes: true, look: counted},
		{area: suite.Consume, code: 361, ext: pull(), writes: true, look: counted},
		{area: suite.Query, code: 12, look: records,
			ext: fields{"topic": "$topic", "key": "$topic-k2", "maxNum": "32", "beginTimestamp": "0", "endTimestamp": "9223372036854775807"}},
		{area: suite.Offset, code: 14, ext: q.with(group)},
		{area: suite.Offset, code: 15, ext: q.with(fields{"consumerGroup": "$new", "commitOffset": "2"}), writes: true},
		{area: suite.Admin, code: 17, writes: true, ext: fields{"topic": "$new", "defaultTopic": "TBW102", "readQueueNums": "3", "writeQueueNums": "2", "perm": "6",
			"topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false"}},
		{area: suite.Admin, code: 18, writes: true, body: "{}"},
		{area: suite.Offset, code: 29, ext: q.with(fields{"timestamp": "1"})},
		{area: suite.Offset, code: 30, ext: q},
		{area: suite.Offset, code: 31, ext: q},
		{area: suite.Offset, code: 32, ext: q},
		{area: suite.Query, code: 33, ext: fields{"topic": "$topic", "offset": "$phy2"}, look: size},
		{area: suite.Consume, code: 34, body: "{}", writes: true},
		{area: suite.Consume, code: 35, ext: fields{"clientID": "$client", "consumerGroup": "$new", "producerGroup": "$new"}},
		{area: suite.Retry, code: 36, writes: true,
			ext: fields{"offset": "$phy0", "group": "$new", "delayLevel": "0", "originMsgId": "$id0", "originTopic": "$topic", "unitMode": "false", "maxReconsumeTimes": "16"}},
		{area: suite.Transaction, code: 37, writes: true, ext: fields{"topic": "$topic", "producerGroup": "$makers", "tranStateTableOffset": "0", "commitLogOffset": "$phy0",
			"commitOrRollback": "8", "fromTransactionCheck": "false", "msgId": "$id0", "transactionId": "x"}},
		{area: suite.Consume, code: 38, ext: group},
		{area: suite.Order, code: 41, body: "{}", writes: true},
		{area: suite.Order, code: 42, body: "{}"},
		{area: suite.Consume, code: 46, body: "{}"},
		{area: suite.Admin, code: 200, body: "{}", writes: true},
		{area: suite.Admin, code: 202, ext: fields{"topic": "$topic"}, look: only("offsetTable")},
		{area: suite.Admin, code: 203, ext: group},
		{area: suite.Admin, code: 204, ext: fields{"producerGroup": "$makers"}},
		{area: suite.Admin, code: 207, ext: fields{"groupName": "$new", "cleanOffset": "true"}, writes: true},
		{area: suite.Admin, code: 208, ext: fields{"consumerGroup": "$group", "topic": "$topic"}},
		{area: suite.Admin, code: 215, ext: fields{"topic": "$new"}, writes: true},
		{area: suite.Offset, code: 222, ext: fields{"topic": "$topic", "group": "$new", "timestamp": "1", "isForce": "true", "queueId": "-1"}, writes: true},
		{area: suite.Offset, code: 223, ext: fields{"topic": "$topic", "group": "$group", "clientAddr": ""}},
		{area: suite.Admin, code: 225, body: "{}", writes: true},
		{area: suite.Admin, code: 300, ext: fields{"topic": "$unknown"}},
		{area: suite.Query, code: 303, ext: fields{"topic": "$topic", "group": "$group"}},
		{area: suite.Admin, code: 307, ext: fields{"consumerGroup": "$live", "clientId": "$member", "jstackEnable": "false"}},
		{area: suite.Admin, code: 309, ext: fields{"consumerGroup": "$live", "clientId": "$member", "msgId": "$id0", "brokerName": "$brokerName"}},
		{area: suite.Offset, code: 314, ext: fields{"srcGroup": "$group", "destGroup": "$new", "topic": "$topic", "offline": "false"}, writes: true},
		{area: suite.Admin, code: 315, ext: fields{"statsName": "TOPIC_PUT_NUMS", "statsKey": "$topic"}, look: shape},
		{area: suite.Admin, code: 317, ext: fields{"isOrder": "false"}, look: ours("consumeStatsList")},
		{area: suite.Query, code: 321, ext: fields{"topic": "$topic", "queueId": "0", "index": "0", "count": "3", "consumerGroup": "$live"},
			skip: "topic-empty queue-id-negative index-least"}, // queues that others touch exist; arithmetic that overflows
		{area: suite.Transaction, code: 323, ext: fields{"topic": "$topic", "msgId": "$unknown"}},
		{area: suite.Admin, code: 343, ext: fields{"group": "$group"}},
		{area: suite.Admin, code: 345, ext: fields{"group": "$live", "topic": "$topic"}},
		{area: suite.Admin, code: 351, ext: fields{"topic": "$topic"}},
		{area: suite.Admin, code: 352, ext: fields{"group": "$group"}, writes: true},
		{area: suite.Admin, code: 353, ext: fields{"group": "$new", "topic": "$topic", "readable": "true"}, writes: true},
	}, namesGoods(me)...)
}

func namesGoods(me fields) []good {
	space := fields{"namespace": "$space", "key": "one"}
	return []good{
		{area: suite.Admin, to: names, code: 100, ext: fields{"namespace": "$new", "key": "k", "value": "v"}, writes: true, skip: "namespace-empty"},
		{area: suite.Admin, to: names, code: 101, ext: space},
		{area: suite.Admin, to: names, code: 102, ext: fields{"namespace": "$new", "key": "k"}},
		{area: suite.Route, to: names, code: 103, ext: registration("$new", "$new-c", "$new-t").ext, body: "{}", writes: true,
			skip: "broker-name-missing broker-addr-missing"}, // Java keeps a broker without a name, and its lists break
		{area: suite.Route, to: names, code: 104, ext: me, writes: true},
		{area: suite.Route, to: names, code: 105, ext: fields{"topic": "$fakeTopic", "acceptStandardJsonOnly": "true"}},
		{area: suite.Route, to: names, code: 205, ext: fields{"brokerName": "$unknown"}},
		{area: suite.Route, to: names, code: 216, ext: fields{"topic": "$unknown"}, writes: true},
		{area: suite.Route, to: names, code: 217, ext: fields{"topic": "$new-t"}, body: "{}", writes: true},
		{area: suite.Admin, to: names, code: 219, ext: fields{"namespace": "$space"}},
		{area: suite.Route, to: names, code: 224, ext: fields{"cluster": "$fakeCluster"}},
		{area: suite.Route, to: names, code: 322, ext: me, body: "{}"},
		{area: suite.Route, to: names, code: 327, ext: fields{"brokerName": "$unknown"}},
		{area: suite.Route, to: names, code: 901, ext: fields{"clusterName": "$fakeCluster", "brokerName": "$fakeBroker"}},
		{area: suite.Route, to: names, code: 904, ext: fields{"clusterName": "$new-c", "brokerAddr": "127.0.0.1:1", "brokerName": "$new", "brokerId": "0"}, writes: true},
	}
}

// spoilt are the values that a field of a kind is given instead of a good one.
var spoilt = map[string][]struct{ name, what, value string }{
	"string": {{"empty", "an empty", ""}, {"path", "a path as", "$path"}, {"wide", "a name beyond ASCII as", "$wide"}, {"nul", "a zero byte in", "$nul"}, {"long", "64 KiB of", "$long"}},
	"int32":  {{"word", "a word for", "abc"}, {"empty", "an empty", ""}, {"negative", "a negative", "-1"}, {"overflow", "a number too big for", "2147483648"}, {"fraction", "a fraction for", "1.5"}},
	"int64":  {{"word", "a word for", "abc"}, {"empty", "an empty", ""}, {"negative", "a negative", "-1"}, {"overflow", "a number too big for", "9223372036854775808"}, {"least", "the least number for", "-9223372036854775808"}},
	"bool":   {{"word", "a word for", "abc"}, {"capitals", "capitals for", "TRUE"}, {"number", "a number for", "1"}},
}

// bodies are those that a request gets instead of the JSON it should have.
var bodies = []struct{ name, what, text string }{
	{"none", "no", ""}, {"garbage", "a garbage", "\x00\x01garbage"}, {"object", "an empty JSON", "{}"}, {"array", "a JSON array as", "[]"}, {"number", "a JSON number as", "7"},
	{"text", "a JSON text as", `"text"`}, {"null", "a JSON null as", "null"}, {"cut", "a cut off JSON", `{"clientID":"x`}, {"deep", "a deeply nested JSON", strings.Repeat(`{"a":`, 500) + "1" + strings.Repeat("}", 500)},
}

// hostileCases spoil every good request: each field of its header missing and
// with every value that fits its type badly, and its body.
func hostileCases() []Case {
	rows := map[int32]protocol.Row{}
	for _, r := range protocol.Table() {
		rows[int32(r.Code)] = r
	}
	var all []Case
	for _, g := range goods() {
		row := rows[g.code]
		title := strings.ReplaceAll(strings.ToLower(row.Name), "_", "-")
		add := func(what, sentence string, ext fields, body string) {
			if strings.Contains(" "+g.skip+" ", " "+what+" ") {
				return
			}
			st := step{to: g.to, code: g.code, ext: ext, body: body, raw: g.raw, hide: g.hide, look: g.look}
			c := one(g.area, "bad-"+title+"-"+what, recorded, fmt.Sprintf("%s with %s is answered as Java 5.3.3 answers it.", row.Name, sentence), st)
			c.Own = g.writes
			all = append(all, c)
		}
		if len(g.ext) > 0 {
			add("no-fields", "no header fields", nil, g.body)
		}
		long := true // in one field: the Java servers keep what they once needed
		for _, f := range headerFields(row.Request) {
			if _, ok := g.ext[f.name]; ok {
				add(f.title+"-missing", "no "+f.name, g.ext.with(fields{f.name: absent}), g.body)
			}
			for _, v := range spoilt[f.kind] {
				// Java makes a group without a name when one is asked for and keeps
				// it: what it says about it later depends on who came before.
				if v.name == "long" && !long || v.name == "empty" && strings.HasSuffix(strings.ToLower(f.name), "group") {
					continue
				}
				long = long && v.name != "long"
				add(f.title+"-"+v.name, v.what+" "+f.name, g.ext.with(fields{f.name: v.value}), g.body)
			}
		}
		if g.body != "{}" {
			continue
		}
		for _, b := range bodies {
			add("body-"+b.name, b.what+" body", g.ext, b.text)
		}
	}
	return all
}

type headerField struct{ name, title, kind string }

// headerFields lists the fields of a header struct, but not those that all
// requests share.
func headerFields(t reflect.Type) []headerField {
	var out []headerField
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("wire")
		if f.Anonymous || name == "" {
			continue
		}
		k := f.Type
		if k.Kind() == reflect.Struct { // wire.Opt
			k = k.Field(0).Type
		}
		out = append(out, headerField{name, dashed(name), k.Kind().String()})
	}
	return out
}

// dashed turns queueId into queue-id.
func dashed(name string) string {
	var b strings.Builder
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			if i > 0 && name[i-1] >= 'a' {
				b.WriteByte('-')
			}
			c += 'a' - 'A'
		}
		if c == '_' {
			c = '-'
		}
		b.WriteRune(c)
	}
	return b.String()
}
