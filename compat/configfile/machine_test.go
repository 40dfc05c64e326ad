package configfile

import (
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Patch on the machine's disk changes a file of the right size alone, and its errors
// name the file.
func TestPatch_OnTheMachine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	files := OS()
	patch := func(size int64, pieces ...Piece) error { return files.(Patcher).Patch(path, size, pieces) }
	require.ErrorIs(t, patch(3, Piece{0, []byte("x")}), fs.ErrNotExist)
	require.NoError(t, files.Save(path, []byte("0123456789")))
	require.NoError(t, patch(10, Piece{8, []byte("ab")}, Piece{1, []byte("c")}, Piece{5, nil}))
	err := patch(11, Piece{0, []byte("x")})
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, "it has 10 bytes, not 11")
	data, err := files.Load(path, nil, nil)
	require.NoError(t, err)
	require.Equal(t, "0c234567ab", string(data))
}
