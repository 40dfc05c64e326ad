package remoting

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/merlinmq/merlin/compat/clock"
)

// watchTick is the pace of the watchdog; with very many connections it slows
// down, so that it never takes much of a core.
const watchTick = 20 * time.Millisecond

// registry is the set of open connections.
type registry struct {
	last atomic.Uint64 // ID

	mu    sync.Mutex // guards what follows; a leaf
	conns map[uint64]*Conn
	going int  // of conns, those that spare has chosen
	full  bool // nothing is added any more
	empty chan struct{}
}

// add takes a connection in; false when there are max of them already.
func (g *registry) add(c *Conn, max int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.full || len(g.conns)-g.going >= max {
		return false
	}
	g.conns[c.id] = c
	return true
}

const (
	// looksForSpare is how many connections are looked at for one that may go.
	looksForSpare = 64
	// newcomer is how long (ms) a connection may say nothing before it goes when
	// there is no room.
	newcomer = 1000
)

// room reports whether another connection may come in when there may be max. When
// there are as many it chooses one to close: of some of them, in no order, the
// oldest from which no frame has come.
func (g *registry) room(max int, now int64) (ok bool, spare *Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.conns)-g.going < max {
		return true, nil
	}
	looks := 0
	for _, c := range g.conns {
		if looks++; looks > looksForSpare {
			break
		}
		if !c.heard.Load() && !c.going && now-c.opened >= newcomer && (spare == nil || c.opened < spare.opened) {
			spare = c
		}
	}
	if spare != nil {
		spare.going = true
		g.going++
	}
	return spare != nil, spare
}

func (g *registry) remove(c *Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.going {
		c.going = false
		g.going--
	}
	delete(g.conns, c.id)
	if g.full && len(g.conns) == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

func (g *registry) len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.conns)
}

// appendTo appends all connections.
func (g *registry) appendTo(cs []*Conn) []*Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.conns {
		cs = append(cs, c)
	}
	return cs
}

// seal refuses new connections and gives a channel that closes when the last is
// gone.
func (g *registry) seal() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.full = true
	gone := make(chan struct{})
	if len(g.conns) == 0 {
		close(gone)
	} else {
		g.empty = gone
	}
	return gone
}

// watchdog looks after what nobody is called for: input that piles up behind a
// busy wake-up, frames that do not end, a budget that is used up, queued requests that wait too long, overdue calls, and silence.
type watchdog struct {
	ep    *endpoint
	lanes []*Lane
	stop  chan struct{}
	done  chan struct{}
	conns []*Conn
	slow  int64 // ms: when the rarer checks were made last
}

func startWatchdog(ep *endpoint, lanes []*Lane) *watchdog {
	w := &watchdog{ep: ep, lanes: lanes, stop: make(chan struct{}), done: make(chan struct{})}
	go w.run(ep.clock.NewTicker(watchTick))
	return w
}

func (w *watchdog) end() {
	close(w.stop)
	<-w.done
}

func (w *watchdog) run(t clock.Ticker) {
	defer close(w.done)
	defer t.Stop()
	skip := 0
	for {
		select {
		case <-w.stop:
			return
		case <-w.ep.budget.Pressed():
			w.ep.budget.Relieve()
			continue
		case <-t.C():
		}
		now := w.ep.clock.NowMillis()
		for _, l := range w.lanes {
			l.expire(now)
		}
		if skip > 0 {
			skip--
			continue
		}
		w.conns = w.ep.registry.appendTo(w.conns[:0])
		w.look(now)
		skip = len(w.conns) / 2000
		clear(w.conns)
	}
}

// look checks every connection.
func (w *watchdog) look(now int64) {
	rare := now-w.slow >= 100
	if rare {
		w.slow = now
	}
	for _, c := range w.conns {
		waiting := c.nc.Reader().Len()
		c.tooMuch(waiting)
		if waiting > smallInput || c.ahead.Load() != 0 {
			c.noteAhead()
		}
		c.gate.relax() // when it has waited for room, no wake-up asks
		if !rare {
			continue
		}
		if c.gate.left() {
			c.hup()
		}
		if !c.gate.holds() {
			c.overdue(now, waiting)
		}
		c.calls.expire(now)
		if idle := w.ep.idle; idle > 0 {
			silent := now - max(c.lastRead.Load(), c.lastWrite.Load())
			if silent >= idle.Milliseconds() && c.dead.CompareAndSwap(false, true) {
				w.ep.log.Warn("connection closed", "conn", c.String(),
					"err", fmt.Errorf("silent for %d ms", silent))
				w.ep.tell(Event{Kind: Idle, Conn: c})
				c.Close()
			}
		}
	}
}
