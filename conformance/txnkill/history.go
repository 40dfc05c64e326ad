package txnkill

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
)

// Plan is what the producer of a transaction says about it.
type Plan int

// The plans, each with the first and the last answer of the producer.
const (
	Commit            Plan = iota // ends it at once
	Rollback                      // ends it at once
	CommitWhenAsked               // says nothing until it is asked
	RollbackWhenAsked             // says nothing until it is asked
	CommitAtLast                  // says "unknown" at once and when it is asked first, then commits
)

// plans are taken in turn.
var plans = []Plan{Commit, Commit, Rollback, CommitWhenAsked, Commit, Rollback, RollbackWhenAsked, CommitAtLast}

// PlanOf is the plan of the n-th transaction.
func PlanOf(n int64) Plan { return plans[n%int64(len(plans))] }

// Commits says whether the transaction's message is to be seen in the end.
func (p Plan) Commits() bool { return p != Rollback && p != RollbackWhenAsked }

// asks is how often the broker must have asked at least.
func (p Plan) asks() int {
	switch p {
	case CommitWhenAsked, RollbackWhenAsked:
		return 1
	case CommitAtLast:
		return 2
	}
	return 0
}

// transaction is what is known about one.
type transaction struct {
	stored bool // the half message was acknowledged
	ended  bool // an outcome was sent, whether it arrived or not
	asked  int
	before int // copies in the read before
	copies int // in the last read
	wrong  bool
}

// History is what the clients did and saw. It may be used from many goroutines.
type History struct {
	mu   sync.Mutex // guards what follows
	all  map[int64]*transaction
	read []Violation // that a read showed by itself
}

// NewHistory makes an empty one.
func NewHistory() *History { return &History{all: map[int64]*transaction{}} }

// of returns the entry of transaction n. REQUIRES: h.mu is held.
func (h *History) ofLocked(n int64) *transaction {
	t := h.all[n]
	if t == nil {
		t = &transaction{}
		h.all[n] = t
	}
	return t
}

// Sent notes that a half message is on its way.
func (h *History) Sent(n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ofLocked(n)
}

// Stored notes that the broker acknowledged a half message.
func (h *History) Stored(n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ofLocked(n).stored = true
}

// Ended notes that an outcome is about to be sent, whether it arrives or not.
func (h *History) Ended(n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ofLocked(n).ended = true
}

// Asked notes that the broker asked about a transaction and says how often it
// has by now.
func (h *History) Asked(n int64) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.ofLocked(n)
	t.asked++
	return t.asked
}

// Found is one message that was read.
type Found struct {
	N     int64 // of the transaction; -1 when the message names none
	Whole bool  // it has the content that was sent
}

// Read takes a read of everything from first to last offset.
func (h *History) Read(found []Found) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.all {
		t.before, t.copies = t.copies, 0
	}
	for _, f := range found {
		t := h.all[f.N]
		if t == nil {
			h.read = append(h.read, Violation{Foreign, f.N})
			continue
		}
		t.copies++
		t.wrong = t.wrong || !f.Whole
		if !t.ended && PlanOf(f.N).Commits() {
			h.read = append(h.read, Violation{Early, f.N})
		}
	}
	for n, t := range h.all {
		if t.copies < t.before {
			h.read = append(h.read, Violation{Vanished, n})
		}
	}
}

// Kind is a kind of violation.
type Kind string

// The kinds of violations.
const (
	Lost       Kind = "lost"              // committed and not there
	Vanished   Kind = "vanished"          // there, and not any more
	RolledBack Kind = "rolled back, seen" // must never be there
	Early      Kind = "seen too early"    // before its producer said commit
	NotAsked   Kind = "not asked"         // left open, and its producer was not asked, or not again
	Foreign    Kind = "foreign"           // nobody sent it
	Wrong      Kind = "wrong content"     // not what was sent
	Duplicated Kind = "duplicated"        // there more than once
)

// Violation is one broken promise.
type Violation struct {
	Kind Kind
	N    int64
}

// String names the transaction.
func (v Violation) String() string { return fmt.Sprintf("%s: transaction %d", v.Kind, v.N) }

// Report is what a history comes to.
type Report struct {
	Transactions     int // whose half message was acknowledged
	Committed, Found int // transactions to be committed; of these there
	RolledBack       int // transactions to be rolled back
	LeftOpen, Asked  int // transactions not ended at once; of these asked about as often as it takes
	Checks           int // questions in all
	Violations       []Violation
}

// Count is the number of violations of one kind.
func (r *Report) Count(k Kind) (n int) {
	for _, v := range r.Violations {
		if v.Kind == k {
			n++
		}
	}
	return n
}

// Check compares what was promised with the last read.
func (h *History) Check() *Report {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &Report{Violations: slices.Clone(h.read)}
	add := func(k Kind, n int64) { r.Violations = append(r.Violations, Violation{k, n}) }
	for n, t := range h.all {
		p := PlanOf(n)
		r.Checks += t.asked
		if t.copies > 1 {
			add(Duplicated, n)
		}
		if t.wrong {
			add(Wrong, n)
		}
		if !p.Commits() && t.copies > 0 {
			add(RolledBack, n)
		}
		if !t.stored {
			continue // it may be there or not
		}
		r.Transactions++
		switch {
		case !p.Commits():
			r.RolledBack++
		case t.copies == 0:
			r.Committed++
			add(Lost, n)
		default:
			r.Committed++
			r.Found++
		}
		if p.asks() == 0 {
			continue
		}
		r.LeftOpen++
		if t.asked >= p.asks() {
			r.Asked++
		} else {
			add(NotAsked, n)
		}
	}
	slices.SortFunc(r.Violations, func(a, b Violation) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.N, b.N)) })
	return r
}
