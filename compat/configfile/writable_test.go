package configfile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWritable(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, Writable(OS(), filepath.Join(dir, "a", "b", "kv.json")))
	es, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, es, "nothing is left behind")
	require.NoError(t, Writable(NewMemory(), "/nowhere/kv.json"))

	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("x"), 0o600))
	require.NoError(t, Writable(OS(), file))
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "x", string(got))
	require.ErrorContains(t, Writable(OS(), filepath.Join(file, "kv.json")), filepath.Join(file, "kv.json")+" cannot be written")
	require.ErrorContains(t, Writable(OS(), "/proc/none/kv.json"), "cannot be written")
}
