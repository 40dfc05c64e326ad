package calls

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/merlinmq/merlin/conformance/probe"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
)

// fixture is what the cases of one run share and do not change:
//
//	$topic      4 queues: 5 messages in queue 0, one in queue 1, none in 2 and 3
//	$scratch    one queue that anybody sends to and nobody reads
//	$group      a consumer group with offsets 3 and 1 on queues 0 and 1, nobody online
//	$live       a consumer group with one member, $member, subscribed to tag A of $topic
//	$makers     a producer group with one member, $maker
//	$space      a KV namespace with the keys one and two
//	$fakeBroker a broker that registered with the name server, in $fakeCluster, with $fakeTopic
//	$phy0…4, $time0…4, $id0…4   log offset, store time and offset message id of the messages of queue 0
type fixture struct {
	ns, broker, fast string
	prefix           string
	names, values    map[string]string
	cluster          []mask
	scene            *scene // its connections are those of the run's clients
	stop             chan struct{}
	beating          sync.WaitGroup
}

type mask struct {
	re   *regexp.Regexp
	with string
}

// newFixture makes it on the first broker that the name server knows.
func newFixture(ctx context.Context, ns string) (*fixture, error) {
	masters, err := probe.Masters(ctx, ns)
	if err != nil {
		return nil, fmt.Errorf("name server %s: %w", ns, err)
	}
	sets := make([]string, 0, len(masters))
	for n := range masters {
		sets = append(sets, n)
	}
	if len(sets) == 0 {
		return nil, fmt.Errorf("name server %s knows no broker with id 0", ns)
	}
	sort.Strings(sets)
	var id [4]byte
	_, _ = rand.Read(id[:])
	f := &fixture{ns: ns, broker: masters[sets[0]], prefix: "wire-" + hex.EncodeToString(id[:]), values: map[string]string{}, stop: make(chan struct{})}
	f.fast = fastPort(f.broker)
	own := f.prefix + "-f-"
	f.names = map[string]string{"$broker": f.broker, "$ns": f.ns}
	for _, n := range []string{"topic", "scratch", "group", "live", "member", "makers", "maker", "space", "fakeBroker", "fakeCluster", "fakeTopic", "unknown"} {
		f.names["$"+n] = own + n
	}
	cluster, err := f.clusterOf(ctx, sets[0])
	if err != nil {
		return nil, err
	}
	f.values["$cluster"], f.values["$brokerName"] = cluster, sets[0]
	f.cluster = masksOf(sets[0], cluster)
	f.scene = newScene(f, -1)
	for _, st := range f.setup() {
		code, err := f.scene.step(ctx, &st)
		if err == nil && code != 0 {
			err = fmt.Errorf("answered %s", codeText(code))
		}
		if err != nil {
			f.close()
			return nil, fmt.Errorf("preparing, request %d to %s: %w: %v", st.code, f.scene.addr(st.to), err, f.scene.lines)
		}
	}
	f.beating.Go(f.beat)
	return f, nil
}

func fastPort(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	n, _ := strconv.Atoi(port)
	return net.JoinHostPort(host, strconv.Itoa(n-2))
}

func maskOf(name, text string) mask {
	return mask{regexp.MustCompile(`(^|[^\w-])` + regexp.QuoteMeta(text) + `($|[^\w-])`), "${1}$" + name + "${2}"}
}

// masksOf are the masks for the names of a broker and its cluster: where they
// stand alone, and in the names of the topics that are made from them.
func masksOf(broker, cluster string) []mask {
	return []mask{
		{regexp.MustCompile(`(rmq_sys_SYNC_BROKER_MEMBER_)` + regexp.QuoteMeta(broker) + `($|[^\w-])`), "${1}$$brokerName${2}"},
		{regexp.MustCompile(`(rmq_sys_REVIVE_LOG_)` + regexp.QuoteMeta(cluster) + `($|[^\w-])`), "${1}$$cluster${2}"},
		{regexp.MustCompile(`(^|[^\w-])` + regexp.QuoteMeta(cluster) + `(_REPLY_TOPIC)`), "${1}$$cluster${2}"},
		maskOf("$brokerName", broker), maskOf("$cluster", cluster),
	}
}

// maskCluster masks the names of the broker and its cluster.
func (f *fixture) maskCluster(t string) string {
	for _, m := range f.cluster {
		t = m.re.ReplaceAllString(t, m.with)
	}
	return t
}

func (f *fixture) clusterOf(ctx context.Context, brokerName string) (string, error) {
	a, err := probe.Call(ctx, f.ns, probe.ClusterInfo, nil, nil)
	if err != nil {
		return "", err
	}
	var info struct {
		Table map[string]probe.Broker `json:"brokerAddrTable"`
	}
	err = probe.Unmarshal(a.Body, &info)
	return info.Table[brokerName].Cluster, err
}

