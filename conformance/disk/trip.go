package disk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/merlinmq/merlin/conformance/cluster"
	"github.com/merlinmq/merlin/conformance/internal/storeclient"
	"github.com/merlinmq/merlin/conformance/probe"
)

const (
	group = "disk-group"
	soon  = 60 * time.Second // bounds waits for what a broker does every second
)

// Conf are the settings that all brokers of a trip are given: small files, and what
// is done in intervals done often.
func Conf() map[string]string {
	return map[string]string{
		"mappedFileSizeCommitLog": "1048576", "mappedFileSizeConsumeQueue": "6000", "maxHashSlotNum": "4000", "maxIndexNum": "3000",
		"flushConsumeQueueThoroughInterval": "500", "flushConsumerOffsetInterval": "200", "flushDelayOffsetInterval": "200",
		// A question must not come again before the answer to the first one counts.
		"transactionCheckInterval": "2000", "transactionTimeOut": "1000", "transactionOpBatchInterval": "200", "transactionCheckMax": "1000", "enableScheduleMessageStats": "false",
		// The disk of a test machine may be as full as it is.
		"diskMaxUsedSpaceRatio": "95", "cleanFileForciblyEnable": "false",
	}
}

// End is how a hop ends.
type End string

// The ends.
const (
	Stop     End = "stopped"
	Kill     End = "killed"
	KillBusy End = "killed while sending"
)

// Hop is one stay of the directory with a broker.
type Hop struct {
	Kind cluster.Kind
	End  End
}

// String is the broker and how it ended.
func (h Hop) String() string { return h.Kind.Name + ", " + string(h.End) }

// hasTimers says whether a kind of broker takes and delivers timers.
func hasTimers(k cluster.Kind) bool { return strings.HasPrefix(k.Name, "java-5") }

func (h Hop) old() bool { return strings.HasPrefix(h.Kind.Name, "java-4") }

// Trip is a directory on its way.
type Trip struct {
	c        cluster.Cluster
	r        *rand.Rand
	ledger   *Ledger
	config   configFiles // as the last hop left them
	n        int         // hops
	name     string      // of the hop
	messages int         // about so many a hop
	seq      int
	outcomes map[string]int32 // of transactions that are not decided yet
	killed   bool             // the hop before ended so
	javas    bool             // a Java broker started after a kill
	gone     map[string]bool  // keys that are not found any more
	allNew   bool             // no broker of 4.9 has had the directory since settings were noted

	// NoZeros leaves out properties with NUL bytes.
	NoZeros bool
	// Timers is after how long timers are due that Java brokers are given.
	Timers   time.Duration
	Problems []Problem
	Asked    int // keys, in all hops
	// JavasLoss are keys that a Java broker did not find any more at its start
	// after a kill (TestIndex_AfterAKill); they are gone for whoever comes next.
	JavasLoss int
}

// NewTrip takes a cluster that was started with Conf; its broker is of the first
// kind.
func NewTrip(c cluster.Cluster, messages int, seed uint64) *Trip {
	return &Trip{c: c, r: rand.New(rand.NewPCG(seed, 3)), ledger: NewLedger(), messages: messages, outcomes: map[string]int32{}, gone: map[string]bool{}, allNew: true}
}

func (t *Trip) problem(ps ...Problem) {
	for _, p := range ps {
		p.Text = t.name + ": " + p.Text
		t.Problems = append(t.Problems, p)
		fmt.Println(p)
	}
}

// Visit lets a broker have the directory: it compares, adds and ends.
func (t *Trip) Visit(h Hop, started bool) error {
	t.n++
	t.name = fmt.Sprintf("hop %d (%v)", t.n, h)
	if h.End != Stop {
		t.ledger.forgetful[t.name] = true
	}
	t.ledger.timers, t.ledger.hurries, t.ledger.afterKill = hasTimers(h.Kind), h.old() && t.killed, t.killed
	t.javas = t.killed && h.Kind.Name != "merlin"
	t.killed = h.End != Stop
	if err := t.visit(h, started); err != nil {
		return fmt.Errorf("%s: %w\n%s", t.name, err, t.c.Logs())
	}
	return nil
}

