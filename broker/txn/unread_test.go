package txn

import (
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store"
	"github.com/merlinmq/merlin/store/vfs"
)

// failing fails reads of a world's log and queues: the n-th since it was armed and
// all after it.
type failing struct {
	at, seen atomic.Int64 // at is 0 while nothing fails
}

func (f *failing) ask(op vfs.Op) error {
	if at := f.at.Load(); at > 0 && (op.Name == "ReadAt" || op.Name == "MapReadAt") && !strings.Contains(op.Path, "/index/") && f.seen.Add(1) >= at {
		return syscall.EIO
	}
	return nil
}

func (f *failing) arm(n int64) {
	f.seen.Store(0)
	f.at.Store(n)
}

// The check asks about every open transaction, whichever read of it failed before,
// and moves over none.
func TestCheck_EveryReadFails(t *testing.T) {
	for n := int64(1); ; n++ {
		disk := &failing{}
		w := newWorld(t, "transactionTimeOut=1000\n")
		w.fails = disk.ask
		w.stop() // the disk of the test from now on
		want := []string{"a", "b", "c", "d", "e"}
		for _, text := range want {
			q := w.send(text)
			if text == "c" {
				require.NoError(t, w.end(q))
			}
		}
		w.stop()
		disk.arm(n)
		open := map[string]asked{}
		note := func(as []asked) {
			for _, a := range as {
				open[a.MsgID.V] = a
			}
		}
		for range 2 {
			note(w.checks())
		}
		failed := disk.seen.Load() >= n
		disk.arm(0)
		for range 3 {
			note(w.checks())
		}
		require.Len(t, open, 4, "read %d: a transaction was passed over", n)
		for _, a := range open {
			require.NoError(t, w.end(answer(a, message.SysFlagCommit)))
		}
		got := strings.Fields(w.bodies("T", 3))
		slices.Sort(got)
		require.Equal(t, want, got, "read %d", n)
		require.NoError(t, w.st.Close())
		if !failed {
			require.Greater(t, n, int64(10))
			return
		}
		require.Less(t, n, int64(500))
	}
}

// A start that cannot read what ended transactions are does not begin: it would ask
// about them, and deliver what was rolled back.
func TestNew_AReadThatFailsIsAnError(t *testing.T) {
	disk := &failing{}
	w := newWorld(t, "")
	w.fails = disk.ask
	w.stop()
	for _, text := range []string{"a", "b"} {
		require.NoError(t, w.end(w.send(text)))
	}
	w.stop()
	for n := int64(1); ; n++ {
		disk.arm(n)
		_, err := New(w.Deps)
		failed := disk.seen.Load() >= n
		disk.arm(0)
		if !failed {
			require.NoError(t, err)
			require.Greater(t, n, int64(1))
			return
		}
		require.ErrorIs(t, err, syscall.EIO, "read %d", n)
	}
}

// END_TRANSACTION of a half message that cannot be read says so: it has not ended.
func TestEnd_AReadThatFails(t *testing.T) {
	disk := &failing{}
	w := newWorld(t, "")
	w.fails = disk.ask
	w.stop()
	q := w.send("a")
	disk.arm(1)
	require.ErrorIs(t, w.end(q), syscall.EIO)
	disk.arm(0)
	require.NoError(t, w.end(q))
	require.Equal(t, "a", w.bodies("T", 3))
}

// An entry that fills a gap of the queue stands for no message; its place in the log,
// 0, is that of another one.
func TestCheck_AGapIsNoMessage(t *testing.T) {
	w := newWorld(t, "")
	q := w.send("a")
	require.Zero(t, q.CommitLogOffset.V)
	w.clock.Advance(time.Hour)
	require.True(t, w.look(w.cfg.Get(), w.clock.NowMillis(), store.QueueEntry{Size: math.MaxInt32, QueueOffset: 7}))
	require.Empty(t, w.producer.take())
	require.Len(t, w.checks(), 1)
}
