package txn

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/merlinmq/merlin/broker/client"
	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/offset"
	"github.com/merlinmq/merlin/broker/put"
	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store"
)

const (
	group     = "CID_RMQ_SYS_TRANS" // whose consumer offsets keep the progress
	removeTag = "d"                 // tag of removal messages
	readAhead = 64                  // queue entries of one read
)

// Store is what transactions need of the message store.
type Store interface {
	RecordAt(phyOffset int64) ([]byte, error)
	Entries(topic string, queueID int32, from int64, limit int) ([]store.QueueEntry, error)
	MinOffset(topic string, queueID int32) int64
	MaxOffset(topic string, queueID int32) int64
	MaxPhyOffset() int64
	FlushedOffset() int64
}

// Deps are what the service stands on.
type Deps struct {
	Config    *config.Holder
	Topics    *topic.Table
	Offsets   *offset.Table
	Producers *client.Producers
	Store     Store
	Put       *put.Pipeline
	Stats     *stats.Manager
	Clock     clock.Clock
	Logger    *slog.Logger
	// StoreHost is the address that stands in records and message ids.
	StoreHost netip.AddrPort
	// Recovered is what the recovery of the store saw, nil when there was none.
	Recovered *Recovered
}

// Service ends and checks transactions.
type Service struct {
	Deps
	table *table
	ops   *ops

	// Of the checking goroutine alone while it runs.
	half    int64     // the next half message to look at
	pending *progress // waits for the log to be flushed

	stop chan struct{} // nil while nothing runs
	done sync.WaitGroup
}

// progress is what consumerOffset.json may say when the log is on disk up to phy.
type progress struct{ half, op, phy int64 }

// New makes a service from what the two queues hold. It reads all removal
// messages and half messages that are not done with, and writes the removal
// entries that a killed process did not write any more. A message that cannot be
// read now is an error: without it a transaction that has ended would be open.
func New(d Deps) (*Service, error) {
	d.Clock = clock.Or(d.Clock)
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{Deps: d, table: newTable(), ops: newOps()}
	var err error
	if s.half, err = s.loadHalf(); err == nil {
		err = s.loadOps()
	}
	if err == nil {
		err = s.loadRecovered()
	}
	if err != nil {
		return nil, fmt.Errorf("txn: load: %w", err)
	}
	return s, nil
}

// Start starts to write removal entries and to check; after Pause, again.
func (s *Service) Start() {
	s.stop = make(chan struct{})
	s.done.Add(2)
	go s.writeOps()
	go s.check()
}

// Shutdown stops both, writes the removal entries that wait and commits the
// progress. Call it when no request is under way, before the store is closed;
// the consumer offsets have to be persisted after that.
func (s *Service) Shutdown() {
	s.Pause()
	if !s.flushOps(true) {
		s.Logger.Warn("removal entries of transactions are lost: their producers will be asked again", "entries", s.ops.waitingNow())
	}
	s.note()
	s.publish(*s.pending)
}

// Pause stops both, and returns when neither a check nor a removal entry is under way;
// END_TRANSACTION is still answered, and its entries wait. Start goes on. Start, Pause
// and Shutdown must not overlap, and a second Pause does nothing.
func (s *Service) Pause() {
	if s.stop == nil {
		return
	}
	close(s.stop)
	s.done.Wait()
	s.stop = nil
}

// saved gives the committed progress of one of the queues, within its bounds.
func (s *Service) saved(name string) int64 {
	low, high := s.Store.MinOffset(name, 0), s.Store.MaxOffset(name, 0)
	at := s.Offsets.Query(name, group, 0)
	if at == offset.None {
		return low
	}
	if at > high {
		s.Logger.Warn("progress of transactions beyond its queue", "topic", name, "offset", at, "max", high)
	}
	return min(max(at, low), high)
}

// loadHalf finds the copies among the half messages that wait for their check.
func (s *Service) loadHalf() (int64, error) {
	from := s.saved(topic.TransHalf)
	return from, s.each(topic.TransHalf, from, func(m *message.Message) {
		if number(m, message.PropertyTransactionCheckTimes) >= 0 || number(m, message.PropertyTransactionPreparedQueueOffset) >= 0 {
			s.table.copied(identity(m), m.QueueOffset)
		}
	})
}

