package route

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
)

// Registration is what a broker tells about itself (REGISTER_BROKER). The table
// keeps copies of its strings, and its maps.
type Registration struct {
	Cluster, Addr, Name string
	ID                  int64
	HAServer, Zone      string
	Timeout             wire.Opt[int64] // heartbeatTimeoutMillis
	ActingMaster        wire.Opt[bool]  // absent: a broker before 5.0
	Topics              *body.TopicConfigAndMappingSerializeWrapper
	FilterServers       []string // nil: not told
	Conn                Conn
}

// Registered is the answer to a registration: for slaves whose master is alive,
// where it is.
type Registered struct{ HAServer, MasterAddr string }

// ErrSingleTopic refuses the registration of one topic by a broker that is not
// known: it is taken for an increment.
var ErrSingleTopic = errors.New("route: a broker that is not registered registers a single topic")

func (r *Registration) own() {
	for _, s := range []*string{&r.Cluster, &r.Addr, &r.Name, &r.HAServer, &r.Zone} {
		*s = strings.Clone(*s)
	}
}

// Register enters a broker and its topics.
func (t *Table) Register(r Registration) (Registered, error) {
	r.own()
	flags := t.opts.Flags()
	t.mu.Lock()
	res, notices, err := t.registerLocked(&r, flags)
	t.mu.Unlock()
	for _, n := range notices {
		t.opts.Notify(n)
	}
	return res, err
}

func (t *Table) registerLocked(r *Registration, flags Flags) (res Registered, notices []Notice, err error) {
	first, set, lower := t.enterLocked(r)
	key := brokerKey{r.Cluster, r.Addr}
	version := r.Topics.DataVersion
	if old, ok := set.addrs[r.ID]; ok && old != r.Addr {
		if l := t.live[brokerKey{r.Cluster, old}]; l != nil && l.version.StateVersion > version.StateVersion {
			t.log.Warn("registration ignored: another address of the same broker has a newer state",
				"cluster", r.Cluster, "broker", r.Name, "id", r.ID, "have", old, "refused", r.Addr)
			t.dropLiveLocked(key)
			return res, nil, nil
		}
	}
	if _, known := set.addrs[r.ID]; !known && len(r.Topics.TopicConfigTable) == 1 {
		t.log.Warn("registration refused: one topic of an unknown broker", "broker", r.Name, "id", r.ID, "addr", r.Addr)
		return res, nil, ErrSingleTopic
	}
	first = first || set.addrs[r.ID] == ""
	set.addrs[r.ID] = r.Addr
	t.topicsLocked(r, set, first, flags)

	if t.live[key] == nil {
		t.log.Info("broker registered", "cluster", r.Cluster, "broker", r.Name, "id", r.ID, "addr", r.Addr)
	}
	l := &liveBroker{
		name: r.Name, id: r.ID,
		lastSeen: new(atomic.Int64), timeout: r.Timeout.Or(DefaultExpiry.Milliseconds()),
		version: version, haServer: r.HAServer, conn: r.Conn,
	}
	l.lastSeen.Store(t.opts.Clock.NowMillis())
	t.setLiveLocked(key, l)
	if r.FilterServers != nil {
		delete(t.filters, key)
		if len(r.FilterServers) > 0 {
			t.filters[key] = r.FilterServers
		}
	}
	if master, ok := set.addrs[MasterID]; ok && r.ID != MasterID {
		if m := t.live[brokerKey{r.Cluster, master}]; m != nil {
			res = Registered{HAServer: m.haServer, MasterAddr: master}
		}
	}
	if lower && flags.NotifyMinBrokerIDChanged {
		notices = t.noticesLocked(set, "", r.HAServer)
	}
	return res, notices, nil
}

// enterLocked makes the set of the broker know who is registering, and gives a
// fresh copy of it that is in the table already. It stays there even when the
// registration is refused afterwards, as in Java. lower tells that the broker has
// the smallest id of a set that had others. REQUIRES: t.mu.
func (t *Table) enterLocked(r *Registration) (first bool, set *brokerSet, lower bool) {
	if t.clusters[r.Cluster] == nil {
		t.clusters[r.Cluster] = map[string]struct{}{}
	}
	t.clusters[r.Cluster][r.Name] = struct{}{}
	old := t.brokers[r.Name]
	if first = old == nil; first {
		set = &brokerSet{cluster: r.Cluster, name: r.Name, addrs: map[int64]string{}}
	} else {
		set = old.clone()
	}
	set.actingMaster, set.zone = r.ActingMaster.Or(false), r.Zone
	lower = len(set.addrs) > 0 && r.ID < set.minID()
	// One address has one id: a slave that became master leaves its old one.
	maps.DeleteFunc(set.addrs, func(id int64, addr string) bool { return addr == r.Addr && id != r.ID })
	t.brokers[r.Name] = set
	return first, set, lower
}

