package route

import (
	"maps"
	"slices"
	"strings"

	"github.com/merlinmq/merlin/protocol/body"
)

// syncGroupPrefix begins the topics by which the members of a broker set know
// each other; their routes never show an acting master
// (SYNC_BROKER_MEMBER_GROUP_PREFIX).
const syncGroupPrefix = "rmq_sys_SYNC_BROKER_MEMBER_"

// Route gives the route of a topic, nil when the topic or all of its brokers are
// unknown. The result is the caller's. Queues and brokers are sorted by name.
func (t *Table) Route(topic string) *body.TopicRouteData {
	t.mu.RLock()
	queues := t.topics[topic]
	static := maps.Clone(t.static[topic])
	sets := make([]*brokerSet, 0, len(queues))
	datas := make([]body.QueueData, 0, len(queues))
	filters := map[string][]string{}
	for name, q := range queues {
		datas = append(datas, q)
		set := t.brokers[name]
		if set == nil {
			continue
		}
		sets = append(sets, set)
		if len(t.filters) > 0 {
			for _, addr := range set.addrs {
				filters[addr] = t.filters[brokerKey{set.cluster, addr}]
			}
		}
	}
	t.mu.RUnlock()
	if len(sets) == 0 {
		return nil
	}
	slices.SortFunc(sets, func(a, b *brokerSet) int { return strings.Compare(a.name, b.name) })
	slices.SortFunc(datas, func(a, b body.QueueData) int { return strings.Compare(a.BrokerName, b.BrokerName) })
	r := &body.TopicRouteData{QueueDatas: datas, FilterServerTable: filters, TopicQueueMappingByBroker: static}
	for _, set := range sets {
		r.BrokerDatas = append(r.BrokerDatas, set.data())
	}
	if t.opts.Flags().SupportActingMaster && !strings.HasPrefix(topic, syncGroupPrefix) {
		showActingMasters(r)
	}
	return r
}

// data is the set as it is sent; its map is a copy.
func (s *brokerSet) data() body.BrokerData {
	return body.BrokerData{
		Cluster: s.cluster, BrokerName: s.name, BrokerAddrs: maps.Clone(s.addrs),
		EnableActingMaster: s.actingMaster, ZoneName: s.zone,
	}
}

// showActingMasters puts the smallest slave of a set without a master and without
// write permission in the master's place.
func showActingMasters(r *body.TopicRouteData) {
	for _, b := range r.BrokerDatas {
		if _, master := b.BrokerAddrs[MasterID]; master || len(b.BrokerAddrs) == 0 || !b.EnableActingMaster {
			continue
		}
		for _, q := range r.QueueDatas {
			if q.BrokerName == b.BrokerName && q.Perm&permWrite == 0 {
				lowest := slices.Min(slices.Collect(maps.Keys(b.BrokerAddrs)))
				b.BrokerAddrs[MasterID] = b.BrokerAddrs[lowest]
				delete(b.BrokerAddrs, lowest)
			}
		}
	}
}

// FilterZone leaves only the brokers of a zone in a route, and those without a
// master, whose slaves must be reachable from everywhere (ZoneRouteRPCHook).
func FilterZone(r *body.TopicRouteData, zone string) {
	removed := map[string]bool{}
	r.BrokerDatas = slices.DeleteFunc(r.BrokerDatas, func(b body.BrokerData) bool {
		_, master := b.BrokerAddrs[MasterID]
		if !master || strings.EqualFold(b.ZoneName, zone) {
			return false
		}
		removed[b.BrokerName] = true
		for _, addr := range b.BrokerAddrs {
			delete(r.FilterServerTable, addr)
		}
		return true
	})
	r.QueueDatas = slices.DeleteFunc(r.QueueDatas, func(q body.QueueData) bool { return removed[q.BrokerName] })
}

// Cluster gives all broker sets and clusters (GET_BROKER_CLUSTER_INFO).
func (t *Table) Cluster() *body.ClusterInfo {
	t.mu.RLock()
	defer t.mu.RUnlock()
	c := &body.ClusterInfo{BrokerAddrTable: map[string]body.BrokerData{}, ClusterAddrTable: map[string][]string{}}
	for name, set := range t.brokers {
		c.BrokerAddrTable[name] = set.data()
	}
	for cluster, names := range t.clusters {
		c.ClusterAddrTable[cluster] = slices.Sorted(maps.Keys(names))
	}
	return c
}

// Members gives the members of a broker set (GET_BROKER_MEMBER_GROUP), with an
// empty table when there are none.
func (t *Table) Members(cluster, name string) *body.BrokerMemberGroup {
	t.mu.RLock()
	defer t.mu.RUnlock()
	g := &body.BrokerMemberGroup{Cluster: cluster, BrokerName: name, BrokerAddrs: map[int64]string{}}
	if set := t.brokers[name]; set != nil {
		g.BrokerAddrs = maps.Clone(set.addrs)
	}
	return g
}

// Topics lists the topics, sorted, that keep says yes to; sysFlag is that of one
// of the broker sets of the topic.
func (t *Table) Topics(keep func(sysFlag int32) bool) *body.TopicList {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var l body.TopicList
	for topic, queues := range t.topics {
		var flag int32
		for _, name := range slices.Sorted(maps.Keys(queues))[:1] {
			flag = queues[name].TopicSysFlag
		}
		if keep == nil || keep(flag) {
			l.TopicList = append(l.TopicList, topic)
		}
	}
	slices.Sort(l.TopicList)
	return &l
}

// ClusterTopics lists the topics that have queues on brokers of a cluster, sorted.
func (t *Table) ClusterTopics(cluster string) *body.TopicList {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var l body.TopicList
	for topic, queues := range t.topics {
		for name := range queues {
			if _, in := t.clusters[cluster][name]; in {
				l.TopicList = append(l.TopicList, topic)
				break
			}
		}
	}
	slices.Sort(l.TopicList)
	return &l
}

// SystemTopics lists the names of clusters and brokers, which are topics, too,
// and one broker that can be asked for the others (GET_SYSTEM_TOPIC_LIST_FROM_NS).
func (t *Table) SystemTopics() *body.TopicList {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var l body.TopicList
	for _, cluster := range slices.Sorted(maps.Keys(t.clusters)) {
		l.TopicList = append(append(l.TopicList, cluster), slices.Sorted(maps.Keys(t.clusters[cluster]))...)
	}
	for _, name := range slices.Sorted(maps.Keys(t.brokers)) {
		if set := t.brokers[name]; len(set.addrs) > 0 {
			l.BrokerAddr = set.addrs[set.minID()]
			break
		}
	}
	return &l
}
