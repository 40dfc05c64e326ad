package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/merlinmq/merlin/protocol"
)

// lane is what one connection measures.
type lane struct {
	b       *bench
	c       *conn
	id      int
	queue   int
	taken   int64 // messages taken of -count
	counted int64
	acked   int64 // everything that was answered well, counted or not
	h       *latencies
}

// lanes opens the connections of a run. The returned function closes them.
func (b *bench) lanes(ctx context.Context) ([]*lane, func(), error) {
	var all []*lane
	var ends []func()
	end := func() {
		for _, f := range ends {
			f()
		}
	}
	for i := range b.conns {
		c, stop, err := dial(ctx, b.broker)
		if err != nil {
			end()
			return nil, nil, err
		}
		ends = append(ends, stop)
		all = append(all, &lane{b: b, c: c, id: i, queue: i * max(b.slots()/b.conns, 1), h: newHistogram()})
	}
	return all, end, nil
}

// send runs the connections and reads the server's usage between the warm-up and
// the end.
func (b *bench) send(ctx context.Context) (*Report, error) {
	lanes, end, err := b.lanes(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	kind := fmt.Sprintf("send %d×%d, %d bytes, %d queues", b.conns, b.window, b.size, b.slots())
	work := (*lane).closed
	switch {
	case b.rate > 0:
		kind, work = fmt.Sprintf("send %.0f/s over %d connections, %d bytes, %d queues", b.rate, b.conns, b.size, b.slots()), (*lane).open
	case b.oneway:
		kind, work = kind+", one-way", (*lane).oneWay
	}
	if b.unbatched {
		kind += ", one write a message"
	}
	b.start()
	r := b.merge(kind, lanes, b.together(ctx, lanes, work))
	return r, ctx.Err()
}

// outcome is what a run tells besides its lanes: how long was measured and the
// server's usage at both ends of that time.
type outcome struct {
	took          time.Duration
	before, after *Usage
	client        *Usage // of this process, over the same time
}

// together runs work on all lanes and waits for them. The server's usage is read
// at the end of the warm-up and at the end of the time, or when all lanes are
// through before it.
func (b *bench) together(ctx context.Context, lanes []*lane, work func(*lane) error) outcome {
	var wg sync.WaitGroup
	for _, l := range lanes {
		wg.Go(func() { b.broken(work(l)) })
	}
	through := make(chan struct{})
	go func() { wg.Wait(); close(through) }()
	var o outcome
	sleep(ctx, through, b.warmed)
	o.before, _ = usage(b.pid)
	own, _ := usage(os.Getpid())
	sleep(ctx, through, b.end)
	o.after, _ = usage(b.pid)
	if o.client, _ = usage(os.Getpid()); own != nil && o.client != nil {
		o.client.CPU -= own.CPU
	}
	o.took = min(max(time.Since(b.warmed), 1), b.duration)
	<-through
	return o
}

// sleep waits until t, the end of ctx or until through is closed.
func sleep(ctx context.Context, through <-chan struct{}, t time.Time) {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-through:
	case <-ctx.Done():
	}
}

// merge adds up the lanes of a run.
func (b *bench) merge(kind string, lanes []*lane, o outcome) *Report {
	f := b.failed()
	r := &Report{Work: kind, Broker: b.broker, Seconds: o.took.Seconds(), Failed: f.count, FailedWarm: f.warm, Codes: f.codes, FirstErr: f.first}
	r.h = newHistogram()
	for _, l := range lanes {
		r.Count += l.counted
		r.h.Merge(l.h)
	}
	r.Rate = float64(r.Count) / r.Seconds
	r.quantiles(r.h)
	r.Server = o.after.since(o.before, r.Count)
	r.Client = o.client.since(&Usage{}, r.Count)
	return r
}

// put appends a send to the next queue. born is when it was meant to be sent.
func (l *lane) put(opaque int32, born time.Time) {
	b := l.b
	l.queue++
	t := &b.templates[l.queue%len(b.templates)]
	at := len(l.c.out)
	l.c.out = t.put(l.c.out, b.payload, opaque, born.UnixMilli(), b.keys.Add(1)|b.run<<40)
	if b.arrives() {
		t.stamp(l.c.out[at:], int64(born.Sub(b.began)), b.run)
	}
}

// took counts an answer that came now for a message that was sent at born.
func (l *lane) took(a answer, born, now time.Time) {
	b := l.b
	if a.code != 0 {
		b.fail(protocol.ResponseCode(a.code).String(), refusal(a))
		return
	}
	b.total.Add(1)
	l.acked++
	b.live.answered(now.Sub(born))
	at := now
	if b.rate > 0 {
		at = born // a message that was due in time counts, however late its answer is
	}
	if at.Before(b.warmed) || !at.Before(b.end) {
		return
	}
	l.counted++
	record(l.h, now.Sub(born))
}

