// Package document keeps the tables of docs/CONFORMANCE.md and of its neighbours that are made from the
// code in step with it. It owns no goroutine and no lock.
package document

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Holds checks that docs/CONFORMANCE.md has text as HoldsIn says.
func Holds(t *testing.T, what, text string) {
	t.Helper()
	HoldsIn(t, "CONFORMANCE.md", what, text)
}

// HoldsIn checks that a file of docs has text between its lines
// "<!-- what: made by TEST -->" and "<!-- end of what -->", TEST being the test
// that runs. MERLIN_UPDATE=1 writes it there instead. It is called from a
// package one below conformance.
func HoldsIn(t *testing.T, file, what, text string) {
	t.Helper()
	start, end := "<!-- "+what+": made by "+t.Name()+" -->\n", "<!-- end of "+what+" -->\n"
	path := filepath.Join("..", "..", "docs", file)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	head, rest, found := strings.Cut(string(b), start)
	require.True(t, found, "no line %q", start)
	_, tail, found := strings.Cut(rest, end)
	require.True(t, found, "no line %q", end)
	want := head + start + text + end + tail
	if os.Getenv("MERLIN_UPDATE") == "1" {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o644))
		return
	}
	require.Equal(t, want, string(b), "run it with MERLIN_UPDATE=1")
}
