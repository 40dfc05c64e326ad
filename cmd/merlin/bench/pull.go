package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
)

// Bits of a pull's sysFlag.
const (
	pullSuspend      = 2 // wait at the broker when there is nothing
	pullSubscription = 4 // the request carries its subscription
)

// A consumer asks like the clients do.
const (
	longPoll = 15 * time.Second
	tailPull = 32
)

// ask appends a pull of a queue; the opaque names the queue.
func (l *lane) ask(queue int, offset int64, count int, sysFlag int32, suspend time.Duration) {
	l.c.out = wire.AppendHead(l.c.out, &wire.Outgoing{Code: codePull, Opaque: firstOpaque + int32(queue), Version: version, Header: &header.PullMessageRequest{
		ConsumerGroup: wire.Some("bench"), Topic: wire.Some(l.b.topic), QueueID: wire.Some(int32(queue)), QueueOffset: wire.Some(offset),
		MaxMsgNums: wire.Some(int32(count)), SysFlag: wire.Some(sysFlag), CommitOffset: wire.Some(int64(0)),
		SuspendTimeoutMillis: wire.Some(suspend.Milliseconds()), Subscription: wire.Some("*"), SubVersion: wire.Some(int64(0)),
		ExpressionType: wire.Some("TAG"),
	}}, 0)
}

// next reads the answer of a pull: the queue and where to go on.
func (l *lane) next() (a answer, queue int, offset int64, err error) {
	if a, err = l.c.read(); err != nil {
		return a, 0, 0, err
	}
	queue = int(a.opaque - firstOpaque)
	if queue < 0 || queue >= l.b.queues {
		return a, 0, 0, fmt.Errorf("bench: an answer to %d, which was not asked", a.opaque)
	}
	offset, ok := number(a.head, `"nextBeginOffset":"`)
	if !ok {
		return a, 0, 0, refusal(a)
	}
	return a, queue, offset, nil
}

// records calls back with each record of a pull's body and gives their number.
func records(b []byte, f func(rec []byte) error) (n int64, err error) {
	for ; len(b) > 0; n++ {
		if len(b) < 4 {
			return n, fmt.Errorf("bench: %d bytes behind the last record", len(b))
		}
		size := int(binary.BigEndian.Uint32(b))
		if size < 4 || size > len(b) {
			return n, fmt.Errorf("bench: a record of %d bytes where %d are left", size, len(b))
		}
		if f != nil {
			if err := f(b[:size]); err != nil {
				return n, err
			}
		}
		b = b[size:]
	}
	return n, nil
}

