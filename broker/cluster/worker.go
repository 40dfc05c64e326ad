package cluster

import (
	"context"
	"hash/crc32"
	"maps"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
)

// worker tells one name server, one call at a time: what changes meanwhile goes
// together in the next.
type worker struct {
	r      *Registrar
	addr   string
	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{}

	todo  todo  // guarded by Registrar.mu
	tried int64 // the last change whose registration has ended; guarded by Registrar.mu
	told  int64 // the last change that the name server knows; guarded by Registrar.mu
	late  bool  // it was waited for in vain; guarded by Registrar.mu

	sent    body.DataVersion // of the last registration; run alone uses it
	failing bool             // run alone uses it
}

// todo is what a name server has to be told.
type todo struct {
	all   bool            // everything
	check bool            // everything, unless it has that already and forceRegister is off
	names map[string]bool // these topics
}

func newWorker(r *Registrar, addr string) *worker {
	w := &worker{r: r, addr: addr, wake: make(chan struct{}, 1), todo: todo{names: map[string]bool{}}}
	w.ctx, w.cancel = context.WithCancel(r.ctx)
	return w
}

// nudge makes the worker look at its work.
func (w *worker) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *worker) run() {
	defer w.r.done.Done()
	defer w.cancel()
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-w.wake:
		}
		w.work()
	}
}

// work does what there is to do. What a name server was not told of goes with
// the next change or with the next full registration.
func (w *worker) work() {
	r := w.r
	r.mu.Lock()
	job, change := w.todo, r.change
	w.todo = todo{names: map[string]bool{}}
	r.mu.Unlock()

	err := w.register(r.opts.Config.Get(), job)
	switch {
	case err == nil && w.failing:
		r.opts.Logger.Info("name server answers again", "addr", w.addr)
	case err != nil && w.ctx.Err() == nil && (!w.failing || job.all || job.check):
		r.opts.Logger.Warn("name server", "addr", w.addr, "err", err)
	}
	w.failing = err != nil

	r.mu.Lock()
	w.tried = change
	if err == nil {
		w.told, w.late = change, false
	} else {
		maps.Copy(w.todo.names, job.names)
	}
	waits := len(r.waiting) > 0
	r.mu.Unlock()
	if waits && !r.settle(r.opts.Clock.Now()).IsZero() {
		r.look() // somebody still waits, and until another time than before
	}
}

// register does a job.
func (w *worker) register(cfg *config.Config, job todo) error {
	switch {
	case job.all, job.check && (cfg.ForceRegister || w.stale(cfg)):
		return w.registerAll(cfg)
	case len(job.names) == 0:
		return nil
	case cfg.EnableSingleTopicRegister:
		return w.registerTopics(cfg, job.names)
	}
	// The version is taken before the topics: it is never newer than they are. A
	// name server takes a known version for old news, so a topic that changed
	// since the last registration was put together gets another one.
	version := w.r.opts.Topics.Version()
	if version == w.sent {
		w.r.opts.Topics.NextVersion()
		version = w.r.opts.Topics.Version()
	}
	return w.registerSome(cfg, w.r.named(cfg, job.names), version)
}

