// Package cluster makes the broker known: it registers it and its topics with
// every name server (REGISTER_BROKER, 103), at start, periodically, and at once
// when a topic changes, and takes it out again at the end (UNREGISTER_BROKER,
// 104).
//
// Goroutine: one, from Start to Shutdown; during a registration one more for
// each name server, joined before the next. Lock: Registrar.mu, a leaf.
package cluster

import (
	"context"
	"fmt"
	"hash/crc32"
	"log/slog"
	"sync"
	"time"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
)

const (
	secondRegistration = 10 * time.Second // after the one at start
	minPeriod          = 10 * time.Second
	maxPeriod          = 60 * time.Second
	unregisterTimeout  = 3 * time.Second
)

// Caller sends requests (remoting.Client).
type Caller interface {
	Invoke(ctx context.Context, addr string, o *wire.Outgoing, body []byte) (*wire.Command, error)
}

// Options configure a Registrar.
type Options struct {
	Client Caller
	Config *config.Holder
	Topics *topic.Table
	Addr   string // host:port told to clients
	HAAddr string // host:port told to slaves
	Clock  clock.Clock
	Logger *slog.Logger
}

// Registrar keeps the registrations.
type Registrar struct {
	opts Options

	mu      sync.Mutex // guards changed
	changed map[string]bool
	wake    chan struct{}

	stop chan struct{}
	done sync.WaitGroup
}

// New makes a registrar.
func New(opts Options) *Registrar {
	opts.Clock = clock.Or(opts.Clock)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Registrar{opts: opts, changed: map[string]bool{}, wake: make(chan struct{}, 1), stop: make(chan struct{})}
}

// Start registers once, waits for the outcome, and goes on in the background. A
// name server that cannot be reached is logged and tried again.
func (r *Registrar) Start() {
	r.register(nil)
	r.done.Add(1)
	go r.run()
}

// Shutdown stops and unregisters everywhere, as far as that can be done in 3 s.
func (r *Registrar) Shutdown() {
	close(r.stop)
	r.done.Wait()
	cfg := r.opts.Config.Get()
	r.each(unregisterTimeout, func(ctx context.Context, addr string) error {
		return r.call(ctx, addr, protocol.UnregisterBroker.Code, &header.UnRegisterBrokerRequest{
			BrokerName: wire.Some(cfg.BrokerName), BrokerAddr: wire.Some(r.opts.Addr),
			ClusterName: wire.Some(cfg.BrokerClusterName), BrokerID: wire.Some(cfg.BrokerID),
		}, nil, nil)
	})
}

// Changed says that a topic is new or different. It does not block; the name
// servers are told at once.
func (r *Registrar) Changed(name string) {
	r.mu.Lock()
	r.changed[name] = true
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// All asks for a full registration now. It does not block.
func (r *Registrar) All() { r.Changed("") }

func (r *Registrar) run() {
	defer r.done.Done()
	t := r.opts.Clock.NewTimer(secondRegistration)
	defer t.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-t.C():
			r.periodic()
			period := r.opts.Config.Get().RegisterNameServerPeriod.Duration()
			t.Reset(min(max(period, minPeriod), maxPeriod))
		case <-r.wake:
			r.register(r.takeChanged())
		}
	}
}

// takeChanged gives the changed topics, or nil when all must be told.
func (r *Registrar) takeChanged() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := make([]string, 0, len(r.changed))
	all := false
	for name := range r.changed {
		all = all || name == ""
		names = append(names, name)
	}
	clear(r.changed)
	if all {
		return nil
	}
	return names
}

// periodic registers in full, or, without forceRegister, only when a name server
// has another data version.
func (r *Registrar) periodic() {
	cfg := r.opts.Config.Get()
	if !cfg.ForceRegister && !r.anyStale(cfg) {
		return
	}
	r.register(nil)
}

// anyStale asks every name server with QUERY_DATA_VERSION (322), which also
// keeps the registration alive there.
func (r *Registrar) anyStale(cfg *config.Config) bool {
	version := r.opts.Topics.Version()
	b, err := body.Marshal(&version)
	if err != nil {
		return true
	}
	var mu sync.Mutex
	stale := false
	r.each(cfg.RegisterBrokerTimeoutMills.Duration(), func(ctx context.Context, addr string) error {
		changed := true
		err := r.call(ctx, addr, protocol.QueryDataVersion.Code, &header.QueryDataVersionRequest{
			BrokerName: wire.Some(cfg.BrokerName), BrokerAddr: wire.Some(r.opts.Addr),
			ClusterName: wire.Some(cfg.BrokerClusterName), BrokerID: wire.Some(cfg.BrokerID),
		}, b, func(answer *wire.Command) error {
			var rh header.QueryDataVersionResponse
			rh.Reset()
			if err := rh.DecodeFields(answer); err != nil {
				return err
			}
			changed = rh.Changed.Or(true)
			return nil
		})
		mu.Lock()
		stale = stale || changed || err != nil
		mu.Unlock()
		return err
	})
	return stale
}

