package delay

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/broker/put"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store"
	"github.com/merlinmq/merlin/store/vfs"
)

// A level delivers every message, whichever read of its queue or of the log failed
// before, and its offset moves over none.
func TestDeliver_EveryReadFails(t *testing.T) {
	host := netip.MustParseAddrPort("127.0.0.1:1")
	levels := put.Levels{time.Second}
	want := []string{"a", "b", "c", "d", "e"}
	for n := int64(1); ; n++ {
		var at, seen atomic.Int64 // at is 0 while nothing fails
		disk := &vfs.Inject{FS: vfs.NewMem(), Fail: func(op vfs.Op) error {
			read := (op.Name == "ReadAt" || op.Name == "MapReadAt") && !strings.Contains(op.Path, "/index/")
			if from := at.Load(); from > 0 && read && seen.Add(1) >= from {
				return syscall.EIO
			}
			return nil
		}}
		now := clock.NewManual(time.UnixMilli(1_700_000_000_000))
		open := func() *store.Store {
			st, err := store.Open(store.Options{FS: disk, Clock: now, StorePathRootDir: "/s", FileSizeCommitLog: 1 << 20,
				FileSizeConsumeQueue: 20 * 1000, MaxHashSlotNum: 100, MaxIndexNum: 400})
			require.NoError(t, err)
			return st
		}
		st := open()
		for _, text := range want {
			m := message.Message{Topic: "T", QueueID: 2, Body: []byte(text), BornHost: host, StoreHost: host}
			d := put.Again(&m)
			d.Delay = 1
			require.Equal(t, store.PutOK, put.New(put.Options{Store: st, Levels: levels}).Put(d).Status)
		}
		require.NoError(t, st.Close()) // so that everything is in files
		st = open()
		s, err := Load(Options{Store: st, Put: put.New(put.Options{Store: st, Levels: levels}), Levels: levels, Files: configfile.NewMemory(), Path: "delayOffset.json", Clock: now})
		require.NoError(t, err)
		now.Advance(2 * time.Second)
		at.Store(n)
		for range 3 {
			before := s.offset(1)
			s.deliverSome(1)
			require.LessOrEqual(t, before, s.offset(1))
		}
		failed := seen.Load() >= n
		at.Store(0)
		for s.deliverSome(1) || s.offset(1) < int64(len(want)) {
		}
		require.Eventually(t, func() bool { return st.DispatchBehind() == 0 }, 5*time.Second, time.Millisecond)
		entries, err := st.Entries("T", 2, 0, 100)
		require.NoError(t, err)
		var got []string
		for _, e := range entries {
			rec, err := st.RecordAt(e.PhyOffset)
			require.NoError(t, err)
			var m message.Message
			_, err = message.Decode(rec, &m, true)
			require.NoError(t, err)
			got = append(got, string(m.Body))
		}
		require.Equal(t, want, got, "read %d failed", n)
		require.NoError(t, st.Close())
		if !failed {
			require.Greater(t, n, int64(5))
			return
		}
		require.Less(t, n, int64(200))
	}
}
