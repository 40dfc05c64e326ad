package calls

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/merlinmq/merlin/conformance/probe"
	"github.com/merlinmq/merlin/conformance/suite"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
)

// fixture is what the cases of one run share and do not change:
//
//	$topic      4 queues: 5 messages in queue 0, one in queue 1, none in 2 and 3
//	$scratch    one queue that anybody sends to and nobody reads
//	$group      a consumer group with offsets 3 and 1 on queues 0 and 1, nobody online
//	$live       a consumer group with one member, $member, subscribed to tag A of $topic, with offset 0 on queue 0
//	$makers     a producer group with one member, $maker
//	$space      a KV namespace with the keys one and two
//	$fakeBroker a broker that registered with the name server, in $fakeCluster, with $fakeTopic
//	$phy0…4, $time0…4, $id0…4   log offset, store time and offset message id of the messages of queue 0
//
// $space and $fakeBroker are there only while the cases run that need them.
type fixture struct {
	ns, broker, fast string
	c                *suite.Cluster
	prefix           string
	names, values    map[string]string
	cluster          []mask
	settings         map[string]string // header field or property → the setting that it shows
	seen             netip.Addr        // this client, as the broker sees it
	scene            *scene            // its connections are those of the run's clients
	stop             chan struct{}
	beating          sync.WaitGroup

	spacesMu sync.Mutex
	spaces   map[string]bool // KV namespaces that were written to
}

type mask struct {
	re   *regexp.Regexp
	with string
}

// newFixture makes it on the broker set of a cluster.
func newFixture(ctx context.Context, c *suite.Cluster, id string) (*fixture, error) {
	f := &fixture{ns: c.NameServers[0], broker: c.Broker, c: c, prefix: "wire-" + id, values: map[string]string{}, stop: make(chan struct{}), spaces: map[string]bool{}}
	f.fast = fastPort(f.broker)
	own := f.prefix + "-f-"
	f.names = map[string]string{"$broker": f.broker, "$ns": f.ns}
	for _, n := range []string{"topic", "scratch", "group", "live", "member", "makers", "maker", "space", "fakeBroker", "fakeCluster", "fakeTopic", "unknown"} {
		f.names["$"+n] = own + n
	}
	f.values["$cluster"], f.values["$brokerName"] = c.ClusterName, c.BrokerName
	f.cluster = masksOf(c.BrokerName, c.ClusterName)
	f.settings = map[string]string{"MSG_REGION": c.Setting("regionId", "DefaultRegion"), "TRACE_ON": c.Setting("traceOn", "true")}
	f.scene = newScene(f, -1)
	if err := f.do(ctx, f.setup()...); err != nil {
		f.close()
		return nil, err
	}
	f.beating.Go(func() {
		f.beat(f.stop, f.scene, step{code: 34, on: "live", body: liveBeat}, step{code: 34, on: "maker", body: makerBeat})
	})
	return f, nil
}

// do takes the steps of the run itself, which must succeed.
func (f *fixture) do(ctx context.Context, steps ...step) error {
	for _, st := range steps {
		code, err := f.scene.step(ctx, &st)
		if err == nil && code != 0 {
			err = fmt.Errorf("answered %s", codeText(code))
		}
		if err != nil {
			return fmt.Errorf("preparing, request %d to %s: %w: %v", st.code, f.scene.addr(st.to), err, f.scene.lines)
		}
	}
	return nil
}

func fastPort(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	n, _ := strconv.Atoi(port)
	return net.JoinHostPort(host, strconv.Itoa(n-2))
}

// maskOf masks a name where it stands alone. One of a letter or two is looked for
// only between quotes and the like: it may be a word of the text.
func maskOf(name, text string) mask {
	if len(text) < 3 {
		return mask{regexp.MustCompile(`(^|["'\[({=:,;/@])` + regexp.QuoteMeta(text) + `($|["'\])}=:,;/@])`), "${1}$" + name + "${2}"}
	}
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
		steps = append(steps, commit("$group", queue, offset))
	}
	return append(steps, commit("$live", 0, "0"),
		step{code: 203, ext: fields{"consumerGroup": "$live"}, keep: keepSeen})
}

