package store

import (
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/store/vfs"
)

// queueTail is how many entries of a queue wait in memory at most.
const queueTail = 64

// recoverRig is a store whose checkpoint is much older than its end, so that a
// start does not read the log from its beginning: queue 0 is busy and well
// written, queue 1 got its last message between checkpoint and end.
func recoverRig(t *testing.T) (*vfs.Mem, *Store) {
	mem, c := vfs.NewMem(), clock.NewManual(time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC))
	o := small(mem)
	o.FlushDiskType, o.Clock, o.CheckpointInterval = SyncFlush, c, time.Hour
	s := open(t, o)
	fill := func(from, to int) {
		for i := from; i < to; i++ {
			put(t, s, msg("T", 0, fmt.Sprintf("%0900d", i), "UNIQ_KEY", fmt.Sprint("a", i)))
			c.Advance(100 * time.Millisecond)
		}
		settled(t, s)
	}
	put(t, s, msg("T", 1, "first"))
	put(t, s, msg("old", 0, "only"))
	fill(0, 100)
	require.True(t, s.cleaner.do(func() { require.NoError(t, s.cleaner.checkpoint()) }))
	fill(100, 150)
	put(t, s, msg("T", 1, "second"))
	return mem, s
}

func requireAll(t *testing.T, s *Store) {
	t.Helper()
	require.Len(t, readAll(t, s, "T", 0, 0), 150)
	require.Equal(t, []string{"first", "second"}, readAll(t, s, "T", 1, 0))
	require.Equal(t, []string{"only"}, readAll(t, s, "old", 0, 0))
}

func reopen(t *testing.T, fs vfs.FS) *Store {
	o := small(fs)
	o.FlushDiskType = SyncFlush
	return open(t, o)
}

// A kill leaves the abort file. When somebody removes it, queues that were written
// further than others must not hide what the others lack.
func TestRecover_NoAbortFileIsNotBelieved(t *testing.T) {
	mem, s := recoverRig(t)
	for i := 150; i < 150+queueTail; i++ { // queue 0 is written, queue 1 is not
		put(t, s, msg("T", 0, "x"))
	}
	settled(t, s)
	require.NoError(t, mem.SyncFS("/"))
	image := mem.CrashClone(nil)
	require.NoError(t, image.Remove("/store/abort"))
	require.NoError(t, s.Close())
	s = reopen(t, image)
	require.Len(t, readAll(t, s, "T", 0, 0), 150+queueTail)
	require.Equal(t, []string{"first", "second"}, readAll(t, s, "T", 1, 0))
}

// Without consume queues all of them are built again, not only what the checkpoint
// leaves open.
func TestRecover_LostConsumeQueues(t *testing.T) {
	for name, lose := range map[string]func(*vfs.Mem) error{
		"all": func(m *vfs.Mem) error { return m.RemoveAll("/store/consumequeue") },
		"one": func(m *vfs.Mem) error { return m.RemoveAll("/store/consumequeue/T/1") },
	} {
		for _, clean := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, closed %t", name, clean), func(t *testing.T) {
				mem, s := recoverRig(t)
				require.NoError(t, mem.SyncFS("/"))
				image := mem.CrashClone(rand.New(rand.NewSource(1)))
				require.NoError(t, s.Close())
				if clean {
					image = mem
				}
				require.NoError(t, lose(image))
				s = reopen(t, image)
				requireAll(t, s)
				require.EqualValues(t, 2, put(t, s, msg("T", 1, "third")).QueueOffset)
			})
		}
	}
}
