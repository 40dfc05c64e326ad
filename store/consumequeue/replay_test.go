package consumequeue

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/vfs"
)

// The first message of a queue that is built again has a damaged offset, far before the
// others: these have their places, and nothing is written for the gap.
func TestReplay_FirstOffsetIsDamaged(t *testing.T) {
	s := openSet(t, vfs.NewMem(), false)
	q := s.FindOrCreate("T", 0)
	const base = int64(1_000_000_000)
	replay := func(n, offset int64) {
		e := entry(n)
		e.QueueOffset = offset
		_, err := q.Replay(e)
		require.NoError(t, err)
	}
	replay(0, 5)
	for n := int64(1); n < 100; n++ {
		replay(n, base+n)
	}
	require.NoError(t, s.Settle(func(*Queue, Entry) bool { return false }))
	require.Equal(t, base+100, q.Max())
	for n := int64(1); n < 100; n++ {
		e, ok, err := q.Get(base + n)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, entry(n).PhyOffset, e.PhyOffset)
	}
	require.Len(t, q.Files(), int((base+99)/s.perFile()-(base+1)/s.perFile())+1)
}
