package offheap

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBytes_AreZeroAndComeBack(t *testing.T) {
	for _, n := range []int{0, 1, 4096, 64 << 10, 1 << 20} {
		b := Bytes(n)
		require.Len(t, b, n)
		for i := range b {
			require.Zero(t, b[i])
			b[i] = 1
		}
		Free(b)
	}
	s := Int32s(5_000_001)
	require.Len(t, s, 5_000_001)
	s[5_000_000] = 7
	require.Zero(t, s[4_999_999])
	FreeInt32s(s)
	FreeInt32s(nil)
	require.Nil(t, Int32s(0))
}
