// Package broker is the message broker: it wires the store, the state packages
// (topic, group, offset, client, stats, filter) and the verbs (send, pull,
// clientmanage, consumeroffset, query, admin, delay, txn, reply) together and serves them on the network.
//
// Goroutines: one for housekeeping, from Start to Shutdown; everything else
// belongs to the packages below. Nobody but this file holds a *Broker.
package broker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/merlinmq/merlin/broker/client"
	"github.com/merlinmq/merlin/broker/cluster"
	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/delay"
	"github.com/merlinmq/merlin/broker/group"
	"github.com/merlinmq/merlin/broker/hold"
	"github.com/merlinmq/merlin/broker/local"
	"github.com/merlinmq/merlin/broker/offset"
	"github.com/merlinmq/merlin/broker/put"
	"github.com/merlinmq/merlin/broker/role"
	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/broker/txn"
	"github.com/merlinmq/merlin/broker/view"
	"github.com/merlinmq/merlin/compat/budget"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/compat/loglimit"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/remoting"
	"github.com/merlinmq/merlin/store"
)

// housekeepingEvery is the time between looks at silent clients
// (ClientHousekeepingService).
const housekeepingEvery = 10 * time.Second

// groupCost is what a consumer group may cost with its retry topic, in the tables
// here and at the name server, in their files and in each registration.
const groupCost = 8 << 10

// parkedLimit bounds the parked requests.
const parkedLimit = 100_000

// Options configure a Broker. Only Config and Rand have to be given.
type Options struct {
	Config *config.Holder
	Clock  clock.Clock      // nil = the machine's
	Logger *slog.Logger     // nil = discard
	Files  configfile.Files // nil = the machine's disk
	// Store overrides parts of the store's options (file system, for tests); the
	// settings of Config are filled in afterwards.
	Store store.Options
	// Rand gives a random number from 0 to n-1.
	Rand func(n int) int
	// TLS is asked when a connection begins with a TLS handshake
	// (remoting.SelfSigned); nil = such connections are closed.
	TLS func() (*tls.Config, error)
	// Memory is how many bytes the process's heap may have (budget.Machine); the default of
	// what peers may make the broker keep comes from it. 0 = not known.
	Memory int64
	// Process stands in message ids (process id).
	Process int
	// Admit are asked about every request, in this order, before anything is done for
	// it, and may refuse or rewrite it; Observe are told of every request that was
	// answered. See remoting.Admission and remoting.Observer for what they must not do.
	Admit   []remoting.Admission
	Observe []remoting.Observer
}

// Broker is a running broker.
type Broker struct {
	opts Options
	log  *slog.Logger

	store     *store.Store
	put       *put.Pipeline
	topics    *topic.Table
	groups    *group.Table
	offsets   *offset.Table
	consumers *client.Consumers
	producers *client.Producers
	locks     *client.Locks
	stats     *stats.Manager
	hold      *hold.Service
	delay     *delay.Service
	txn       *txn.Service   // from Start on
	recovered *txn.Recovered // until Start
	registrar *cluster.Registrar
	client    *remoting.Client
	server    *remoting.Server
	fast      *remoting.Server // listen port - 2, nil when its port is taken
	routes    *remoting.Routes
	latencies *stats.Latencies // of both ports
	inside    *remoting.LocalServer
	view      *view.View     // from Start on
	budget    *budget.Budget // of both ports
	addr      netip.AddrPort
	told      string // the address that clients are told: brokerIP1 as it is written, and the port
	started   int64  // ms
	services  role.Services
	poison    bool // tests: frames are overwritten after their handlers

	unfollow func() // ends what follows the configuration

	stop chan struct{}
	done sync.WaitGroup
}

// New opens the store and loads what is kept on disk; it recovers the store when
// it was not closed cleanly. Nothing listens yet.
func New(opts Options) (*Broker, error) {
	opts.Clock = clock.Or(opts.Clock)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	opts.Logger = loglimit.New(opts.Logger, opts.Clock)
	if opts.Files == nil {
		opts.Files = configfile.OS()
	}
	b := &Broker{opts: opts, log: opts.Logger, stop: make(chan struct{})}
	cfg := opts.Config.Get()
	b.budget = budget.For(cfg.PeerMemoryBytes, cfg.PeerShareBytes, opts.Memory)
	b.hold = hold.New(hold.Options{
		Clock:     opts.Clock,
		Limit:     parkedLimit,
		MaxOffset: func(name string, queueID int32) int64 { return b.store.MaxOffset(name, queueID) },
	})
	b.stats = stats.New(stats.Options{
		Clock: opts.Clock, Logger: opts.Logger, Cluster: cfg.BrokerClusterName, NoDetails: !cfg.EnableDetailStat,
		System: func(name string) bool { return b.topics.IsSystem(name) },
	})
	if err := b.openStore(); err != nil {
		return nil, err
	}
	b.unfollow = b.followStore()
	b.addState()
	if err := b.load(); err != nil {
		b.unfollow()
		return nil, errors.Join(err, b.store.Close())
	}
	return b, nil
}

