package commitlog

import (
	"bytes"
	"log/slog"
	"math"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/vfs"
)

// pages is a mapping of which some pages are in memory.
type pages struct {
	out   map[int64]bool // pages that are not
	asked int
}

func (p *pages) ReadAt([]byte, int64) error { return nil }
func (p *pages) Close() error               { return nil }

func (p *pages) Resident(from, to int64) bool {
	p.asked++
	for page := from / 4096; page*4096 < to; page++ {
		if p.out[page] {
			return false
		}
	}
	return true
}

func TestMapped_AsksForPieces(t *testing.T) {
	const size = 2*pieceSize + pieceSize/2
	p := &pages{out: map[int64]bool{}}
	m := newMapped(p, 0, size)
	now := int64(1_000_000)
	for at := int64(0); at+5000 <= size; at += 5000 {
		require.True(t, m.resident(at, at+5000, size, now))
	}
	require.Equal(t, 3, p.asked, "once a piece")

	// A page that leaves the memory is noticed, soon.
	p.out[0] = true
	now += askAgain - 1
	require.True(t, m.resident(0, 100, size, now))
	now++
	require.False(t, m.resident(0, 100, size, now))
	require.True(t, m.resident(4096, 5000, size, now), "the rest of the piece is there")
	require.True(t, m.resident(pieceSize-100, pieceSize, size, now))
	p.asked = 0
	require.True(t, m.resident(4096, 5000, size, now))
	require.Equal(t, 1, p.asked, "the piece is known to have a hole")

	// Nor is one that comes back held against its piece for long.
	delete(p.out, 0)
	now += askAgain
	require.True(t, m.resident(0, 100, size, now))
	p.asked = 0
	require.True(t, m.resident(4096, 5000, size, now))
	require.Zero(t, p.asked)

	// Where the log ends the rest of the piece has never been in memory.
	p.out[pieceSize/4096+100] = true
	require.True(t, m.resident(pieceSize, pieceSize+5000, pieceSize+8192, now+askAgain))
	// A clock that was set back asks again.
	p.out[0] = true
	require.False(t, m.resident(0, 100, size, now-10*askAgain))
}

// A mapping that fails, for want of memory say, is tried again later, with a line.
func TestMaps_TryAgain(t *testing.T) {
	var fault error
	asked := 0
	disk := &vfs.Inject{FS: vfs.NewMem(), Fail: func(op vfs.Op) error {
		if op.Name == "Map" {
			asked++
			return fault
		}
		return nil
	}}
	var text bytes.Buffer
	l, err := Open(Options{FS: disk, Dir: "/log", SegmentSize: segSize, TailBytes: 1, MaxRecord: 1 << 20, Logger: slog.New(slog.NewTextHandler(&text, nil))})
	require.NoError(t, err)
	defer l.Close()
	require.NoError(t, l.Cut(0))
	require.NoError(t, l.Roll())
	require.NoError(t, l.Append(bytes.Repeat([]byte("x"), 100)))
	mapped := func(now int64) bool {
		p, ok := l.Mapped(10, 20, now)
		p.Release()
		return ok
	}
	now := int64(1_000_000)
	fault = syscall.ENOMEM
	require.False(t, mapped(now))
	require.Contains(t, text.String(), "cannot be mapped")
	require.False(t, mapped(now+mapAgain-1))
	require.Equal(t, 1, asked)
	fault = nil
	require.True(t, mapped(now+mapAgain))
	require.Contains(t, text.String(), "can be mapped again")
	require.True(t, mapped(now))

	// What will not change is not asked again.
	l.maps.cut(math.MaxInt64)
	fault, asked = syscall.ENOTSUP, 0
	require.False(t, mapped(now))
	require.False(t, mapped(now+10*mapAgain))
	require.Equal(t, 1, asked)
}
