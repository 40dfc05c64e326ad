package namesrv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/merlinmq/merlin/compat/budget"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/compat/loglimit"
	"github.com/merlinmq/merlin/namesrv/kv"
	"github.com/merlinmq/merlin/namesrv/route"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// noticeTimeout is how long a notice to a broker may take, the connecting
// included, and noticeQueue how many may wait.
const (
	noticeTimeout = 300 * time.Millisecond
	noticeQueue   = 1000
)

// Options of a name server. The zero value listens on a free port of the loopback
// address and keeps its files in memory.
type Options struct {
	Config *Config // nil = Default("")
	// Listen overrides bindAddress and listenPort; "127.0.0.1:0" takes a free
	// port. Without Config it is the default.
	Listen string
	Clock  clock.Clock      // nil = the machine's
	Logger *slog.Logger     // nil = discard
	Files  configfile.Files // nil = in memory
	// Memory is how many bytes the process's heap may have (budget.Machine); the default of
	// what peers may make the server keep comes from it. 0 = not known.
	Memory int64
	// Server is the base of the server's options: limits, TLS, PoisonFrames. Its
	// Listen, Routes, Clock, Logger, Events and GoAway are set here.
	Server remoting.ServerOptions
}

// Server is a name server.
type Server struct {
	settings *settings
	clock    clock.Clock
	log      *slog.Logger
	table    *route.Table
	kv       *kv.Store
	routes   *remoting.Routes
	server   *remoting.Server
	client   *remoting.Client
	started  int64 // ms

	notices chan route.Notice
	stop    chan struct{}
	told    chan struct{} // closed when the notice goroutine has ended
	running bool
}

// New makes a name server from its files; Start opens it.
func New(o Options) (*Server, error) {
	cfg := Default("")
	if o.Config != nil {
		cfg = *o.Config
	} else if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Listen == "" {
		o.Listen = net.JoinHostPort(cfg.BindAddress, strconv.Itoa(cfg.ListenPort))
	}
	if o.Files == nil {
		o.Files = configfile.NewMemory()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Logger = loglimit.New(o.Logger, o.Clock)
	if err := refuse(&cfg); err != nil {
		return nil, err
	}
	s := &Server{
		clock: clock.Or(o.Clock), log: o.Logger, settings: &settings{files: o.Files, log: o.Logger},
		notices: make(chan route.Notice, noticeQueue), stop: make(chan struct{}), told: make(chan struct{}),
	}
	s.settings.current.Store(&cfg)
	var err error
	if s.kv, err = kv.Open(o.Files, cfg.KVConfigPath, o.Logger); err != nil {
		return nil, fmt.Errorf("namesrv: %w", err)
	}
	for _, path := range []string{cfg.KVConfigPath, cfg.ConfigStorePath} {
		if err := configfile.Writable(o.Files, path); err != nil {
			s.log.Warn("changes by administrators will be refused", "err", err)
		}
	}
	s.table = route.New(route.Options{
		Clock: o.Clock, Logger: o.Logger, Flags: s.flags, Notify: s.notify,
		ScanInterval:  clock.Span(int64(cfg.ScanNotActiveBrokerInterval), time.Millisecond),
		QueueCapacity: cfg.UnRegisterBrokerQueueCapacity,
	})
	s.routes = s.makeRoutes(&cfg)
	so := o.Server
	so.Listen, so.Routes, so.Clock, so.Logger, so.Events = o.Listen, s.routes, o.Clock, o.Logger, s.event
	so.GoAway = cfg.EnableShutdownGracefully
	so.IdleTimeout = clock.Span(int64(cfg.ServerChannelMaxIdleTimeSeconds), time.Second)
	so.Budget = budget.For(cfg.PeerMemoryBytes, cfg.PeerShareBytes, o.Memory)
	if cfg.FrameTimeoutMillis > 0 {
		so.FrameTimeout = clock.Span(cfg.FrameTimeoutMillis, time.Millisecond)
	}
	s.server = remoting.NewServer(so)
	return s, nil
}

// refuse names settings that would be accepted and forgotten.
func refuse(c *Config) error {
	switch {
	case c.ClusterTest:
		return fmt.Errorf("namesrv: %w", keep("clusterTest", "true"))
	case c.EnableControllerInNamesrv:
		return fmt.Errorf("namesrv: %w", keep("enableControllerInNamesrv", "true"))
	case c.ScanNotActiveBrokerInterval <= 0 || c.UnRegisterBrokerQueueCapacity <= 0:
		return errors.New("namesrv: scanNotActiveBrokerInterval and unRegisterBrokerQueueCapacity must be above 0")
	case c.PeerMemoryBytes < 0 || c.PeerShareBytes < 0 || c.FrameTimeoutMillis < 0:
		return errors.New("namesrv: merlinPeerMemoryBytes, merlinPeerShareBytes and merlinFrameTimeoutMillis must not be below 0")
	}
	return nil
}

// Start listens and serves in the background.
func (s *Server) Start() error {
	s.started = s.clock.NowMillis()
	s.client = remoting.NewClient(remoting.ClientOptions{Clock: s.clock, Logger: s.log, ConnectTimeout: noticeTimeout})
	if err := s.server.Start(); err != nil {
		s.client.Close()
		return fmt.Errorf("namesrv: %w", err)
	}
	s.table.Start()
	go s.sendNotices()
	s.running = true
	s.log.Info("name server started", "listen", s.Addr())
	return nil
}

// Addr is the address it listens on, "" before Start.
func (s *Server) Addr() string {
	if a := s.server.Addr(); a != nil {
		return a.String()
	}
	return ""
}

// Config is the configuration in force.
func (s *Server) Config() Config { return *s.settings.get() }

// Shutdown answers what is in work and ends everything. The error is that of
// waiting; everything is ended all the same.
func (s *Server) Shutdown(ctx context.Context) error {
	if !s.running {
		return nil
	}
	s.running = false
	err := s.server.Shutdown(ctx)
	close(s.stop)
	<-s.told
	s.table.Shutdown()
	s.client.Close()
	return err
}

func (s *Server) flags() route.Flags {
	c := s.settings.get()
	return route.Flags{
		SupportActingMaster: c.SupportActingMaster, NotifyMinBrokerIDChanged: c.NotifyMinBrokerIDChanged,
		DeleteTopicWithBrokerRegistration: c.DeleteTopicWithBrokerRegistration,
	}
}

// event removes the brokers of a connection that is gone.
func (s *Server) event(e remoting.Event) {
	if e.Kind == remoting.Closed {
		s.table.Disconnected(e.Conn)
	}
}

// notify queues a notice to a broker.
func (s *Server) notify(n route.Notice) {
	select {
	case s.notices <- n:
	default:
		s.log.Warn("notice to a broker dropped: too many wait", "broker", n.To)
	}
}

// sendNotices sends the queued notices one after the other.
func (s *Server) sendNotices() {
	defer close(s.told)
	for {
		select {
		case <-s.stop:
			return
		case n := <-s.notices:
			ctx, cancel := context.WithTimeout(context.Background(), noticeTimeout)
			err := s.client.Oneway(ctx, n.To, &wire.Outgoing{
				Code: int32(protocol.NotifyMinBrokerIDChange.Code), Header: &n.Header,
			}, nil)
			cancel()
			if err != nil {
				s.log.Warn("notice to a broker failed", "broker", n.To, "err", err)
			}
		}
	}
}
