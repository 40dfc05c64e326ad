package store

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/vfs"
)

// TestManyQueues: queues cost neither goroutines nor open files. With
// MERLIN_QUEUES=10000 and a real disk it prints what they do cost.
func TestManyQueues(t *testing.T) {
	n, perQueue := 500, 5
	o := small(vfs.NewMem())
	o.FileSizeCommitLog, o.MaxOpenConsumeQueueFile = 1<<20, 16
	if v, err := strconv.Atoi(os.Getenv("MERLIN_QUEUES")); err == nil {
		n, perQueue = v, 30
		o = Options{StorePathRootDir: t.TempDir(), MessageIndexDisable: true}
	}
	s := open(t, o)
	goroutines := runtime.NumGoroutine()
	begin := time.Now()
	ps := make([]*Put, 0, 64)
	body := string(make([]byte, 100))
	for range perQueue {
		for q := range n {
			ps = append(ps, &Put{Msg: msg(fmt.Sprint("T", q/8), int32(q%8), body)})
			if len(ps) == 64 {
				s.PutBatch(ps)
				ps = ps[:0]
			}
		}
	}
	s.PutBatch(ps)
	settled(t, s)
	written := time.Since(begin)
	begin = time.Now()
	require.True(t, s.cleaner.do(func() { require.NoError(t, s.cleaner.checkpoint()) }))
	pointed := time.Since(begin)
	require.LessOrEqual(t, s.queues.OpenFiles(), max(o.MaxOpenConsumeQueueFile, 1024))
	require.LessOrEqual(t, runtime.NumGoroutine(), goroutines)
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	require.NoError(t, s.Close())
	begin = time.Now()
	s = open(t, o)
	t.Logf("%d queues: %v to write %d messages, checkpoint %v, heap %d MiB, clean start %v",
		n, written, n*perQueue, pointed, m.HeapAlloc>>20, time.Since(begin))
	for q := range n {
		require.EqualValues(t, perQueue, s.MaxOffset(fmt.Sprint("T", q/8), int32(q%8)))
	}
	require.NoError(t, s.Close())
	f, err := vfs.Or(o.FS).Open(o.StorePathRootDir+"/abort", vfs.Create)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	begin = time.Now()
	s = open(t, o)
	t.Logf("start after a crash %v", time.Since(begin))
	for q := range n {
		require.EqualValues(t, perQueue, s.MaxOffset(fmt.Sprint("T", q/8), int32(q%8)))
	}
}
