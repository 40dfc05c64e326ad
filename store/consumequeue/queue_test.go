package consumequeue

import (
	"io"
	"io/fs"
	"log/slog"
	"math"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/vfs"
)

const perFile = 16

func openSet(t testing.TB, fs vfs.FS, clean bool) *Set {
	t.Helper()
	return openWith(t, Options{FS: fs, Dir: "/cq", FileSize: perFile * EntrySize, MaxOpen: 2}, clean)
}

func openWith(t testing.TB, o Options, clean bool) *Set {
	t.Helper()
	o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	s, err := Open(o)
	require.NoError(t, err)
	_, err = s.Recover(clean)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func entry(n int64) Entry {
	return Entry{PhyOffset: 1000 + n*100, Size: 100, TagsCode: -n, QueueOffset: n}
}

func fill(t testing.TB, q *Queue, from, to int64) {
	t.Helper()
	for n := from; n < to; n++ {
		added, err := q.Put(entry(n))
		require.NoError(t, err)
		require.True(t, added)
	}
}

func checkEntries(t testing.TB, q *Queue, from, to int64) {
	t.Helper()
	for n := from; n < to; n++ {
		e, ok, err := q.Get(n)
		require.NoError(t, err)
		require.True(t, ok, n)
		require.Equal(t, entry(n), e)
	}
	_, ok, err := q.Get(to)
	require.NoError(t, err)
	require.False(t, ok)
}

func TestQueue_TailAndFilesAreOne(t *testing.T) {
	fs := vfs.NewMem()
	s := openSet(t, fs, true)
	q := s.FindOrCreate("T", 3)
	fill(t, q, 0, 40)
	require.True(t, s.Waiting() == 1 && !q.TailFull())
	checkEntries(t, q, 0, 40)
	require.NoError(t, q.WriteTail())
	fill(t, q, 40, 50)
	checkEntries(t, q, 0, 50)
	raw := make([]byte, 30*EntrySize)
	n, err := q.Read(raw, 25)
	require.NoError(t, err)
	require.Equal(t, 25, n, "over files and tail, to the end")
	added, err := q.Put(entry(10))
	require.NoError(t, err)
	require.False(t, added, "known already")
	require.NoError(t, s.WriteTails(9))
	require.LessOrEqual(t, s.OpenFiles(), 2)
	for _, clean := range []bool{true, false} {
		q := openSet(t, fs, clean).Find("T", 3)
		checkEntries(t, q, 0, 50)
		require.Equal(t, entry(49).PhyOffset+100, q.MaxPhy())
	}
}

func TestSet_CloseUnused(t *testing.T) {
	s := openSet(t, vfs.NewMem(), true)
	s.files.cap = 100
	q := s.FindOrCreate("T", 0)
	fill(t, q, 0, 3*perFile)
	require.NoError(t, q.WriteTail())
	require.Equal(t, 3, s.OpenFiles())
	s.CloseUnused()
	require.Equal(t, 3, s.OpenFiles(), "used since the last time")
	checkEntries(t, q, 2*perFile, 3*perFile)
	h, err := s.files.get(q, 0, false) // somebody is reading it
	require.NoError(t, err)
	s.CloseUnused()
	require.Equal(t, 2, s.OpenFiles())
	s.CloseUnused()
	require.Equal(t, 1, s.OpenFiles(), "the one that is being read")
	_, err = h.file.ReadAt(make([]byte, EntrySize), 0)
	require.NoError(t, err)
	s.files.put(h)
	s.CloseUnused()
	require.Zero(t, s.OpenFiles())
	checkEntries(t, q, 0, 3*perFile)
}

func TestQueue_StartsAboveZeroWithFillers(t *testing.T) {
	fs := vfs.NewMem()
	s := openSet(t, fs, true)
	q := s.FindOrCreate("T", 0)
	fill(t, q, 37, 45)
	require.EqualValues(t, 37, q.Min())
	require.NoError(t, s.WriteTails(1))
	b, err := vfs.ReadFile(fs, "/cq/T/0/00000000000000000640")
	require.NoError(t, err)
	require.Len(t, b, perFile*EntrySize)
	require.Equal(t, Entry{Size: math.MaxInt32}, Parse(b))
	s = openSet(t, fs, true)
	q = s.Find("T", 0)
	require.NoError(t, s.CorrectMin(q, 0))
	require.EqualValues(t, 37, q.Min())
	checkEntries(t, q, 37, 45)
}

func TestQueue_OffsetsThatDoNotFollow(t *testing.T) {
	s := openSet(t, vfs.NewMem(), true)
	q := s.FindOrCreate("T", 0)
	fill(t, q, 0, 5)
	for _, off := range []int64{-1, math.MaxInt64, MaxOffset + 1, 3, 1000} {
		added, err := q.Put(Entry{PhyOffset: 9000, Size: 100, QueueOffset: off})
		require.NoError(t, err)
		require.False(t, added, off)
		require.EqualValues(t, 5, q.Max())
	}
	added, err := q.Put(Entry{PhyOffset: 9100, Size: 100, QueueOffset: 8})
	require.NoError(t, err)
	require.True(t, added)
	e, ok, err := q.Get(6)
	require.NoError(t, err)
	require.True(t, ok && e.Filler(), "a small gap is filled")
	added, err = q.Put(Entry{PhyOffset: 9200, Size: 100})
	require.NoError(t, err)
	require.True(t, added)
	require.EqualValues(t, 1, q.Max(), "offset 0 is a new life")
}

func TestQueue_TruncateAndCorrectMin(t *testing.T) {
	fs := vfs.NewMem()
	s := openSet(t, fs, true)
	q := s.FindOrCreate("T", 0)
	fill(t, q, 0, 100)
	require.NoError(t, s.WriteTails(1))
	require.NoError(t, s.CorrectMin(q, entry(50).PhyOffset-1))
	require.EqualValues(t, 50, q.Min())
	es, err := fs.ReadDir("/cq/T/0")
	require.NoError(t, err)
	require.Equal(t, "00000000000000000960", es[0].Name, "files before offset 48 are gone")
	s = openSet(t, fs, false)
	q = s.Find("T", 0)
	require.NoError(t, s.Truncate(entry(70).PhyOffset+99))
	require.EqualValues(t, 70, q.Max())
	require.Equal(t, entry(69).PhyOffset+100, q.MaxPhy())
	fill(t, q, 70, 72)
	require.NoError(t, s.CorrectMin(q, math.MaxInt64))
	require.EqualValues(t, 72, q.Min(), "nothing is left to read")
	require.NoError(t, s.Truncate(0))
	require.EqualValues(t, 0, q.Max())
}

// FuzzRecover opens a queue whose files hold arbitrary bytes.
func FuzzRecover(f *testing.F) {
	f.Add(uint16(0), []byte{1}, true)
	f.Add(uint16(20), make([]byte, 60), false)
	f.Add(uint16(311), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff}, false)
	f.Fuzz(func(t *testing.T, at uint16, b []byte, clean bool) {
		fs := vfs.NewMem()
		s := openSet(t, fs, true)
		fill(t, s.FindOrCreate("T", 0), 0, 60)
		require.NoError(t, s.WriteTails(1))
		es, err := fs.ReadDir("/cq/T/0")
		require.NoError(t, err)
		h, err := fs.Open("/cq/T/0/"+es[int(at)%len(es)].Name, vfs.ReadWrite)
		require.NoError(t, err)
		_, err = h.WriteAt(b[:min(len(b), 20)], int64(at)%300)
		require.NoError(t, err)
		s = openSet(t, fs, clean)
		q := s.Find("T", 0)
		require.LessOrEqual(t, q.Max(), int64(64))
		require.NoError(t, s.Truncate(entry(50).PhyOffset))
		require.NoError(t, s.CorrectMin(q, entry(20).PhyOffset))
		require.LessOrEqual(t, q.Min(), q.Max())
	})
}

