package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/merlinmq/merlin/conformance/cluster"
	"github.com/merlinmq/merlin/conformance/probe"
)

const (
	steadyTopics = 3
	steadyQueues = 4
	consumers    = 2
	maxStarting  = 60 * time.Millisecond // a start that is killed runs so long at most
	segmentSize  = 1 << 20
)

// Options of a Rig.
type Options struct {
	// Sync is SYNC_FLUSH; otherwise ASYNC_FLUSH.
	Sync bool
	Seed uint64
}

// longest is how long a load runs at most. With ASYNC_FLUSH it has to see a
// checkpoint, which comes every second.
func (o Options) longest() time.Duration {
	if o.Sync {
		return 700 * time.Millisecond
	}
	return 1800 * time.Millisecond
}

// pace is the pause between two sends of a producer: each start is followed by
// two reads of everything, so there should not be too much.
func (o Options) pace() time.Duration {
	if o.Sync {
		return time.Millisecond
	}
	return 4 * time.Millisecond
}

// BrokerConf are the settings of the broker: files so small that every run meets
// their ends, and what is written in intervals written often.
func (o Options) BrokerConf() map[string]string {
	conf := map[string]string{
		"flushDiskType": "ASYNC_FLUSH", "mappedFileSizeCommitLog": strconv.Itoa(segmentSize),
		"mappedFileSizeConsumeQueue": "10000", "maxHashSlotNum": "5000", "maxIndexNum": "20000",
		"flushConsumeQueueThoroughInterval": "500", "flushConsumerOffsetInterval": "200",
		// The disk of a test machine may be as full as it is.
		"diskMaxUsedSpaceRatio": "95", "cleanFileForciblyEnable": "false",
	}
	if o.Sync {
		conf["flushDiskType"] = "SYNC_FLUSH"
	}
	return conf
}

// Report counts what a Rig did and saw. Durations are wall time.
type Report struct {
	Kills      int // of these Recovering hit a broker that was starting
	Recovering int
	Starts     int
	Sent       int64
	Acked      int // messages
	Destroyed  int // acknowledged, then destroyed on purpose (ASYNC_FLUSH)
	Found      int // of Acked, in the last read
	Damages    map[Damage]int
	Slowest    time.Duration // start until the broker answers and its route is there
	Violations []Violation
}

// Count is the number of violations of one kind.
func (r *Report) Count(k Kind) int {
	n := 0
	for _, v := range r.Violations {
		if v.Kind == k {
			n++
		}
	}
	return n
}

// Add adds the counts of another rig.
func (r *Report) Add(o *Report) {
	r.Kills += o.Kills
	r.Recovering += o.Recovering
	r.Starts += o.Starts
	r.Sent += o.Sent
	r.Acked += o.Acked
	r.Destroyed += o.Destroyed
	r.Found += o.Found
	r.Slowest = max(r.Slowest, o.Slowest)
	r.Violations = append(r.Violations, o.Violations...)
	if r.Damages == nil {
		r.Damages = map[Damage]int{}
	}
	for d, n := range o.Damages {
		r.Damages[d] += n
	}
}

// String is the line that a run ends with.
func (r *Report) String() string {
	var damages []string
	for _, d := range Damages() {
		if n := r.Damages[d]; n > 0 {
			damages = append(damages, fmt.Sprintf("%s %d", d, n))
		}
	}
	rest := len(r.Violations) - r.Count(Lost) - r.Count(Duplicated) - r.Count(OutOfOrder)
	return fmt.Sprintf("kills = %d (%d while starting), sent = %d, acknowledged = %d, destroyed on purpose = %d, found = %d, "+
		"lost = %d, duplicated = %d, out of order = %d, other violations = %d, slowest start = %v; damage: %s",
		r.Kills, r.Recovering, r.Sent, r.Acked, r.Destroyed, r.Found,
		r.Count(Lost), r.Count(Duplicated), r.Count(OutOfOrder), rest, r.Slowest.Round(time.Millisecond), strings.Join(damages, ", "))
}

