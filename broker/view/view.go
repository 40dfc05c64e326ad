// Package view shows the state of a broker to who only looks: metrics, a console,
// explanations. It changes nothing and keeps nothing; each method reads what is there
// now.
//
// A scrape does not get in the way of a send. It takes none of the locks that a send
// holds for itself: numbers are atomic, tables are copied under their own locks, which
// sends do not need once a topic is there, and of the store only the read side of
// consumequeue.Set.mu is taken, which sends take together. It owns no goroutine and no
// lock.
package view

import (
	"iter"

	"github.com/merlinmq/merlin/broker/client"
	"github.com/merlinmq/merlin/broker/group"
	"github.com/merlinmq/merlin/broker/hold"
	"github.com/merlinmq/merlin/broker/offset"
	"github.com/merlinmq/merlin/broker/role"
	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/compat/budget"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/remoting"
)

// Store is what is shown of the message store.
type Store interface {
	MinOffset(topic string, queueID int32) int64
	MaxOffset(topic string, queueID int32) int64
	QueueIDs(topic string) []int32
	MinPhyOffset() int64
	MaxPhyOffset() int64
	FlushedOffset() int64
	DispatchBehind() int64
	Writable() error
	LockedFor() int64
}

// Deps are what is looked at.
type Deps struct {
	Role      func() role.Snapshot
	Topics    *topic.Table
	Groups    *group.Table
	Offsets   *offset.Table
	Consumers *client.Consumers
	Producers *client.Producers
	Store     Store
	Hold      *hold.Service
	Lanes     []*remoting.Lane
	Budget    *budget.Budget // nil = there is none
	Latencies *stats.Latencies
	// Connections counts the open connections of all ports, and those that are encrypted.
	Connections func() (open, tls int)
	Clock       clock.Clock
}

// View is the state of a broker. All methods may be called from any goroutine, from
// the start of the broker to its shutdown.
type View struct{ d Deps }

// New makes a view.
func New(d Deps) *View { return &View{d} }

// Role is what the broker is.
func (v *View) Role() role.Snapshot { return v.d.Role() }

// Queue is the bounds of a queue: the offset of the first message, and of the next.
type Queue struct {
	ID       int32
	Min, Max int64
}

// Topic is a topic with the queues that have had messages.
type Topic struct {
	Config *body.TopicConfig // nobody changes it
	System bool
	Queues []Queue
}

// Topics walks the topics by name.
func (v *View) Topics() iter.Seq[Topic] {
	return func(yield func(Topic) bool) {
		all, _ := v.d.Topics.All()
		for _, c := range all {
			t := Topic{Config: c, System: v.d.Topics.IsSystem(c.TopicName)}
			for _, id := range v.d.Store.QueueIDs(c.TopicName) {
				t.Queues = append(t.Queues, Queue{id, v.d.Store.MinOffset(c.TopicName, id), v.d.Store.MaxOffset(c.TopicName, id)})
			}
			if !yield(t) {
				return
			}
		}
	}
}

// Group is a consumer group.
type Group struct {
	Config  *body.SubscriptionGroupConfig // nobody changes it
	Members []string                      // client ids of those that are connected
}

// Groups walks the consumer groups by name.
func (v *View) Groups() iter.Seq[Group] {
	return func(yield func(Group) bool) {
		all, _ := v.d.Groups.All()
		for _, c := range all {
			g := Group{Config: c}
			if live := v.d.Consumers.Find(c.GroupName); live != nil {
				g.Members = live.ClientIDs()
			}
			if !yield(g) {
				return
			}
		}
	}
}

// Lag is how far a group has come in a queue.
type Lag struct {
	Group, Topic string
	QueueID      int32
	Committed    int64 // the next message that it consumes
	Pulled       int64 // the next message that it pulls, at least Committed
	Max          int64 // the next message that comes
}

// Behind is how many messages are not consumed.
func (l Lag) Behind() int64 { return max(0, l.Max-l.Committed) }

// Lags walks the queues that groups have committed an offset of, in no order.
func (v *View) Lags() iter.Seq[Lag] {
	return func(yield func(Lag) bool) {
		more := true
		v.d.Offsets.Each(func(k offset.Key, queues map[int32]int64) {
			for id, at := range queues {
				if more {
					more = yield(Lag{Group: k.Group, Topic: k.Topic, QueueID: id, Committed: at,
						Pulled: max(at, v.d.Offsets.QueryPull(k.Topic, k.Group, id)), Max: v.d.Store.MaxOffset(k.Topic, id)})
				}
			}
		})
	}
}

// Clients counts who is there.
type Clients struct {
	Connections    int // open ones, of all ports
	TLS            int // of these, encrypted
	ProducerGroups int // with a live member
	ConsumerGroups int // with a live member
	Parked         int // requests that wait for messages
}

// Clients counts who is there now.
func (v *View) Clients() Clients {
	c := Clients{ProducerGroups: len(v.d.Producers.Groups()), ConsumerGroups: len(v.d.Consumers.All()), Parked: v.d.Hold.Parked()}
	c.Connections, c.TLS = v.d.Connections()
	return c
}

// Lane is a class of requests.
type Lane struct {
	Name     string
	Busy     int   // requests in work, those that wait for a worker or are parked included
	Capacity int   // how many there may be
	Queued   int   // those that wait for a worker; 0 in lanes without workers
	HeadWait int64 // ms, for how long the oldest of them has waited
}

// Lanes walks the lanes. That of sends has no queue, and no lock that a send takes.
func (v *View) Lanes() iter.Seq[Lane] {
	return func(yield func(Lane) bool) {
		now := v.d.Clock.NowMillis()
		for _, l := range v.d.Lanes {
			out := Lane{Name: l.Name, Busy: l.Busy(), Capacity: l.Capacity}
			if out.Capacity == 0 {
				out.Capacity = remoting.DefaultLaneCapacity
			}
			if !l.Inline {
				out.Queued, out.HeadWait = l.Queued(), l.HeadWait(now)
			}
			if !yield(out) {
				return
			}
		}
	}
}

// Log is the state of the store: offsets in the commit log.
type Log struct {
	Min, Max int64 // where it begins and ends
	Flushed  int64 // up to where it is durable
	// DispatchBehind is how many bytes of it consumers cannot see yet.
	DispatchBehind int64
	// LockedFor is for how many ms an append has been under way without a break
	// (pageCacheLockTimeMills).
	LockedFor int64
	// Refuses says why no message is taken now, nil when they are.
	Refuses error
}

// Log is the state of the store now.
func (v *View) Log() Log {
	s := v.d.Store
	return Log{Min: s.MinPhyOffset(), Max: s.MaxPhyOffset(), Flushed: s.FlushedOffset(), DispatchBehind: s.DispatchBehind(),
		LockedFor: s.LockedFor(), Refuses: s.Writable()}
}

// Memory is what the broker keeps for its peers, in bytes.
type Memory struct {
	Used  int64
	Limit int64 // 0 = there is none
	Share int64 // of one peer
}

// Memory is what the broker keeps for its peers now.
func (v *View) Memory() Memory {
	return Memory{Used: v.d.Budget.Used(), Limit: v.d.Budget.Limit(), Share: v.d.Budget.Share()}
}

// Latencies walks how long requests took, by request and response code.
func (v *View) Latencies() iter.Seq[stats.Latency] { return v.d.Latencies.Each() }