// loadOps reads the removal messages. Entries below the progress of the half
// queue count, too: they may be for a message that was put again since.
func (s *Service) loadOps() error {
	from, now := s.saved(topic.TransOpHalf), s.Clock.NowMillis()
	s.ops.next = from
	return s.each(topic.TransOpHalf, from, func(m *message.Message) {
		last := int64(-1)
		if property(m, message.PropertyTags) == removeTag {
			for text := range strings.SplitSeq(string(m.Body), ",") {
				if at, err := strconv.ParseInt(text, 10, 64); err == nil && at >= 0 {
					s.table.load(at, now)
					last = max(last, at)
				}
			}
		}
		s.ops.written = append(s.ops.written, opMessage{m.QueueOffset, last})
	})
}

// each calls f with the messages of a queue from an offset on. Messages that are
// gone or damaged are passed over; a read that fails is an error.
func (s *Service) each(name string, from int64, f func(*message.Message)) error {
	for {
		entries, err := s.Store.Entries(name, 0, from, readAhead)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return nil
		}
		for _, e := range entries {
			from = e.QueueOffset + 1
			if e.Filler() { // it stands for no message; its offset is another's
				continue
			}
			m, err := s.read(e.PhyOffset)
			if isGone(err) {
				s.Logger.Error("a message of a transaction is unreadable", "topic", name, "queueOffset", e.QueueOffset, "err", err)
				continue
			}
			if err != nil {
				return err
			}
			f(m)
		}
	}
}

// isGone says of an error of read that the message will not come back; after any
// other one it may be read later.
func isGone(err error) bool {
	return errors.Is(err, store.ErrNoRecord) || errors.Is(err, message.ErrCorrupt)
}

// read gives the message at an offset of the log, in memory of its own. See isGone
// for its errors.
func (s *Service) read(phy int64) (*message.Message, error) {
	rec, err := s.Store.RecordAt(phy)
	if err != nil {
		return nil, err
	}
	m := new(message.Message)
	if _, err := message.Decode(rec, m, false); err != nil {
		return nil, fmt.Errorf("txn: record at %d: %w", phy, err)
	}
	return m, nil
}

// note remembers how far the queues are done, for publish.
func (s *Service) note() {
	s.pending = &progress{half: s.half, op: s.ops.passed(s.half), phy: s.Store.MaxPhyOffset()}
}

// publishFlushed commits noted progress once the log is on disk so far: half
// messages that were put again, and real messages that were committed, must not
// be lost behind an offset that has passed their first half message.
func (s *Service) publishFlushed() {
	if p := s.pending; p != nil && s.Store.FlushedOffset() >= p.phy {
		s.publish(*p)
		s.pending = nil
	}
}

// publish commits progress. The queues of a broker without transactions get no
// offset: lists would show its group as a consumer of them.
func (s *Service) publish(p progress) {
	for name, offset := range map[string]int64{topic.TransHalf: p.half, topic.TransOpHalf: p.op} {
		if max(0, s.Offsets.Query(name, group, 0)) != offset {
			s.Offsets.Commit(name, group, 0, offset)
		}
	}
}

// property is a property of m, "" when it has none. It aliases m.
func property(m *message.Message, name string) string {
	v, _ := message.Get(m.Properties, name)
	return v
}

// identity is what a half message and its copies have in common, and no other
// message: an application may use its own UNIQ_KEY twice, and a client that
// retries a send does.
func identity(m *message.Message) string {
	return property(m, message.PropertyUniqKey) + "@" + strconv.FormatInt(m.BornTimestamp, 10)
}

// number is a property that is a number, -1 when it has none or it is not.
func number(m *message.Message, name string) int64 {
	n, err := strconv.ParseInt(property(m, name), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// again makes a draft out of the half message m, with changed properties given
// as pairs. (Java loses the application's flag of a message that is put again.)
func again(m *message.Message, pairs ...string) *put.Draft {
	d := put.Again(m)
	for i := 0; i < len(pairs); i += 2 {
		d.Props.Set(pairs[i], pairs[i+1])
	}
	return d
}
