package store

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/vfs"
)

// An offset that is in no log is no failing read, however far beyond it is.
func TestRecordAt_OutsideTheLog(t *testing.T) {
	s := open(t, small(vfs.NewMem()))
	r := put(t, s, msg("T", 0, "x"))
	for _, phy := range []int64{math.MinInt64, -1, r.PhyOffset + 1, r.PhyOffset + int64(r.Bytes), math.MaxInt64 - 1, math.MaxInt64} {
		_, err := s.RecordAt(phy)
		require.ErrorIs(t, err, ErrNoRecord, phy)
	}
}
