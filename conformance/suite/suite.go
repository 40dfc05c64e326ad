package suite

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"runtime/debug"
	"sync"
	"time"
)

// Name is the suite's in reports: the client that runs its cases.
const Name = "go 2.1.2"

// Areas that cases belong to, in the order in which reports show them.
const (
	Send        = "send"
	Consume     = "consume"
	Order       = "order"
	Broadcast   = "broadcast"
	Transaction = "transaction"
	Retry       = "retry"
	Delay       = "delay"
	Offset      = "offset"
	Query       = "query"
	Route       = "route"
	Admin       = "admin"
	Errors      = "errors"
)

// Areas lists the areas in report order.
func Areas() []string {
	return []string{Send, Consume, Order, Broadcast, Transaction, Retry, Delay, Offset, Query, Route, Admin, Errors}
}

// Disturbance is what a case does to the servers while it runs.
type Disturbance string

// The disturbances. Cases with the same one share it: each prepares, all wait,
// it happens once, each looks at what is left.
const (
	Nothing           Disturbance = ""
	BrokerRestart     Disturbance = "broker restart"
	BrokerKill        Disturbance = "broker kill"
	NameServerRestart Disturbance = "name server restart"
)

// Undisturbed is why a case that does d is Skipped on servers that nobody may
// touch.
func Undisturbed(d Disturbance) string {
	return "the servers of this cluster must not be disturbed: " + string(d)
}

// Do makes a disturbance happen and returns when the servers work again.
func Do(c Control, d Disturbance) error {
	switch d {
	case BrokerRestart:
		return c.RestartBroker()
	case BrokerKill:
		return c.CrashBroker()
	case NameServerRestart:
		return c.RestartNameServer()
	}
	return fmt.Errorf("nobody knows the disturbance %q", d)
}

// Case is one promise and how it is shown to be kept.
type Case struct {
	// Name is unique, lower case with dashes: "send-batch".
	Name string
	// Promise is one sentence: what an application may rely on.
	Promise string
	// Area is one of Areas.
	Area string
	// Disturbs says what Run asks of Env.Disturb, exactly once.
	Disturbs Disturbance
	// Limit is how long the case may take; zero is 90 seconds.
	Limit time.Duration
	// Run fails the case through Env and returns otherwise.
	Run func(ctx context.Context, e *Env)
}

// Cases returns all cases of the Go client.
func Cases() []Case {
	var all []Case
	for _, table := range [][]Case{sendCases(), consumeCases(), orderCases(), retryCases(), offsetCases(),
		routeCases(), disturbingCases(), requestCases(), transactionCases()} {
		all = append(all, table...)
	}
	return all
}

// Control disturbs the servers. A cluster that a user names has none; cases
// that disturb are skipped there.
type Control interface {
	RestartBroker() error
	CrashBroker() error
	RestartNameServer() error
}

// Options of Run. NameServer is required.
type Options struct {
	NameServer string
	// Control is nil where the servers must not be disturbed.
	Control Control
	// Cases to run; nil means Cases().
	Cases []Case
	// Match leaves out the cases whose name it does not match; nil matches all.
	Match *regexp.Regexp
	// Cluster is what Inspect found; nil has Run look itself.
	Cluster *Cluster
	// ID is part of all names, "conf-ID-…"; empty is a random one.
	ID string
	// Parallel is how many undisturbed cases run at a time; zero is 8.
	Parallel int
	// Done is called as each case ends, from several goroutines, one at a time.
	Done func(Result)
}

// Status is how a case ended.
type Status string

// The statuses of a Result.
const (
	Passed Status = "pass"
	Failed Status = "fail"
	// Skipped is a case that was not run: it would disturb the servers, or the
	// run was interrupted.
	Skipped Status = "skip"
	// NotApplicable is a case that tells nothing about this cluster: it lacks
	// permission for this client, or what the case is about is turned off.
	NotApplicable Status = "n/a"
	// OnPurpose is a wire case that a server which says that it is Merlin answers
	// otherwise than Java does, exactly in the way that is written down.
	OnPurpose Status = "on purpose"
)

// Statuses lists the statuses in report order.
func Statuses() []Status { return []Status{Passed, Failed, OnPurpose, NotApplicable, Skipped} }

// Tested says that a case with this status was run and tells something about the
// server.
func (s Status) Tested() bool { return s == Passed || s == Failed || s == OnPurpose }

// Interrupted is the reason of cases that the end of the run's context left out.
const Interrupted = "the run was interrupted"

// Result is what became of one case.
type Result struct {
	Case     Case
	Status   Status
	Reason   string   // why it failed, was skipped or does not apply
	Log      []string // what it did, in order
	Duration time.Duration
}