func (t *Trip) visit(h Hop, started bool) error {
	printed, before := t.printed(), len(t.Problems)
	if !started {
		if err := t.c.UseBroker(h.Kind); err != nil {
			return err
		}
		if err := t.c.StartBroker(); err != nil {
			return err
		}
	}
	if h.old() {
		t.allNew = false
	}
	cl := storeclient.New(t.c.BrokerAddr())
	defer cl.Close()
	if err := t.compare(cl); err != nil {
		return err
	}
	said := t.printed()[len(printed):]
	if len(t.Problems) > before {
		for l := range strings.Lines(said) {
			if strings.Contains(l, "nobody to ask") {
				continue
			}
			if strings.Contains(l, "level=WARN") || strings.Contains(l, "level=ERROR") || strings.Contains(l, "recovered") {
				fmt.Print("\t", l)
			}
		}
	}
	if h.Kind.Name == "merlin" && t.waitingTimers() > 0 && !timersLine.MatchString(said) {
		t.problem(Problem{"timers", fmt.Sprintf("%d timers lie in %s, and no line says so", t.waitingTimers(), timerTopic)})
	}
	if err := t.decide(cl); err != nil {
		return err
	}
	if err := t.add(cl); err != nil {
		return err
	}
	if err := t.end(cl, h); err != nil {
		return err
	}
	return t.rest(h)
}

// timerTopic is where Java keeps timers, and timersLine what a broker that cannot
// deliver them says about that.
const timerTopic = "rmq_sys_wheel_timer"

var timersLine = regexp.MustCompile(`level=(WARN|ERROR) .*` + timerTopic + `.*=[1-9]\d*`)

// waitingTimers counts the timers that have not been delivered.
func (t *Trip) waitingTimers() (n int) {
	for _, e := range t.ledger.pending {
		if e.timer && e.arrived == 0 {
			n++
		}
	}
	return n
}

// printed is what all brokers have printed so far.
func (t *Trip) printed() string {
	b, err := os.ReadFile(filepath.Join(filepath.Dir(t.c.StoreDir()), "broker.out"))
	if err != nil {
		return ""
	}
	return string(b)
}

// compare looks at everything while the broker has not been asked for any change.
func (t *Trip) compare(cl *storeclient.Client) error {
	ps, err := t.ledger.compare(cl, t.name)
	if err != nil {
		return err
	}
	t.problem(ps...)
	asked, missing, err := t.ledger.byKey(cl)
	if err != nil {
		return err
	}
	t.Asked += asked
	missing = slices.DeleteFunc(missing, func(key string) bool { return t.gone[key] })
	for _, key := range missing {
		t.gone[key] = true
	}
	switch {
	case len(missing) > 0 && t.javas:
		t.JavasLoss += len(missing)
	case len(missing) > 0:
		t.problem(Problem{"index", fmt.Sprintf("%d of %d keys are not found any more: %s … %s", len(missing), asked, missing[0], missing[len(missing)-1])})
	}
	if ps, err = t.ledger.byPlace(cl, 7); err != nil {
		return err
	}
	t.problem(ps...)
	for _, table := range []struct {
		what string
		code int
		name string
		want map[string]string
	}{{"topic", probe.AllTopics, "topicConfigTable", t.ledger.topics}, {"group", probe.AllGroups, "subscriptionGroupTable", t.ledger.groups}} {
		rows, err := t.ask(table.code, table.name)
		if err != nil {
			return err
		}
		t.problem(compareTable(table.what, rows, table.want, !t.allNew)...)
	}
	return t.compareOffsets()
}

// ask asks the broker for all of something.
func (t *Trip) ask(code int, table string) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), storeclient.CallTimeout)
	defer cancel()
	a, err := probe.Call(ctx, t.c.BrokerAddr(), code, nil, nil)
	if err != nil {
		return nil, err
	}
	var v map[string]any
	if err := probe.Unmarshal(a.Body, &v); err != nil {
		return nil, err
	}
	return configFiles{"": v}.rows("", table), nil
}

func (t *Trip) compareOffsets() error {
	for q, want := range t.ledger.offsets {
		ctx, cancel := context.WithTimeout(context.Background(), storeclient.CallTimeout)
		is, err := probe.Offset(ctx, t.c.BrokerAddr(), group, q.Topic, int(q.ID))
		cancel()
		if err != nil {
			return err
		}
		if is != want {
			t.problem(Problem{"offset", fmt.Sprintf("of %v is %d, %d stood on the disk", q, is, want)})
		}
	}
	return nil
}

