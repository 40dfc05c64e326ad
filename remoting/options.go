package remoting

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/merlinmq/merlin/compat/budget"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/compat/version"
	"github.com/merlinmq/merlin/protocol/wire"
)

// Defaults of the options.
const (
	DefaultIdleTimeout    = 120 * time.Second // serverChannelMaxIdleTimeSeconds
	DefaultWriteTimeout   = 5 * time.Second
	DefaultConnectTimeout = 3 * time.Second  // com.rocketmq.remoting.client.connect.timeout
	DefaultCallTimeout    = 3 * time.Second  // of a call whose context has no deadline
	DefaultFrameTimeout   = 30 * time.Second // and a second for each leastRate bytes of the frame
	DefaultMaxInput       = 64 << 20
	DefaultHighWater      = 1 << 20
	DefaultMaxOutput      = 64 << 20
	DefaultMaxConns       = 65535
	DefaultServerCalls    = 1024  // calls to one client in flight
	DefaultClientCalls    = 65535 // clientAsyncSemaphoreValue
)

// Errors of connections and calls.
var (
	// ErrClosed says that the connection, the client or the server is closed.
	ErrClosed = errors.New("remoting: closed")
	// ErrBusy says that too many calls to the peer are without an answer, or that
	// the peer reads too slowly to be given more.
	ErrBusy = errors.New("remoting: too many calls in flight")
	// ErrTimeout says that no answer came in time.
	ErrTimeout = errors.New("remoting: no answer in time")
	// ErrTooLarge says that a frame would be longer than the limit.
	ErrTooLarge = errors.New("remoting: frame too large")
)

// EventKind is what happened to a connection (NettyEventType).
type EventKind uint8

// Kinds of events.
const (
	Connected EventKind = iota // it is accepted or dialled
	Closed                     // it is gone and none of its inline handlers runs any more
	Idle                       // it was silent for IdleTimeout and will be closed
	Error                      // it failed and will be closed; Event.Err says why
)

// Event tells what happened to a connection.
type Event struct {
	Kind EventKind
	Conn *Conn
	Err  error // of Error
}

// Limits bound what one connection may hold. The zero value stands for the
// defaults.
type Limits struct {
	// MaxFrame is the longest frame in bytes, the length word included, as Java
	// counts (com.rocketmq.remoting.frameMaxLength). 0 = wire.MaxFrame.
	MaxFrame int
	// MaxInput is how many received bytes may wait while a connection is busy that
	// cannot be stopped from reading, as those of clients; with more it is closed.
	MaxInput int
	// HighWater is the unsent output at which no further requests of the
	// connection are handled until its peer has read.
	HighWater int
	// MaxOutput is the unsent output at which the connection is closed: answers
	// that were asked for before HighWater was reached may still come.
	MaxOutput int
	// MaxCalls is how many calls to the peer may be without an answer.
	MaxCalls int
	// WriteTimeout closes a connection whose peer does not take a piece of
	// output (at most 512 KiB) in that time.
	WriteTimeout time.Duration
	// FrameTimeout closes a connection that does not complete what it has begun, a
	// frame, a preamble or a TLS handshake, in that time; a frame gets one second
	// more for each 64 KiB of it. 0 = DefaultFrameTimeout, below 0 = never.
	FrameTimeout time.Duration
}

func (l Limits) withDefaults(calls int) Limits {
	orInt(&l.MaxFrame, wire.MaxFrame)
	orInt(&l.MaxInput, max(DefaultMaxInput, 4*l.MaxFrame))
	orInt(&l.HighWater, DefaultHighWater)
	orInt(&l.MaxOutput, max(DefaultMaxOutput, 4*l.HighWater))
	orInt(&l.MaxCalls, calls)
	if l.WriteTimeout == 0 {
		l.WriteTimeout = DefaultWriteTimeout
	}
	if l.FrameTimeout == 0 {
		l.FrameTimeout = DefaultFrameTimeout
	}
	return l
}

func orInt(v *int, def int) {
	if *v == 0 {
		*v = def
	}
}

