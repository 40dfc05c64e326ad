package suite

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/merlinmq/merlin/conformance/probe"
)

// Env is what a case works with: the cluster, names of its own, and a way to
// fail. It belongs to one run of one case; Fail and Logf may be called from any
// goroutine, the rest only from the case's.
type Env struct {
	// NameServer is the address that clients get, or several separated by
	// semicolons.
	NameServer string
	// Broker is the address of the broker set that topics are made on.
	Broker string
	// BrokerName is that set's name.
	BrokerName string

	ctx     context.Context
	c       *Case
	cluster *Cluster
	prefix  string
	names   int
	disturb func() error
	undo    []func()

	mu     sync.Mutex // guards what follows
	log    []string
	reason string
	failed bool
	skip   bool
	start  time.Time
}

// NewID returns a random part for the names of a run.
func NewID() string {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func newEnv(ctx context.Context, r *run, c *Case, disturb func() error) *Env {
	return &Env{NameServer: r.o.NameServer, Broker: r.o.Cluster.Broker, BrokerName: r.o.Cluster.BrokerName,
		ctx: ctx, c: c, cluster: r.o.Cluster, prefix: "conf-" + r.id + "-" + c.Name, disturb: disturb, start: time.Now()}
}

func (e *Env) result() Result {
	e.mu.Lock()
	defer e.mu.Unlock()
	res := Result{Case: *e.c, Status: Passed, Reason: e.reason, Log: e.log}
	switch {
	case e.failed:
		res.Status = Failed
	case e.skip:
		res.Status = NotApplicable
	}
	return res
}

// Logf notes what the case does; it is shown when the case fails.
func (e *Env) Logf(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.log = append(e.log, fmt.Sprintf("%6.2fs ", time.Since(e.start).Seconds())+fmt.Sprintf(format, args...))
}

// fail notes a failure; the first one is the reason.
func (e *Env) fail(reason string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.failed {
		e.failed, e.reason = true, reason
	}
}

// Errorf notes a failure and goes on.
func (e *Env) Errorf(format string, args ...any) { e.fail(fmt.Sprintf(format, args...)) }

// Fatalf fails the case and ends it.
func (e *Env) Fatalf(format string, args ...any) {
	e.fail(fmt.Sprintf(format, args...))
	runtime.Goexit()
}

// Skipf ends the case without a verdict: the cluster lacks what it needs.
func (e *Env) Skipf(format string, args ...any) {
	e.mu.Lock()
	e.skip, e.reason = true, fmt.Sprintf(format, args...)
	e.mu.Unlock()
	runtime.Goexit()
}

// NoError ends the case when err is not nil.
func (e *Env) NoError(err error, doing string, args ...any) {
	if err != nil {
		e.Fatalf("%s: %v", fmt.Sprintf(doing, args...), err)
	}
}

// Equal ends the case when seen is not what was expected.
func (e *Env) Equal(expected, seen any, what string, args ...any) {
	if !reflect.DeepEqual(expected, seen) {
		e.Fatalf("%s: expected %v, saw %v", fmt.Sprintf(what, args...), expected, seen)
	}
}

// True ends the case when the condition does not hold.
func (e *Env) True(ok bool, what string, args ...any) {
	if !ok {
		e.Fatalf(what, args...)
	}
}

// Eventually polls until done says true; seen describes the state in the
// failure. The case's own limit ends the wait.
func (e *Env) Eventually(what string, done func() (ok bool, seen string)) {
	if err := e.poll(done); err != nil {
		e.Fatalf("never saw %s: %v", what, err)
	}
}

func (e *Env) poll(done func() (bool, string)) error { return poll(e.ctx, done) }

func poll(ctx context.Context, done func() (bool, string)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, seen := done()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New(seen)
		case <-tick.C:
		}
	}
}

// Steady fails the case when ok stops to hold within d: for things that must
// not happen. It polls, so that a failure shows at once.
func (e *Env) Steady(d time.Duration, what string, ok func() (bool, string)) {
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if holds, seen := ok(); !holds {
			e.Fatalf("%s: %s", what, seen)
		}
		select {
		case <-end.C:
			return
		case <-e.ctx.Done():
			e.Fatalf("%s: out of time", what)
		case <-tick.C:
		}
	}
}

// Cleanup has f called when the case has ended; last in, first out.
func (e *Env) Cleanup(f func()) { e.undo = append(e.undo, f) }

func (e *Env) cleanUp() {
	for i := len(e.undo) - 1; i >= 0; i-- {
		e.undo[i]()
	}
}

// Name returns a name that nothing else has, for a topic, group or client.
func (e *Env) Name(kind string) string {
	e.names++
	return fmt.Sprintf("%s-%s%d", e.prefix, kind, e.names)
}

// Topic makes a topic with the given number of queues, waits until the name
// server has its route, and removes it after the case.
func (e *Env) Topic(queues int) string {
	name := e.Name("t")
	e.dropLater(name)
	e.putTopic(name, queues)
	return name
}