func (b *Broker) openStore() error {
	o := b.opts.Store
	storeOptions(&o, b.opts.Config.Get())
	b.recovered = new(txn.Recovered)
	o.Clock, o.Logger, o.Arrived, o.Recovered = b.opts.Clock, b.log, b.hold.Arrived, b.recovered.Note
	var err error
	if b.store, err = store.Open(o); err != nil {
		return err
	}
	b.put = put.New(put.Options{Store: b.store, Levels: put.Levels(b.opts.Config.Get().DelayLevels()), Stats: b.stats, Clock: b.opts.Clock})
	return nil
}

// load reads the files below config/.
func (b *Broker) load() error {
	cfg := b.opts.Config.Get()
	dir := filepath.Join(cfg.StorePathRootDir, "config")
	now := b.opts.Clock.NowMillis
	var err error
	b.topics, err = topic.Load(topic.Options{
		Files: b.opts.Files, Path: filepath.Join(dir, "topics.json"), Logger: b.log, Now: now,
		Config: func() topic.Config { return topicConfig(b.opts.Config.Get()) },
		Changed: func(c body.TopicConfig) {
			if b.registrar != nil {
				b.registrar.Changed(c.TopicName)
			}
		},
	})
	if err != nil {
		return err
	}
	b.groups, err = group.Load(group.Options{
		Files: b.opts.Files, Path: filepath.Join(dir, "subscriptionGroup.json"), Logger: b.log, Now: now,
		Limit: int(min(group.DefaultLimit, b.budget.Limit()/groupCost)),
		Config: func() group.Config {
			c := b.opts.Config.Get()
			return group.Config{AutoCreate: c.AutoCreateSubscriptionGroup, CreateSystem: c.EnableCreateSysGroup}
		},
	})
	if err != nil {
		return err
	}
	b.offsets, err = offset.Load(offset.Options{
		Files: b.opts.Files, Path: filepath.Join(dir, "consumerOffset.json"), Logger: b.log, Now: now,
		VersionStep: cfg.ConsumerOffsetUpdateVersionStep,
	})
	if err != nil {
		return err
	}
	b.delay, err = delay.Load(delay.Options{
		Store: b.store, Put: b.put, Levels: put.Levels(cfg.DelayLevels()), Files: b.opts.Files,
		Path: filepath.Join(dir, "delayOffset.json"), PersistEvery: cfg.FlushDelayOffsetInterval.Duration(),
		Clock: b.opts.Clock, Logger: b.log,
		Count: func() bool { return b.opts.Config.Get().EnableScheduleMessageStats },
	})
	if err != nil {
		return err
	}
	b.tellLost(dir)
	b.consumers = client.NewConsumers(client.ConsumerOptions{
		Clock: b.opts.Clock, Logger: b.log, Expiry: cfg.ChannelExpiredTimeout.Duration(),
		SubscriptionExpiry: cfg.SubscriptionExpiredTimeout.Duration(),
		Notify:             func() bool { return b.opts.Config.Get().NotifyConsumerIDsChangedEnable },
	})
	b.producers = client.NewProducers(b.opts.Clock, b.log)
	b.locks = client.NewLocks(b.opts.Clock)
	return nil
}

func topicConfig(c *config.Config) topic.Config {
	return topic.Config{
		ClusterName: c.BrokerClusterName, BrokerName: c.BrokerName, AutoCreateTopic: c.AutoCreateTopicEnable,
		DefaultQueues: c.DefaultTopicQueueNums, ClusterTopic: c.ClusterTopicEnable, BrokerTopic: c.BrokerTopicEnable,
		TraceTopic: c.TraceTopicEnable, TraceTopicName: c.MsgTraceTopicName, ReviveQueues: c.ReviveQueueNum, TimerTopic: true,
	}
}