// ServerOptions configure a Server. Only Routes has to be given.
type ServerOptions struct {
	Listen   string       // host:port, "" = 127.0.0.1:0
	Listener net.Listener // instead of Listen: a *net.TCPListener; the server closes it
	Routes   *Routes      // which handler answers which code
	Clock    clock.Clock  // nil = the machine's
	Logger   *slog.Logger // nil = discard

	Limits
	IdleTimeout time.Duration // silence after which a connection is closed; below 0 = never
	MaxConns    int           // further connections are closed at once
	// Budget is what the connections may make the server keep, one account each;
	// servers may share one. nil = no bound but those of each connection.
	Budget *budget.Budget

	Language wire.Language // of answers and calls; the zero value is JAVA
	Version  int32         // MQVersion ordinal of answers and calls; 0 = version.Current

	// Events is told of connections coming and going. It is called from the
	// network goroutines and must not block.
	Events func(Event)
	// GoAway makes Shutdown answer requests of clients above V5_3_1 with 1500
	// while it waits (enableShutdownGracefully).
	GoAway bool
	// TLS is asked when a connection begins with a TLS handshake on the plain
	// port. nil = such connections are closed. See tls.go.
	TLS func() (*tls.Config, error)
	// RequireTLS closes connections that do not begin with a TLS handshake
	// (tls.server.mode=enforcing).
	RequireTLS bool
	// PoisonFrames overwrites the bytes of each frame when its handlers have
	// returned: a test that keeps an alias sees it change.
	PoisonFrames bool
}

// ClientOptions configure a Client. The zero value works.
type ClientOptions struct {
	Routes *Routes      // requests that come from servers; nil = all answered 3
	Clock  clock.Clock  // nil = the machine's
	Logger *slog.Logger // nil = discard

	Limits
	IdleTimeout    time.Duration // below 0 = never
	ConnectTimeout time.Duration

	Language wire.Language
	Version  int32 // 0 = version.Current

	Events       func(Event) // must not block
	PoisonFrames bool
}

// endpoint is what Server and Client have in common.
type endpoint struct {
	routes   *Routes
	clock    clock.Clock
	log      *slog.Logger
	limits   Limits
	idle     time.Duration
	language wire.Language
	version  int32
	events   func(Event)
	poison   bool
	tls      func() (*tls.Config, error)
	needTLS  bool
	server   bool
	budget   *budget.Budget
	// Places for those who handle long frames, in wake-ups and in workers: half of
	// the processors each, so that others have the rest.
	heavy, heavyPooled chan struct{}
	procs              int          // processors
	long               atomic.Int64 // wake-ups that have more than a turn to do

	registry
	drain drainState
}

func newEndpoint(o ServerOptions, calls int) *endpoint {
	e := &endpoint{
		routes: o.Routes, clock: clock.Or(o.Clock), log: o.Logger,
		limits: o.Limits.withDefaults(calls), idle: o.IdleTimeout,
		language: o.Language, version: o.Version, events: o.Events, poison: o.PoisonFrames,
		tls: o.TLS, needTLS: o.RequireTLS, budget: o.Budget,
	}
	e.procs = runtime.GOMAXPROCS(0)
	few := max(1, e.procs/2)
	e.heavy, e.heavyPooled = make(chan struct{}, few), make(chan struct{}, few)
	if e.routes == nil {
		e.routes = NewRoutes()
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.idle == 0 {
		e.idle = DefaultIdleTimeout
	}
	if e.version == 0 {
		e.version = int32(version.Current)
	}
	e.registry.conns = map[uint64]*Conn{}
	return e
}

func (e *endpoint) tell(ev Event) {
	if e.events != nil {
		e.events(ev)
	}
}

// roomTurns is how often who is about to build a large answer lets others go first.
const roomTurns = 1000

// makeRoom lets others have the processor while so much is kept for peers that a
// large answer should not be built: the flushers of connections that were closed for
// it give back theirs. It has an end, because they may be waiting for this one.
func (e *endpoint) makeRoom() {
	for turns := 0; turns < roomTurns && e.budget.Crowded(); turns++ {
		runtime.Gosched()
	}
}
