package stats

import (
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/merlinmq/merlin/compat/clock"
)

// Names of counters, those that a Java 5.3.3 broker feeds. In brackets what the key
// is made of. Java has names for more: those of POP come with it (GROUP_ACK_NUMS,
// GROUP_CK_NUMS, BROKER_ACK_NUMS, BROKER_CK_NUMS), and nothing there feeds
// DLQ_PUT_NUMS, GROUP_GET_FROM_DISK_*, BROKER_GET_FROM_DISK_* and COMMERCIAL_*. A
// name that is not here is answered like a key that was never counted.
const (
	QueuePutNums          = "QUEUE_PUT_NUMS"                       // [topic@queueId], of the schedule topic
	QueuePutSize          = "QUEUE_PUT_SIZE"                       // [topic@queueId], of the schedule topic
	QueueGetNums          = "QUEUE_GET_NUMS"                       // [topic@queueId@group], of the schedule topic
	QueueGetSize          = "QUEUE_GET_SIZE"                       // [topic@queueId@group], of the schedule topic
	TopicPutNums          = "TOPIC_PUT_NUMS"                       // [topic]
	TopicPutSize          = "TOPIC_PUT_SIZE"                       // [topic]
	TopicPutLatency       = "TOPIC_PUT_LATENCY"                    // [queueId@topic], ms
	GroupGetNums          = "GROUP_GET_NUMS"                       // [topic@group]
	GroupGetSize          = "GROUP_GET_SIZE"                       // [topic@group]
	GroupGetLatency       = "GROUP_GET_LATENCY"                    // [queueId@topic@group], ms; [topic@group] without details
	SendBackPutNums       = "SNDBCK_PUT_NUMS"                      // [topic@group]
	SendBackToDLQTimes    = "SNDBCK2DLQ_TIMES"                     // [owner@topic@group@SEND_BACK_TO_DLQ]
	BrokerPutNums         = "BROKER_PUT_NUMS"                      // [cluster]
	BrokerGetNums         = "BROKER_GET_NUMS"                      // [cluster]
	BrokerPutNumsNoSystem = "BROKER_PUT_NUMS_WITHOUT_SYSTEM_TOPIC" // [cluster]
	BrokerGetNumsNoSystem = "BROKER_GET_NUMS_WITHOUT_SYSTEM_TOPIC" // [cluster]
	ConsumerRegisterTime  = "CONSUMER_REGISTER_TIME"               // [cluster], ms
	ProducerRegisterTime  = "PRODUCER_REGISTER_TIME"               // [cluster], ms
	ChannelActivity       = "CHANNEL_ACTIVITY"                     // [CONNECT, IDLE, EXCEPTION, CLOSE]
)

// Names lists every counter name.
func Names() []string {
	return []string{QueuePutNums, QueuePutSize, QueueGetNums, QueueGetSize, TopicPutNums, TopicPutSize, TopicPutLatency,
		GroupGetNums, GroupGetSize, GroupGetLatency, SendBackPutNums, SendBackToDLQTimes, BrokerPutNums, BrokerGetNums,
		BrokerPutNumsNoSystem, BrokerGetNumsNoSystem, ConsumerRegisterTime, ProducerRegisterTime, ChannelActivity}
}

// valuesOnly are counters to which Java adds no number of calls, so that their
// average per call stays 0.
func valuesOnly(name string) bool {
	switch name {
	case BrokerPutNums, BrokerGetNums, BrokerPutNumsNoSystem, BrokerGetNumsNoSystem:
		return true
	}
	return false
}

// ofQueues are the counters that enableDetailStat switches.
func ofQueues(name string) bool {
	switch name {
	case QueuePutNums, QueuePutSize, QueueGetNums, QueueGetSize:
		return true
	}
	return false
}

// TopicGroupKey is the key topic@group.
func TopicGroupKey(topic, group string) string { return topic + "@" + group }

// QueueKey is the key topic@queueId.
func QueueKey(topic string, queueID int32) string {
	return topic + "@" + strconv.Itoa(int(queueID))
}

// QueueGroupKey is the key topic@queueId@group.
func QueueGroupKey(topic string, queueID int32, group string) string {
	return topic + "@" + strconv.Itoa(int(queueID)) + "@" + group
}

