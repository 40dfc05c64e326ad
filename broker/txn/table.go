package txn

import "sync"

// Bounds of the memory of ended transactions: those that the check has passed
// are kept for answers that come late, but not longer and not more than this.
const (
	endedFor   = 10 * 60 * 1000 // ms
	endedLimit = 200_000
)

// state is what is known of the half message at a queue offset.
type state uint8

const (
	open  state = iota
	busy        // being ended or put again; nobody else may touch it
	ended       // committed or rolled back
)

// entry is a half message that is busy or ended.
type entry struct {
	state state
	at    int64 // ms, when it ended
}

// table follows transactions by the queue offset of their half message.
type table struct {
	mu      sync.Mutex // guards the rest
	changed sync.Cond  // a busy entry is not busy any more
	entries map[int64]entry
	newest  map[string]int64 // by identity: the newest copy of a half message that was put again
}

func newTable() *table {
	t := &table{entries: map[int64]entry{}, newest: map[string]int64{}}
	t.changed.L = &t.mu
	return t
}

// claim makes the newest copy of the half message at offset busy and gives its
// offset; ok is false when the transaction has ended already. It waits while
// another caller is at it. Each successful claim needs a release.
func (t *table) claim(offset int64, id string) (at int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		at = offset
		if n, found := t.newest[id]; found && n > offset {
			at = n
		}
		switch {
		case t.entries[offset].state == ended || t.entries[at].state == ended:
			return at, false
		case t.entries[at].state == open:
			t.entries[at] = entry{state: busy}
			return at, true
		}
		t.changed.Wait()
	}
}

// tryClaim is claim for the check: it does not wait, and it takes only the half
// message at this offset. prepared is the offset of the first half message, or
// -1. superseded means that there is nothing to do: it ended, or there is a newer
// copy.
func (t *table) tryClaim(offset, prepared int64, id string) (claimed, superseded bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.entries[offset].state == ended || prepared >= 0 && t.entries[prepared].state == ended {
		return false, true
	}
	if n, found := t.newest[id]; found && n > offset {
		return false, true
	}
	if t.entries[offset].state == busy {
		return false, false
	}
	t.entries[offset] = entry{state: busy}
	return true, false
}

// release ends a claim with nothing done.
func (t *table) release(at int64) { t.settle(func() { delete(t.entries, at) }) }

// end ends a claim: the transaction has ended.
func (t *table) end(at, now int64) { t.settle(func() { t.entries[at] = entry{state: ended, at: now} }) }

// moved ends a claim: the half message stands at next now.
func (t *table) moved(at, next int64, id string) {
	t.settle(func() {
		delete(t.entries, at)
		t.copiedLocked(id, next)
	})
}

func (t *table) settle(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
	t.changed.Broadcast()
}

// copied notes a copy of a half message.
func (t *table) copied(id string, offset int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.copiedLocked(id, offset)
}

// copiedLocked REQUIRES: t.mu.
func (t *table) copiedLocked(id string, offset int64) {
	t.newest[id] = max(offset, t.newest[id])
}

// load notes an ended transaction that the removal queue tells of.
func (t *table) load(offset, now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries[offset] = entry{state: ended, at: now}
}

// isEnded looks a half message up without its copies.
func (t *table) isEnded(offset int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.entries[offset].state == ended
}

// pass says that half messages below offset need no check any more, and forgets
// what is not needed for them.
func (t *table) pass(offset, now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, at := range t.newest {
		if at < offset {
			delete(t.newest, id)
		}
	}
	age := int64(endedFor)
	if len(t.entries) > endedLimit {
		age = 0
	}
	for at, e := range t.entries {
		if at < offset && e.state == ended && now-e.at >= age {
			delete(t.entries, at)
		}
	}
}
