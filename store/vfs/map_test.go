package vfs

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMap_ShowsWhatWasWritten(t *testing.T) {
	f, err := OS().Open(filepath.Join(t.TempDir(), "f"), Create)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, f.Allocate(1<<20))
	m, ok := f.(Mapper)
	if runtime.GOOS != "linux" {
		require.False(t, ok)
		return
	}
	require.True(t, ok)
	mm, err := m.Map(1 << 20)
	if err != nil {
		require.NotEqual(t, "1", os.Getenv("MERLIN_CI"), "no mapping here: %v", err)
		t.Skipf("no mapping here: %v", err)
	}
	text := bytes.Repeat([]byte("merlin"), 2000)
	_, err = f.WriteAt(text, 5000)
	require.NoError(t, err)
	require.True(t, mm.Resident(5000, 5000+int64(len(text))), "it was written just now")
	got := make([]byte, len(text))
	require.NoError(t, mm.ReadAt(got, 5000))
	require.Equal(t, text, got)
	require.ErrorIs(t, mm.ReadAt(got, 1<<20-10), ErrFault)
	require.ErrorIs(t, mm.ReadAt(got, -1), ErrFault)

	// The file is cut under the mapping: its pages are gone, the process is not.
	require.NoError(t, f.Truncate(8192))
	require.ErrorIs(t, mm.ReadAt(got, 5000), ErrFault)
	require.NoError(t, mm.ReadAt(got[:3000], 5000), "what is left")
	require.Equal(t, text[:3000], got[:3000])
	require.NoError(t, f.Truncate(1<<20))
	require.NoError(t, mm.ReadAt(got, 5000))

	require.False(t, mm.Resident(-1, 10))
	require.False(t, mm.Resident(0, 1<<20+1))
	require.False(t, mm.Resident(10, 10))
	require.NoError(t, mm.Close())
}
