// Package loglimit keeps a log readable when a peer makes the server write the
// same line again and again: of each message some lines at once and then one every
// few seconds are written, with the number of those that were left out.
//
// A message is its level and its text without attributes: the texts of a program
// are few, what peers say stands in attributes. The package owns no goroutine; its
// one lock is a leaf.
package loglimit

import (
	"context"
	"log/slog"
	"sync"

	"github.com/merlinmq/merlin/compat/clock"
)

const (
	// burst is how many lines of one message are written at once.
	burst = 32
	// every is the time in ms after which one more may be written.
	every = 2000
	// maxMessages bounds the messages that are told apart.
	maxMessages = 4096
)

// Suppressed is the attribute that says how many lines of the message were left
// out before this one.
const Suppressed = "suppressed"

// New gives a logger that writes to l and leaves out what is too much. A logger
// that New has made is given back as it is. The loggers made of it by With share
// its counts.
func New(l *slog.Logger, c clock.Clock) *slog.Logger {
	if _, ok := l.Handler().(handler); ok {
		return l
	}
	return slog.New(handler{l.Handler(), &counts{clock: clock.Or(c), seen: map[message]*count{}}})
}

type handler struct {
	next   slog.Handler
	counts *counts
}

type message struct {
	level slog.Level
	text  string
}

// count is a bucket of lines that may be written.
type count struct {
	left       int   // lines that may be written at once
	since      int64 // ms: up to when left was filled up
	suppressed int64
}

type counts struct {
	clock clock.Clock

	mu   sync.Mutex // guards what follows; a leaf
	seen map[message]*count
	told int64 // ms: when left out lines were looked for last
}

// Enabled implements slog.Handler.
func (h handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(a []slog.Attr) slog.Handler { return handler{h.next.WithAttrs(a), h.counts} }

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.next.WithGroup(name), h.counts}
}

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	write, left, late := h.counts.take(message{r.Level, r.Message})
	for _, l := range late {
		s := slog.NewRecord(r.Time, l.level, l.text, 0)
		s.AddAttrs(slog.Int64(Suppressed, l.n))
		if err := h.next.Handle(ctx, s); err != nil {
			return err
		}
	}
	if !write {
		return nil
	}
	if left > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int64(Suppressed, left))
	}
	return h.next.Handle(ctx, r)
}

// late is a message whose left out lines nobody has told of.
type late struct {
	message
	n int64
}

// take says whether a line is written and how many were left out before it. It
// also gives the messages of which lines were left out and none came since.
func (c *counts) take(m message) (write bool, left int64, others []late) {
	now := c.clock.NowMillis()
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.seen[m]
	if n == nil {
		if len(c.seen) >= maxMessages {
			c.seen = map[message]*count{} // somebody builds texts: begin anew
		}
		n = &count{left: burst, since: now}
		c.seen[m] = n
	}
	if more := (now - n.since) / every; more > 0 {
		n.left = int(min(int64(n.left)+more, burst))
		n.since += more * every
	}
	if write = n.left > 0; write {
		n.left--
		left, n.suppressed = n.suppressed, 0
	} else {
		n.suppressed++
	}
	if now-c.told >= 5*every {
		c.told = now
		for k, o := range c.seen {
			if o != n && o.suppressed > 0 && now-o.since >= 2*every {
				others = append(others, late{k, o.suppressed})
				o.suppressed = 0
			}
		}
	}
	return write, left, others
}
