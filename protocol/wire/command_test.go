package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Of two entries with one key the last counts, for Lookup and for the headers.
func TestCommand_SetAndRemove(t *testing.T) {
	c := Command{Ext: []Field{{"a", "1"}, {"b", "2"}, {"a", "3"}}}
	c.Set("a", "4")
	require.Equal(t, []Field{{"a", "1"}, {"b", "2"}, {"a", "4"}}, c.Ext)
	c.Set("c", "5")
	v, ok := c.Lookup("c")
	require.True(t, ok)
	require.Equal(t, "5", v)
	require.True(t, c.HasExt)
	c.Remove("a")
	_, ok = c.Lookup("a")
	require.False(t, ok)
	require.Len(t, c.Ext, 2)
}
