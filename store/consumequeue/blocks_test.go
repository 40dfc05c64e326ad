package consumequeue

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/vfs"
)

// blockSet has files of five and a half blocks.
func blockSet(t testing.TB) *Set {
	t.Helper()
	half := int64(blockBytes / 2 / EntrySize * EntrySize)
	return openWith(t, Options{FS: vfs.NewMem(), Dir: "/cq", FileSize: 5*blockBytes + half, MaxOpen: 4}, true)
}

// readAll reads a queue in pieces of n entries.
func readAll(t testing.TB, q *Queue, n int) {
	t.Helper()
	b := make([]byte, n*EntrySize)
	for at := q.Min(); at < q.Max(); {
		got, err := q.Read(b, at)
		require.NoError(t, err)
		require.EqualValues(t, min(int64(n), q.Max()-at), got)
		for i := range got {
			e := Parse(b[i*EntrySize:])
			e.QueueOffset = at + int64(i)
			require.Equal(t, entry(at+int64(i)), e)
		}
		at += int64(got)
	}
}

func (s *Set) blocksIn() int {
	n := 0
	for i := range s.blocks {
		if s.blocks[i].q != nil {
			n++
		}
	}
	return n
}

func TestQueue_ReadsThroughBlocks(t *testing.T) {
	s := blockSet(t)
	const perBlock = blockBytes / EntrySize
	q, other := s.FindOrCreate("T", 0), s.FindOrCreate("T", 1)
	fill(t, q, 0, 12*perBlock)
	fill(t, other, 0, 3)
	require.NoError(t, s.WriteTails(9))
	readAll(t, q, 8)
	require.Zero(t, s.blocksIn(), "short reads bring no block")
	for _, n := range []int{16, 32, 33, 500} {
		readAll(t, q, n)
		readAll(t, other, n)
	}
	require.Equal(t, 11, s.blocksIn(), "five in each of two files, whose last half stays out, and one")

	// What changes in the file is seen.
	changed := entry(40)
	changed.TagsCode = 4711
	require.NoError(t, q.Repair(changed))
	b := make([]byte, 32*EntrySize)
	n, err := q.Read(b, 40)
	require.NoError(t, err)
	require.Equal(t, 32, n)
	require.EqualValues(t, 4711, Parse(b).TagsCode)

	// Also when the queue begins again, at the same places.
	require.NoError(t, q.removeFiles())
	require.NoError(t, q.startAt(0))
	n, err = q.Read(b, 40)
	require.NoError(t, err)
	require.Zero(t, n)
	again := func(n int64) Entry {
		e := entry(n)
		e.PhyOffset += 1 << 30
		return e
	}
	for n := range int64(3 * perBlock) {
		_, err := q.Put(again(n))
		require.NoError(t, err)
	}
	require.NoError(t, q.WriteTail())
	for at := int64(0); at < 2*perBlock; at += 32 {
		_, err := q.Read(b, at)
		require.NoError(t, err)
		require.Equal(t, again(at).PhyOffset, Parse(b).PhyOffset)
	}
}

// Readers that are behind, at different places, beside the dispatcher.
func TestQueue_BlocksBesideTheDispatcher(t *testing.T) {
	s := blockSet(t)
	q := s.FindOrCreate("T", 0)
	const all = 1500
	var readers sync.WaitGroup
	for r := range 4 {
		readers.Go(func() {
			b := make([]byte, (16+r)*EntrySize)
			for at := int64(0); at < all; {
				n, err := q.Read(b, at)
				if err != nil {
					t.Error(err)
					return
				}
				for i := range n {
					if e := Parse(b[i*EntrySize:]); e.PhyOffset != entry(at).PhyOffset {
						t.Errorf("entry %d is %+v", at, e)
						return
					}
					at++
				}
			}
		})
	}
	for n := range int64(all) {
		if _, err := q.Put(entry(n)); err != nil {
			t.Error(err)
		}
		if q.TailFull() {
			if err := q.WriteTail(); err != nil {
				t.Error(err)
			}
		}
	}
	readers.Wait()
}