// decide answers the questions about transactions that earlier hops left open.
func (t *Trip) decide(cl *storeclient.Client) error {
	if len(t.outcomes) == 0 {
		return nil
	}
	p, err := newProducer(t.c.BrokerAddr(), t.outcomes)
	if err != nil {
		return err
	}
	defer p.close()
	for key, outcome := range t.outcomes {
		e := t.ledger.pending[key]
		e.must, e.never = outcome == commit, outcome == rollback
		e.asked = func() int { return p.questions(key) }
	}
	err = t.until(cl, "transactions are asked about", func() (bool, error) {
		for key, outcome := range t.outcomes {
			if p.questions(key) == 0 || outcome == commit && t.ledger.pending[key].arrived == 0 {
				return false, nil
			}
		}
		return true, nil
	})
	t.outcomes = map[string]int32{}
	return errors.Join(err, p.failed)
}

// until compares again and again until something is so.
func (t *Trip) until(cl *storeclient.Client, what string, done func() (bool, error)) error {
	for end := time.Now().Add(soon); ; time.Sleep(100 * time.Millisecond) {
		ps, err := t.ledger.compare(cl, t.name)
		if err != nil {
			return err
		}
		t.problem(ps...)
		ok, err := done()
		if err != nil || ok {
			return err
		}
		if time.Now().After(end) {
			t.problem(Problem{"late", fmt.Sprintf("%s: not in %v, waiting for %v", what, soon, t.ledger.waiting(func(*expected) bool { return true }))})
			return nil
		}
	}
}

// Hurried is how many delayed messages a broker of 4.9 delivered too early because
// it had to make their consume queue again.
func (t *Trip) Hurried() int { return t.ledger.hurried }

// Again is how often a delayed message came again after a broker was killed, or a
// transaction whose producer was asked twice.
func (t *Trip) Again() int { return t.ledger.again }

// Arrive starts a broker that sees everything arrive.
func (t *Trip) Arrive(k cluster.Kind) error {
	t.name = "the end (" + k.Name + ")"
	t.ledger.timers, t.ledger.hurries, t.ledger.afterKill = hasTimers(k), false, t.killed
	t.javas = t.killed && k.Name != "merlin"
	if err := errors.Join(t.c.UseBroker(k), t.c.StartBroker()); err != nil {
		return err
	}
	cl := storeclient.New(t.c.BrokerAddr())
	defer cl.Close()
	if err := t.compare(cl); err != nil {
		return err
	}
	if err := t.decide(cl); err != nil {
		return err
	}
	return t.until(cl, "all have arrived", func() (bool, error) {
		return len(t.ledger.waiting(func(*expected) bool { return true })) == 0, nil
	})
}

// end stops or kills the broker.
func (t *Trip) end(cl *storeclient.Client, h Hop) error {
	switch h.End {
	case Stop:
		return t.c.StopBroker()
	case Kill:
		return t.c.KillBroker()
	}
	return t.killBusy(cl)
}

// rest looks at the directory while nobody has it.
func (t *Trip) rest(h Hop) error {
	now, err := readConfig(t.c.StoreDir())
	if err != nil {
		return err
	}
	t.problem(unchanged(t.config, now)...)
	groups := now.rows("subscriptionGroup.json", "subscriptionGroupTable")
	if h.Kind.Name == "merlin" && h.End != Stop {
		t.problem(inPlace(t.c.StoreDir(), t.n)...)
		groups = lengthened(groups)
	}
	t.problem(compareTable("topics.json", now.rows("topics.json", "topicConfigTable"), t.ledger.topics, !t.allNew)...)
	t.problem(compareTable("subscriptionGroup.json", groups, t.ledger.groups, !t.allNew)...)
	on := now.offsetsOn()
	for q, want := range t.ledger.offsets {
		// A kill may come before offsets are written; they never go back behind
		// what the disk had.
		if is, before := on[q], t.config.offsetsOn()[q]; h.End == Stop && is != want || is > want || is < before {
			t.problem(Problem{"consumerOffset.json", fmt.Sprintf("%v is at %d, committed %d, before the hop %d", q, is, want, before)})
		}
	}
	t.ledger.offsets = on
	t.config = now
	names, err := os.ReadDir(filepath.Join(t.c.StoreDir(), "config"))
	if err != nil {
		return err
	}
	var all []string
	for _, n := range names {
		all = append(all, n.Name())
	}
	slices.Sort(all)
	fmt.Printf("%s: %d messages, %d problems so far, config: %s\n", t.name, t.ledger.Messages(), len(t.Problems), strings.Join(all, " "))
	return nil
}
