package store

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/vfs"
)

// A topic was deleted without a mark, as a Java broker does, and created again, and later
// its consume queues are lost: what is built again is its newest life.
func TestDeleted_WithoutAMarkThenQueuesAreLost(t *testing.T) {
	for _, lives := range []string{"the old one is longer", "the new one is longer", "one message"} {
		t.Run(lives, func(t *testing.T) {
			mem := vfs.NewMem()
			o := small(mem)
			s := open(t, o)
			for i := range 20 {
				put(t, s, msg("gone", 0, fmt.Sprint("old", i)))
			}
			settled(t, s)
			// as Java deletes: the queue goes, without a mark
			require.True(t, s.dispatch.do(func() {
				s.appendMu.Lock()
				qs := s.queues.Detach("gone")
				s.appendMu.Unlock()
				require.NoError(t, s.queues.Drop(qs))
			}))
			n := 10
			if lives == "one message" {
				n = 1
			}
			if lives == "the new one is longer" {
				n = 30
			}
			for i := range n {
				require.EqualValues(t, i, put(t, s, msg("gone", 0, fmt.Sprint("new", i))).QueueOffset)
			}
			put(t, s, msg("T", 0, "last"))
			settled(t, s)
			require.NoError(t, s.Close())
			s = open(t, o)
			require.Len(t, readAll(t, s, "gone", 0, 0), n)
			require.NoError(t, s.Close())
			require.NoError(t, mem.RemoveAll("/store/consumequeue"))
			s = open(t, o)
			got := readAll(t, s, "gone", 0, 0)
			require.Len(t, got, n)
			require.Equal(t, "new0", got[0])
			require.EqualValues(t, n, s.MaxOffset("gone", 0))
			require.NoError(t, s.Close())
		})
	}
}

// The mark of a deletion cannot be written; messages of the next life, which were
// acknowledged, are there after a kill.
func TestDeleted_TheDiskDoesNotTakeTheMark(t *testing.T) {
	mem := vfs.NewMem()
	o := small(mem)
	o.FlushDiskType = SyncFlush
	s := open(t, o)
	for i := range 20 {
		put(t, s, msg("gone", 0, fmt.Sprint("old", i)))
	}
	settled(t, s)
	require.True(t, s.cleaner.do(func() { require.NoError(t, s.cleaner.checkpoint()) }))
	require.NoError(t, mem.MkdirAll(s.deleted.path)) // no file can be made there
	err := s.DeleteTopic("gone")
	require.Error(t, err)
	for i := range 10 {
		require.EqualValues(t, i, put(t, s, msg("gone", 0, fmt.Sprint("new", i))).QueueOffset)
	}
	settled(t, s)
	require.NoError(t, mem.RemoveAll(s.deleted.path))
	image := killed(t, mem)
	_ = s.Close()
	o.FS = image
	s = open(t, o)
	got := readAll(t, s, "gone", 0, 0)
	require.Equal(t, []string{"new0", "new1", "new2", "new3", "new4", "new5", "new6", "new7", "new8", "new9"}, got)
	require.NoError(t, s.Close())
}
