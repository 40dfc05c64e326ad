package bench

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
)

// settle is the part of a soak at its start that the slopes leave out: caches
// and pools fill up in it.
const settle = 0.2

// Soak is what a long run tells besides its latencies.
type Soak struct {
	Sent        int64    `json:"acknowledged"`
	Arrived     int64    `json:"arrived"`
	Missing     int64    `json:"missing"` // acknowledged and not arrived
	Lag         int64    `json:"lag"`     // messages behind the stored offsets at the end
	AnonSlope   float64  `json:"anonMiBPerHour"`
	FDSlope     float64  `json:"descriptorsPerHour"`
	ArrivalP50  int64    `json:"arrivalP50us"`
	ArrivalP99  int64    `json:"arrivalP99us"`
	ArrivalP999 int64    `json:"arrivalP999us"`
	Samples     []sample `json:"samples"`
}

// sample is one look at the server and at what happened since the one before.
type sample struct {
	At      float64 `json:"seconds"`
	Sends   float64 `json:"sendsPerSecond"`
	Arrived float64 `json:"arrivalsPerSecond"`
	P50     int64   `json:"sendP50us"`
	P99     int64   `json:"sendP99us"`
	Tail50  int64   `json:"arrivalP50us"`
	Tail99  int64   `json:"arrivalP99us"`
	AnonMiB float64 `json:"anonMiB"`
	FileMiB float64 `json:"fileMiB"`
	FDs     int     `json:"descriptors"`
	Threads int     `json:"threads"`
	CPU     float64 `json:"cpuSeconds"`
	Failed  int64   `json:"failed"`
}

// soak sends at a rate for a long time, has a consumer group with stored offsets
// keep up with it, and samples the server meanwhile.
func (b *bench) soak(ctx context.Context) (*Report, error) {
	lanes, end, err := b.lanes(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	b.live = &live{window: newMoment()}
	c, err := b.consume(ctx, true)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	b.start()
	c.start()
	w := watcher{b: b, s: &Soak{}}
	sending, sent := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() { defer close(watched); w.watch(sending) }()
	o := b.together(ctx, lanes, (*lane).open)
	sent() // all lanes may have ended early, when the broker did
	<-watched
	w.s.Sent = acked(lanes)
	w.s.Missing, err = c.last(w.s.Sent)
	w.s.Arrived = c.seen.Load()
	b.broken(err)
	b.lost("not arrived", w.s.Missing)
	r := b.merge(fmt.Sprintf("soak at %.0f/s, %d bytes, %d queues", b.rate, b.size, b.slots()), lanes, o)
	r.Soak = w.s
	w.s.finish(c.h)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	w.s.Lag, err = b.lag(ctx, c.offsets)
	return r, err
}

// finish works out what the samples say together.
func (s *Soak) finish(arrivals *latencies) {
	s.ArrivalP50, s.ArrivalP99, s.ArrivalP999 = arrivals.ValueAtQuantile(50), arrivals.ValueAtQuantile(99), arrivals.ValueAtQuantile(99.9)
	var at, anon, fds []float64
	for i, p := range s.Samples {
		if float64(i) < settle*float64(len(s.Samples)) {
			continue
		}
		at, anon, fds = append(at, p.At), append(anon, p.AnonMiB), append(fds, float64(p.FDs))
	}
	s.AnonSlope, s.FDSlope = slope(at, anon)*3600, slope(at, fds)*3600
}

// slope is that of the line of least squares.
func slope(x, y []float64) float64 {
	n := float64(len(x))
	var sx, sy, sxx, sxy float64
	for i := range x {
		sx, sy, sxx, sxy = sx+x[i], sy+y[i], sxx+x[i]*x[i], sxy+x[i]*y[i]
	}
	if d := n*sxx - sx*sx; d > 0 {
		return (n*sxy - sx*sy) / d
	}
	return 0
}

// lag stores the last offsets of the group, reads them back and compares them
// with the ends of the queues.
func (b *bench) lag(ctx context.Context, offsets []int64) (behind int64, err error) {
	c, stop, err := dial(ctx, b.broker)
	if err != nil {
		return 0, err
	}
	defer stop()
	for slot, offset := range offsets {
		topic, queue := b.slot(slot)
		if _, err := c.call(codePutOffset, b.offsetOf(slot, offset), nil); err != nil {
			return 0, err
		}
		var stored header.QueryConsumerOffsetResponse
		if _, err := c.call(codeGetOffset, &header.QueryConsumerOffsetRequest{ConsumerGroup: wire.Some(group), Topic: wire.Some(topic), QueueID: wire.Some(int32(queue))}, &stored); err != nil {
			return 0, err
		}
		var top header.GetMaxOffsetResponse
		if _, err := c.call(codeMaxOffset, &header.GetMaxOffsetRequest{Topic: wire.Some(topic), QueueID: wire.Some(int32(queue)), Committed: true}, &top); err != nil {
			return 0, err
		}
		behind += top.Offset.V - stored.Offset.V
	}
	return behind, nil
}

// watcher samples the server during a soak.
type watcher struct {
	b    *bench
	s    *Soak
	last time.Time
}

// watch takes a sample every now and then until the time is over.
func (w *watcher) watch(ctx context.Context) {
	tick := time.NewTicker(w.b.every)
	defer tick.Stop()
	w.last = w.b.began
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if now.After(w.b.end) {
				return
			}
			w.sample(now)
		}
	}
}