// registerAll registers every topic; with enableSplitRegistration in pieces, each
// with a data version of its own so that it counts as news.
func (w *worker) registerAll(cfg *config.Config) error {
	all, version := w.r.opts.Topics.All()
	size := len(all)
	if cfg.EnableSplitRegistration {
		size = max(1, cfg.SplitRegistrationSize)
	}
	for first := true; first || len(all) > 0; first = false {
		if !first {
			w.r.opts.Topics.NextVersion()
			version = w.r.opts.Topics.Version()
		}
		n := min(size, len(all))
		topics := make([]body.TopicConfig, n)
		for i, c := range all[:n] {
			topics[i] = masked(cfg, c)
		}
		if err := w.registerSome(cfg, topics, version); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// registerSome sends one REGISTER_BROKER (103).
func (w *worker) registerSome(cfg *config.Config, topics []body.TopicConfig, version body.DataVersion) error {
	r, rb := w.r, body.RegisterBrokerBody{}
	rb.TopicConfigSerializeWrapper.TopicConfigTable = make(map[string]body.TopicConfig, len(topics))
	for _, c := range topics {
		rb.TopicConfigSerializeWrapper.TopicConfigTable[c.TopicName] = c
	}
	rb.TopicConfigSerializeWrapper.DataVersion = version
	b, err := body.Marshal(&rb)
	if err != nil {
		return err
	}
	// haServerAddr must be there (CFNotNull) and is empty: nobody serves copies here,
	// and on any address a slave might find somebody else's log.
	h := &header.RegisterBrokerRequest{
		BrokerName: wire.Some(cfg.BrokerName), BrokerAddr: wire.Some(r.opts.Addr),
		ClusterName: wire.Some(cfg.BrokerClusterName), BrokerID: wire.Some(cfg.BrokerID),
		HaServerAddr: wire.Some(""),
		BodyCRC32:    wire.Some(int32(crc32.ChecksumIEEE(b) & 0x7fffffff)),
	}
	w.sent = version
	return w.call(cfg, protocol.RegisterBroker.Code, h, b, r.ordered)
}

// registerTopics sends a REGISTER_TOPIC_IN_NAMESRV (217) for each topic
// (enableSingleTopicRegister).
func (w *worker) registerTopics(cfg *config.Config, names map[string]bool) error {
	for _, c := range w.r.named(cfg, names) {
		b, err := body.Marshal(&body.TopicRouteData{QueueDatas: []body.QueueData{{
			BrokerName: cfg.BrokerName, ReadQueueNums: c.ReadQueueNums, WriteQueueNums: c.WriteQueueNums,
			Perm: c.Perm, TopicSysFlag: c.TopicSysFlag,
		}}})
		if err == nil {
			err = w.call(cfg, protocol.RegisterTopicInNamesrv.Code, &header.RegisterTopicRequest{Topic: wire.Some(c.TopicName)}, b, nil)
		}
		if err != nil {
			return err // the next would wait as long
		}
	}
	return nil
}

// stale asks with QUERY_DATA_VERSION (322), which also keeps the registration
// alive there.
func (w *worker) stale(cfg *config.Config) bool {
	version := w.r.opts.Topics.Version()
	b, err := body.Marshal(&version)
	if err != nil {
		return true
	}
	changed := true
	err = w.call(cfg, protocol.QueryDataVersion.Code, &header.QueryDataVersionRequest{
		BrokerName: wire.Some(cfg.BrokerName), BrokerAddr: wire.Some(w.r.opts.Addr),
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
	return changed || err != nil
}

// call asks the name server, for registerBrokerTimeoutMills at most.
func (w *worker) call(cfg *config.Config, code protocol.Code, h wire.FieldEncoder, b []byte, ok func(*wire.Command) error) error {
	ctx, cancel := context.WithTimeout(w.ctx, cfg.RegisterBrokerTimeoutMills.Duration())
	defer cancel()
	return w.r.call(ctx, w.addr, code, h, b, ok)
}

// named gives these topics, those that are still there, as they are registered.
func (r *Registrar) named(cfg *config.Config, names map[string]bool) []body.TopicConfig {
	out := make([]body.TopicConfig, 0, len(names))
	for name := range names {
		if c := r.opts.Topics.Find(name); c != nil {
			out = append(out, masked(cfg, c))
		}
	}
	return out
}

// masked is a topic as it is registered: a broker that may not be read or written
// takes the bit from all of its topics.
func masked(cfg *config.Config, c *body.TopicConfig) body.TopicConfig {
	next, open := *c, topic.PermRead|topic.PermWrite
	if cfg.BrokerPermission&open != open {
		next.Perm &= cfg.BrokerPermission
	}
	return next
}
