package broker

import (
	"github.com/merlinmq/merlin/broker/admin"
	"github.com/merlinmq/merlin/broker/clientmanage"
	"github.com/merlinmq/merlin/broker/consumeroffset"
	"github.com/merlinmq/merlin/broker/pull"
	"github.com/merlinmq/merlin/broker/put"
	"github.com/merlinmq/merlin/broker/query"
	"github.com/merlinmq/merlin/broker/reply"
	"github.com/merlinmq/merlin/broker/send"
	"github.com/merlinmq/merlin/broker/txn"
	"github.com/merlinmq/merlin/broker/view"
	"github.com/merlinmq/merlin/remoting"
)

// handlers are the verbs.
type handlers struct {
	send    *send.Handler
	pull    *pull.Handler
	clients *clientmanage.Handler
	offsets *consumeroffset.Handler
	query   *query.Handler
	admin   *admin.Handler
	txn     *txn.Service
	reply   *reply.Handler
}

func (b *Broker) newHandlers(l *lanes) *handlers {
	o := &b.opts
	return &handlers{
		query: query.New(query.Deps{Config: o.Config, Store: b.store, Logger: b.log}),
		admin: admin.New(admin.Deps{
			Config: o.Config, Topics: b.topics, Groups: b.groups, Offsets: b.offsets, Consumers: b.consumers,
			Producers: b.producers, Stats: b.stats, Store: b.store, Delay: b.delay, Clock: o.Clock, Logger: b.log,
			Addr:     b.told,
			Lanes:    admin.Lanes{Send: l.send, Pull: l.pull, LitePull: l.pull, Query: l.query, EndTransaction: l.transaction},
			Register: b.registrar.All, Told: b.registrar.Told, Active: func() bool { return b.services.Role().IsMaster() },
		}),
		send: send.New(send.Deps{
			Config: o.Config, Topics: b.topics, Groups: b.groups, Locks: b.locks, Store: b.store, Put: b.put, Stats: b.stats,
			Told: b.registrar.Told, IDs: put.NewIDs(b.addr.Addr(), uint16(o.Process), uint32(o.Rand(1<<31)), o.Clock.Now),
			Clock: o.Clock, Logger: b.log, Rand: o.Rand, StoreHost: b.addr,
		}),
		pull: pull.New(pull.Deps{
			Config: o.Config, Topics: b.topics, Groups: b.groups, Consumers: b.consumers, Offsets: b.offsets,
			Store: b.store, Stats: b.stats, Hold: b.hold, Clock: o.Clock, Logger: b.log,
		}),
		clients: clientmanage.New(clientmanage.Deps{
			Config: o.Config, Topics: b.topics, Groups: b.groups, Consumers: b.consumers, Producers: b.producers,
			Locks: b.locks, Stats: b.stats, Clock: o.Clock, Logger: b.log, Told: b.registrar.Told,
		}),
		txn: b.txn,
		reply: reply.New(reply.Deps{
			Config: o.Config, Topics: b.topics, Producers: b.producers, Put: b.put,
			Clock: o.Clock, Logger: b.log, Rand: o.Rand, StoreHost: b.addr, Told: b.registrar.Told,
		}),
		offsets: consumeroffset.New(consumeroffset.Deps{
			Config: o.Config, Topics: b.topics, Groups: b.groups, Offsets: b.offsets, Store: b.store, Logger: b.log,
		}),
	}
}

// newView shows what b has. REQUIRES: the servers are made.
func (b *Broker) newView(l *lanes) *view.View {
	return view.New(view.Deps{
		Role: b.services.Role, Topics: b.topics, Groups: b.groups, Offsets: b.offsets, Consumers: b.consumers, Producers: b.producers,
		Store: b.store, Hold: b.hold, Lanes: l.all(), Budget: b.budget, Latencies: b.latencies, Clock: b.opts.Clock,
		Connections: b.connections,
	})
}

// connections counts those of both ports, and the encrypted ones.
func (b *Broker) connections() (open, tls int) {
	for _, s := range []*remoting.Server{b.server, b.fast} {
		if s == nil {
			continue
		}
		for _, c := range s.Conns() {
			if open++; c.TLS() {
				tls++
			}
		}
	}
	return open, tls
}
