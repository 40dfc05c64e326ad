package txnkill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/merlinmq/merlin/conformance/cluster"
	"github.com/merlinmq/merlin/conformance/probe"
	"github.com/merlinmq/merlin/protocol/message"
)

const (
	producers  = 4
	pace       = 8 * time.Millisecond // pause of a producer between two transactions
	warmUp     = 400 * time.Millisecond
	opInterval = 500 * time.Millisecond // transactionOpBatchInterval of the broker
	opTopic    = "RMQ_SYS_TRANS_OP_HALF_TOPIC"
)

// BrokerConf are the settings of the broker: checks so often that each run meets
// them, and small files.
func BrokerConf(sync bool) map[string]string {
	conf := map[string]string{
		"flushDiskType": "ASYNC_FLUSH", "mappedFileSizeCommitLog": "1048576",
		"transactionCheckInterval": "400", "transactionTimeOut": "600", "transactionCheckMax": "1000",
		"transactionOpBatchInterval": strconv.FormatInt(opInterval.Milliseconds(), 10),
		// The disk of a test machine may be as full as it is.
		"diskMaxUsedSpaceRatio": "95", "cleanFileForciblyEnable": "false",
	}
	if sync {
		conf["flushDiskType"] = "SYNC_FLUSH"
	}
	return conf
}

// Moment is where the broker is killed.
type Moment string

// The moments.
const (
	HalfStored       Moment = "half stored"
	CommitInFlight   Moment = "commit in flight"
	RollbackInFlight Moment = "rollback in flight"
	OpWritten        Moment = "removal entry written"
	CheckPending     Moment = "check pending"
)

// Moments returns all moments.
func Moments() []Moment {
	return []Moment{HalfStored, CommitInFlight, RollbackInFlight, OpWritten, CheckPending}
}

// Rig is one broker process and its load. It belongs to one goroutine.
type Rig struct {
	cluster cluster.Cluster
	history *History
	next    atomic.Int64 // number of the next transaction
	kills   map[Moment]int
}

// NewRig makes the topic on a broker that was started with BrokerConf.
func NewRig(c cluster.Cluster) (*Rig, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	return &Rig{cluster: c, history: NewHistory(), kills: map[Moment]int{}}, probe.PutTopic(ctx, c.BrokerAddr(), topicName, queues)
}

// Kills is how often the broker was killed so far.
func (r *Rig) Kills() (n int) {
	for _, k := range r.kills {
		n += k
	}
	return n
}

// load is the work between two kills.
type load struct {
	rig    *Rig
	moment Moment
	armed  atomic.Bool   // the moment counts from now on
	once   sync.Once     // closes now
	now    chan struct{} // closed at the moment
	fail   atomic.Pointer[error]
}

// reached says that the load is in a moment, and whether it is the one to be
// killed in.
func (l *load) reached(m Moment) bool {
	if m != l.moment || !l.armed.Load() {
		return false
	}
	l.once.Do(func() { close(l.now) })
	return true
}

// stop ends the load because the broker refused something.
func (l *load) stop(err error) {
	l.fail.CompareAndSwap(nil, &err)
	l.once.Do(func() { close(l.now) })
}

// Cycle runs the load until it is in a moment, kills the broker, starts it again
// and reads everything.
func (r *Rig) Cycle(m Moment) error {
	l := &load{rig: r, moment: m, now: make(chan struct{})}
	c, err := newClient(r.cluster.BrokerAddr(), l.answer)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	gone := make(chan struct{})
	for range producers {
		wg.Go(func() { l.produce(c, gone) })
	}
	if err = l.await(); err == nil {
		err = r.cluster.KillBroker()
	}
	close(gone)
	c.close()
	wg.Wait()
	if err != nil {
		return err
	}
	r.kills[m]++
	if err := r.cluster.StartBroker(); err != nil {
		return err
	}
	return r.Read()
}

// await returns when the broker is to be killed.
func (l *load) await() error {
	limit := time.NewTimer(callTimeout)
	defer limit.Stop()
	warm := time.NewTimer(warmUp + rand.N(warmUp))
	defer warm.Stop()
	select {
	case <-warm.C:
	case <-l.now:
	}
	l.armed.Store(true)
	if l.moment == OpWritten {
		return l.awaitEntry()
	}
	select {
	case <-l.now:
	case <-limit.C:
		return fmt.Errorf("txnkill: the load never was in the moment %q", l.moment)
	}
	return l.err()
}

func (l *load) err() error {
	if err := l.fail.Load(); err != nil {
		return *err
	}
	return nil
}