// register tells every name server of these topics, or of all when names is nil.
// With enableSingleTopicRegister a changed topic goes alone (217); with
// enableSplitRegistration many topics go in pieces, each with a data version of
// its own so that it counts as news.
func (r *Registrar) register(names []string) {
	cfg := r.opts.Config.Get()
	topics := r.chosen(cfg, names)
	if names != nil && cfg.EnableSingleTopicRegister {
		for _, c := range topics {
			r.registerTopic(cfg, c)
		}
		return
	}
	size := len(topics)
	if cfg.EnableSplitRegistration {
		size = max(1, cfg.SplitRegistrationSize)
	}
	for first := true; first || len(topics) > 0; first = false {
		if !first {
			r.opts.Topics.NextVersion()
		}
		n := min(size, len(topics))
		r.registerSome(cfg, topics[:n])
		topics = topics[n:]
	}
}

// registerSome sends one REGISTER_BROKER (103).
func (r *Registrar) registerSome(cfg *config.Config, topics []body.TopicConfig) {
	rb := body.RegisterBrokerBody{}
	rb.TopicConfigSerializeWrapper.TopicConfigTable = make(map[string]body.TopicConfig, len(topics))
	for _, c := range topics {
		rb.TopicConfigSerializeWrapper.TopicConfigTable[c.TopicName] = c
	}
	rb.TopicConfigSerializeWrapper.DataVersion = r.opts.Topics.Version()
	b, err := body.Marshal(&rb)
	if err != nil {
		r.opts.Logger.Error("registration body", "err", err)
		return
	}
	h := &header.RegisterBrokerRequest{
		BrokerName: wire.Some(cfg.BrokerName), BrokerAddr: wire.Some(r.opts.Addr),
		ClusterName: wire.Some(cfg.BrokerClusterName), BrokerID: wire.Some(cfg.BrokerID),
		HaServerAddr: wire.Some(r.opts.HAAddr),
		BodyCRC32:    wire.Some(int32(crc32.ChecksumIEEE(b) & 0x7fffffff)),
	}
	r.each(cfg.RegisterBrokerTimeoutMills.Duration(), func(ctx context.Context, addr string) error {
		return r.call(ctx, addr, protocol.RegisterBroker.Code, h, b, r.ordered)
	})
}

// registerTopic sends one REGISTER_TOPIC_IN_NAMESRV (217).
func (r *Registrar) registerTopic(cfg *config.Config, c body.TopicConfig) {
	b, err := body.Marshal(&body.TopicRouteData{QueueDatas: []body.QueueData{{
		BrokerName: cfg.BrokerName, ReadQueueNums: c.ReadQueueNums, WriteQueueNums: c.WriteQueueNums,
		Perm: c.Perm, TopicSysFlag: c.TopicSysFlag,
	}}})
	if err != nil {
		r.opts.Logger.Error("registration body", "err", err)
		return
	}
	r.each(cfg.RegisterBrokerTimeoutMills.Duration(), func(ctx context.Context, addr string) error {
		return r.call(ctx, addr, protocol.RegisterTopicInNamesrv.Code, &header.RegisterTopicRequest{Topic: wire.Some(c.TopicName)}, b, nil)
	})
}

// ordered takes the ordered topics out of a registration's answer.
func (r *Registrar) ordered(answer *wire.Command) error {
	if len(answer.Body) == 0 {
		return nil
	}
	var kv body.KVTable
	if err := body.Unmarshal(answer.Body, &kv); err != nil {
		return fmt.Errorf("order topics: %w", err)
	}
	names := make([]string, 0, len(kv.Table))
	for name := range kv.Table {
		names = append(names, name)
	}
	return r.opts.Topics.MarkOrdered(names)
}

// chosen gives the named topics, or all, as they are to be registered: a broker
// that may not be read or written takes the bit from all of its topics.
func (r *Registrar) chosen(cfg *config.Config, names []string) []body.TopicConfig {
	all, _ := r.opts.Topics.All()
	want := make(map[string]bool, len(names))
	for _, n := range names {
		want[n] = true
	}
	open := topic.PermRead | topic.PermWrite
	out := make([]body.TopicConfig, 0, len(all))
	for _, c := range all {
		if names != nil && !want[c.TopicName] {
			continue
		}
		next := *c
		if cfg.BrokerPermission&open != open {
			next.Perm &= cfg.BrokerPermission
		}
		out = append(out, next)
	}
	return out
}

// each calls f for every name server side by side and waits.
func (r *Registrar) each(timeout time.Duration, f func(ctx context.Context, addr string) error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var wait sync.WaitGroup
	for _, addr := range r.opts.Config.Get().NameServers() {
		wait.Go(func() {
			if err := f(ctx, addr); err != nil {
				r.opts.Logger.Warn("name server", "addr", addr, "err", err)
			}
		})
	}
	wait.Wait()
}

func (r *Registrar) call(ctx context.Context, addr string, code protocol.Code, h wire.FieldEncoder, b []byte, ok func(*wire.Command) error) error {
	answer, err := r.opts.Client.Invoke(ctx, addr, &wire.Outgoing{Code: int32(code), Header: h}, b)
	if err != nil {
		return fmt.Errorf("code %d: %w", code, err)
	}
	if protocol.ResponseCode(answer.Code) != protocol.Success {
		return fmt.Errorf("code %d: answer %d %s", code, answer.Code, answer.Remark)
	}
	if ok == nil {
		return nil
	}
	return ok(answer)
}
