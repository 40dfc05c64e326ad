package clock

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What does not fit a Duration means for ever, in either direction, and never the
// opposite.
func TestSpan(t *testing.T) {
	now := time.Now()
	for _, unit := range []time.Duration{time.Nanosecond, time.Millisecond, time.Second, time.Hour} {
		require.Equal(t, 72*unit, Span(72, unit))
		require.Equal(t, -72*unit, Span(-72, unit))
		for _, n := range []int64{math.MaxInt64, math.MaxInt64 / int64(unit), math.MaxInt64/int64(unit) - 1} {
			require.GreaterOrEqual(t, Span(n, unit), century-unit, n)
			require.True(t, now.Add(Span(n, unit)).After(now))
		}
		require.Equal(t, -century, Span(math.MinInt64, unit))
	}
	require.Equal(t, century, Span(9999999, time.Hour), "fileReservedTime of those who keep everything")
}
