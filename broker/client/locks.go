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

// Locks are the queue locks of ordered consumers (RebalanceLockManager), kept in
// memory only: after a restart the clients take them again.
type Locks struct {
	clock clock.Clock
	mu    sync.Mutex // guards groups; a leaf
	// groups is bounded by the groups that may exist and their queues.
	groups map[string]map[body.MessageQueue]*lock
}

type lock struct {
	clientID string
	renewed  int64 // ms
}

// NewLocks makes an empty table.
func NewLocks(c clock.Clock) *Locks {
	return &Locks{clock: clock.Or(c), groups: map[string]map[body.MessageQueue]*lock{}}
}

// Lock takes or renews the queues for a client and gives those it holds
// afterwards, in the order asked for. A queue that another live client holds is
// left out.
func (l *Locks) Lock(group string, queues []body.MessageQueue, clientID string) []body.MessageQueue {
	now := l.clock.NowMillis()
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groups[group]
	if g == nil {
		g = map[body.MessageQueue]*lock{}
		l.groups[group] = g
	}
	held := make([]body.MessageQueue, 0, len(queues))
	for _, q := range queues {
		e := g[q]
		if e == nil || e.expired(now) || e.clientID == clientID {
			g[q] = &lock{clientID: clientID, renewed: now}
			held = append(held, q)
		}
	}
	return held
}

// Unlock gives back the queues that the client holds; others are left alone.
func (l *Locks) Unlock(group string, queues []body.MessageQueue, clientID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groups[group]
	for _, q := range queues {
		if e := g[q]; e != nil && e.clientID == clientID {
			delete(g, q)
		}
	}
	if len(g) == 0 {
		delete(l.groups, group)
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
	for name, g := range l.groups {
		for q, e := range g {
			if e.expired(now) {
				delete(g, q)
			}
		}
		if len(g) == 0 {
			delete(l.groups, name)
		}
	}
}

func (e *lock) expired(now int64) bool { return now-e.renewed > LockLife.Milliseconds() }
