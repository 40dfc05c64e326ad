package commitlog

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/vfs"
)

// counted counts the files that are open.
type counted struct {
	vfs.FS
	n atomic.Int32
}

type countedFile struct {
	vfs.File
	n *atomic.Int32
}

func (c *counted) Open(path string, mode vfs.Mode) (vfs.File, error) {
	f, err := c.FS.Open(path, mode)
	if err != nil {
		return nil, err
	}
	c.n.Add(1)
	return countedFile{f, &c.n}, nil
}

func (f countedFile) Close() error {
	f.n.Add(-1)
	return f.File.Close()
}

func TestLog_CloseUnused(t *testing.T) {
	fs := &counted{FS: vfs.NewMem()}
	l := openLog(t, fs)
	for range 20 {
		appendOne(t, l, string(make([]byte, 1000)))
	}
	if l.asked { // the next one is being made
		p := <-l.have
		l.have <- p
	}
	segments := len(l.Segments())
	require.Greater(t, segments, 5)
	open := int(fs.n.Load())
	require.GreaterOrEqual(t, open, segments)

	// What is not durable stays open: closing it could lose the report of an error.
	l.CloseUnused()
	l.CloseUnused()
	require.EqualValues(t, open, fs.n.Load())

	_, err := l.Flush()
	require.NoError(t, err)
	l.CloseUnused() // the flush has used them
	require.EqualValues(t, open, fs.n.Load())
	require.NotNil(t, read(t, l, 0))
	l.CloseUnused()
	require.EqualValues(t, open-segments+2, fs.n.Load(), "the first was read, the last is written")
	l.CloseUnused()
	require.EqualValues(t, open-segments+1, fs.n.Load())

	got, _, _ := scanBodies(t, l, 0)
	require.Len(t, got, 20)
	require.EqualValues(t, open, fs.n.Load())
	appendOne(t, l, "more")
	_, err = l.Remove()
	require.NoError(t, err)
	require.EqualValues(t, open-1, fs.n.Load())
}

func read(t testing.TB, l *Log, at int64) []byte {
	t.Helper()
	b := make([]byte, 100)
	require.NoError(t, l.Read(b, at))
	return b
}

// Readers find every record while files are closed under them.
func TestLog_CloseUnusedBesideReaders(t *testing.T) {
	l := openLog(t, vfs.NewMem())
	var at []int64
	for range 30 {
		at = append(at, appendOne(t, l, string(make([]byte, 1000))))
	}
	_, err := l.Flush()
	require.NoError(t, err)
	var readers sync.WaitGroup
	var stop atomic.Bool
	for r := range 2 {
		readers.Go(func() {
			b := make([]byte, MinRecord)
			for i := 0; i < 3000; i++ {
				if err := l.Read(b, at[(i*7+r)%len(at)]); err != nil {
					t.Errorf("read %d: %v", i, err)
					break
				}
			}
			stop.Store(true)
		})
	}
	for !stop.Load() {
		l.CloseUnused()
	}
	readers.Wait()
}