func commit(group string, queue int, offset string) step {
	return step{code: 15, ext: fields{"consumerGroup": group, "topic": "$topic", "queueId": strconv.Itoa(queue), "commitOffset": offset}}
}

// withSpace makes $space.
func (f *fixture) withSpace(ctx context.Context) error {
	for _, k := range []string{"one", "two"} {
		if err := f.do(ctx, step{to: names, code: 100, ext: fields{"namespace": "$space", "key": k, "value": "value " + k}}); err != nil {
			return err
		}
	}
	return nil
}

// withBroker registers $fakeBroker and returns what ends it: its connection, with
// which it goes.
func (f *fixture) withBroker(ctx context.Context) (end func(), err error) {
	s := newScene(f, -3)
	st := registration("$fakeBroker", "$fakeCluster", "$fakeTopic")
	code, err := s.step(ctx, &st)
	if err == nil && code != 0 {
		err = fmt.Errorf("registering a broker was answered %s: %v", codeText(code), s.lines)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	var beating sync.WaitGroup
	over := make(chan struct{})
	beating.Go(func() { f.beat(over, s, st) })
	return func() {
		close(over)
		beating.Wait()
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_, _ = s.step(bye, &step{to: names, on: "$fakeBroker", code: 104,
			ext: fields{"brokerName": "$fakeBroker", "brokerAddr": "127.0.0.1:1", "clusterName": "$fakeCluster", "brokerId": "0"}})
		s.close()
	}, nil
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

// keepSeen learns the address that the broker sees this client at.
func keepSeen(s *scene, a *wire.Command) {
	var body struct {
		Connections []struct {
			Addr string `json:"clientAddr"`
		} `json:"connectionSet"`
	}
	if probe.Unmarshal(a.Body, &body) == nil && len(body.Connections) > 0 {
		if at, err := netip.ParseAddrPort(body.Connections[0].Addr); err == nil {
			s.f.seen = at.Addr().Unmap()
		}
	}
}

// beat sends heartbeats until it is over.
func (f *fixture) beat(over <-chan struct{}, s *scene, beats ...step) {
	tick := time.NewTicker(20 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		for i := range beats {
			_, _ = s.step(ctx, &beats[i])
		}
		cancel()
	}
}

// close removes everything that carries a name of this run, from all masters and
// name servers, and returns what is still there.
func (f *fixture) close() []probe.Left {
	close(f.stop)
	f.beating.Wait()
	f.scene.close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	left := f.c.Places().Clean(ctx, regexp.MustCompile(regexp.QuoteMeta(f.prefix)+"-"))
	return append(left, f.emptySpaces(ctx)...)
}

// wrote notes that a KV namespace was written to.
func (f *fixture) wrote(space string) {
	f.spacesMu.Lock()
	defer f.spacesMu.Unlock()
	f.spaces[space] = true
}

// emptySpaces removes what the run's KV namespaces still hold. The namespaces
// stay: no request removes one.
func (f *fixture) emptySpaces(ctx context.Context) []probe.Left {
	f.spacesMu.Lock()
	defer f.spacesMu.Unlock()
	n := 0
	for space := range f.spaces {
		a, err := probe.Call(ctx, f.ns, 219, map[string]string{"namespace": space}, nil)
		if err != nil {
			continue
		}
		n++
		var body struct {
			Table map[string]string `json:"table"`
		}
		_ = probe.Unmarshal(a.Body, &body)
		for key := range body.Table {
			_, _ = probe.Call(ctx, f.ns, 102, map[string]string{"namespace": space, "key": key}, nil)
		}
	}
	if n == 0 {
		return nil
	}
	return []probe.Left{{What: fmt.Sprintf("%d empty KV namespaces named %s-… in name server %s", n, f.prefix, f.ns),
		Remove: "no request removes a namespace: take them out of kvConfig.json while that name server is stopped, or leave them", Stays: true}}
}