// putTopic makes a topic and waits for its route, also when the run is
// interrupted: what a broker tells a name server late would bring back a topic
// that was removed too soon.
func (e *Env) putTopic(name string, queues int) {
	ctx, cancel := uninterrupted(e.ctx)
	defer cancel()
	e.NoError(probe.PutTopic(ctx, e.Broker, name, queues), "creating topic %s", name)
	err := poll(ctx, func() (bool, string) { return e.hasRoute(ctx, name, queues) })
	e.NoError(err, "waiting for the route of topic %s", name)
}

// uninterrupted returns a context of ten seconds that outlives ctx.
func uninterrupted(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
}

// dropLater removes a topic after the case. What removal does is the promise
// of other cases, so an error here is only logged.
func (e *Env) dropLater(topic string) {
	e.Cleanup(func() {
		ctx, cancel := uninterrupted(e.ctx)
		defer cancel()
		// A topic that is made by its first message may be on any broker.
		for _, broker := range e.cluster.brokers {
			if err := probe.DropTopic(ctx, e.cluster.all(), broker, topic); err != nil {
				e.Logf("removing topic %s: %v", topic, err)
			}
		}
	})
}

// AwaitRoute waits until the route of topic has that many write queues on the
// case's broker.
func (e *Env) AwaitRoute(topic string, queues int) {
	e.Eventually(fmt.Sprintf("a route of %s with %d queues", topic, queues), func() (bool, string) {
		return e.hasRoute(e.ctx, topic, queues)
	})
}

// hasRoute asks all name servers that know the broker: a client may be at any of
// them.
func (e *Env) hasRoute(ctx context.Context, topic string, queues int) (bool, string) {
	for _, ns := range e.cluster.registered {
		r, err := probe.RouteOf(ctx, ns, topic)
		if err != nil {
			return false, ns + ": " + err.Error()
		}
		if !slices.ContainsFunc(r.Queues, func(q probe.Queue) bool {
			return q.BrokerName == e.BrokerName && q.Write == queues && q.Read == queues
		}) {
			return false, fmt.Sprintf("%s: %+v", ns, r.Queues)
		}
	}
	return true, ""
}

// Group returns the name of a new consumer group whose retry topic exists and
// has a route, so that a client that starts now consumes retries at once and
// not after its next look at the routes (30 s). The group and its topics are
// removed after the case.
func (e *Env) Group() string {
	g := e.Name("g")
	e.Cleanup(func() {
		ctx, cancel := uninterrupted(e.ctx)
		defer cancel()
		for _, t := range []string{"%RETRY%" + g, "%DLQ%" + g} {
			_ = probe.DropTopic(ctx, e.cluster.all(), e.Broker, t)
		}
		if err := probe.DropGroup(ctx, e.Broker, g); err != nil {
			e.Logf("removing group %s: %v", g, err)
		}
	})
	ctx, cancel := uninterrupted(e.ctx)
	defer cancel()
	e.NoError(probe.PutGroup(ctx, e.Broker, g, 1, 16), "creating group %s", g)
	e.putTopic("%RETRY%"+g, 1)
	return g
}

// End is the offset that the next message of a queue will get.
func (e *Env) End(topic string, queue int) int64 {
	n, err := probe.End(e.ctx, e.Broker, topic, queue)
	e.NoError(err, "asking for the end of %s queue %d", topic, queue)
	return n
}

// Committed is the sum of a group's committed offsets over the queues of a
// topic; a queue without one counts as 0.
func (e *Env) Committed(group, topic string, queues int) (int64, error) {
	var sum int64
	for q := range queues {
		n, err := probe.Offset(e.ctx, e.Broker, group, topic, q)
		if err != nil {
			return 0, err
		}
		sum += max(n, 0)
	}
	return sum, nil
}

// AwaitCommitted waits until the committed offsets sum up to n.
func (e *Env) AwaitCommitted(group, topic string, queues int, n int64) {
	e.Eventually(fmt.Sprintf("committed offsets of %d", n), func() (bool, string) {
		sum, err := e.Committed(group, topic, queues)
		if err != nil {
			return false, err.Error()
		}
		return sum == n, fmt.Sprintf("they sum up to %d", sum)
	})
}

// AwaitMembers waits until the broker counts n clients in the group.
func (e *Env) AwaitMembers(group string, n int) {
	e.Eventually(fmt.Sprintf("%d members of the group", n), func() (bool, string) {
		ids, err := probe.Members(e.ctx, e.Broker, group)
		if err != nil {
			return false, err.Error()
		}
		return len(ids) == n, strings.Join(ids, ", ")
	})
}

// Disturb lets the case's disturbance happen, together with all other cases
// that ask for it, and returns when the servers are up again.
func (e *Env) Disturb() {
	e.Logf("waiting for the %s", e.c.Disturbs)
	e.NoError(e.disturb(), "%s", e.c.Disturbs)
	e.Logf("%s is over", e.c.Disturbs)
}
