package loglimit

import (
	"bytes"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/clock"
)

// A message that comes 570,000 times in a minute is a handful of lines, and the
// counts of those left out add up.
func TestNew_AMinuteOfTheSame(t *testing.T) {
	var out bytes.Buffer
	ck := clock.NewManual(time.UnixMilli(0))
	log := New(slog.New(slog.NewTextHandler(&out, nil)), ck).With("who", "peer")
	const n = 570_000
	for i := range n {
		log.Warn("request refused", "opaque", i)
		if i%9500 == 0 {
			ck.Advance(time.Second)
		}
	}
	log.Warn("something else")
	ck.Advance(10 * time.Second)
	log.Warn("something else")
	lines, left := 0, 0
	for line := range strings.Lines(out.String()) {
		if !strings.Contains(line, "request refused") {
			continue
		}
		lines++
		require.Contains(t, line, "who=peer")
		if _, v, ok := strings.Cut(line, Suppressed+"="); ok {
			k, err := strconv.Atoi(strings.TrimSpace(v))
			require.NoError(t, err)
			left += k
			if !strings.Contains(line, "opaque=") {
				lines-- // a line that only counts
			}
		}
	}
	require.Less(t, lines, 70)
	require.Equal(t, n, lines+left, "every line is written or counted")
	require.Equal(t, 2, strings.Count(out.String(), "something else"), "other messages are not held back")
}

func TestNew_FewLinesAreAllWritten(t *testing.T) {
	var out bytes.Buffer
	log := New(slog.New(slog.NewTextHandler(&out, nil)), clock.NewManual(time.UnixMilli(0)))
	for i := range burst {
		log.Info("m", "i", i)
	}
	require.Equal(t, burst, strings.Count(out.String(), "msg=m"))
	require.NotContains(t, out.String(), Suppressed)
	require.Same(t, log, New(log, nil))
}

// Texts that a program builds do not make the table grow.
func TestNew_ManyTextsAreBounded(t *testing.T) {
	log := New(slog.New(slog.DiscardHandler), nil)
	log = slog.New(handler{slog.NewTextHandler(&bytes.Buffer{}, nil), log.Handler().(handler).counts})
	for i := range 3 * maxMessages {
		log.Info(strconv.Itoa(i))
	}
	require.LessOrEqual(t, len(log.Handler().(handler).counts.seen), maxMessages)
}
