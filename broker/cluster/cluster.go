// Package cluster makes the broker known: it registers it and its topics with
// every name server (REGISTER_BROKER, 103), at start, periodically, and at once
// when a topic changes, and takes it out again at the end (UNREGISTER_BROKER,
// 104).
//
// Goroutines: one that keeps the time and one for each name server, from Start to
// Shutdown, so that a name server that hangs delays no other. Lock: Registrar.mu,
// a leaf.
package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
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
	// grace is how much later than the first a name server may answer and still be
	// waited for.
	grace = 200 * time.Millisecond
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
	Clock  clock.Clock
	Logger *slog.Logger
}

// Registrar keeps the registrations.
type Registrar struct {
	opts   Options
	ctx    context.Context // ends with Shutdown: calls under way are given up
	cancel context.CancelFunc

	mu      sync.Mutex // guards what follows
	change  int64      // number of the last change
	workers map[string]*worker
	waiting []waiter // oldest first
	closed  bool

	wake chan struct{} // the time of the next look may have changed
	stop chan struct{}
	done sync.WaitGroup
}

// waiter waits until the name servers know a change.
type waiter struct {
	change int64
	until  time.Time
	told   bool // a name server knows it, and until is the grace of the others
	f      func()
}

// New makes a registrar.
func New(opts Options) *Registrar {
	opts.Clock = clock.Or(opts.Clock)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Registrar{opts: opts, workers: map[string]*worker{}, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Start registers once, waits for the outcome as Told does, and goes on in the
// background. A name server that cannot be reached is logged and tried again.
func (r *Registrar) Start() {
	r.done.Add(1)
	go r.run()
	r.All()
	first := make(chan struct{})
	r.Told(func() { close(first) })
	<-first
}

// Shutdown stops and unregisters everywhere, as far as that can be done in 3 s.
// Whoever waits in Told is called.
func (r *Registrar) Shutdown() {
	r.mu.Lock()
	r.closed = true
	left := r.waiting
	r.waiting = nil
	r.mu.Unlock()
	r.cancel()
	close(r.stop)
	r.done.Wait()
	for _, w := range left {
		w.f()
	}
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
	r.tell(func(w *worker) { w.todo.names[name] = true })
}

// All asks for a full registration now. It does not block.
func (r *Registrar) All() { r.tell(func(w *worker) { w.todo.all = true }) }

// tell makes a new change of what add puts down for each name server.
func (r *Registrar) tell(add func(w *worker)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.change++
	r.matchLocked(r.opts.Config.Get().NameServers())
	for _, w := range r.workers {
		add(w)
		w.nudge()
	}
}

// matchLocked makes the workers those of the configured name servers; a new one
// begins with a full registration. REQUIRES: r.mu.
func (r *Registrar) matchLocked(addrs []string) {
	for addr, w := range r.workers {
		if !slices.Contains(addrs, addr) {
			w.cancel()
			delete(r.workers, addr)
		}
	}
	for _, addr := range addrs {
		if r.workers[addr] != nil {
			continue
		}
		w := newWorker(r, addr)
		r.workers[addr] = w
		w.todo.all = true
		w.nudge()
		r.done.Add(1)
		go w.run()
	}
}

// Told calls f once when the changes so far are registered: when one name server
// knows them and each of the others knows them too, has failed, or is slower by
// more than a moment; when all have failed; or after registerBrokerTimeoutMills.
// A client that asks a name server after f finds what was changed before Told.
// (BrokerOuterAPI.registerBrokerAll waits on a latch for all of them.) Told does
// not block, and f, which must not block either, is called from any goroutine.
func (r *Registrar) Told(f func()) {
	r.mu.Lock()
	if r.closed || r.settledLocked(r.change) {
		r.mu.Unlock()
		f()
		return
	}
	until := r.opts.Clock.Now().Add(r.opts.Config.Get().RegisterBrokerTimeoutMills.Duration())
	r.waiting = append(r.waiting, waiter{change: r.change, until: until, f: f})
	r.mu.Unlock()
	r.look()
}

// settledLocked reports whether nobody has to be waited for. REQUIRES: r.mu.
func (r *Registrar) settledLocked(change int64) bool {
	told := r.knownLocked(change)
	for _, w := range r.workers {
		if w.tried < change && !(told && w.late) {
			return false
		}
	}
	return true
}

// knownLocked reports whether a name server knows a change. REQUIRES: r.mu.
func (r *Registrar) knownLocked(change int64) bool {
	for _, w := range r.workers {
		if w.told >= change {
			return true
		}
	}
	return false
}

// look makes run look at the waiters.
func (r *Registrar) look() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// settle calls the waiters whose change is settled or whose time is over, and
// gives the time of the next look, which is after now, or the zero time. Several may
// run at a time.
func (r *Registrar) settle(now time.Time) (next time.Time) {
	var ready []waiter
	r.mu.Lock()
	for len(r.waiting) > 0 {
		w := &r.waiting[0]
		if !w.told && r.knownLocked(w.change) {
			w.told = true
			if grace := now.Add(grace); grace.Before(w.until) {
				w.until = grace
			}
		}
		if !r.settledLocked(w.change) {
			if now.Before(w.until) {
				next = w.until
				break
			}
			r.lateLocked(w.change)
		}
		ready = append(ready, *w)
		*w = waiter{}
		r.waiting = r.waiting[1:]
	}
	if len(r.waiting) == 0 {
		r.waiting = nil
	}
	r.mu.Unlock()
	for _, w := range ready {
		w.f()
	}
	return next
}

// lateLocked marks the name servers that were waited for in vain: nobody waits
// for them again until they have answered. REQUIRES: r.mu.
func (r *Registrar) lateLocked(change int64) {
	for _, w := range r.workers {
		if w.tried < change {
			w.late = true
		}
	}
}

// run registers periodically and looks after those who wait in Told.
func (r *Registrar) run() {
	defer r.done.Done()
	due := r.opts.Clock.Now().Add(secondRegistration)
	t := r.opts.Clock.NewTimer(secondRegistration)
	defer t.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-t.C():
		case <-r.wake:
			if !t.Stop() {
				select {
				case <-t.C():
				default:
				}
			}
		}
		now := r.opts.Clock.Now()
		if !now.Before(due) {
			r.tell(func(w *worker) { w.todo.check = true })
			period := r.opts.Config.Get().RegisterNameServerPeriod.Duration()
			due = now.Add(min(max(period, minPeriod), maxPeriod))
		}
		next := r.settle(now)
		if next.IsZero() || due.Before(next) {
			next = due
		}
		t.Reset(next.Sub(now))
	}
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
