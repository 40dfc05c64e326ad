package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func each(t *testing.T, do func(t *testing.T, f FS, dir string)) {
	t.Run("os", func(t *testing.T) { do(t, OS(), t.TempDir()) })
	t.Run("mem", func(t *testing.T) { do(t, NewMem(), "/") })
	t.Run("inject", func(t *testing.T) {
		do(t, &Inject{FS: NewMem(), Fail: func(Op) error { return nil }}, "/")
	})
}

func TestFS_Basics(t *testing.T) {
	each(t, func(t *testing.T, f FS, dir string) {
		sub := filepath.Join(dir, "a", "b")
		require.NoError(t, f.MkdirAll(sub))
		name := filepath.Join(sub, "x")
		_, err := f.Open(name, ReadWrite)
		require.ErrorIs(t, err, fs.ErrNotExist)
		h, err := f.Open(name, Create)
		require.NoError(t, err)
		require.NoError(t, h.Allocate(10_000))
		require.NoError(t, h.Allocate(5), "never shrinks")
		n, err := h.Size()
		require.NoError(t, err)
		require.EqualValues(t, 10_000, n)
		_, err = h.WriteAt([]byte("hello"), 4094)
		require.NoError(t, err)
		require.NoError(t, h.Sync())
		b := make([]byte, 9)
		require.NoError(t, ReadFull(h, b, 4092))
		require.Equal(t, "\x00\x00hello\x00\x00", string(b))
		require.NoError(t, h.Truncate(4096))
		require.NoError(t, h.Truncate(10_000))
		require.NoError(t, ReadFull(h, b, 4092))
		require.Equal(t, "\x00\x00he\x00\x00\x00\x00\x00", string(b), "cut bytes come back as zeros")
		require.Error(t, ReadFull(h, b, 9_995))
		require.NoError(t, h.Close())
		require.Error(t, h.Sync())
		es, err := f.ReadDir(sub)
		require.NoError(t, err)
		require.Equal(t, []Entry{{Name: "x", Size: 10_000}}, es)
		require.NoError(t, f.SyncDir(sub))
		require.NoError(t, f.SyncFS(sub))
		require.NoError(t, f.Rename(name, name+"2"))
		require.False(t, Exists(f, name))
		got, err := ReadFile(f, name+"2")
		require.NoError(t, err)
		require.Len(t, got, 10_000)
		require.Error(t, f.Remove(sub), "not empty")
		require.NoError(t, f.RemoveAll(sub))
		require.NoError(t, f.RemoveAll(sub))
		u, err := f.Usage(dir)
		require.NoError(t, err)
		require.GreaterOrEqual(t, u.Ratio(), 0.0)
		require.GreaterOrEqual(t, u.Size, u.Total, "with the reserve")
		require.GreaterOrEqual(t, u.Unused, u.Free)
		require.Equal(t, u.Size-u.Total, u.Unused-u.Free, "the reserve is free")
	})
}

func TestFS_LockIsExclusive(t *testing.T) {
	each(t, func(t *testing.T, f FS, dir string) {
		p := filepath.Join(dir, "lock")
		l, err := f.Lock(p)
		require.NoError(t, err)
		_, err = f.Lock(p)
		require.Error(t, err)
		require.NoError(t, l.Close())
		l, err = f.Lock(p)
		require.NoError(t, err)
		require.NoError(t, l.Close())
	})
}

func TestMem_CrashKeepsOnlyWhatWasSynced(t *testing.T) {
	m := NewMem()
	require.NoError(t, m.MkdirAll("/d"))
	require.NoError(t, m.SyncDir("/"))
	h, err := m.Open("/d/x", Create)
	require.NoError(t, err)
	_, _ = h.WriteAt([]byte("one"), 0)
	require.NoError(t, h.Sync())
	require.False(t, Exists(m.CrashClone(nil), "/d/x"), "the name was not synced")
	require.NoError(t, m.SyncDir("/d"))
	_, _ = h.WriteAt([]byte("TWO"), 0)
	b, err := ReadFile(m.CrashClone(nil), "/d/x")
	require.NoError(t, err)
	require.Equal(t, "one", string(b))
	b, err = ReadFile(m.CrashClone(nil).CrashClone(nil), "/d/x")
	require.NoError(t, err)
	require.Equal(t, "one", string(b), "a second failure takes no more")

	seen := map[string]bool{}
	for i := range 50 {
		b, err := ReadFile(m.CrashClone(rand.New(rand.NewSource(int64(i)))), "/d/x")
		require.NoError(t, err)
		seen[string(b)] = true
	}
	require.Equal(t, map[string]bool{"one": true, "TWO": true}, seen)
}

func TestMem_CrashTearsAndReorders(t *testing.T) {
	m := NewMem()
	h, err := m.Open("/x", Create)
	require.NoError(t, err)
	require.NoError(t, h.Allocate(8*pageSize))
	require.NoError(t, h.Sync())
	require.NoError(t, m.SyncDir("/"))
	full := make([]byte, 8*pageSize)
	for i := range full {
		full[i] = 1
	}
	_, _ = h.WriteAt(full, 0)
	torn, reordered := false, false
	for i := range 20 {
		b, err := ReadFile(m.CrashClone(rand.New(rand.NewSource(int64(i)))), "/x")
		require.NoError(t, err)
		for s := 0; s+sector < len(b); s += sector {
			torn = torn || b[s] == 1 && b[s+sector] == 0
			reordered = reordered || b[s] == 0 && b[s+sector] == 1
		}
	}
	require.True(t, torn && reordered)
}

func TestInject_FailsTheChosenOperation(t *testing.T) {
	boom := errors.New("boom")
	i := &Inject{FS: NewMem()}
	i.Fail = func(op Op) error {
		if op.Name == "WriteAt" {
			return ErrShort{boom}
		}
		return nil
	}
	h, err := i.Open("/x", Create)
	require.NoError(t, err)
	n, err := h.WriteAt([]byte("abcd"), 0)
	require.ErrorIs(t, err, boom)
	require.Equal(t, 2, n)
	require.EqualValues(t, 2, i.Count())
}

func TestOpenDisk(t *testing.T) {
	d, err := OS().OpenDisk(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, d.Sync())
	require.NoError(t, d.Close())
	require.Error(t, d.Sync(), "it is closed")
	_, err = OS().OpenDisk(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// A second store is told which process has the first; Java's own lock file, which
// has no number, may stand there.
func TestLock_SaysWhoHoldsIt(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems do not lock")
	}
	path := filepath.Join(t.TempDir(), "lock")
	require.NoError(t, os.WriteFile(path, []byte("lock 1234567 and more"), 0o600))
	l, err := OS().Lock(path)
	require.NoError(t, err)
	_, err = OS().Lock(path)
	require.ErrorContains(t, err, fmt.Sprintf("%s is locked by process %d", path, os.Getpid()))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("lock %d\n", os.Getpid()), string(data))
	require.NoError(t, l.Close())
	l, err = OS().Lock(path)
	require.NoError(t, err)
	require.NoError(t, l.Close())
}
