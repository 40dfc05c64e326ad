package store

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/vfs"
)

// A start says how many timer messages of a Java broker wait, from its wheel and
// from the part of the queue that it has not read (TimerWheel, TimerCheckpoint).
func TestTimers_AStartSaysWhatWaits(t *testing.T) {
	mem := vfs.NewMem()
	s := open(t, small(mem))
	for i := range 10 {
		put(t, s, msg(timerTopic, 0, fmt.Sprint(i)))
	}
	require.NoError(t, s.Close())
	start := func() string {
		lines := &strings.Builder{}
		o := small(mem)
		o.Logger = slog.New(slog.NewTextHandler(lines, nil))
		require.NoError(t, open(t, o).Close())
		return lines.String()
	}
	require.Contains(t, start(), "messages=10")

	const now = 1_714_564_800 // s
	be := binary.BigEndian
	check := make([]byte, 56)
	be.PutUint64(check, now*1000)
	be.PutUint64(check[16:], 7)
	require.NoError(t, mem.MkdirAll("/store/config"))
	writeFile(t, mem, "/store/config/timercheck", check)
	require.Contains(t, start(), "messages=3")
	wheel := make([]byte, 100_000*timerSlot)
	slot := func(i int, at int64, n uint32) {
		be.PutUint64(wheel[i*timerSlot:], uint64(at))
		be.PutUint32(wheel[i*timerSlot+24:], n)
	}
	slot(5, now-1, 100) // delivered
	slot(6, now, 2)
	slot(99_999, now+3600, 2)
	slot(50_000, -1, 7)
	writeFile(t, mem, "/store/timerwheel", wheel)
	text := start()
	require.Contains(t, text, "messages=7")
	require.Contains(t, text, "first=2024-05-01T12:00:00Z last=2024-05-01T13:00:00Z")

	be.PutUint64(check, (now+7200)*1000)
	be.PutUint64(check[16:], 10)
	writeFile(t, mem, "/store/config/timercheck", check)
	require.NotContains(t, start(), timerTopic)
}
