package commitlog

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/vfs"
)

func openAhead(t *testing.T, fs vfs.FS, dir string, span int64) *Log {
	t.Helper()
	o := Options{FS: fs, Dir: dir, SegmentSize: 1 << 20, TailBytes: 1, MaxRecord: 1 << 20, ZeroAhead: span, Logger: quiet}
	l, err := Open(o)
	require.NoError(t, err)
	return l
}

// What is appended is there, however close behind the zeros it came: the appender is
// now faster and now slower than they are.
func TestAhead_NeverOverwrites(t *testing.T) {
	for _, on := range []string{"mem", "os"} {
		t.Run(on, func(t *testing.T) {
			var fs vfs.FS = vfs.NewMem()
			dir := "/log"
			if on == "os" {
				fs, dir = vfs.OS(), t.TempDir()
			}
			l := openAhead(t, fs, dir, 16<<10)
			rnd := rand.New(rand.NewPCG(1, 2))
			var want []string
			for i := range 6000 { // over several files
				body := strings.Repeat(string(rune('a'+i%26)), 1+rnd.IntN(2000))
				want = append(want, body)
				appendOne(t, l, body)
				if rnd.IntN(50) == 0 {
					_, err := l.Flush()
					require.NoError(t, err)
				}
				if rnd.IntN(200) == 0 { // let it come first
					require.Eventually(t, func() bool { return l.ahead.end.Load()-l.End() >= 4<<10 || l.cur.base+l.cur.size-l.End() < 8<<10 },
						5*time.Second, 50*time.Microsecond)
				}
			}
			require.Greater(t, len(l.Segments()), 3)
			l.Close()
			l = openAhead(t, fs, dir, 16<<10)
			defer l.Close()
			got, end, why := scanBodies(t, l, 0)
			require.Equal(t, want, got)
			require.Empty(t, why)
			require.NoError(t, l.Cut(end))
		})
	}
}

// A disk that refuses the zeros costs nothing but them.
func TestAhead_AFailureIsNobodysElse(t *testing.T) {
	for _, op := range []string{"Open", "WriteAt", "Sync"} {
		t.Run(op, func(t *testing.T) {
			var l *Log
			failed := make(chan bool, 1000)
			opened := 0
			fs := &vfs.Inject{FS: vfs.NewMem(), Fail: func(o vfs.Op) error { return nil }}
			fs.Fail = func(o vfs.Op) error {
				if !strings.Contains(o.Path, "0000") || o.Name != op {
					return nil
				}
				if opened++; op == "Open" && opened == 2 { // the second handle of the file
					failed <- true
					return errors.New("no")
				}
				return nil
			}
			if op != "Open" {
				fs.Fail = nil
				fs.FS = zerosFail{fs.FS, op, failed}
				fs.Fail = func(vfs.Op) error { return nil }
			}
			l = openAhead(t, fs, "/log", 16<<10)
			defer l.Close()
			appendOne(t, l, "one")
			require.True(t, <-failed)
			appendOne(t, l, "two")
			_, err := l.Flush()
			require.NoError(t, err)
			require.NoError(t, l.Failed())
			got, _, _ := scanBodies(t, l, 0)
			require.Equal(t, []string{"one", "two"}, got)
		})
	}
}

// zerosFail is a disk whose files refuse zeros, or the sync of a handle that wrote
// them.
type zerosFail struct {
	vfs.FS
	op     string
	failed chan bool
}

func (z zerosFail) Open(path string, mode vfs.Mode) (vfs.File, error) {
	f, err := z.FS.Open(path, mode)
	if err != nil || !strings.Contains(path, "0000") {
		return f, err
	}
	return &zerosFile{File: f, z: z}, nil
}

type zerosFile struct {
	vfs.File
	z     zerosFail
	zeros bool
}

func (f *zerosFile) WriteAt(p []byte, off int64) (int, error) {
	f.zeros = f.zeros || len(bytes.Trim(p, "\x00")) == 0
	if f.zeros && f.z.op == "WriteAt" {
		f.z.failed <- true
		return 0, errors.New("no")
	}
	return f.File.WriteAt(p, off)
}

func (f *zerosFile) Sync() error {
	if f.zeros && f.z.op == "Sync" {
		f.z.failed <- true
		return errors.New("no")
	}
	return f.File.Sync()
}
