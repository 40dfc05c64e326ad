package consumequeue

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/vfs"
)

// BenchmarkRead reads the 32 entries of a pull, from a file of the usual size and
// from the tail in memory.
func BenchmarkRead(b *testing.B) {
	s := openWith(b, Options{FS: vfs.OS(), Dir: b.TempDir(), FileSize: 300_000 * EntrySize, MaxOpen: 16}, true)
	q := s.FindOrCreate("T", 0)
	fill(b, q, 0, 10_000)
	require.NoError(b, q.WriteTail())
	fill(b, q, 10_000, 10_032)
	for name, from := range map[string]int64{"file": 0, "tail": 10_000} {
		b.Run(name, func(b *testing.B) {
			dst := make([]byte, 32*EntrySize)
			b.ReportAllocs()
			for i := int64(0); b.Loop(); i++ {
				at := from
				if from == 0 {
					at = i * 32 % 9_000
				}
				n, err := q.Read(dst, at)
				if err != nil || n != 32 {
					b.Fatal(n, err)
				}
			}
		})
	}
}

// BenchmarkPut adds the entries of a queue, with the writes of its full tails.
func BenchmarkPut(b *testing.B) {
	s := openWith(b, Options{FS: vfs.OS(), Dir: b.TempDir(), FileSize: 300_000 * EntrySize, MaxOpen: 16}, true)
	q := s.FindOrCreate("T", 0)
	b.ReportAllocs()
	for n := int64(0); b.Loop(); n++ {
		if added, err := q.Put(entry(n)); err != nil || !added {
			b.Fatal(added, err)
		}
		if q.TailFull() {
			if err := q.WriteTail(); err != nil {
				b.Fatal(err)
			}
		}
	}
}
