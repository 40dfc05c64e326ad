// Package budget bounds the memory that the peers of one server make it keep:
// beginnings of frames, requests in work, answers that were not taken, parked
// requests and the tables that peers feed. There is one Budget a server and one
// Account a connection; the servers of one process that serve the same purpose
// (a broker's two ports) share a Budget.
//
// # How it is counted
//
// An Account counts exactly. It takes from the Budget in steps, so that counters
// that all connections share are touched once in many kilobytes and never for
// small messages. What is charged is what is known to be kept, in bytes, not what
// the runtime makes of it: the limit is a part of the machine's memory, see
// Default.
//
// # When it is used up
//
// Add never waits and never fails. It notes that the Budget is over its limit, or
// an Account over its share, and fires Pressed; who hears of it, or asks Over and
// holds no lock, calls Relieve then, which closes the accounts over their share and,
// while the limit is passed, the largest ones. Peers with small accounts go on.
//
// What a closed account kept is still in memory until its owner ends it. It does
// not count for the limit, so that nobody else goes for it, but Crowded tells of it:
// who is about to make something large lets the others go first.
//
// The package owns no goroutine. Locks: Budget.mu and Account.mu, both leaves.
package budget

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Kind is what memory is kept for.
type Kind uint8

// Kinds of charges.
const (
	Base   Kind = iota // the connection itself
	Input              // received and not handled: beginnings of frames, input behind a busy connection
	Work               // requests in queues and with workers, answers that are being built
	Output             // answers that the peer has not taken
	Parked             // requests that wait for a message
	Tables             // what the peer's heartbeats and registrations keep
	kinds
)

var kindNames = [kinds]string{"base", "input", "work", "output", "parked", "tables"}

// String is the name of the kind in logs.
func (k Kind) String() string { return kindNames[k] }

// step is how much an Account takes from its Budget at a time.
const step = 16 << 10

// ErrShare closes a peer that keeps more than its share.
var ErrShare = errors.New("the peer makes the server keep more than one peer may")

// ErrLimit closes the peer that keeps most when the server's budget is used up.
var ErrLimit = errors.New("the memory for peers is used up and this peer keeps most of it")

// Budget is what all peers together may make a server keep. A nil *Budget bounds
// nothing. Its methods may be called from any goroutine.
type Budget struct {
	limit, share int64
	used         atomic.Int64 // what accounts have taken, in steps
	leaving      atomic.Int64 // of used, what closed accounts have
	pressed      chan struct{}

	mu       sync.Mutex // guards accounts; a leaf
	accounts map[*Account]struct{}
}

// New makes a budget of limit bytes of which one account may have share. Both
// must be above 0.
func New(limit, share int64) *Budget {
	return &Budget{limit: limit, share: min(share, limit), pressed: make(chan struct{}, 1), accounts: map[*Account]struct{}{}}
}

// Limit is the number of bytes that all peers together may keep; 0 for nil.
func (b *Budget) Limit() int64 {
	if b == nil {
		return 0
	}
	return b.limit
}

// Share is the number of bytes that one peer may keep; 0 for nil.
func (b *Budget) Share() int64 {
	if b == nil {
		return 0
	}
	return b.share
}

// Used is the number of bytes that are taken, rounded up by peer.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	return b.used.Load()
}

// Over reports whether more than the limit is taken, without what accounts have
// that Relieve has closed.
func (b *Budget) Over() bool { return b != nil && b.staying() > b.limit }

func (b *Budget) staying() int64 { return b.used.Load() - b.leaving.Load() }

// Crowded reports whether so much is taken, with what closed accounts have not given
// back yet, that nothing large should be begun: half more than the limit.
func (b *Budget) Crowded() bool { return b != nil && b.used.Load() > b.limit+b.limit/2 }

// Pressed fires when Relieve should be called; nil, which never fires, for a nil
// budget. Several may listen.
func (b *Budget) Pressed() <-chan struct{} {
	if b == nil {
		return nil
	}
	return b.pressed
}

func (b *Budget) press() {
	select {
	case b.pressed <- struct{}{}:
	default:
	}
}

// Account is what one peer is charged. A nil *Account counts nothing. Its methods
// may be called from any goroutine.
type Account struct {
	b     *Budget
	close func(error)
	kinds [kinds]atomic.Int64
	total atomic.Int64

	mu      sync.Mutex   // guards what follows; a leaf
	granted atomic.Int64 // taken from the budget; read without mu
	evicted atomic.Bool  // Relieve has closed it; read without mu
	ended   bool
}

