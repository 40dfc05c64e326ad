package store

import (
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/vfs"
)

// Zeros that are written in front of the log take nothing away that was acknowledged,
// whatever a power failure leaves of both.
func TestZeroAhead_PowerFailures(t *testing.T) {
	for seed := range int64(12) {
		mem := vfs.NewMem()
		o := small(mem)
		o.FileSizeCommitLog, o.FlushDiskType, o.ZeroAhead = 64<<10, SyncFlush, 8<<10
		s := open(t, o)
		const senders = 4
		var acked [senders]atomic.Int32
		type image struct {
			mem   *vfs.Mem
			acked [senders]int32
		}
		var images []image
		var wg sync.WaitGroup
		for q := range int32(senders) {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := range int32(60) {
					if s.Put(&Put{Msg: msg("T", q, fmt.Sprint(i, strings.Repeat("y", int(i*37%900))))}).Status == PutOK {
						acked[q].Store(i + 1)
					}
				}
			}()
		}
		for n := range 12 {
			var im image
			for q := range acked {
				im.acked[q] = acked[q].Load()
			}
			im.mem = mem.CrashClone(rand.New(rand.NewSource(seed*100 + int64(n))))
			images = append(images, im)
		}
		wg.Wait()
		for _, im := range images {
			o := o
			o.FS = im.mem
			again := open(t, o)
			for q := range int32(senders) {
				got := readAll(t, again, "T", q, 0)
				require.GreaterOrEqual(t, int32(len(got)), im.acked[q])
				for i, b := range got {
					require.Equal(t, fmt.Sprint(i, strings.Repeat("y", i*37%900)), b)
				}
			}
			require.NoError(t, again.Close())
		}
		require.NoError(t, s.Close())
	}
}