// Start listens, registers with the name servers and begins to serve. An address
// that is taken is an error that names it.
func (b *Broker) Start() error {
	cfg := b.opts.Config.Get()
	main, fast, err := listen(cfg)
	if err != nil {
		return err
	}
	port := main.Addr().(*net.TCPAddr).Port
	b.started = b.opts.Clock.NowMillis()
	if b.addr, err = storeHost(cfg.BrokerIP1, port); err != nil {
		return errors.Join(err, main.Close(), closeListener(fast))
	}
	b.told = config.JoinAddr(cfg.BrokerIP1, port)
	b.client = remoting.NewClient(remoting.ClientOptions{Clock: b.opts.Clock, Logger: b.log})
	b.registrar = cluster.New(cluster.Options{
		Client: b.client, Config: b.opts.Config, Topics: b.topics, Clock: b.opts.Clock, Logger: b.log,
		Addr: b.told,
	})
	b.txn, err = txn.New(txn.Deps{
		Config: b.opts.Config, Topics: b.topics, Offsets: b.offsets, Producers: b.producers, Store: b.store, Put: b.put, Stats: b.stats,
		Clock: b.opts.Clock, Logger: b.log, StoreHost: b.addr,
		Recovered: b.recovered,
	})
	if err != nil {
		return errors.Join(err, main.Close(), closeListener(fast))
	}
	b.recovered = nil
	l := newLanes(b.opts.Config)
	h := b.newHandlers(l)
	b.routes = newRoutes(h, l, false)
	b.latencies = stats.NewLatencies(b.routes.Codes())
	b.watch(b.routes)
	b.inside = remoting.NewLocalServer(remoting.LocalOptions{Routes: b.routes, Clock: b.opts.Clock, Logger: b.log,
		Budget: b.budget, Closed: b.gone})
	b.server = b.newServer(main, b.routes)
	if fast != nil {
		routes := newRoutes(h, l, true)
		b.watch(routes)
		b.fast = b.newServer(fast, routes)
	}
	b.view = b.newView(l)
	b.addServices()
	r, err := role.Parse(cfg.BrokerRole, cfg.BrokerID)
	if err != nil {
		return err
	}
	return b.services.Start(r)
}

// watch lets what was asked for see the requests before they are handled and after
// they are answered.
func (b *Broker) watch(routes *remoting.Routes) {
	for _, a := range b.opts.Admit {
		routes.Admit(a)
	}
	l := b.latencies
	routes.Observe(func(o remoting.Observation) { l.Add(o.Peer, o.Code, o.Response, o.Answered-o.Arrived) })
	for _, f := range b.opts.Observe {
		routes.Observe(f)
	}
}

// View shows the state of the broker, from Start to Shutdown; it is nil before.
func (b *Broker) View() *view.View { return b.view }

// closeListener closes a listener that may not be there.
func closeListener(l net.Listener) error {
	if l == nil {
		return nil
	}
	return l.Close()
}

func (b *Broker) newServer(l net.Listener, routes *remoting.Routes) *remoting.Server {
	cfg := b.opts.Config.Get()
	return remoting.NewServer(remoting.ServerOptions{
		Listener: l, Routes: routes, Clock: b.opts.Clock, Logger: b.log, Events: b.event,
		GoAway: cfg.EnableShutdownGracefully, PoisonFrames: b.poison, TLS: b.opts.TLS,
		IdleTimeout: clock.Span(int64(cfg.ServerChannelMaxIdleTimeSeconds), time.Second),
		Budget:      b.budget, Limits: remoting.Limits{FrameTimeout: cfg.FrameTimeoutMillis.Duration()},
	})
}

// event follows the connections of clients. It does not block: what it does is
// taking entries out of maps and queueing notices.
func (b *Broker) event(e remoting.Event) {
	switch e.Kind {
	case remoting.Connected:
		b.stats.Channel(stats.ChannelConnect)
	case remoting.Idle:
		b.stats.Channel(stats.ChannelIdle)
	case remoting.Error:
		b.stats.Channel(stats.ChannelException)
	case remoting.Closed:
		b.stats.Channel(stats.ChannelClose)
		b.gone(e.Conn)
	}
}

// gone forgets a client that has gone.
func (b *Broker) gone(p remoting.Peer) {
	b.consumers.Closed(p)
	b.producers.Closed(p)
	b.hold.Forget(p)
}

// Connect makes a client inside the process, from Start to Shutdown; before and after,
// its calls fail. The client must be closed.
func (b *Broker) Connect(o remoting.LocalConnOptions) (*local.Client, error) {
	if b.inside == nil {
		return nil, fmt.Errorf("broker: connect: %w", remoting.ErrClosed)
	}
	return local.New(b.inside.Connect(o)), nil
}

// Addr is the address that is told to clients.
func (b *Broker) Addr() string { return b.addr.String() }

// Codes lists the request codes that are served.
func (b *Broker) Codes() []protocol.Code { return b.routes.Codes() }
