package store

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
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
	s.unreadLines.write(s.log, s.clock.NowMillis(), slog.LevelError, "store: read failed", append(args, "err", err)...)
	return fmt.Errorf("store: read failed: %w", err)
}
