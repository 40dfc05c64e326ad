package client

import (
	"sync"
	"time"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol/body"
)

// LockLife is how long a queue lock lives since it was last renewed
// (rocketmq.broker.rebalance.lockMaxLiveTime).
const LockLife = 60 * time.Second

const (
	// maxLocks bounds the locks of all clients and maxOfClient those of one; a
	// client that locks more queues than that gets the rest refused, as if another
	// had them.
	maxLocks    = 65_536
	maxOfClient = 16_384
	// fewLocks is what every client keeps when there is no room.
	fewLocks = 64
	// maxName is the longest name of a topic, a broker or a group in a lock.
	maxName = 255
	// maxClientID is the longest client id: address, process and instance name.
	maxClientID = 1024
)

// Locks are the queue locks of ordered consumers (RebalanceLockManager), kept in
// memory only: after a restart the clients take them again.
type Locks struct {
	clock clock.Clock
	mu    sync.Mutex // guards what follows; a leaf
	// groups has at most maxLocks locks, expired ones included.
	groups map[string]map[body.MessageQueue]*lock
	owned  map[string]int // locks by client id
	total  int
}

type lock struct {
	clientID string
	renewed  int64 // ms
}

// NewLocks makes an empty table.
func NewLocks(c clock.Clock) *Locks {
	return &Locks{clock: clock.Or(c), groups: map[string]map[body.MessageQueue]*lock{}, owned: map[string]int{}}
}

// Lock takes or renews the queues for a client and gives those it holds
// afterwards, in the order asked for. A queue that another live client holds is
// left out, and so is one for which there is no room: a client has a bound, and
// when all have too many the one with most loses its own.
func (l *Locks) Lock(group string, queues []body.MessageQueue, clientID string) []body.MessageQueue {
	if len(group) > maxName || len(clientID) > maxClientID {
		return nil
	}
	now := l.clock.NowMillis()
	l.mu.Lock()
	defer l.mu.Unlock()
	held := []body.MessageQueue{}
	for _, q := range queues {
		e := l.groups[group][q]
		switch {
		case e != nil && e.clientID == clientID:
			e.renewed = now
		case e != nil && !e.expired(now), len(q.Topic) > maxName, len(q.BrokerName) > maxName:
			continue
		default:
			if !l.roomLocked(clientID) {
				continue
			}
			l.dropLocked(group, q)
			g := l.groups[group]
			if g == nil {
				g = map[body.MessageQueue]*lock{}
				l.groups[group] = g
			}
			g[q] = &lock{clientID: clientID, renewed: now}
			l.owned[clientID]++
			l.total++
		}
		held = append(held, q)
	}
	return held
}

// Len is the number of locks, expired ones included.
func (l *Locks) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// roomLocked reports whether a client may have one more lock, and makes room for
// it if need be. REQUIRES: l.mu.
func (l *Locks) roomLocked(clientID string) bool {
	mine := l.owned[clientID]
	if mine >= maxOfClient {
		return false
	}
	if l.total < maxLocks {
		return true
	}
	hog, most := "", 0
	for id, n := range l.owned {
		if n > most {
			hog, most = id, n
		}
	}
	if most <= fewLocks || most <= mine {
		return false
	}
	l.dropIfLocked(func(e *lock) bool { return e.clientID == hog })
	return true
}

// dropLocked removes one lock, if it is there. REQUIRES: l.mu.
func (l *Locks) dropLocked(group string, q body.MessageQueue) {
	g := l.groups[group]
	e := g[q]
	if e == nil {
		return
	}
	delete(g, q)
	if len(g) == 0 {
		delete(l.groups, group)
	}
	l.total--
	if l.owned[e.clientID]--; l.owned[e.clientID] <= 0 {
		delete(l.owned, e.clientID)
	}
}

// dropIfLocked removes the locks that which chooses. REQUIRES: l.mu.
func (l *Locks) dropIfLocked(which func(*lock) bool) {
	for name, g := range l.groups {
		for q, e := range g {
			if which(e) {
				l.dropLocked(name, q)
			}
		}
	}
}

// Unlock gives back the queues that the client holds; others are left alone.
func (l *Locks) Unlock(group string, queues []body.MessageQueue, clientID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groups[group]
	for _, q := range queues {
		if e := g[q]; e != nil && e.clientID == clientID {
			l.dropLocked(group, q)
		}
	}
}

// AnyLive reports whether the group holds an unexpired lock: it counts as
// ordered then.
func (l *Locks) AnyLive(group string) bool {
	now := l.clock.NowMillis()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.groups[group] {
		if !e.expired(now) {
			return true
		}
	}
	return false
}

// Sweep drops expired locks; the housekeeping calls it.
func (l *Locks) Sweep() {
	now := l.clock.NowMillis()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropIfLocked(func(e *lock) bool { return e.expired(now) })
}

func (e *lock) expired(now int64) bool { return now-e.renewed > LockLife.Milliseconds() }
