package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is checked in is what the lists give today.
func TestGenerate_FilesAreCurrent(t *testing.T) {
	files, err := generate("../..")
	require.NoError(t, err)
	require.Greater(t, len(files), 20)
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("../..", name))
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "%s: run go generate in protocol/header", name)
	}
	there, err := filepath.Glob("../../zz_*.go")
	require.NoError(t, err)
	require.Len(t, there, len(files)-1, "files that nothing generates")
}

// The order is that of a recorded SEND_MESSAGE_V2 frame with all fields set.
func TestMapOrder(t *testing.T) {
	var puts []*field
	for _, n := range []string{"n", "l", "m", "j", "ns", "k", "h", "i", "f", "g", "d", "e", "b", "c", "lo", "a", "bname", "oway", "nsd"} {
		puts = append(puts, &field{name: n})
	}
	names := func(fs []*field) (out []string) {
		for _, f := range fs {
			out = append(out, f.name)
		}
		return out
	}
	require.Equal(t, []string{"a", "b", "c", "lo", "d", "ns", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "oway", "bname", "nsd"},
		names(mapOrder(puts, 32)))
	require.ElementsMatch(t, names(puts), names(mapOrder(puts, 16)))
}
