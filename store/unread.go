package store

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/merlinmq/merlin/protocol/message"
)

// lineEvery is the least time (ms) between two lines about the same trouble: a disk
// that fails fails for every consumer, at each of its requests.
const lineEvery = 1000

// lines lets one line through in a while and counts the others.
type lines struct {
	next atomic.Int64 // ms, when the next line may be written
	kept atomic.Int64 // lines that were not
}

// write logs a line, or counts it for the next one.
func (l *lines) write(log *slog.Logger, now int64, level slog.Level, text string, args ...any) {
	next := l.next.Load()
	// A clock that was set back must not silence it for long.
	if now < next && next-now <= lineEvery || !l.next.CompareAndSwap(next, now+lineEvery) {
		l.kept.Add(1)
		return
	}
	if n := l.kept.Swap(0); n > 0 {
		args = append(args, "not shown before", n)
	}
	log.Log(context.Background(), level, text, args...)
}

// unread says in the log that something cannot be read, where args tell, and gives
// the error for the caller.
func (s *Store) unread(err error, args ...any) error {
	s.faults.reads.Add(1)
	s.unreadLines.write(s.log, s.clock.NowMillis(), slog.LevelError, "store: read failed", append(args, "err", err)...)
	return fmt.Errorf("store: read failed: %w", err)
}

// faults counts what reads have met since the store was opened.
type faultCounts struct{ reads, records, rotten, misplaced, dispatch atomic.Int64 }

// Faults is what reads have met since the store was opened.
type Faults struct {
	// Reads is the number of reads that failed.
	Reads int64
	// Records is how often a message was left out because no record stands where its
	// queue says, Rotten how often one was served that does not fit its checksum.
	Records, Rotten int64
	// Misplaced is how often a message was served with the queue and offset under
	// which it was asked for, because its record named others.
	Misplaced int64
	// Undispatched is the number of places of the log that the dispatcher passed over,
	// because no record stands there any more: their messages are in no queue.
	Undispatched int64
}

// Faults tells what reads have met since the store was opened. A damaged message
// counts each time that it is asked for.
func (s *Store) Faults() Faults {
	f := &s.faults
	return Faults{Reads: f.reads.Load(), Records: f.records.Load(), Rotten: f.rotten.Load(),
		Misplaced: f.misplaced.Load(), Undispatched: f.dispatch.Load()}
}

// intact says whether a record is what its checksums say: that of the body, and that
// of all of it, if such are written. A client may send a property that looks like the
// latter; it counts only where the broker writes its own behind it.
func (s *Store) intact(rec, body []byte) bool {
	return message.CRC(body) == message.BodyCRC(rec) && (!s.o.EnabledAppendPropCRC || message.CheckCRC(rec) == nil)
}

// rotten counts and reports a record that does not fit its checksum.
func (s *Store) rotten(phy int64, args ...any) {
	n := s.faults.rotten.Add(1)
	s.damageLines.write(s.log, s.clock.NowMillis(), slog.LevelError, "store: a message does not fit its checksum, it is served as it is",
		append(args, "file", s.clog.Path(phy), "offset", phy, "so far", n)...)
}