// Open makes the account of a peer. close is called at most once, from the
// goroutine that calls Relieve, when the peer has to go; it must not block, and
// the peer's end must call End.
func (b *Budget) Open(close func(reason error)) *Account {
	if b == nil {
		return nil
	}
	a := &Account{b: b, close: close}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accounts[a] = struct{}{}
	return a
}

// Add charges n bytes, or gives them back when n is below 0. It does not block
// and it never fails: see Pressed.
func (a *Account) Add(k Kind, n int64) {
	if a == nil || n == 0 {
		return
	}
	a.kinds[k].Add(n)
	total, granted := a.total.Add(n), a.granted.Load()
	if total > granted || granted-total > 4*step {
		a.settle()
	}
}

// settle takes from the budget, or gives back to it, in steps.
func (a *Account) settle() {
	a.mu.Lock()
	total := a.total.Load()
	want := (max(total, 0) + step - 1) / step * step
	if a.ended {
		want = 0
	}
	grown := want - a.granted.Load()
	a.granted.Store(want)
	evicted := a.evicted.Load()
	a.b.used.Add(grown)
	if evicted {
		a.b.leaving.Add(grown)
	}
	a.mu.Unlock()
	if grown > 0 && !evicted && (a.b.staying() > a.b.limit || total > a.b.share) {
		a.b.press()
	}
}

// Total is the number of bytes that are charged.
func (a *Account) Total() int64 {
	if a == nil {
		return 0
	}
	return a.total.Load()
}

// Of is the number of bytes that are charged for one kind.
func (a *Account) Of(k Kind) int64 {
	if a == nil {
		return 0
	}
	return a.kinds[k].Load()
}

// small is what a peer may always keep: when the budget is used up it is not the
// likes of it who have done that.
const small = 256 << 10

// Fits reports whether n more bytes would stay inside the peer's share and, unless
// the peer keeps little, inside the budget's limit. It charges nothing.
func (a *Account) Fits(n int64) bool {
	if a == nil {
		return true
	}
	total := a.total.Load() + n
	return total <= a.b.share && (total <= small || a.b.staying()+n <= a.b.limit)
}

// End gives everything back and forgets the account. What is added later counts
// nothing.
func (a *Account) End() {
	if a == nil {
		return
	}
	a.b.mu.Lock()
	delete(a.b.accounts, a)
	a.b.mu.Unlock()
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	a.settle()
}

// String lists the charges, the largest first.
func (a *Account) String() string {
	if a == nil {
		return "nothing"
	}
	type part struct {
		kind Kind
		n    int64
	}
	var parts []part
	for k := range kinds {
		if n := a.kinds[k].Load(); n != 0 {
			parts = append(parts, part{k, n})
		}
	}
	slices.SortFunc(parts, func(x, y part) int { return cmp.Compare(y.n, x.n) })
	var s strings.Builder
	fmt.Fprintf(&s, "%d bytes", a.total.Load())
	for i, p := range parts {
		sep := ", "
		if i == 0 {
			sep = ": "
		}
		fmt.Fprintf(&s, "%s%s %d", sep, p.kind, p.n)
	}
	return s.String()
}

// Relieve closes every account over its share and then, while the accounts that
// are left have taken more than the limit, the largest ones until an eighth of the
// limit is free. It returns how many it closed. What they kept is given back when
// their owners end them.
func (b *Budget) Relieve() int {
	b.mu.Lock()
	all := make([]*Account, 0, len(b.accounts))
	for a := range b.accounts {
		all = append(all, a)
	}
	b.mu.Unlock()
	type size struct {
		a     *Account
		total int64
	}
	var left int64
	var live []size
	closed := 0
	for _, a := range all {
		if a.evicted.Load() {
			continue // it is on its way out
		}
		total := a.total.Load()
		if total > b.share {
			closed += a.evict(fmt.Errorf("%w: %s, share %d", ErrShare, a, b.share))
			continue
		}
		left += a.granted.Load()
		live = append(live, size{a, total})
	}
	if left <= b.limit {
		return closed
	}
	slices.SortFunc(live, func(x, y size) int { return cmp.Compare(y.total, x.total) })
	for _, s := range live {
		if left <= b.limit-b.limit/8 {
			break
		}
		left -= s.a.granted.Load()
		closed += s.a.evict(fmt.Errorf("%w: %s, all peers %d, limit %d", ErrLimit, s.a, b.used.Load(), b.limit))
	}
	return closed
}

func (a *Account) evict(reason error) int {
	a.mu.Lock()
	first := !a.evicted.Load()
	if first {
		a.evicted.Store(true)
		a.b.leaving.Add(a.granted.Load())
	}
	a.mu.Unlock()
	if !first {
		return 0
	}
	a.close(reason)
	return 1
}
