package disk

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/merlinmq/merlin/conformance/internal/storeclient"
	"github.com/merlinmq/merlin/protocol/message"
)

const queuesPerTopic = 4

// expected is a message that will appear in a queue by itself: a delayed one, one of
// a transaction, or one whose answer a kill cut off.
type expected struct {
	queue    storeclient.Queue
	due      time.Time  // not before
	must     bool       // it has to appear in the end; otherwise it may
	never    bool       // it must not: rolled back
	asked    func() int // of a transaction that was left open: how often its producer was asked
	timer    bool       // a timer of Java 5: no other broker delivers it
	arrived  int
	arrivals []string // hops
}

// Ledger is what the directory must hold.
type Ledger struct {
	queues  map[storeclient.Queue][]string // raw records by queue offset
	pending map[string]*expected           // by key
	topics  map[string]string              // settings, as JSON
	groups  map[string]string
	deleted map[string]bool
	offsets map[storeclient.Queue]int64 // of group
	// forgetful are hops that ended with a kill. How far delayed messages are is
	// noted in intervals, by Java ten seconds after its start for the first time,
	// and whoever comes next, Java too, delivers again what was not noted. Timers
	// come again when Java 5 reads their log once more.
	forgetful map[string]bool
	again     int  // such deliveries, and transactions that were asked about twice
	timers    bool // the broker of this hop delivers timers
	// afterKill: what this hop saw first may have been delivered by the broker that
	// was killed before it.
	afterKill bool
	// hurries is a broker of 4.9 after a kill: for a delayed message whose entry it
	// makes again it takes one second for every level (TestDelay_MadeAgainByJava4).
	hurries bool
	hurried int // messages that came early for that reason
}

// NewLedger is that of an empty directory.
func NewLedger() *Ledger {
	return &Ledger{queues: map[storeclient.Queue][]string{}, pending: map[string]*expected{}, topics: map[string]string{},
		groups: map[string]string{}, deleted: map[string]bool{}, offsets: map[storeclient.Queue]int64{}, forgetful: map[string]bool{}}
}

// Messages is how many records it has.
func (l *Ledger) Messages() (n int) {
	for _, q := range l.queues {
		n += len(q)
	}
	return n
}

// sorted gives the queues in order.
func (l *Ledger) sorted() []storeclient.Queue {
	var out []storeclient.Queue
	for q := range l.queues {
		out = append(out, q)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].String() < out[j].String() })
	return out
}

// Problem is one thing that is not as the ledger says.
type Problem struct{ Kind, Text string }

// String is one line.
func (p Problem) String() string { return p.Kind + ": " + p.Text }

// compare reads every queue: what the ledger has must be there, byte by byte at its
// offset, and what is new must be expected.
func (l *Ledger) compare(cl *storeclient.Client, hop string) ([]Problem, error) {
	var out []Problem
	bad := func(kind, format string, args ...any) { out = append(out, Problem{kind, fmt.Sprintf(format, args...)}) }
	for _, q := range l.sorted() {
		r, err := cl.ReadQueue(q, "*")
		if err != nil {
			return nil, err
		}
		if r.Why != nil || len(r.Stuck) > 0 {
			bad("read", "%v: stuck at %v, refused at %v: %v", q, r.Stuck, r.Refused, r.Why)
		}
		have := l.queues[q]
		for i, raw := range have {
			switch {
			case i >= len(r.Found):
				bad("lost", "%v at %d and %d more", q, i, len(have)-i-1)
			case string(r.Found[i].Raw) != raw:
				bad("changed", "%v at %d: %s, was %s", q, i, describe([]byte(r.Found[i].Raw)), describe([]byte(raw)))
			default:
				continue
			}
			break
		}
		for i := len(have); i < len(r.Found); i++ {
			f := r.Found[i]
			if int(f.QueueOffset) != i {
				bad("hole", "%v: offset %d follows %d", q, f.QueueOffset, i-1)
			}
			out = append(out, l.arrive(q, &f, hop)...)
			have = append(have, string(f.Raw))
		}
		l.queues[q] = have
	}
	return out, nil
}

