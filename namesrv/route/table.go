package route

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
)

// MasterID is the broker id of the master of a broker set.
const MasterID = 0

// Permission bits of a topic (PermName).
const (
	permRead  = 4
	permWrite = 2
)

// DefaultExpiry is how long a broker is alive after it was heard of last, unless
// its registration says otherwise (DEFAULT_BROKER_CHANNEL_EXPIRED_TIME).
const DefaultExpiry = 120 * time.Second

// Conn is the connection a broker registered on. Connections are compared.
type Conn interface{ Close() }

// Flags are the settings that may change while running.
type Flags struct {
	SupportActingMaster               bool
	NotifyMinBrokerIDChanged          bool
	DeleteTopicWithBrokerRegistration bool
}

// Notice tells a broker that the smallest id of its set has changed
// (NOTIFY_MIN_BROKER_ID_CHANGE).
type Notice struct {
	To     string // broker address
	Header header.NotifyMinBrokerIdChangeRequest
}

// Options of a Table; the zero value works.
type Options struct {
	Clock         clock.Clock
	Logger        *slog.Logger
	Flags         func() Flags  // asked for every operation; nil = all off
	Notify        func(Notice)  // must not block; nil = nobody is told
	ScanInterval  time.Duration // scanNotActiveBrokerInterval; 0 = 5 s
	QueueCapacity int           // unRegisterBrokerQueueCapacity; 0 = 3000
}

// brokerKey names a live broker (BrokerAddrInfo).
type brokerKey struct{ cluster, addr string }

// liveBroker is what the last registration of a broker said (BrokerLiveInfo).
type liveBroker struct {
	name     string
	id       int64
	lastSeen *atomic.Int64 // ms
	timeout  int64         // ms
	version  body.DataVersion
	haServer string
	conn     Conn
}

// brokerSet is a broker name with the members that are known (BrokerData).
type brokerSet struct {
	cluster, name, zone string
	actingMaster        bool             // enableActingMaster
	addrs               map[int64]string // by broker id
}

// minID is the smallest broker id. REQUIRES: the set has a member.
func (s *brokerSet) minID() int64 {
	return slices.Min(slices.Collect(maps.Keys(s.addrs)))
}

func (s *brokerSet) clone() *brokerSet {
	c := *s
	c.addrs = maps.Clone(s.addrs)
	return &c
}

// Table is the routing state of a name server. Its methods may be called from any
// goroutine.
type Table struct {
	opts Options
	log  *slog.Logger

	mu       sync.RWMutex // guards the maps, the inner ones too; a leaf
	topics   map[string]map[string]body.QueueData
	brokers  map[string]*brokerSet
	clusters map[string]map[string]struct{} // cluster to broker names
	live     map[brokerKey]*liveBroker
	byConn   map[Conn]map[brokerKey]struct{} // live by the connection of their registration
	byBroker map[string]map[string]struct{}  // names of broker sets to topics that have queues there
	filters  map[brokerKey][]string          // filter servers
	static   map[string]map[string]body.TopicQueueMappingInfo

	removals chan Removal
	stop     chan struct{}
	done     chan struct{}
}

// New makes an empty table.
func New(o Options) *Table {
	o.Clock = clock.Or(o.Clock)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Flags == nil {
		o.Flags = func() Flags { return Flags{} }
	}
	if o.Notify == nil {
		o.Notify = func(Notice) {}
	}
	if o.ScanInterval == 0 {
		o.ScanInterval = 5 * time.Second
	}
	if o.QueueCapacity == 0 {
		o.QueueCapacity = 3000
	}
	return &Table{
		opts: o, log: o.Logger,
		topics:   map[string]map[string]body.QueueData{},
		brokers:  map[string]*brokerSet{},
		clusters: map[string]map[string]struct{}{},
		live:     map[brokerKey]*liveBroker{},
		byConn:   map[Conn]map[brokerKey]struct{}{},
		byBroker: map[string]map[string]struct{}{},
		filters:  map[brokerKey][]string{},
		static:   map[string]map[string]body.TopicQueueMappingInfo{},
		removals: make(chan Removal, o.QueueCapacity),
		stop:     make(chan struct{}), done: make(chan struct{}),
	}
}

// Start begins to apply removals and to scan.
func (t *Table) Start() { go t.run(t.opts.Clock.NewTicker(t.opts.ScanInterval)) }

// Shutdown ends what Start began and waits for it. Removals that wait are dropped.
func (t *Table) Shutdown() {
	close(t.stop)
	<-t.done
}

// putQueueLocked enters the queues of a topic on a broker set. REQUIRES: t.mu.
func (t *Table) putQueueLocked(topic string, q body.QueueData) {
	m := t.topics[topic]
	if m == nil {
		topic = strings.Clone(topic)
		m = map[string]body.QueueData{}
		t.topics[topic] = m
	}
	if _, have := m[q.BrokerName]; !have {
		enter(t.byBroker, q.BrokerName, topic)
	}
	m[q.BrokerName] = q
}

// dropQueueLocked removes the queues of a topic on a broker set, and the topic
// with the last of them. REQUIRES: t.mu.
func (t *Table) dropQueueLocked(topic, brokerName string) {
	m := t.topics[topic]
	delete(m, brokerName)
	if m != nil && len(m) == 0 {
		delete(t.topics, topic)
	}
	leave(t.byBroker, brokerName, topic)
}

// setLiveLocked enters what the last registration of a broker said. REQUIRES: t.mu.
func (t *Table) setLiveLocked(k brokerKey, l *liveBroker) {
	t.dropLiveLocked(k)
	t.live[k] = l
	if l.conn != nil {
		enter(t.byConn, l.conn, k)
	}
}

// dropLiveLocked forgets a live broker that may not be there. REQUIRES: t.mu.
func (t *Table) dropLiveLocked(k brokerKey) {
	if l := t.live[k]; l != nil {
		delete(t.live, k)
		leave(t.byConn, l.conn, k)
	}
}

// enter puts a member into one of several sets.
func enter[K, V comparable](sets map[K]map[V]struct{}, of K, member V) {
	if sets[of] == nil {
		sets[of] = map[V]struct{}{}
	}
	sets[of][member] = struct{}{}
}

// leave takes a member out of one of several sets, and the set with its last.
func leave[K, V comparable](sets map[K]map[V]struct{}, of K, member V) {
	set := sets[of]
	delete(set, member)
	if set != nil && len(set) == 0 {
		delete(sets, of)
	}
}

// setPermLocked changes the permission of a topic on a broker set.
// REQUIRES: t.mu, the topic has queues there.
func (t *Table) setPermLocked(topic, brokerName string, perm int32) {
	q := t.topics[topic][brokerName]
	q.Perm = perm
	t.putQueueLocked(topic, q)
}