// Rig is one broker process, its directory, its load and their history. It
// belongs to one goroutine.
type Rig struct {
	o       Options
	cluster cluster.Cluster
	dir     storeDir
	rand    *rand.Rand
	history *History
	offsets *offsets
	steady  []Queue
	cycle   int
	durable int64 // end of the log that the last start recovered
	seq     atomic.Int64
	report  Report

	mu     sync.Mutex // guards what follows
	made   []string   // topics whose creation was acknowledged
	tried  []string   // topics whose creation was asked for
	places map[Queue]int64
}

// NewRig makes the topics of a broker that was started with o.BrokerConf.
func NewRig(c cluster.Cluster, o Options) (*Rig, error) {
	r := &Rig{o: o, cluster: c, dir: storeDir{c.StoreDir(), segmentSize}, rand: rand.New(rand.NewPCG(o.Seed, 1)),
		history: NewHistory(), offsets: newOffsets(), places: map[Queue]int64{}, report: Report{Damages: map[Damage]int{}}}
	for t := range steadyTopics {
		topic := fmt.Sprintf("crash-%d", t)
		if err := r.putTopic(topic); err != nil {
			return nil, err
		}
		for q := range int32(steadyQueues) {
			r.steady = append(r.steady, Queue{topic, q})
		}
	}
	return r, nil
}

// Report is what happened so far.
func (r *Rig) Report() *Report {
	r.report.Sent = r.seq.Load()
	r.report.Acked, r.report.Destroyed = r.history.Acked()
	return &r.report
}

func (r *Rig) putTopic(topic string) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	r.mu.Lock()
	r.tried = append(r.tried, topic)
	r.mu.Unlock()
	if err := probe.PutTopic(ctx, r.cluster.BrokerAddr(), topic, steadyQueues); err != nil {
		return err
	}
	r.mu.Lock()
	r.made = append(r.made, topic)
	r.mu.Unlock()
	return nil
}

func (r *Rig) position(q Queue) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.places[q]
}

func (r *Rig) moveTo(q Queue, offset int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.places[q] = offset
}

// Cycle runs load, kills the broker, does the damage, starts the broker (killing
// one start before when twice is set) and checks. An error is one of the test's
// own or a broker that does not start; violations stand in the report.
func (r *Rig) Cycle(twice bool, damages ...Damage) error {
	r.cycle++
	l := r.startLoad()
	select {
	case <-l.first:
	case <-time.After(callTimeout):
		return errors.Join(fmt.Errorf("crash: cycle %d: nothing was acknowledged in %v", r.cycle, callTimeout), l.halt())
	}
	l.wait(time.Duration(r.rand.Int64N(int64(r.o.longest()))))
	_, alive := r.cluster.BrokerProcess()
	l.killing.Store(true)
	err := r.cluster.KillBroker()
	if err = errors.Join(err, l.halt()); err != nil || !alive {
		return fmt.Errorf("crash: cycle %d: before the kill (the broker runs: %t): %w", r.cycle, alive, err)
	}
	r.report.Kills++
	disk, err := fileOffsets(r.dir.path, r.steady)
	if err == nil {
		err = r.damage(damages)
	}
	if err == nil && twice {
		err = r.killStarting()
	}
	if err == nil {
		err = r.start()
	}
	if err == nil {
		err = r.check(disk)
	}
	if err != nil {
		return fmt.Errorf("crash: cycle %d, damage %v: %w", r.cycle, damages, err)
	}
	return nil
}

// Restart stops the broker as an operator does, puts the abort file back as if it
// had not, and starts it.
func (r *Rig) Restart() error {
	if err := r.cluster.StopBroker(); err != nil {
		return err
	}
	disk, err := fileOffsets(r.dir.path, r.steady)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.dir.path, "abort"), nil, 0o644); err != nil {
		return err
	}
	if err := r.start(); err != nil {
		return err
	}
	return r.check(disk)
}