// arrive notes a message that came by itself.
func (l *Ledger) arrive(q storeclient.Queue, f *storeclient.Record, hop string) []Problem {
	e := l.pending[f.Key()]
	at := fmt.Sprintf("%s in %v at %d", f.Key(), q, f.QueueOffset)
	if e == nil {
		return []Problem{{"phantom", at}}
	}
	var out []Problem
	if e.queue != q {
		out = append(out, Problem{"misplaced", fmt.Sprintf("%s, expected in %v", at, e.queue)})
	}
	if e.never {
		out = append(out, Problem{"rolled back", at})
	}
	if stored := time.UnixMilli(f.StoreTimestamp); stored.Before(e.due) && l.hurries {
		l.hurried++
	} else if stored.Before(e.due) {
		out = append(out, Problem{"early", fmt.Sprintf("%s, by %v", at, e.due.Sub(stored))})
	}
	e.arrived++
	if e.arrivals = append(e.arrivals, hop); e.arrived > 1 {
		if e.asked != nil && e.asked() > 1 {
			l.again++ // each question was answered, the second before the first answer counted
			return out
		}
		before := e.arrivals[e.arrived-2]
		if !e.due.IsZero() && (l.forgetful[before] || l.afterKill && before == hop || e.timer && len(l.forgetful) > 0) {
			l.again++
			return out
		}
		out = append(out, Problem{"twice", fmt.Sprintf("%s, in the hops %v", at, e.arrivals)})
	}
	return out
}

// describe says what a record is.
func describe(raw []byte) string {
	var m message.Message
	if _, err := message.Decode(raw, &m, true); err != nil {
		return err.Error()
	}
	key, _ := message.Get(m.Properties, message.PropertyKeys)
	return fmt.Sprintf("{%s of %s-%d at %d, log %d, %d bytes, properties %q}", key, m.Topic, m.QueueID, m.QueueOffset, m.PhyOffset, len(raw), m.Properties)
}

// waiting are the keys that have to appear and have not.
func (l *Ledger) waiting(only func(*expected) bool) []string {
	var out []string
	for key, e := range l.pending {
		if e.must && e.arrived == 0 && only(e) && (!e.timer || l.timers) {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// byKey asks for every message by its key and by its unique id.
func (l *Ledger) byKey(cl *storeclient.Client) (asked int, missing []string, err error) {
	for _, q := range l.sorted() {
		for _, raw := range l.queues[q] {
			var m message.Message
			if _, err := message.Decode([]byte(raw), &m, false); err != nil {
				return asked, missing, err
			}
			for _, name := range []string{message.PropertyKeys, message.PropertyUniqKey} {
				key, _ := message.Get(m.Properties, name)
				asked++
				rs, err := cl.ByKey(q.Topic, key)
				if err != nil {
					return asked, missing, fmt.Errorf("%s %q: %w", name, key, err)
				}
				if !slices.ContainsFunc(rs, func(r storeclient.Record) bool { return string(r.Raw) == raw }) {
					missing = append(missing, fmt.Sprintf("%s %s of %v at %d, log %d", name, key, q, m.QueueOffset, m.PhyOffset))
				}
			}
		}
	}
	return asked, missing, nil
}

// byPlace asks for every nth message by its place in the log.
func (l *Ledger) byPlace(cl *storeclient.Client, nth int) ([]Problem, error) {
	var out []Problem
	n := 0
	for _, q := range l.sorted() {
		for i, raw := range l.queues[q] {
			if n++; n%nth != 0 {
				continue
			}
			var m message.Message
			if _, err := message.Decode([]byte(raw), &m, false); err != nil {
				return nil, err
			}
			r, err := cl.ByPlace(q.Topic, m.PhyOffset)
			if errors.Is(err, storeclient.ErrRefused) {
				out = append(out, Problem{"by place", fmt.Sprintf("%v at %d: %v", q, i, err)})
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("%v at %d by its place: %w", q, i, err)
			}
			if string(r.Raw) != raw {
				out = append(out, Problem{"by place", fmt.Sprintf("%v at %d: %s", q, i, describe(r.Raw))})
			}
		}
	}
	return out, nil
}