// topicsLocked takes over the topics of a registration. Only the master tells
// them, or the slave with the smallest id when it is a 5.x broker.
// REQUIRES: t.mu.
func (t *Table) topicsLocked(r *Registration, set *brokerSet, first bool, flags Flags) {
	prime := r.ActingMaster.Set && r.ID != MasterID && r.ID == set.minID()
	if r.ID != MasterID && !prime {
		return
	}
	w := r.Topics
	if flags.DeleteTopicWithBrokerRegistration && len(w.TopicQueueMappingInfoMap) == 0 {
		for topic := range t.byBroker[r.Name] {
			if _, still := w.TopicConfigTable[topic]; !still {
				t.dropQueueLocked(topic, r.Name)
			}
		}
	}
	changed := t.changedLocked(r.Cluster, r.Addr, &w.DataVersion)
	for _, cfg := range w.TopicConfigTable {
		if _, have := t.topics[cfg.TopicName][r.Name]; have && !first && !changed {
			continue
		}
		perm := cfg.Perm
		if prime && set.actingMaster {
			perm &^= permWrite
		}
		t.putQueueLocked(cfg.TopicName, body.QueueData{
			BrokerName: r.Name, ReadQueueNums: cfg.ReadQueueNums, WriteQueueNums: cfg.WriteQueueNums,
			Perm: perm, TopicSysFlag: cfg.TopicSysFlag,
		})
	}
	if !changed && !first {
		return
	}
	for topic, info := range w.TopicQueueMappingInfoMap {
		if t.static[topic] == nil {
			t.static[topic] = map[string]body.TopicQueueMappingInfo{}
		}
		t.static[topic][info.Bname] = info
	}
}

// changedLocked compares a version with the one that is known. REQUIRES: t.mu.
func (t *Table) changedLocked(cluster, addr string, v *body.DataVersion) bool {
	l := t.live[brokerKey{cluster, addr}]
	return l == nil || v == nil || l.version != *v
}

// Query answers QUERY_DATA_VERSION: whether the broker's version differs from
// the known one, and that one, nil when there is none. It counts as a sign of
// life.
func (t *Table) Query(cluster, addr string, v *body.DataVersion) (changed bool, known *body.DataVersion) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if l := t.live[brokerKey{cluster, addr}]; l != nil {
		l.lastSeen.Store(t.opts.Clock.NowMillis())
		own := l.version
		known = &own
	}
	return t.changedLocked(cluster, addr, v), known
}

// Heartbeat is a sign of life of a broker (BROKER_HEARTBEAT).
func (t *Table) Heartbeat(cluster, addr string) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if l := t.live[brokerKey{cluster, addr}]; l != nil {
		l.lastSeen.Store(t.opts.Clock.NowMillis())
	}
}

// RegisterTopic enters the queues of one topic (REGISTER_TOPIC_IN_NAMESRV). It
// stops at the first broker name that is not known: of a new topic nothing is
// entered then, of a known one what came before.
func (t *Table) RegisterTopic(topic string, queues []body.QueueData) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, exists := t.topics[topic]
	for i, q := range queues {
		if t.brokers[q.BrokerName] == nil {
			t.log.Warn("topic registered with an unknown broker", "topic", topic, "broker", q.BrokerName)
			if !exists {
				return
			}
			queues = queues[:i]
			break
		}
	}
	for _, q := range queues {
		t.putQueueLocked(topic, q)
	}
}

// noticesLocked are the messages about a new smallest id of a set: to all others
// when a broker came, to all that are left when offline has gone.
// REQUIRES: t.mu.
func (t *Table) noticesLocked(set *brokerSet, offline, haServer string) []Notice {
	if len(set.addrs) == 0 {
		return nil
	}
	lowest := set.minID()
	h := header.NotifyMinBrokerIdChangeRequest{
		MinBrokerID: wire.Some(lowest), MinBrokerAddr: wire.Some(set.addrs[lowest]),
		OfflineBrokerAddr: some(offline), HaBrokerAddr: some(haServer),
	}
	var ns []Notice
	for _, id := range slices.Sorted(maps.Keys(set.addrs)) {
		if offline != "" || len(set.addrs) == 1 || id != lowest {
			ns = append(ns, Notice{To: set.addrs[id], Header: h})
		}
	}
	return ns
}

// some is a string header field that is null when empty.
func some(s string) wire.OptString {
	if s == "" {
		return wire.OptString{}
	}
	return wire.Some(s)
}