// may says whether -count leaves a message for this lane, and takes it.
func (l *lane) may() bool {
	if l.b.count == 0 {
		return true
	}
	share := l.b.count / int64(l.b.conns)
	if int64(l.id) < l.b.count%int64(l.b.conns) {
		share++
	}
	l.taken++
	return l.taken <= share
}

// closed keeps the window full: it writes what is free and reads what is there.
func (l *lane) closed() error {
	b, c := l.b, l.c
	born := make([]time.Time, b.window)
	free := make([]int32, b.window)
	for i := range free {
		free[i] = int32(i)
	}
	_ = c.SetReadDeadline(b.end.Add(callTimeout))
	for now := time.Now(); ; {
		for ; len(free) > 0 && now.Before(b.end) && l.may(); free = free[:len(free)-1] {
			slot := free[len(free)-1]
			born[slot] = now
			l.put(firstOpaque+slot, now)
			if b.unbatched {
				if err := c.flush(); err != nil {
					return err
				}
				now = time.Now()
			}
		}
		if len(free) == b.window {
			return nil
		}
		if err := c.flush(); err != nil {
			return err
		}
		for first := true; len(free) < b.window && (first || c.r.Buffered() > 0); first = false {
			a, err := c.read()
			if err != nil {
				return err
			}
			slot := a.opaque - firstOpaque
			if slot < 0 || int(slot) >= b.window || born[slot].IsZero() {
				return fmt.Errorf("bench: an answer to %d, which was not asked", a.opaque)
			}
			now = time.Now()
			l.took(a, born[slot], now)
			born[slot] = time.Time{}
			free = append(free, slot)
		}
	}
}

// oneWay writes windows of sends without answers. The count is what the socket
// took, so it may be ahead of the broker by what the buffers between them hold.
func (l *lane) oneWay() error {
	b, c := l.b, l.c
	_ = c.SetWriteDeadline(b.end.Add(callTimeout))
	for now := time.Now(); now.Before(b.end); now = time.Now() {
		n := 0
		for ; n < b.window && l.may(); n++ {
			l.put(firstOpaque, now)
			if b.unbatched {
				if err := c.flush(); err != nil {
					return err
				}
			}
		}
		if err := c.flush(); err != nil {
			return err
		}
		b.total.Add(int64(n))
		if !now.Before(b.warmed) {
			l.counted += int64(n)
		}
		if n < b.window {
			return nil
		}
	}
	return nil
}

// open sends at a rate, whether answers come or not. The n-th message is due at
// a time that is known, so an answer's opaque tells its latency from that time:
// a stall of the server counts for every message that had to wait.
func (l *lane) open() error {
	b, c := l.b, l.c
	gap := time.Duration(float64(time.Second) * float64(b.conns) / b.rate)
	begin := b.began.Add(gap * time.Duration(l.id) / time.Duration(b.conns))
	r := &reader{lane: l, begin: begin, gap: gap, done: make(chan struct{})}
	_ = c.SetDeadline(b.end.Add(callTimeout))
	go r.answers()
	n := int64(0)
	due := begin
	var err error
	for err == nil && due.Before(b.end) {
		b.pause(due)
		for now := time.Now(); !due.After(now) && due.Before(b.end) && len(c.out) < readBuffer; {
			l.put(firstOpaque+int32(n), due)
			n++
			due = begin.Add(gap * time.Duration(n))
			if b.unbatched {
				break
			}
		}
		err = c.flush()
	}
	r.await(n)
	return errors.Join(err, r.err)
}

// reader is the half of an open loop that reads.
type reader struct {
	*lane
	begin time.Time
	gap   time.Duration
	got   atomic.Int64
	done  chan struct{} // closed when nothing more is read
	err   error         // why, valid after done
}

// answers reads until the connection has nothing more.
func (r *reader) answers() {
	defer close(r.done)
	for {
		a, err := r.c.read()
		if err != nil {
			r.err = err
			_ = r.c.SetWriteDeadline(time.Now()) // a writer that is stuck ends too
			return
		}
		r.took(a, r.begin.Add(r.gap*time.Duration(a.opaque-firstOpaque)), time.Now())
		r.got.Add(1)
	}
}

// await waits for the answers of all that was sent and ends the reader. Whatever
// has no answer when its deadline passes has failed.
func (r *reader) await(sent int64) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for r.got.Load() < sent {
		select {
		case <-r.done:
			r.b.lost("not answered", sent-r.got.Load())
			return
		case <-tick.C:
		}
	}
	_ = r.c.SetReadDeadline(time.Now())
	<-r.done
	r.err = nil // it was told to end
}
