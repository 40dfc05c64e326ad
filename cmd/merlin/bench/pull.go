package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
)

// Bits of a pull's sysFlag.
const (
	pullSuspend      = 2 // wait at the broker when there is nothing
	pullSubscription = 4 // the request carries its subscription
)

// A consumer asks like the clients do.
const (
	group    = "bench"
	longPoll = 15 * time.Second
	tailPull = 32
)

// ask appends a pull of a slot; the opaque names the slot.
func (l *lane) ask(slot int, offset int64, count int, sysFlag int32, suspend time.Duration) {
	topic, queue := l.b.slot(slot)
	l.c.out = wire.AppendHead(l.c.out, &wire.Outgoing{Code: codePull, Opaque: firstOpaque + int32(slot), Version: version, Header: &header.PullMessageRequest{
		ConsumerGroup: wire.Some(group), Topic: wire.Some(topic), QueueID: wire.Some(int32(queue)), QueueOffset: wire.Some(offset),
		MaxMsgNums: wire.Some(int32(count)), SysFlag: wire.Some(sysFlag), CommitOffset: wire.Some(int64(0)),
		SuspendTimeoutMillis: wire.Some(suspend.Milliseconds()), Subscription: wire.Some("*"), SubVersion: wire.Some(int64(0)),
		ExpressionType: wire.Some("TAG"),
	}}, 0)
}

// next reads the answer of a pull: the slot and where to go on.
func (l *lane) next() (a answer, slot int, offset int64, err error) {
	if a, err = l.c.read(); err != nil {
		return a, 0, 0, err
	}
	slot = int(a.opaque - firstOpaque)
	if slot >= l.b.slots() && slot < 2*l.b.slots() && a.code == 0 {
		return a, slot, 0, nil // an offset was stored
	}
	if slot < 0 || slot >= l.b.slots() {
		return a, 0, 0, fmt.Errorf("bench: an answer to %d, which was not asked: %w", a.opaque, refusal(a))
	}
	offset, ok := number(a.head, `"nextBeginOffset":"`)
	if !ok {
		return a, 0, 0, refusal(a)
	}
	return a, slot, offset, nil
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

// pull reads the topics from their start, the queues shared out among the
// connections like among the members of a group.
func (b *bench) pull(ctx context.Context) (*Report, error) {
	lanes, end, err := b.lanes(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	b.start()
	kind := fmt.Sprintf("pull on %d connections, %d messages a pull, %d queues", b.conns, b.maxMessages, b.slots())
	r := b.merge(kind, lanes, b.together(ctx, lanes, (*lane).catchUp))
	return r, ctx.Err()
}

// cursor is a queue that a lane reads.
type cursor struct {
	asked time.Time
	laps  int
	empty bool // the lap had no message yet
}

// catchUp keeps one pull of every queue of this lane under way. The latencies
// are those of pulls, not of messages.
func (l *lane) catchUp() error {
	b, c := l.b, l.c
	mine := map[int]*cursor{}
	for slot := l.id; slot < b.slots(); slot += b.conns {
		mine[slot] = &cursor{asked: b.began, empty: true}
		l.ask(slot, 0, b.maxMessages, pullSubscription, 0)
	}
	_ = c.SetDeadline(b.end.Add(callTimeout))
	for under := len(mine); under > 0; {
		if c.r.Buffered() == 0 {
			if err := c.flush(); err != nil {
				return err
			}
		}
		a, slot, offset, err := l.next()
		if err != nil {
			return err
		}
		q, now := mine[slot], time.Now()
		if q == nil {
			return fmt.Errorf("bench: an answer to queue %d, which was not asked", slot)
		}
		switch protocol.ResponseCode(a.code) {
		case protocol.Success:
			n, err := records(a.body, nil)
			if err != nil {
				return err
			}
			b.total.Add(n)
			if now.Before(b.end) {
				l.counted += n
				record(l.h, now.Sub(q.asked))
			}
			q.empty = false
		case protocol.PullNotFound:
			q.laps++
			if q.empty || b.laps > 0 && q.laps >= b.laps {
				under-- // nothing in a whole lap: an empty queue
				continue
			}
			q.empty, offset = true, 0
		case protocol.PullRetryImmediately, protocol.PullOffsetMoved:
		default:
			return refusal(a)
		}
		if !now.Before(b.end) {
			under--
			continue
		}
		q.asked = now
		l.ask(slot, offset, b.maxMessages, pullSubscription, 0)
	}
	return nil
}