// Options are the surroundings of a Manager; the zero value works.
type Options struct {
	Clock    clock.Clock // nil: the machine's
	Cluster  string      // key of the broker-wide counters, brokerClusterName
	MaxItems int         // bound of all counters together; 0: 200,000
	// System says whether a topic is the broker's own: the totals of code 28 leave
	// those out. nil: none is.
	System func(topic string) bool
	Logger *slog.Logger // nil: nothing is logged
	// NoDetails leaves the counters of queues out (QueuePutNums, QueuePutSize,
	// QueueGetNums, QueueGetSize), and the queue out of the keys of GroupGetLatency
	// (enableDetailStat=false).
	NoDetails bool
}

// Manager owns all counters of a broker. Its methods may be called from any
// goroutine.
type Manager struct {
	opts     Options
	sets     map[string]*set // fixed after New
	count    atomic.Int64    // items in all sets
	overflow Item            // takes what does not fit
	// gonePuts and goneGets keep the totals when counters are removed.
	gonePuts, goneGets atomic.Int64
	lost               atomic.Int64 // keys that did not fit

	// sendsMu guards sends, which keeps the counters of a send together.
	sendsMu sync.RWMutex
	sends   map[sendKey]*sendCounters

	// morningMu guards morning, which the sampler changes once a day.
	morningMu sync.Mutex
	morning   struct {
		putYesterday, putToday int64
		getYesterday, getToday int64
		day                    int // day of the year of the last record, local time
	}

	stop, done chan struct{}
	started    atomic.Bool
}

// set is all counters of one name.
type set struct {
	valuesOnly bool
	// mu guards items.
	mu    sync.RWMutex
	items map[string]*Item
}

// New makes a Manager whose counters work at once; Start makes the rates move.
func New(opts Options) *Manager {
	opts.Clock = clock.Or(opts.Clock)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.System == nil {
		opts.System = func(string) bool { return false }
	}
	if opts.MaxItems <= 0 {
		opts.MaxItems = 200_000
	}
	m := &Manager{opts: opts, sets: map[string]*set{}, sends: map[sendKey]*sendCounters{}, stop: make(chan struct{}), done: make(chan struct{})}
	for _, n := range Names() {
		if opts.NoDetails && ofQueues(n) {
			continue
		}
		m.sets[n] = &set{valuesOnly: valuesOnly(n), items: map[string]*Item{}}
	}
	m.morning.day = opts.Clock.Now().YearDay()
	return m
}

