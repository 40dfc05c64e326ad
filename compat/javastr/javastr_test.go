package javastr

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// More values, recorded from Java, are compared in conformance/wire.
func TestHash_BytesAndStringsAgree(t *testing.T) {
	for s, want := range map[string]int32{"": 0, "TagA": 2598919, "polygenelubricants": -2147483648, "größe": 98762257, "\xff": 0xFFFD} {
		require.Equal(t, want, Hash(s), s)
		require.Equal(t, want, HashBytes([]byte(s)), s)
	}
	require.Zero(t, testing.AllocsPerRun(10, func() { HashBytes([]byte("größe")) }))
}

func ExampleAppendDouble() {
	fmt.Printf("%s %s %s\n", AppendDouble(nil, 12), AppendDouble(nil, 1e7), AppendDouble(nil, 0.0005))
	// Output: 12.0 1.0E7 5.0E-4
}

func BenchmarkHash(b *testing.B) {
	for b.Loop() {
		Hash("TopicTest#7F0000010BF3251A69D73B3C3A5E0000")
	}
}
