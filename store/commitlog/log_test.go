package commitlog

import (
	"io"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const segSize = 4096

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func openLog(t testing.TB, fs vfs.FS) *Log {
	t.Helper()
	l, err := Open(Options{FS: fs, Dir: "/log", SegmentSize: segSize, TailBytes: 1, MaxRecord: 1 << 20,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	require.NoError(t, err)
	t.Cleanup(l.Close)
	return l
}

func appendOne(t testing.TB, l *Log, body string) int64 {
	t.Helper()
	rec, err := message.Append(nil, &message.Message{Topic: "T", Body: []byte(body)})
	require.NoError(t, err)
	if !l.Fits(len(rec)) {
		require.NoError(t, l.Roll())
	}
	at := l.End()
	message.PatchOffsets(rec, 0, at, 1234)
	require.NoError(t, l.Append(append(l.Room(len(rec)), rec...)))
	return at
}

func scanBodies(t testing.TB, l *Log, from int64) ([]string, int64, string) {
	t.Helper()
	var out []string
	end, why, err := l.Scan(from, ScanOptions{CheckCRC: true}, func(_ []byte, m *message.Message) error {
		out = append(out, string(m.Body))
		return nil
	})
	require.NoError(t, err)
	return out, end, why
}

func TestLog_RollsWithABlankRecord(t *testing.T) {
	fs := vfs.NewMem()
	l := openLog(t, fs)
	var want []string
	for range 20 {
		appendOne(t, l, string(make([]byte, 1000)))
		want = append(want, string(make([]byte, 1000)))
	}
	got, end, why := scanBodies(t, l, 0)
	require.Equal(t, want, got)
	require.Equal(t, l.Max(), end)
	require.Empty(t, why)
	b, err := vfs.ReadFile(fs, "/log/00000000000000000000")
	require.NoError(t, err)
	require.Len(t, b, segSize)
	size := 1000 + 1 + MinRecord
	rest := segSize - 3*size
	require.Equal(t, []byte{0, 0, byte(rest >> 8), byte(rest), 0xCB, 0xD4, 0x31, 0x94}, b[3*size:3*size+8])
	for off, want := range map[int64]int64{0: 1234, 5: -1, -1: -1, l.Max(): -1} {
		at, err := l.StoreTime(off)
		require.NoError(t, err)
		require.Equal(t, want, at, off)
	}
}

func TestLog_ExactlyFullSegment(t *testing.T) {
	l := openLog(t, vfs.NewMem())
	appendOne(t, l, string(make([]byte, segSize-BlankSize-MinRecord-1)))
	require.EqualValues(t, segSize-BlankSize, l.End())
	require.EqualValues(t, segSize, appendOne(t, l, "next"))
	got, _, _ := scanBodies(t, l, 0)
	require.Len(t, got, 2)
}

func TestLog_CutWipesWhatFollows(t *testing.T) {
	fs := vfs.NewMem()
	l := openLog(t, fs)
	at := make([]int64, 12)
	for i := range at {
		at[i] = appendOne(t, l, string(make([]byte, 1000)))
	}
	require.NoError(t, l.Cut(at[4]))
	_, end, why := scanBodies(t, l, 0)
	require.Equal(t, at[4], end)
	require.Empty(t, why)
	require.Len(t, l.Segments(), 2)
	require.Equal(t, at[4], appendOne(t, l, "again"))
	got, _, _ := scanBodies(t, l, segSize)
	require.Equal(t, []string{string(make([]byte, 1000)), "again"}, got)
}

func TestLog_RefusesDirectoriesThatDoNotFit(t *testing.T) {
	for name, sizes := range map[string]map[string]int64{
		"wide gap":   {FileName(0): segSize, FileName(2000 * segSize): segSize},
		"too large":  {FileName(0): segSize + 1},
		"all short":  {FileName(0): segSize / 2, FileName(segSize): segSize / 2},
		"overlap":    {FileName(0): segSize, FileName(segSize / 2): segSize},
		"wrong base": {FileName(100): segSize},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			require.NoError(t, fs.MkdirAll("/log"))
			for f, n := range sizes {
				h, err := fs.Open("/log/"+f, vfs.Create)
				require.NoError(t, err)
				require.NoError(t, h.Allocate(n))
			}
			_, err := Open(Options{FS: fs, Dir: "/log", SegmentSize: segSize, MaxRecord: 1 << 20, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
			var c *CorruptError
			require.ErrorAs(t, err, &c)
		})
	}
}

// A file that is missing or too short among others takes its records and no more.
func TestLog_MissingAndShortFiles(t *testing.T) {
	for name, hurt := range map[string]func(fs *vfs.Mem, path string) error{
		"missing": func(fs *vfs.Mem, path string) error { return fs.Remove(path) },
		"short": func(fs *vfs.Mem, path string) error {
			f, err := fs.Open(path, vfs.ReadWrite)
			if err != nil {
				return err
			}
			return f.Truncate(0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			l := openLog(t, fs)
			in := map[int64]int{} // records by segment
			for range 20 {
				in[l.SegmentOf(appendOne(t, l, string(make([]byte, 1000))))]++
			}
			end := l.Max()
			require.NoError(t, fs.SyncFS("/"))
			fs = fs.CrashClone(nil)
			require.NoError(t, hurt(fs, "/log/"+FileName(segSize)))
			l, err := Open(Options{FS: fs, Dir: "/log", SegmentSize: segSize, MaxRecord: 1 << 20, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
			require.NoError(t, err)
			defer l.Close()
			n := 0
			got, why, err := l.Scan(0, ScanOptions{CheckCRC: true, Ours: end, Floor: end}, func([]byte, *message.Message) error {
				n++
				return nil
			})
			require.NoError(t, err)
			require.Empty(t, why)
			require.Equal(t, end, got)
			require.Equal(t, 20-in[segSize], n)
		})
	}
}

func TestLog_RoomNeedsNoCopy(t *testing.T) {
	l := openLog(t, vfs.NewMem())
	appendOne(t, l, "first")
	at := l.End()
	room := l.Room(10)
	require.Empty(t, room)
	require.GreaterOrEqual(t, cap(room), 10)
	data := append(room, "0123456789"...)
	_, ok := l.View(at, 1)
	require.False(t, ok, "not appended yet")
	require.NoError(t, l.Append(data))
	v, ok := l.View(at, 10)
	require.True(t, ok)
	require.Same(t, &data[0], &v.Bytes[0])
	v.Release()

	require.Nil(t, l.Room(MaxRoom+1))
	at = l.End()
	require.NoError(t, l.Append([]byte("foreign memory")))
	_, ok = l.View(at, 1)
	require.False(t, ok, "of the caller, who may write to it")
	b := make([]byte, 14)
	require.NoError(t, l.Read(b, at))
	require.Equal(t, "foreign memory", string(b))

	at = l.End()
	require.NoError(t, l.Append(append(l.Room(5), "again"...)))
	v, ok = l.View(at, 5)
	require.True(t, ok, "what follows is kept again")
	require.Equal(t, "again", string(v.Bytes[:5]))
	v.Release()
}

func TestLog_ViewsOutliveTheTail(t *testing.T) {
	l := openLog(t, vfs.NewMem())
	at := appendOne(t, l, "kept")
	v, ok := l.View(at, 10)
	require.True(t, ok)
	before := string(v.Bytes)
	for range 5000 { // far more than the tail holds
		appendOne(t, l, string(make([]byte, 1000)))
	}
	_, ok = l.View(at, 10)
	require.False(t, ok, "no longer in memory")
	require.Equal(t, before, string(v.Bytes))
	v.Release()
	b := make([]byte, len(before))
	require.NoError(t, l.Read(b, at))
	require.Equal(t, before, string(b))
	require.ErrorIs(t, l.Read(b, l.Max()-1), ErrOutOfRange)
}

// FuzzScan lets the scan meet arbitrary bytes behind a good record.
func FuzzScan(f *testing.F) {
	rec, err := message.Append(nil, &message.Message{Topic: "T", Body: []byte("body")})
	require.NoError(f, err)
	f.Add(rec)
	f.Add([]byte{0x7f, 0xff, 0xff, 0xff, 0xda, 0xa3, 0x20, 0xa7})
	f.Add([]byte{0, 0, 0, 100, 0xcb, 0xd4, 0x31, 0x94})
	f.Fuzz(func(t *testing.T, b []byte) {
		fs := vfs.NewMem()
		l := openLog(t, fs)
		appendOne(t, l, "good")
		end := l.End()
		h, err := fs.Open("/log/"+FileName(0), vfs.ReadWrite)
		require.NoError(t, err)
		_, err = h.WriteAt(b[:min(int64(len(b)), segSize-end)], end)
		require.NoError(t, err)
		got, cut, _ := scanBodies(t, l, 0)
		require.NotEmpty(t, got)
		require.Equal(t, "good", got[0])
		require.NoError(t, l.Cut(cut))
		again, end2, why := scanBodies(t, l, 0)
		require.Equal(t, got, again)
		require.Equal(t, cut, end2)
		require.Empty(t, why)
	})
}

// The disk is full when the next segment is made ahead of time, and has room when it
// is needed: what happened hours ago is nobody's business.
func TestLog_AnOldFailureOfThePreparerIsTriedAgain(t *testing.T) {
	var full atomic.Bool
	var failed atomic.Int64
	disk := &vfs.Inject{FS: vfs.NewMem(), Fail: func(op vfs.Op) error {
		if full.Load() && op.Name == "Allocate" {
			failed.Add(1)
			return syscall.ENOSPC
		}
		return nil
	}}
	l := openLog(t, disk)
	require.NoError(t, l.Roll())
	full.Store(true)
	add := func() { require.NoError(t, l.Append(make([]byte, segSize/5))) }
	add()
	add()
	add() // more than half: the next one is made
	require.Eventually(t, func() bool { return failed.Load() == 1 }, 10*time.Second, time.Millisecond)
	full.Store(false)
	require.NoError(t, l.Roll())

	full.Store(true) // and one that lasts is told
	require.ErrorIs(t, l.Roll(), ErrNoSegment)
	require.ErrorIs(t, l.Roll(), syscall.ENOSPC)
	full.Store(false)
	require.NoError(t, l.Roll())
}

// A roll that fails at its blank record holds no file of the segment after it.
func TestLog_AFailedRollLeaksNothing(t *testing.T) {
	var broken atomic.Bool
	files := &counted{FS: vfs.NewMem()}
	disk := &vfs.Inject{FS: files, Fail: func(op vfs.Op) error {
		if broken.Load() && op.Name == "WriteAt" {
			return syscall.EIO
		}
		return nil
	}}
	l, err := Open(Options{FS: disk, Dir: "/log", SegmentSize: segSize, TailBytes: 1, MaxRecord: 1 << 20, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.NoError(t, l.Cut(0))
	require.NoError(t, l.Roll())
	require.NoError(t, l.Append(make([]byte, 100)))
	broken.Store(true)
	require.ErrorIs(t, l.Roll(), syscall.EIO)
	l.Close()
	require.Zero(t, files.n.Load())
}