func (w *watcher) sample(now time.Time) {
	m := w.b.live.take()
	took := now.Sub(w.last).Seconds()
	w.last = now
	p := sample{
		At: now.Sub(w.b.began).Seconds(), Sends: float64(m.acked) / took, Arrived: float64(m.arrived) / took,
		P50: m.sends.ValueAtQuantile(50), P99: m.sends.ValueAtQuantile(99),
		Tail50: m.tails.ValueAtQuantile(50), Tail99: m.tails.ValueAtQuantile(99), Failed: w.b.failed().count,
	}
	u, err := usage(w.b.pid)
	if err != nil {
		return // the broker is gone; its lanes say so
	}
	if u != nil {
		p.AnonMiB, p.FileMiB, p.CPU, p.Threads = u.AnonMiB, u.FileMiB+u.ShmemMiB, u.CPU, u.Threads
		p.FDs = descriptors(w.b.pid)
	}
	w.s.Samples = append(w.s.Samples, p)
	fmt.Fprintf(w.b.errOut, "%5.0f s  %6.0f sends/s  %6.0f arrivals/s  p50/p99 %.2f/%.2f ms  arrival %.2f/%.2f ms  anonymous %.1f MiB  file %.1f MiB  descriptors %d  failed %d\n",
		p.At, p.Sends, p.Arrived, ms(p.P50), ms(p.P99), ms(p.Tail50), ms(p.Tail99), p.AnonMiB, p.FileMiB, p.FDs, p.Failed)
}

// descriptors counts the open descriptors of a process; 0 when it is not ours to
// look at.
func descriptors(pid int) int {
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// write adds the rows of a soak to the table.
func (s *Soak) write(row func(name, format string, args ...any)) {
	row("acknowledged", "%d", s.Sent)
	row("arrived", "%d, missing %d", s.Arrived, s.Missing)
	row("lag at the end", "%d", s.Lag)
	row("arrival p50/p99/p99.9", "%.3f / %.3f / %.3f ms", ms(s.ArrivalP50), ms(s.ArrivalP99), ms(s.ArrivalP999))
	if n := len(s.Samples); n > 0 && s.Samples[n-1].FDs > 0 {
		first, last := s.Samples[int(settle*float64(n))], s.Samples[n-1]
		row("anonymous memory", "%.1f MiB after %.0f s, %.1f MiB at the end, slope %+.2f MiB an hour", first.AnonMiB, first.At, last.AnonMiB, s.AnonSlope)
		row("descriptors", "%d after %.0f s, %d at the end, slope %+.2f an hour", first.FDs, first.At, last.FDs, s.FDSlope)
	}
}
