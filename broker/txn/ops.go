package txn

import (
	"strconv"
	"sync"
	"time"

	"github.com/merlinmq/merlin/broker/put"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store"
)

// opsLimit bounds the removal entries that wait: as long as the store does not
// take them, END_TRANSACTION is refused and the check will ask again.
const opsLimit = 20_000

// ops are the removal entries.
type ops struct {
	wake chan struct{} // the waiting entries fill a message

	mu      sync.Mutex  // guards the rest; a leaf
	waiting []int64     // ended half messages without a stored removal entry
	size    int         // bytes of their entries
	written []opMessage // stored removal messages that are not done
	next    int64       // removal messages below are done
}

// opMessage is a stored removal message.
type opMessage struct {
	offset int64 // in the removal queue
	last   int64 // the highest half message that it names
}

func newOps() *ops { return &ops{wake: make(chan struct{}, 1)} }

// add puts in an ended half message; limit is transactionOpMsgMaxSize.
func (o *ops) add(half int64, limit int) {
	o.mu.Lock()
	o.waiting = append(o.waiting, half)
	o.size += len(strconv.FormatInt(half, 10)) + 1
	full := o.size > limit
	o.mu.Unlock()
	if full {
		o.wakeUp()
	}
}

func (o *ops) wakeUp() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// full reports whether no more entries may wait.
func (o *ops) full() bool { return o.waitingNow() >= opsLimit }

func (o *ops) waitingNow() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.waiting)
}

// head is the body of the next removal message, and the entries in it: as Java's,
// it ends with the entry that reaches limit.
func (o *ops) head(limit int) (text []byte, n int, last int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for n < len(o.waiting) && len(text) < limit {
		text = append(strconv.AppendInt(text, o.waiting[n], 10), ',')
		last = max(last, o.waiting[n])
		n++
	}
	return text, n, last
}

// stored takes the first n entries out: they are in m, in size bytes.
func (o *ops) stored(n, size int, m opMessage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = append(o.waiting[:0], o.waiting[n:]...)
	o.size -= size
	o.written = append(o.written, m)
}

// passed gives the removal messages that are done, all below the result, when the
// half messages below half are.
func (o *ops) passed(half int64) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for n < len(o.written) && o.written[n].last < half {
		o.next = o.written[n].offset + 1
		n++
	}
	o.written = append(o.written[:0], o.written[n:]...)
	return o.next
}

// writeOps is the goroutine that writes removal messages.
func (s *Service) writeOps() {
	defer s.done.Done()
	interval := func() time.Duration { return s.Config.Get().TransactionOpBatchInterval.Duration() }
	t := s.Clock.NewTimer(interval())
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-s.ops.wake:
			s.flushOps(false)
		case <-t.C():
			s.flushOps(true)
			t.Reset(interval())
		}
	}
}

// flushOps writes removal messages: as many as are full, or all. Entries that the
// store does not take wait for the next time. Two calls must not overlap.
func (s *Service) flushOps(all bool) bool {
	limit := s.Config.Get().TransactionOpMsgMaxSize
	for {
		text, n, last := s.ops.head(limit)
		if n == 0 || !all && len(text) < limit {
			return true
		}
		d := &put.Draft{Put: store.Put{Msg: message.Message{
			Topic: topic.TransOpHalf, Body: text, TagsCode: message.TagsHash(removeTag),
			BornTimestamp: s.Clock.NowMillis(), BornHost: s.StoreHost, StoreHost: s.StoreHost,
		}}, Counts: put.AsPut(topic.TransOpHalf)}
		d.Props.Add(message.PropertyTags, removeTag)
		d.Props.Add(message.PropertyWait, "true")
		res := s.Put.Put(d)
		if !put.Stored(res.Status) {
			s.Logger.Error("removal entries of transactions wait: the store refused them", "entries", n, "status", res.Status, "err", res.Err)
			return false
		}
		s.ops.stored(n, len(text), opMessage{res.QueueOffset, last})
	}
}
