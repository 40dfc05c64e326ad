package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
)

// commitEvery is how often a consumer stores its offsets, as the clients do.
const commitEvery = 5 * time.Second

// consumer is one connection with a long poll on every queue.
type consumer struct {
	*lane
	offsets  []int64 // of the next message, per slot
	commits  bool    // store the offsets every now and then
	commitAt time.Time
	seen     atomic.Int64 // messages of this run that arrived, counted or not
	stop     func()
	done     chan error
}

// tail sends at a rate and measures when the messages arrive at a consumer with
// a long poll on every queue.
func (b *bench) tail(ctx context.Context) (*Report, error) {
	kind := fmt.Sprintf("tail at %.0f/s, %d bytes, %d queues, from the send to the long-polling consumer", b.rate, b.size, b.slots())
	lanes, end, err := b.lanes(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	c, err := b.consume(ctx, false)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	b.start()
	c.start()
	o := b.together(ctx, lanes, (*lane).open)
	missing, err := c.last(acked(lanes))
	b.broken(err)
	b.lost("not arrived", missing)
	return b.merge(kind, []*lane{c.lane}, o), ctx.Err()
}

// acked adds up what the lanes sent and saw answered.
func acked(lanes []*lane) (n int64) {
	for _, l := range lanes {
		n += l.acked
	}
	return n
}

// consume opens a consumer at the end of all queues and asks for the first time.
func (b *bench) consume(ctx context.Context, commits bool) (*consumer, error) {
	conn, stop, err := dial(ctx, b.broker)
	if err != nil {
		return nil, err
	}
	c := &consumer{lane: &lane{b: b, c: conn, h: newHistogram()}, commits: commits, stop: stop, done: make(chan error, 1)}
	for slot := range b.slots() {
		topic, queue := b.slot(slot)
		var at header.GetMaxOffsetResponse
		if _, err := conn.call(codeMaxOffset, &header.GetMaxOffsetRequest{Topic: wire.Some(topic), QueueID: wire.Some(int32(queue)), Committed: true}, &at); err != nil {
			stop()
			return nil, err
		}
		c.offsets = append(c.offsets, at.Offset.V)
	}
	for slot, offset := range c.offsets {
		c.ask(slot, offset, tailPull, pullSuspend|pullSubscription, longPoll)
	}
	return c, nil
}

// start consumes until last is called.
func (c *consumer) start() { go func() { c.done <- c.arrivals() }() }

// last waits until as many messages have arrived as were acknowledged, which may
// never be, and ends the consumer. It gives the number of those that have not.
func (c *consumer) last(acked int64) (missing int64, err error) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(callTimeout); c.seen.Load() < acked && time.Now().Before(end); {
		select {
		case err := <-c.done:
			return acked - c.seen.Load(), err
		case <-tick.C:
		}
	}
	_ = c.c.SetReadDeadline(time.Now())
	if err = <-c.done; errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return acked - c.seen.Load(), err
}

// arrivals measures the messages of this run as they come, until the connection
// has nothing more.
func (c *consumer) arrivals() error {
	for {
		if err := c.c.flush(); err != nil {
			return err
		}
		a, slot, offset, err := c.next()
		if err != nil {
			return err
		}
		if slot >= c.b.slots() {
			continue
		}
		now := time.Now()
		switch protocol.ResponseCode(a.code) {
		case protocol.Success, protocol.PullNotFound, protocol.PullRetryImmediately, protocol.PullOffsetMoved:
		default:
			return refusal(a)
		}
		if err := c.arrived(a.body, now); err != nil {
			return err
		}
		c.offsets[slot] = offset
		c.ask(slot, offset, tailPull, pullSuspend|pullSubscription, longPoll)
		if c.commits && now.After(c.commitAt) {
			c.commit()
			c.commitAt = now.Add(commitEvery)
		}
	}
}

// arrived looks at the records of one pull that came now.
func (c *consumer) arrived(payload []byte, now time.Time) error {
	b := c.b
	var m message.Message
	_, err := records(payload, func(rec []byte) error {
		if _, err := message.Decode(rec, &m, false); err != nil {
			return err
		}
		if len(m.Body) < stampSize || binary.BigEndian.Uint64(m.Body[8:]) != b.run {
			return nil
		}
		born := b.began.Add(time.Duration(binary.BigEndian.Uint64(m.Body)))
		c.seen.Add(1)
		b.live.arrived(now.Sub(born))
		if !born.Before(b.warmed) && born.Before(b.end) {
			c.counted++
			record(c.h, now.Sub(born))
		}
		return nil
	})
	return err
}

// commit appends the offsets of all queues to what is written next.
func (c *consumer) commit() {
	for slot, offset := range c.offsets {
		c.c.out = wire.AppendHead(c.c.out, &wire.Outgoing{Code: codePutOffset, Opaque: firstOpaque + int32(c.b.slots()+slot), Version: version, Header: c.b.offsetOf(slot, offset)}, 0)
	}
}

// offsetOf is the request that stores the group's offset of a slot.
func (b *bench) offsetOf(slot int, offset int64) *header.UpdateConsumerOffsetRequest {
	topic, queue := b.slot(slot)
	return &header.UpdateConsumerOffsetRequest{ConsumerGroup: wire.Some(group), Topic: wire.Some(topic), QueueID: wire.Some(int32(queue)), CommitOffset: wire.Some(offset)}
}

// live is what a soak reads while the lanes run. The zero of it counts; a nil one
// does nothing.
type live struct {
	mu     sync.Mutex // guards all below; held for one record
	window moment
}

// moment is what happened between two samples.
type moment struct {
	acked, arrived int64
	sends, tails   *latencies
}

func newMoment() moment { return moment{sends: newHistogram(), tails: newHistogram()} }

// answered counts a send that was answered after d.
func (v *live) answered(d time.Duration) {
	if v == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.window.acked++
	record(v.window.sends, d)
}

// arrived counts a message that reached the consumer after d.
func (v *live) arrived(d time.Duration) {
	if v == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.window.arrived++
	record(v.window.tails, d)
}

// take gives what happened since the last take.
func (v *live) take() moment {
	fresh := newMoment()
	v.mu.Lock()
	defer v.mu.Unlock()
	m := v.window
	v.window = fresh
	return m
}