// awaitEntry waits until the queue of removal entries grows.
func (l *load) awaitEntry() error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	first := int64(-1)
	for {
		n, err := probe.End(ctx, l.rig.cluster.BrokerAddr(), opTopic, 0)
		if err != nil {
			return fmt.Errorf("txnkill: waiting for a removal entry: %w", err)
		}
		if first < 0 {
			first = n
		}
		if n > first {
			return l.err()
		}
	}
}

// produce runs transactions until the broker is gone.
func (l *load) produce(c *client, gone <-chan struct{}) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-gone:
			return
		case <-tick.C:
		}
		if err := l.transaction(c); err != nil {
			if errors.Is(err, errRefused) {
				l.stop(err)
			}
			return
		}
	}
}

// transaction runs one: the half message, and the outcome when the plan has one.
func (l *load) transaction(c *client) error {
	h := l.rig.history
	n := l.rig.next.Add(1)
	h.Sent(n)
	at, err := c.send(n)
	if err != nil {
		return err
	}
	h.Stored(n)
	if l.reached(HalfStored) {
		return nil // its outcome is never sent: the broker must ask
	}
	switch PlanOf(n) {
	case Commit:
		h.Ended(n)
		l.reached(CommitInFlight)
		return c.end(n, at, message.SysFlagCommit, false)
	case Rollback:
		h.Ended(n)
		l.reached(RollbackInFlight)
		return c.end(n, at, message.SysFlagRollback, false)
	case CommitAtLast:
		return c.end(n, at, 0, false)
	}
	return nil
}

// answer tells the broker what became of a transaction.
func (l *load) answer(c *client, n int64, at half) {
	times := l.rig.history.Asked(n)
	if l.reached(CheckPending) {
		return // the answer is never sent
	}
	outcome := message.SysFlagRollback
	if p := PlanOf(n); p == CommitAtLast && times == 1 {
		outcome = 0
	} else if p.Commits() {
		outcome = message.SysFlagCommit
	}
	if outcome != 0 {
		l.rig.history.Ended(n)
	}
	if err := c.end(n, at, outcome, true); errors.Is(err, errRefused) {
		l.stop(fmt.Errorf("answer about transaction %d: %w", n, err))
	}
}

// Read reads everything into the history.
func (r *Rig) Read() error {
	c, err := newClient(r.cluster.BrokerAddr(), func(*client, int64, half) {})
	if err != nil {
		return err
	}
	defer c.close()
	found, err := c.readAll()
	if err == nil {
		r.history.Read(found)
	}
	return err
}

// Settle answers what the broker still asks until all that was promised has
// happened and it has asked nothing for ten of its intervals, and returns what
// the history comes to then.
func (r *Rig) Settle(limit time.Duration) (*Report, error) {
	l := &load{rig: r, now: make(chan struct{})}
	c, err := newClient(r.cluster.BrokerAddr(), l.answer)
	if err != nil {
		return nil, err
	}
	defer c.close()
	deadline, quiet, checks := time.Now().Add(limit), time.Now(), -1
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		found, err := c.readAll()
		if err != nil {
			return nil, err
		}
		r.history.Read(found)
		rep := r.history.Check()
		if rep.Checks != checks {
			checks, quiet = rep.Checks, time.Now()
		}
		open := rep.Count(Lost) + rep.Count(NotAsked)
		if now := time.Now(); open == 0 && now.Sub(quiet) > 4*time.Second || now.After(deadline) {
			return rep, l.err()
		}
		<-tick.C
	}
}

// Line is what a run ends with.
func (r *Rig) Line(rep *Report) string {
	var at []string
	for _, m := range Moments() {
		at = append(at, fmt.Sprintf("%s %d", m, r.kills[m]))
	}
	others := len(rep.Violations) - rep.Count(Lost) - rep.Count(RolledBack) - rep.Count(NotAsked) - rep.Count(Duplicated)
	return fmt.Sprintf("kills = %d (%s), transactions = %d, committed = %d, found = %d, lost = %d, rolled back = %d, rolled back seen = %d, "+
		"left open = %d, asked again = %d, not asked = %d, checks = %d, duplicated = %d, other violations = %d",
		r.Kills(), strings.Join(at, ", "), rep.Transactions, rep.Committed, rep.Found, rep.Count(Lost), rep.RolledBack, rep.Count(RolledBack),
		rep.LeftOpen, rep.Asked, rep.Count(NotAsked), rep.Checks, rep.Count(Duplicated), others)
}