// heartbeats of the run's two clients.
const (
	liveBeat = `{"clientID":"$member","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET","consumeType":"CONSUME_PASSIVELY",` +
		`"groupName":"$live","messageModel":"CLUSTERING","subscriptionDataSet":[{"classFilterMode":false,"codeSet":[65],"expressionType":"TAG",` +
		`"subString":"A","subVersion":1,"tagsSet":["A"],"topic":"$topic"}],"unitMode":false}],"heartbeatFingerprint":0,"producerDataSet":[],"withoutSub":false}`
	makerBeat = `{"clientID":"$maker","consumerDataSet":[],"heartbeatFingerprint":0,"producerDataSet":[{"groupName":"$makers"}],"withoutSub":false}`
)

// liveReplies are what the live consumer answers to the broker's questions.
var liveReplies = map[int32]string{
	221: `{"messageQueueTable":{{"brokerName":"$brokerName","queueId":0,"topic":"$topic"}:3},"consumerTable":{}}`,
	307: `{"jstack":null,"mqTable":{},"properties":{"PROP_CLIENT_VERSION":"test"},"statusTable":{},"subscriptionSet":[]}`,
	309: `{"autoCommit":true,"consumeResult":"CR_SUCCESS","order":false,"spentTimeMills":7}`,
}

// sendV2 are the fields of a good 310.
func sendV2() fields {
	return fields{"a": "$makers", "b": "$topic", "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": "1700000000000", "h": "0",
		"i": "TAGS\x01A\x02KEYS\x01$topic-k\x02", "j": "0", "k": "false", "l": "0", "m": "false", "n": "$brokerName"}
}

func (f *fixture) setup() []step {
	topic := fields{"topic": "$topic", "defaultTopic": "TBW102", "readQueueNums": "4", "writeQueueNums": "4", "perm": "6",
		"topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false"}
	steps := []step{
		{code: 17, ext: topic},
		{code: 17, ext: topic.with(fields{"topic": "$scratch", "readQueueNums": "1", "writeQueueNums": "1"})},
		{code: 200, body: `{"groupName":"$group","retryMaxTimes":16,"retryQueueNums":1}`},
		{code: 200, body: `{"groupName":"$live","retryMaxTimes":16,"retryQueueNums":1}`},
		{code: 105, to: names, ext: fields{"topic": "$topic"}, until: answered(protocol.Success)},
	}
	for i := range 6 {
		props := fmt.Sprintf("TAGS\x01%s\x02KEYS\x01$topic-k%d all\x02UNIQ_KEY\x01$topic-u%d\x02", []string{"A", "B"}[i%2], i, i)
		steps = append(steps, step{code: 310, ext: sendV2().with(fields{"e": strconv.Itoa(i / 5), "i": props, "a": "$makers"}), body: fmt.Sprint("body ", i)})
	}
	steps = append(steps,
		step{code: 30, ext: fields{"topic": "$topic", "queueId": "0"}, until: extIs("offset", "5")},
		step{code: 30, ext: fields{"topic": "$topic", "queueId": "1"}, until: extIs("offset", "1")},
		step{code: 12, ext: fields{"topic": "$topic", "key": "$topic-k5", "maxNum": "9", "beginTimestamp": "0", "endTimestamp": "9223372036854775807"},
			until: answered(protocol.Success)},
		step{code: 34, on: "live", body: liveBeat, replies: liveReplies},
		step{code: 34, on: "maker", body: makerBeat},
		step{code: 11, ext: fields{"consumerGroup": "$live", "topic": "$topic", "queueId": "0", "queueOffset": "0", "maxMsgNums": "32", "sysFlag": "4",
			"commitOffset": "0", "suspendTimeoutMillis": "0", "subscription": "*", "subVersion": "1"}, keep: keepRecords},
	)
	for queue, offset := range []string{"3", "1"} {
		steps = append(steps, step{code: 15, ext: fields{"consumerGroup": "$group", "topic": "$topic", "queueId": strconv.Itoa(queue), "commitOffset": offset}})
	}
	for _, k := range []string{"one", "two"} {
		steps = append(steps, step{to: names, code: 100, ext: fields{"namespace": "$space", "key": k, "value": "value " + k}})
	}
	return append(steps, registration("$fakeBroker", "$fakeCluster", "$fakeTopic"))
}

