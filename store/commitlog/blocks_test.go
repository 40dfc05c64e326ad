package commitlog

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// patternAt is the byte that the fake log of these tests has at off.
func patternAt(off int64) byte { return byte(off*7 + off>>11) }

func requirePattern(t *testing.T, b []byte, off int64) {
	t.Helper()
	for i := range b {
		if b[i] != patternAt(off+int64(i)) {
			t.Fatalf("byte %d of the view at %d is wrong", i, off)
		}
	}
}

func TestBlocks_ReadOncePerBlock(t *testing.T) {
	var reads atomic.Int64
	bs := newBlocks(func(p []byte, off int64) error {
		reads.Add(1)
		for i := range p {
			p[i] = patternAt(off + int64(i))
		}
		return nil
	})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range int64(64) {
				off := i*4096 + int64(g)
				base := off - off%blockSize
				b, c, err := bs.view(base, base+blockSize, off, 100)
				require.NoError(t, err)
				require.GreaterOrEqual(t, len(b), 100)
				requirePattern(t, b[:100], off)
				c.release()
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 64*4096/blockSize, reads.Load())

	b, c, err := bs.view(0, blockSize, blockSize-50, 100)
	require.NoError(t, err)
	require.Nil(t, c, "a range across blocks")
	require.Nil(t, b)
}

func TestBlocks_GrowWithTheLogAndGoWithTheOldest(t *testing.T) {
	reads := 0
	bs := newBlocks(func(p []byte, off int64) error {
		reads++
		for i := range p {
			p[i] = patternAt(off + int64(i))
		}
		return nil
	})
	read := func(base, end, off int64, n int) *chunk {
		b, c, err := bs.view(base, end, off, n)
		require.NoError(t, err)
		require.NotNil(t, c)
		require.Len(t, b, int(end-off))
		requirePattern(t, b, off)
		return c
	}
	old := read(0, 1000, 900, 100)
	read(0, 5000, 900, 4000).release() // the log has grown
	require.Equal(t, 2, reads)
	require.Len(t, bs.list, 1)
	read(0, 5000, 0, 4000).release()
	require.Equal(t, 2, reads)

	for i := int64(1); i <= blockCount; i++ { // one more than there is room for
		read(i*blockSize, (i+1)*blockSize, i*blockSize, 1).release()
	}
	require.Len(t, bs.list, blockCount)
	read(0, 5000, 0, 4000).release()
	require.Equal(t, 2+blockCount+1, reads, "the oldest had to go")
	requirePattern(t, old.buf[:1000], 0) // still held by its reader
	old.release()

	bs.cut(3 * blockSize)
	for _, b := range bs.list {
		require.GreaterOrEqual(t, b.c.base, int64(3*blockSize))
	}
	bs.drop()
	require.Empty(t, bs.list)
	require.Empty(t, bs.pool.free)
}

func TestBlocks_AFailedReadIsNotKept(t *testing.T) {
	broken := errors.New("broken")
	fail := true
	bs := newBlocks(func(p []byte, off int64) error {
		if fail {
			return broken
		}
		return nil
	})
	_, _, err := bs.view(0, blockSize, 0, 10)
	require.ErrorIs(t, err, broken)
	require.Empty(t, bs.list)
	fail = false
	_, c, err := bs.view(0, blockSize, 0, 10)
	require.NoError(t, err)
	c.release()
}