// Item finds the counter of a name and key, or makes it. A caller may keep the
// Item: adding to it stays right until the topic or group of the key is deleted.
// An unknown name, or a key beyond the bound, gives a counter that nobody sees.
func (m *Manager) Item(name, key string) *Item {
	s := m.sets[name]
	if s == nil {
		return &m.overflow
	}
	s.mu.RLock()
	it := s.items[key]
	s.mu.RUnlock()
	if it != nil {
		return it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if it = s.items[key]; it != nil {
		return it
	}
	if m.count.Add(1) > int64(m.opts.MaxItems) {
		m.count.Add(-1)
		if m.lost.Add(1) == 1 {
			m.opts.Logger.Warn("too many counters: new ones are not shown", "limit", m.opts.MaxItems)
		}
		return &m.overflow
	}
	it = &Item{valuesOnly: s.valuesOnly}
	s.items[strings.Clone(key)] = it
	return it
}

// Lookup finds a counter without making it.
func (m *Manager) Lookup(name, key string) (*Item, bool) {
	s := m.sets[name]
	if s == nil {
		return nil, false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	it := s.items[key]
	return it, it != nil
}

// View is the snapshot of a counter for VIEW_BROKER_STATS_DATA (315), false when
// there is none.
func (m *Manager) View(name, key string) (Snapshot, bool) {
	it, ok := m.Lookup(name, key)
	if !ok {
		return Snapshot{}, false
	}
	return it.Snapshot(), true
}

// MinuteTPS is the rate per second of the last minute, 0 when there is no such
// counter.
func (m *Manager) MinuteTPS(name, key string) float64 {
	it, ok := m.Lookup(name, key)
	if !ok {
		return 0
	}
	return it.Snapshot().Minute.TPS
}

// Lost is the number of keys that found no room.
func (m *Manager) Lost() int64 { return m.lost.Load() }

// TopicDeleted removes the counters of a topic.
func (m *Manager) TopicDeleted(topic string) {
	for _, n := range []string{TopicPutNums, TopicPutSize} {
		m.remove(n, func(k string) bool { return k == topic })
	}
	for _, n := range []string{QueuePutNums, QueuePutSize, QueueGetNums, QueueGetSize, GroupGetNums,
		GroupGetSize, SendBackPutNums} {
		m.remove(n, func(k string) bool { return strings.HasPrefix(k, topic+"@") })
	}
	m.remove(GroupGetLatency, func(k string) bool {
		if m.opts.NoDetails {
			return strings.HasPrefix(k, topic+"@")
		}
		return strings.Contains(k, "@"+topic+"@")
	})
	m.remove(TopicPutLatency, func(k string) bool { return strings.HasSuffix(k, "@"+topic) })
	m.forgetSends(topic)
}

// GroupDeleted removes the counters of a consumer group.
func (m *Manager) GroupDeleted(group string) {
	for _, n := range []string{GroupGetNums, GroupGetSize, QueueGetNums,
		QueueGetSize, SendBackPutNums, GroupGetLatency} {
		m.remove(n, func(k string) bool { return strings.HasSuffix(k, "@"+group) })
	}
}

func (m *Manager) remove(name string, gone func(key string) bool) {
	s := m.sets[name]
	if s == nil {
		return
	}
	removed := map[string]*Item{}
	s.mu.Lock()
	for k, it := range s.items {
		if gone(k) {
			removed[k] = it
			delete(s.items, k)
			m.count.Add(-1)
		}
	}
	s.mu.Unlock()
	for k, it := range removed {
		switch topic, _, _ := strings.Cut(k, "@"); {
		case name == TopicPutNums && !m.opts.System(topic):
			m.gonePuts.Add(it.Value())
		case name == GroupGetNums && !m.opts.System(topic):
			m.goneGets.Add(it.Value())
		}
	}
}

// Totals are the message counts of code 28, without system topics.
type Totals struct {
	PutYesterdayMorning, PutTodayMorning, PutNow int64
	GetYesterdayMorning, GetTodayMorning, GetNow int64
}

// Totals gives the counts since the start, as of the last two midnights and now.
func (m *Manager) Totals() Totals {
	var t Totals
	t.PutNow, t.GetNow = m.messages()
	m.morningMu.Lock()
	defer m.morningMu.Unlock()
	t.PutYesterdayMorning, t.PutTodayMorning = m.morning.putYesterday, m.morning.putToday
	t.GetYesterdayMorning, t.GetTodayMorning = m.morning.getYesterday, m.morning.getToday
	return t
}

// messages is the number of messages put and got since the start, without system
// topics: the sum over the counters of topics and groups.
func (m *Manager) messages() (put, get int64) {
	return m.gonePuts.Load() + m.sum(TopicPutNums), m.goneGets.Load() + m.sum(GroupGetNums)
}

func (m *Manager) sum(name string) (n int64) {
	for k, it := range m.sets[name].all() {
		if topic, _, _ := strings.Cut(k, "@"); !m.opts.System(topic) {
			n += it.Value()
		}
	}
	return n
}

// Start begins to sample. It may be called once.
func (m *Manager) Start() {
	if m.started.CompareAndSwap(false, true) {
		go m.run()
	}
}

// Shutdown stops sampling and waits for it.
func (m *Manager) Shutdown() {
	if m.started.Load() {
		close(m.stop)
		<-m.done
	}
}

const tick = 10 * time.Second

func (m *Manager) run() {
	defer close(m.done)
	t := m.opts.Clock.NewTicker(tick)
	defer t.Stop()
	for n := 0; ; n++ {
		m.sample(n)
		select {
		case <-t.C():
		case <-m.stop:
			return
		}
	}
}

// sample is the n-th turn: every one is for the minute, every 60th for the hour,
// every 360th for the day.
func (m *Manager) sample(n int) {
	now := m.opts.Clock.NowMillis()
	put, get := m.messages()
	m.keep(BrokerPutNumsNoSystem, put)
	m.keep(BrokerGetNumsNoSystem, get)
	for _, s := range m.sets {
		for _, it := range s.all() {
			it.sample(now, n)
		}
	}
	m.recordMorning(put, get)
}

// keep shows a total as a counter of the cluster once there is something to show.
func (m *Manager) keep(name string, total int64) {
	if total > 0 {
		m.Item(name, m.opts.Cluster).value.Store(total)
	}
}

// all is a copy of the counters by key.
func (s *set) all() map[string]*Item {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return maps.Clone(s.items)
}

// recordMorning notes the totals at the first turn of a new day.
func (m *Manager) recordMorning(put, get int64) {
	day := m.opts.Clock.Now().YearDay()
	m.morningMu.Lock()
	defer m.morningMu.Unlock()
	if day == m.morning.day {
		return
	}
	m.morning.day = day
	m.morning.putYesterday, m.morning.putToday = m.morning.putToday, put
	m.morning.getYesterday, m.morning.getToday = m.morning.getToday, get
}