// registration registers a broker of the given name with two topics, topic and
// topic-2, on a connection that keeps it alive: a first registration with a
// single topic is refused.
func registration(name, cluster, topic string) step {
	config := func(topic string) string {
		return fmt.Sprintf(`%q:{"order":false,"perm":6,"readQueueNums":3,"topicFilterType":"SINGLE_TAG","topicName":%q,"topicSysFlag":0,"writeQueueNums":2}`, topic, topic)
	}
	body := `{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":1,"stateVersion":0,"timestamp":1700000000000},` +
		`"topicConfigTable":{` + config(topic) + "," + config(topic+"-2") + `}}}`
	return step{to: names, on: name, code: 103, body: body, ext: fields{"brokerName": name, "brokerAddr": "127.0.0.1:1", "clusterName": cluster,
		"haServerAddr": "127.0.0.1:2", "brokerId": "0", "compressed": "false", "bodyCrc32": "0"}}
}

func answered(code protocol.ResponseCode) func(*wire.Command) bool {
	return func(a *wire.Command) bool { return a.Code == int32(code) }
}

func extIs(key, value string) func(*wire.Command) bool {
	return func(a *wire.Command) bool { v, _ := a.Lookup(key); return v == value }
}

// keepRecords learns where the messages of a pull stand.
func keepRecords(s *scene, a *wire.Command) {
	host, _ := netip.ParseAddrPort(s.f.broker)
	for i, b := 0, a.Body; len(b) > 0; i++ {
		var m message.Message
		n, err := message.Decode(b, &m, true)
		if err != nil {
			return
		}
		b = b[n:]
		s.f.values[fmt.Sprint("$phy", i)] = strconv.FormatInt(m.PhyOffset, 10)
		s.f.values[fmt.Sprint("$time", i)] = strconv.FormatInt(m.StoreTimestamp, 10)
		s.f.values[fmt.Sprint("$id", i)] = message.OffsetMessageID(host, m.PhyOffset)
	}
}

// beat keeps the run's clients and its broker alive.
func (f *fixture) beat() {
	tick := time.NewTicker(20 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-f.stop:
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		for _, st := range []step{{code: 34, on: "live", body: liveBeat}, {code: 34, on: "maker", body: makerBeat}, registration("$fakeBroker", "$fakeCluster", "$fakeTopic")} {
			_, _ = f.scene.step(ctx, &st)
		}
		cancel()
	}
}

// close removes everything that carries a name of this run. What cannot be
// removed stays: there is nobody to tell.
func (f *fixture) close() {
	close(f.stop)
	f.beating.Wait()
	f.scene.close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s := newScene(f, -2)
	for topic := range f.left(ctx, f.broker, 21, "topicConfigTable") {
		_, _ = s.step(ctx, &step{code: 215, ext: fields{"topic": topic}})
	}
	for group := range f.left(ctx, f.broker, 201, "subscriptionGroupTable") {
		_, _ = s.step(ctx, &step{code: 207, ext: fields{"groupName": group, "cleanOffset": "true"}})
	}
	f.forget(ctx, s)
	for _, k := range []string{"one", "two"} {
		_, _ = s.step(ctx, &step{to: names, code: 102, ext: fields{"namespace": "$space", "key": k}})
	}
	for _, c := range s.conns {
		c.close()
	}
}

// forget has the name server forget the run's brokers and topics. Registrations
// that were on their way while topics were deleted bring some back, so it looks
// until there is none, but not for ever.
func (f *fixture) forget(ctx context.Context, s *scene) {
	for range 5 {
		brokers := f.left(ctx, f.ns, 106, "brokerAddrTable")
		topics := f.left(ctx, f.ns, 206, "topicList")
		if len(brokers)+len(topics) == 0 {
			return
		}
		for name, v := range brokers {
			b, _ := v.(map[string]any)
			addrs, _ := b["brokerAddrs"].(map[string]any)
			if len(addrs) == 0 {
				addrs = map[string]any{"0": "127.0.0.1:1"}
			}
			for id, addr := range addrs {
				_, _ = s.step(ctx, &step{to: names, code: 104, ext: fields{"brokerName": name, "brokerAddr": fmt.Sprint(addr),
					"clusterName": fmt.Sprint(b["cluster"]), "brokerId": id}})
			}
		}
		for topic := range topics {
			_, _ = s.step(ctx, &step{to: names, code: 216, ext: fields{"topic": topic}})
		}
	}
}

// left asks for a table of topics, groups or brokers, or a list, and returns what
// has a name of this run in it.
func (f *fixture) left(ctx context.Context, addr string, code int, table string) map[string]any {
	a, err := probe.Call(ctx, addr, code, nil, nil)
	if err != nil {
		return nil
	}
	v, _, _ := readJSON(a.Body)
	root, _ := v.(map[string]any)
	out := map[string]any{}
	add := func(name string, v any) {
		if strings.Contains(name, f.prefix) {
			out[name] = v
		}
	}
	switch t := root[table].(type) {
	case map[string]any:
		for k, v := range t {
			add(k, v)
		}
	case []any:
		for _, e := range t {
			if name, ok := e.(string); ok {
				add(name, nil)
			}
		}
	}
	return out
}
