package store

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/vfs"
)

// What a query gives is bounded in bytes, not in messages alone: 64 records of
// 4 MiB were copied, and then no frame could hold them. One record is always given.
func TestQuery_SizeIsBounded(t *testing.T) {
	o := small(vfs.NewMem())
	o.FileSizeCommitLog, o.MaxMessageSize = 64<<20, 16<<20
	s := open(t, o)
	for range 8 {
		put(t, s, msg("T", 0, strings.Repeat("x", 2<<20), "KEYS", "k"))
	}
	put(t, s, msg("T", 0, strings.Repeat("x", maxQueryBytes+1), "KEYS", "huge"))
	settled(t, s)
	r, err := s.Query("T", "k", 64, 0, math.MaxInt64)
	require.NoError(t, err)
	size := 0
	for _, rec := range r.Records {
		size += len(rec)
	}
	require.Len(t, r.Records, 3)
	require.LessOrEqual(t, size, maxQueryBytes)
	r, err = s.Query("T", "huge", 64, 0, math.MaxInt64)
	require.NoError(t, err)
	require.Len(t, r.Records, 1)
}