// Run runs the cases and returns their results in the order of the table. When
// ctx ends, cases that run clean up and are Skipped, as those that did not start
// yet. The error is about the cluster as a whole: it wraps ErrUnreachable when
// the name server or the broker does not answer.
func Run(ctx context.Context, o Options) ([]Result, error) {
	quietClient()
	if o.Cases == nil {
		o.Cases = Cases()
	}
	if o.Parallel == 0 {
		o.Parallel = 8
	}
	if o.Cluster == nil {
		var err error
		if o.Cluster, err = Inspect(ctx, o.NameServer); err != nil {
			return nil, err
		}
	}
	r := &run{o: o, results: make([]Result, len(o.Cases)), id: cmp.Or(o.ID, NewID())}
	r.undisturbed(ctx)
	for _, d := range []Disturbance{BrokerRestart, BrokerKill, NameServerRestart} {
		r.disturbed(ctx, d)
	}
	r.sweep(ctx)
	return r.selected(), nil
}

type run struct {
	o       Options
	id      string
	results []Result

	doneMu sync.Mutex // serialises calls of o.Done
}

func (r *run) wants(c *Case) bool { return r.o.Match == nil || r.o.Match.MatchString(c.Name) }

func (r *run) selected() []Result {
	var out []Result
	for i := range r.results {
		if r.results[i].Status != "" {
			out = append(out, r.results[i])
		}
	}
	return out
}

func (r *run) undisturbed(ctx context.Context) {
	slots := make(chan struct{}, r.o.Parallel)
	var wg sync.WaitGroup
	for i := range r.o.Cases {
		c := &r.o.Cases[i]
		if c.Disturbs != Nothing || !r.wants(c) {
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			r.one(ctx, i, func() error { return fmt.Errorf("case %s disturbs without saying so", c.Name) })
		})
	}
	wg.Wait()
}

// disturbed runs all cases of one disturbance together; it happens when the
// last of them has asked for it or has ended.
func (r *run) disturbed(ctx context.Context, d Disturbance) {
	var group []int
	for i := range r.o.Cases {
		if r.o.Cases[i].Disturbs == d && r.wants(&r.o.Cases[i]) {
			group = append(group, i)
		}
	}
	if len(group) == 0 {
		return
	}
	if r.o.Control == nil {
		for _, i := range group {
			r.finish(i, Result{Case: r.o.Cases[i], Status: Skipped, Reason: Undisturbed(d)})
		}
		return
	}
	b := newBarrier(len(group), func() error { return Do(r.o.Control, d) })
	var wg sync.WaitGroup
	for _, i := range group {
		wg.Go(func() {
			arrived := false
			r.one(ctx, i, func() error {
				arrived = true
				return b.arrive()
			})
			if !arrived {
				b.leave()
			}
		})
	}
	wg.Wait()
}

func (r *run) one(ctx context.Context, i int, disturb func() error) {
	c := r.o.Cases[i]
	if why := r.o.Cluster.Without(Name, c.Name); why != "" {
		r.finish(i, Result{Case: c, Status: NotApplicable, Reason: why})
		return
	}
	if ctx.Err() != nil {
		r.finish(i, Result{Case: c, Status: Skipped, Reason: Interrupted})
		return
	}
	whole := ctx
	limit := c.Limit
	if limit == 0 {
		limit = 90 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	e := newEnv(ctx, r, &c, disturb)
	start := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer e.cleanUp()
		defer func() {
			if p := recover(); p != nil {
				e.fail(fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))
			}
		}()
		c.Run(ctx, e)
	}()
	select {
	case <-done:
	case <-after(ctx, 20*time.Second):
		e.fail("the case did not end when its time was over; a call of the client hangs")
	}
	res := e.result()
	res.Duration = time.Since(start)
	res.Status, res.Reason = r.o.Cluster.Judge(whole, res.Status, res.Reason)
	r.finish(i, res)
}

// after returns a channel that is closed d after the end of ctx.
func after(ctx context.Context, d time.Duration) <-chan struct{} {
	ch := make(chan struct{})
	context.AfterFunc(ctx, func() { time.AfterFunc(d, func() { close(ch) }) })
	return ch
}

func (r *run) finish(i int, res Result) {
	r.doneMu.Lock()
	defer r.doneMu.Unlock()
	r.results[i] = res
	if r.o.Done != nil {
		r.o.Done(res)
	}
}

// barrier lets something happen once, when all who want it are ready.
type barrier struct {
	mu      sync.Mutex
	waiting int
	members int
	happen  func() error
	err     error
	passed  chan struct{}
}

func newBarrier(members int, happen func() error) *barrier {
	return &barrier{members: members, happen: happen, passed: make(chan struct{})}
}

// arrive waits until it has happened and returns how that went.
func (b *barrier) arrive() error {
	b.mu.Lock()
	b.waiting++
	b.goLocked()
	b.mu.Unlock()
	<-b.passed
	return b.err
}

// leave is for a member that ended before it arrived.
func (b *barrier) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.members--
	b.goLocked()
}

// goLocked lets it happen when nobody is missing. REQUIRES: b.mu is held.
func (b *barrier) goLocked() {
	if b.waiting == 0 || b.waiting < b.members {
		return
	}
	b.members = -1 // once
	go func() {
		b.err = b.happen()
		close(b.passed)
	}()
}