// A few more files than may be open, one after the other: few are opened again.
func TestFiles_RoundAndRound(t *testing.T) {
	s := openSet(t, vfs.NewMem(), true)
	const all, places = 40, 36
	qs := make([]*Queue, all)
	for i := range qs {
		qs[i] = s.FindOrCreate("T", int32(i))
		fill(t, qs[i], 0, 1)
		require.NoError(t, qs[i].WriteTail())
	}
	s.files.closeIdle()
	s.files.cap = places
	pass := func(over []*Queue) int {
		before := s.files.late
		for _, q := range over {
			checkEntries(t, q, 0, 1)
			require.LessOrEqual(t, s.OpenFiles(), places)
		}
		return int(s.files.late - before)
	}
	require.Equal(t, all, pass(qs))
	for range 20 {
		require.LessOrEqual(t, pass(qs), all/2)
	}
	// When others are needed, they do not lose their places for ever.
	s.files.cap = 8
	s.files.closeIdle()
	pass(qs[:8])
	opened := 0
	for range 100 {
		opened += pass(qs[10:12])
	}
	require.Less(t, opened, 80)
	require.Zero(t, pass(qs[10:12]))
}

// A file that is missing or too short is not the end of the queue.
func TestQueue_ReadsThatFailAreErrors(t *testing.T) {
	mem := vfs.NewMem()
	var fault error
	disk := &vfs.Inject{FS: mem, Fail: func(op vfs.Op) error {
		if op.Name == "ReadAt" {
			return fault
		}
		return nil
	}}
	s := openSet(t, disk, true)
	q := s.FindOrCreate("T", 3)
	fill(t, q, 0, 40)
	require.NoError(t, s.WriteTails(9))
	raw := make([]byte, 40*EntrySize)
	fault = syscall.EIO
	n, err := q.Read(raw, 20)
	require.ErrorIs(t, err, syscall.EIO)
	require.Zero(t, n)
	fault = nil
	checkEntries(t, q, 0, 40)

	second := q.path(perFile * EntrySize)
	f, err := mem.Open(second, vfs.ReadWrite)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(5*EntrySize))
	n, err = q.Read(raw, 20)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorContains(t, err, second)
	require.Zero(t, n)
	_, ok, err := q.Get(22)
	require.False(t, ok)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)

	s.Close()
	require.NoError(t, mem.Remove(second))
	n, err = q.Read(raw, 10)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.Equal(t, 6, n, "those before it are there")

	require.ErrorIs(t, s.CorrectMin(q, entry(perFile).PhyOffset), fs.ErrNotExist)
	require.Zero(t, q.Min(), "it is not moved by a read that fails")

	// A file that retention takes is no error.
	q = s.FindOrCreate("U", 3)
	fill(t, q, 0, 40)
	require.NoError(t, s.WriteTails(9))
	require.NoError(t, s.CorrectMin(q, entry(perFile).PhyOffset))
	require.EqualValues(t, perFile, q.Min())
	n, err = q.Read(raw, 3)
	require.NoError(t, err)
	require.Zero(t, n)
}
