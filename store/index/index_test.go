package index

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/vfs"
)

func openIndex(t testing.TB, fs vfs.FS, clean bool) *Index {
	t.Helper()
	x, err := Open(Options{FS: fs, Dir: "/index", Slots: 7, Entries: 50, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Now: func() time.Time { return time.Date(2024, 2, 3, 4, 5, 6, 7e6, time.UTC) }})
	require.NoError(t, err)
	_, err = x.Recover(clean, 0)
	require.NoError(t, err)
	t.Cleanup(x.Close)
	return x
}

func putKeys(t testing.TB, x *Index, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		require.NoError(t, x.Put("T", fmt.Sprint("k", n), int64(n)*100, int64(1_000_000+n*1000)))
		require.NoError(t, x.Put("T", "all", int64(n)*100, int64(1_000_000+n*1000)))
	}
}

func commit(t testing.TB, x *Index) {
	t.Helper()
	ps, err := x.Prepare()
	require.NoError(t, err)
	require.NoError(t, x.Commit(ps))
}

func find(t testing.TB, x *Index, key string, limit int, begin, end int64) []int64 {
	t.Helper()
	phys, _, _, err := x.Query("T", key, limit, begin, end)
	require.NoError(t, err)
	return phys
}

func TestIndex_QueryNewestFirstInsideTheWindow(t *testing.T) {
	fs := vfs.NewMem()
	x := openIndex(t, fs, true)
	putKeys(t, x, 0, 100) // 200 entries, 49 a file
	check := func(x *Index) {
		t.Helper()
		require.Len(t, x.files, 5)
		for n := range 100 {
			require.Equal(t, []int64{int64(n) * 100}, find(t, x, fmt.Sprint("k", n), 9, 0, math.MaxInt64))
		}
		require.Equal(t, []int64{9900, 9800, 9700}, find(t, x, "all", 3, 0, math.MaxInt64))
		require.Len(t, find(t, x, "all", 1000, 0, math.MaxInt64), 100)
		require.Equal(t, []int64{4500, 4400, 4300, 4200, 4100, 4000}, find(t, x, "all", 99, 1_040_000, 1_045_999))
		require.Empty(t, find(t, x, "none", 9, 0, math.MaxInt64))
		_, last, phy, err := x.Query("T", "none", 9, 0, 1)
		require.NoError(t, err)
		require.EqualValues(t, 1_099_000, last)
		require.EqualValues(t, 9900, phy)
	}
	check(x)
	require.Equal(t, "/index/20240203040506007", x.files[0].path)
	require.Equal(t, "/index/20240203040506008", x.files[1].path, "names go up also when the clock stands")
	commit(t, x)
	check(openIndex(t, fs, true))
	check(openIndex(t, fs, false))
	putKeys(t, openIndex(t, fs, false), 0, 100)
	check(openIndex(t, fs, true))
}

func TestIndex_UncommittedEntriesComeAgain(t *testing.T) {
	fs := vfs.NewMem()
	x := openIndex(t, fs, true)
	putKeys(t, x, 0, 10)
	commit(t, x)
	putKeys(t, x, 10, 20)
	require.NoError(t, x.Write())
	y := openIndex(t, fs, false)
	require.EqualValues(t, 900, y.seen)
	putKeys(t, y, 0, 20)
	require.Len(t, find(t, y, "all", 99, 0, math.MaxInt64), 20)
}

func TestIndex_TruncateAndClean(t *testing.T) {
	fs := vfs.NewMem()
	x := openIndex(t, fs, true)
	putKeys(t, x, 0, 100)
	commit(t, x)
	x = openIndex(t, fs, true)
	require.NoError(t, x.Truncate(6000))
	require.Len(t, find(t, x, "all", 999, 0, math.MaxInt64), 60)
	require.NoError(t, x.Clean(3000))
	require.Len(t, x.files, 2)
	require.Empty(t, find(t, x, "k3", 9, 0, math.MaxInt64))
	require.Len(t, find(t, x, "k59", 9, 0, math.MaxInt64), 1)
	require.NoError(t, x.Clean(math.MaxInt64))
	require.Len(t, x.files, 1, "the last one stays")
	require.NoError(t, x.Truncate(0))
	require.Empty(t, x.files)
}

func TestHashKey_OfTheSmallestNumberIsZero(t *testing.T) {
	h, _ := HashKey(nil, "polygenelubricants", "")
	require.GreaterOrEqual(t, h, int32(0))
	h, _ = HashKey(nil, "T", "k")
	require.Equal(t, int32(('T'*31+'#')*31+'k'), h)
}

// FuzzIndex opens an index with arbitrary bytes in its file.
func FuzzIndex(f *testing.F) {
	f.Add(uint16(36), []byte{0x7f, 0xff, 0xff, 0xff}, true)
	f.Add(uint16(40), []byte{0, 0, 0, 9, 0, 0, 0, 9}, true)
	f.Add(uint16(88), make([]byte, 50), false)
	f.Fuzz(func(t *testing.T, at uint16, b []byte, clean bool) {
		fs := vfs.NewMem()
		x := openIndex(t, fs, true)
		putKeys(t, x, 0, 20)
		commit(t, x)
		h, err := fs.Open(x.files[0].path, vfs.ReadWrite)
		require.NoError(t, err)
		size := fileSize(7, 50)
		off := int64(at) % size
		_, err = h.WriteAt(b[:min(int64(len(b)), size-off)], off)
		require.NoError(t, err)
		x = openIndex(t, fs, clean)
		require.NoError(t, x.Truncate(3000))
		for n := range 20 {
			find(t, x, fmt.Sprint("k", n), 99, 0, math.MaxInt64)
		}
		require.NoError(t, x.Put("T", "new", 1<<40, 1<<40))
		require.Equal(t, []int64{1 << 40}, find(t, x, "new", 9, 0, math.MaxInt64))
	})
}