// pull reads the topic on every connection, each from the start.
func (b *bench) pull(ctx context.Context) (*Report, error) {
	lanes, end, err := b.lanes(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	kind := fmt.Sprintf("pull on %d connections, %d messages a pull, %d queues", b.conns, b.maxMessages, b.queues)
	b.start()
	before, err := usage(b.pid)
	if err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	for _, l := range lanes {
		wg.Go(func() {
			if err := l.catchUp(); err != nil {
				b.fail(err)
			}
		})
	}
	wg.Wait()
	took := time.Since(b.began)
	after, err := usage(b.pid)
	if err != nil {
		return nil, err
	}
	r := b.merge(kind, lanes)
	r.Seconds = took.Seconds()
	r.Rate = float64(r.Count) / r.Seconds
	r.Server = after.since(before, r.Count)
	return r, ctx.Err()
}

// catchUp keeps one pull of every queue under way. The latencies are those of
// pulls, not of messages.
func (l *lane) catchUp() error {
	b, c := l.b, l.c
	asked := make([]time.Time, b.queues)
	laps := make([]int, b.queues)
	empty := make([]bool, b.queues)
	for q := range b.queues {
		asked[q] = b.began
		l.ask(q, 0, b.maxMessages, pullSubscription, 0)
	}
	_ = c.SetDeadline(b.end.Add(callTimeout))
	for under := b.queues; under > 0; {
		if c.r.Buffered() == 0 {
			if err := c.flush(); err != nil {
				return err
			}
		}
		a, q, offset, err := l.next()
		if err != nil {
			return err
		}
		now := time.Now()
		switch protocol.ResponseCode(a.code) {
		case protocol.Success:
			n, err := records(a.body, nil)
			if err != nil {
				return err
			}
			l.counted += n
			b.total.Add(n)
			record(l.h, now.Sub(asked[q]))
			empty[q] = false
		case protocol.PullNotFound:
			laps[q]++
			if empty[q] || b.laps > 0 && laps[q] >= b.laps {
				under-- // nothing in a whole lap: an empty queue
				continue
			}
			empty[q], offset = true, 0
		case protocol.PullRetryImmediately, protocol.PullOffsetMoved:
		default:
			return refusal(a)
		}
		if !now.Before(b.end) {
			under--
			continue
		}
		asked[q] = now
		l.ask(q, offset, b.maxMessages, pullSubscription, 0)
	}
	return nil
}

// tail sends at a rate and measures when the messages arrive at a consumer with
// a long poll on every queue.
func (b *bench) tail(ctx context.Context) (*Report, error) {
	lanes, end, err := b.lanes(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	c, stop, err := dial(ctx, b.broker)
	if err != nil {
		return nil, err
	}
	defer stop()
	poll := &lane{b: b, c: c, h: newHistogram()}
	offsets := make([]int64, b.queues)
	for q := range b.queues {
		var at header.GetMaxOffsetResponse
		if _, err := c.call(codeMaxOffset, &header.GetMaxOffsetRequest{Topic: wire.Some(b.topic), QueueID: wire.Some(int32(q)), Committed: true}, &at); err != nil {
			return nil, err
		}
		offsets[q] = at.Offset.V
	}
	for q, offset := range offsets {
		poll.ask(q, offset, tailPull, pullSuspend|pullSubscription, longPoll)
	}
	b.start()
	read := make(chan error, 1)
	go func() { read <- poll.arrivals() }()
	var wg sync.WaitGroup
	for _, l := range lanes {
		wg.Go(func() {
			if err := l.open(); err != nil {
				b.fail(err)
			}
		})
	}
	before, after := b.watch(ctx)
	wg.Wait()
	_ = c.SetReadDeadline(time.Now().Add(time.Second)) // the last arrivals
	if err := <-read; err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		b.fail(err)
	}
	r := b.merge(fmt.Sprintf("tail at %.0f/s, %d bytes, %d queues, from the send to the long-polling consumer", b.rate, b.size, b.queues), []*lane{poll})
	r.Server = after.since(before, r.Count)
	return r, ctx.Err()
}

// arrivals measures the messages of this run as they come, until the connection
// has nothing more.
func (l *lane) arrivals() error {
	b := l.b
	var m message.Message
	for {
		if err := l.c.flush(); err != nil {
			return err
		}
		a, q, offset, err := l.next()
		if err != nil {
			return err
		}
		now := time.Now()
		switch protocol.ResponseCode(a.code) {
		case protocol.Success, protocol.PullNotFound, protocol.PullRetryImmediately, protocol.PullOffsetMoved:
		default:
			return refusal(a)
		}
		if _, err := records(a.body, func(rec []byte) error {
			if _, err := message.Decode(rec, &m, false); err != nil {
				return err
			}
			if len(m.Body) < stampSize || binary.BigEndian.Uint64(m.Body[8:]) != b.run {
				return nil
			}
			born := b.began.Add(time.Duration(binary.BigEndian.Uint64(m.Body)))
			if !born.Before(b.warmed) && born.Before(b.end) {
				l.counted++
				record(l.h, now.Sub(born))
			}
			return nil
		}); err != nil {
			return err
		}
		l.ask(q, offset, tailPull, pullSuspend|pullSubscription, longPoll)
	}
}
