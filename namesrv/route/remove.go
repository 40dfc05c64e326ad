package route

import (
	"maps"
	"slices"

	"github.com/merlinmq/merlin/compat/clock"
)

// Removal takes a broker out (UNREGISTER_BROKER).
type Removal struct {
	Cluster, Addr, Name string
	ID                  int64
	// Conn is the connection of the registration that is meant: one that came since
	// on another connection stays. nil = any.
	Conn Conn
}

// Unregister queues a removal of the broker as it is registered now; false when
// the queue is full.
func (t *Table) Unregister(r Removal) bool {
	if r.Conn == nil {
		t.mu.RLock()
		if l := t.live[brokerKey{r.Cluster, r.Addr}]; l != nil {
			r.Conn = l.conn
		}
		t.mu.RUnlock()
	}
	select {
	case t.removals <- r:
		return true
	default:
		t.log.Warn("removal of a broker refused: the queue is full", "broker", r.Name, "addr", r.Addr)
		return false
	}
}

// Disconnected queues the removal of the brokers that registered on a
// connection that is gone.
func (t *Table) Disconnected(c Conn) {
	t.mu.RLock()
	keys := slices.Collect(maps.Keys(t.byConn[c]))
	t.mu.RUnlock()
	for _, k := range keys {
		t.lost(k, c)
	}
}

// lost queues the removal of a broker that was live on a connection, if its set
// has its address.
func (t *Table) lost(k brokerKey, c Conn) {
	r, ok := Removal{Cluster: k.cluster, Addr: k.addr, Conn: c}, false
	t.mu.RLock()
	if l := t.live[k]; l != nil {
		r.Name, r.ID = l.name, l.id
		set := t.brokers[l.name]
		ok = set != nil && set.cluster == k.cluster && set.addrs[l.id] == k.addr
	}
	t.mu.RUnlock()
	if ok {
		t.log.Info("broker lost", "cluster", r.Cluster, "broker", r.Name, "id", r.ID, "addr", r.Addr, "queued", t.Unregister(r))
	}
}

// run applies removals in batches and scans for silent brokers.
func (t *Table) run(tick clock.Ticker) {
	defer close(t.done)
	defer tick.Stop()
	for {
		select {
		case <-t.stop:
			return
		case <-tick.C():
			t.scan()
		case r := <-t.removals:
			batch := []Removal{r}
			for n := len(t.removals); n > 0; n-- {
				batch = append(batch, <-t.removals)
			}
			t.Remove(batch)
		}
	}
}

// scan closes the connections of brokers that were silent for too long and
// queues their removal.
func (t *Table) scan() {
	now := t.opts.Clock.NowMillis()
	t.mu.RLock()
	late := map[brokerKey]Conn{}
	for k, l := range t.live {
		if l.lastSeen.Load()+l.timeout < now {
			late[k] = l.conn
		}
	}
	t.mu.RUnlock()
	for k, c := range late {
		t.log.Warn("broker is silent", "cluster", k.cluster, "addr", k.addr)
		if c != nil {
			c.Close()
		}
		t.lost(k, c)
	}
}

// Remove takes brokers out at once.
func (t *Table) Remove(rs []Removal) {
	flags := t.opts.Flags()
	t.mu.Lock()
	gone, fewer, changed := map[string]bool{}, map[string]bool{}, map[string]string{}
	for _, r := range rs {
		if l := t.live[brokerKey{r.Cluster, r.Addr}]; l != nil && r.Conn != nil && l.conn != r.Conn {
			t.log.Info("broker stays: it has registered again", "cluster", r.Cluster, "broker", r.Name, "addr", r.Addr)
			continue
		}
		removed, lowest := t.removeLocked(r)
		if removed {
			gone[r.Name] = true
			continue
		}
		fewer[r.Name] = true
		if lowest {
			changed[r.Name] = r.Addr
		}
	}
	t.cleanTopicsLocked(gone, fewer)
	var notices []Notice
	if flags.NotifyMinBrokerIDChanged {
		for name, offline := range changed {
			if set := t.brokers[name]; set != nil && set.actingMaster {
				notices = append(notices, t.noticesLocked(set, offline, "")...)
			}
		}
	}
	t.mu.Unlock()
	for _, n := range notices {
		t.opts.Notify(n)
	}
}

// removeLocked takes one broker out of the live table and of its set. removed
// tells that the set is gone, lowest that the smallest id of the set went.
// REQUIRES: t.mu.
func (t *Table) removeLocked(r Removal) (removed, lowest bool) {
	key := brokerKey{r.Cluster, r.Addr}
	_, alive := t.live[key]
	t.dropLiveLocked(key)
	delete(t.filters, key)
	t.log.Info("broker removed", "cluster", r.Cluster, "broker", r.Name, "id", r.ID, "addr", r.Addr, "wasAlive", alive)
	old := t.brokers[r.Name]
	if old == nil {
		return false, false
	}
	set := old.clone()
	lowest = len(set.addrs) > 0 && r.ID == set.minID()
	maps.DeleteFunc(set.addrs, func(_ int64, addr string) bool { return addr == r.Addr })
	if len(set.addrs) > 0 {
		t.brokers[r.Name] = set
		return false, lowest
	}
	delete(t.brokers, r.Name)
	if names := t.clusters[r.Cluster]; names != nil {
		delete(names, r.Name)
		if len(names) == 0 {
			delete(t.clusters, r.Cluster)
		}
	}
	return true, false
}

// cleanTopicsLocked drops the queues of broker sets that are gone, and takes the
// write permission from those that lost their master and act without one.
// REQUIRES: t.mu.
func (t *Table) cleanTopicsLocked(gone, fewer map[string]bool) {
	for name := range gone {
		for topic := range t.byBroker[name] {
			t.dropQueueLocked(topic, name)
		}
	}
	for name := range fewer {
		set := t.brokers[name]
		if set == nil || !set.actingMaster || len(set.addrs) > 0 && set.minID() <= MasterID {
			continue
		}
		for topic := range t.byBroker[name] {
			t.setPermLocked(topic, name, t.topics[topic][name].Perm&^permWrite)
		}
	}
}

// DeleteTopic forgets a topic: on all brokers, or on those of a cluster
// (DELETE_TOPIC_IN_NAMESRV).
func (t *Table) DeleteTopic(topic, cluster string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if cluster == "" {
		for name := range t.topics[topic] {
			t.dropQueueLocked(topic, name)
		}
		return
	}
	for name := range t.clusters[cluster] {
		t.dropQueueLocked(topic, name)
	}
}

// WipeWritePerm takes the write permission from all topics of a broker set, and
// AddWritePerm gives them read and write. Both tell how many topics there are.
// A registration of the broker that changes its topics undoes it.
func (t *Table) WipeWritePerm(brokerName string) int {
	return t.setPerms(brokerName, func(perm int32) int32 { return perm &^ permWrite })
}

// AddWritePerm is described at WipeWritePerm.
func (t *Table) AddWritePerm(brokerName string) int {
	return t.setPerms(brokerName, func(int32) int32 { return permRead | permWrite })
}

func (t *Table) setPerms(brokerName string, f func(int32) int32) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	for topic := range t.byBroker[brokerName] {
		t.setPermLocked(topic, brokerName, f(t.topics[topic][brokerName].Perm))
	}
	return len(t.byBroker[brokerName])
}