// killStarting kills a broker that recovers.
func (r *Rig) killStarting() error {
	if err := r.cluster.LaunchBroker(); err != nil {
		return err
	}
	time.Sleep(time.Duration(r.rand.Int64N(int64(maxStarting))))
	_, alive := r.cluster.BrokerProcess()
	if err := r.cluster.KillBroker(); err != nil || !alive {
		return fmt.Errorf("a start ended by itself: %w\n%s", err, r.cluster.Logs())
	}
	r.report.Kills++
	r.report.Recovering++
	return nil
}

func (r *Rig) start() error {
	began := time.Now()
	if err := r.cluster.StartBroker(); err != nil {
		return err
	}
	r.report.Starts++
	r.report.Slowest = max(r.report.Slowest, time.Since(began))
	return nil
}

// damage does what is asked for to the directory.
func (r *Rig) damage(damages []Damage) error {
	for _, d := range damages {
		cut := int64(0)
		if d.cuts() {
			var err error
			if cut, err = r.cut(); err != nil {
				return err
			}
		}
		if err := r.dir.apply(d, cut, r.rand); err != nil {
			return err
		}
		r.report.Damages[d]++
	}
	return nil
}

// cut chooses the place behind which the log may be destroyed: behind all that was
// promised, and never below the durable floor, where no crash tears anything.
func (r *Rig) cut() (int64, error) {
	cut, err := r.promised()
	if err != nil {
		return 0, err
	}
	floor, err := r.dir.floor()
	if err != nil {
		return 0, err
	}
	if cut = max(cut, floor); !r.o.Sync {
		r.history.Cut(cut)
	}
	return cut, nil
}

// promised is the end of what the flush mode promises.
func (r *Rig) promised() (int64, error) {
	if r.o.Sync {
		cut := r.history.End()
		if last := r.history.LastAcked(); last >= 0 {
			end, err := r.dir.recordEnd(last)
			if err != nil {
				return 0, err
			}
			cut = max(cut, end)
		}
		return cut, nil
	}
	ms, err := r.dir.flushedTime()
	if err != nil {
		return 0, err
	}
	return r.dir.after(r.durable, ms)
}

// check reads everything twice and compares.
func (r *Rig) check(disk map[Queue]int64) error {
	first, err := r.read()
	if err != nil {
		return err
	}
	second, err := r.read()
	if err != nil {
		return err
	}
	bad := Compare(first, second)
	found, more := r.history.Check(second)
	bad = append(bad, more...)
	r.report.Found = found
	r.durable = r.history.End()
	more, err = r.checkOffsets(disk)
	r.report.Violations = append(append(r.report.Violations, bad...), more...)
	return err
}

// read reads all queues of all topics that there should or may be.
func (r *Rig) read() (Read, error) {
	c := newClient(r.cluster.BrokerAddr())
	defer c.close()
	out := Read{}
	for _, topic := range r.tried {
		there, err := r.exists(topic)
		if err != nil {
			return nil, err
		}
		if !there {
			continue
		}
		for id := range int32(steadyQueues) {
			q := Queue{topic, id}
			if out[q], err = c.readQueue(q); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// exists asks for a topic; one that was acknowledged and is gone is a violation.
func (r *Rig) exists(topic string) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	_, err := probe.Call(ctx, r.cluster.BrokerAddr(), probe.TopicStats, map[string]string{"topic": topic}, nil)
	if err == nil {
		return true, nil
	}
	if probe.CodeOf(err) < 0 {
		return false, err
	}
	for _, made := range r.made {
		if made == topic {
			r.report.Violations = append(r.report.Violations, Violation{Topic, Queue{Topic: topic}, topic, err.Error()})
		}
	}
	return false, nil
}
