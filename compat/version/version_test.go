package version

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNames(t *testing.T) {
	require.Equal(t, int32(479), V5_3_3)
	for name, v := range map[string]int32{"V3_0_0_SNAPSHOT": 0, "V4_5_2": V4_5_2, "V5_3_3": Current} {
		require.Equal(t, name, Name(v))
		got, ok := Parse(name)
		require.True(t, ok)
		require.Equal(t, v, got)
	}
	require.Equal(t, "HIGHER_VERSION", Name(9999))
	require.Empty(t, Name(-1))
	_, ok := Parse("V9")
	require.False(t, ok)
	require.Equal(t, int(HigherVersion)+1, Count())
}
