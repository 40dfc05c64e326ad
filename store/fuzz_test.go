package store

import (
	"encoding/binary"
	"io"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/vfs"
)

// image is a small store with some messages, closed or not.
func image(t testing.TB, closed bool) *vfs.Mem {
	mem := vfs.NewMem()
	s, err := Open(small(mem))
	require.NoError(t, err)
	for i := range 40 {
		p := &Put{Msg: msg("T", int32(i%2), string(make([]byte, 300+i)), "UNIQ_KEY", "k", "KEYS", "a b")}
		require.Equal(t, PutOK, s.Put(p).Status)
	}
	if closed {
		require.NoError(t, s.Close())
		return mem
	}
	settled(t, s)
	s.cleaner.do(func() { require.NoError(t, s.cleaner.checkpoint()) })
	clone := mem.CrashClone(nil)
	require.NoError(t, s.Close())
	return clone
}

// poke overwrites a piece of a file.
func poke(t testing.TB, mem *vfs.Mem, path string, at uint16, b []byte) {
	f, err := mem.Open(path, vfs.ReadWrite)
	require.NoError(t, err)
	n, err := f.Size()
	require.NoError(t, err)
	off := int64(at) % max(n, 1)
	_, err = f.WriteAt(b[:min(int64(len(b)), n-off)], off)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func files(t testing.TB, mem *vfs.Mem, dir string) []string {
	es, err := mem.ReadDir(dir)
	require.NoError(t, err)
	var out []string
	for _, e := range es {
		out = append(out, dir+"/"+e.Name)
	}
	return out
}

// FuzzRecovery opens stores with damaged files: Open may refuse, but it neither
// panics nor hangs, and what opens takes messages, gives them back and opens
// again.
func FuzzRecovery(f *testing.F) {
	rec, err := message.Append(nil, &message.Message{Topic: "T", Body: []byte("body")})
	require.NoError(f, err)
	blank := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 100), message.MagicBlank)
	for kind := range uint8(4) {
		for _, b := range [][]byte{{0}, {0xff}, make([]byte, 600), rec, blank, {0x7f, 0xff, 0xff, 0xff, 0xda, 0xa3, 0x20, 0xa7}} {
			for _, at := range []uint16{0, 4, 20, 36, 500, 16384 - 8} {
				f.Add(kind, uint8(0), at, b, true)
				f.Add(kind, uint8(1), at, b, false)
			}
		}
	}
	f.Fuzz(func(t *testing.T, kind, which uint8, at uint16, b []byte, closed bool) {
		mem := image(t, closed)
		dir := []string{"/store/commitlog", "/store/consumequeue/T/0", "/store/index", "/store"}[kind%4]
		var paths []string
		for _, p := range files(t, mem, dir) {
			if e, err := mem.Stat(p); err == nil && !e.Dir {
				paths = append(paths, p)
			}
		}
		poke(t, mem, paths[int(which)%len(paths)], at, b)
		o := small(mem)
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
		s, err := Open(o)
		if err != nil {
			return
		}
		walk(s)
		r := s.Put(&Put{Msg: msg("T", 5, "new")})
		require.Equal(t, PutOK, r.Status, "%v", r.Err)
		settled(t, s)
		require.Equal(t, []string{"new"}, readAll(t, s, "T", 5, 0))
		require.NoError(t, s.Close())
		s, err = Open(o)
		require.NoError(t, err)
		require.Equal(t, []string{"new"}, readAll(t, s, "T", 5, 0))
		require.NoError(t, s.Close())
	})
}

// walk reads everything that can be read, as far as it can be.
func walk(s *Store) {
	for _, topic := range s.Topics() {
		for _, q := range s.QueueIDs(topic) {
			var r GetResult
			for off, n := s.MinOffset(topic, q), 0; off < s.MaxOffset(topic, q) && n < 100; n++ {
				s.Get(&GetRequest{Topic: topic, QueueID: q, Offset: off, MaxMsgs: 32}, &r)
				if r.Next <= off {
					break
				}
				off = r.Next
			}
			r.Release()
			_, _ = s.OffsetByTime(topic, q, 1, false)
			_, _ = s.OffsetByTime(topic, q, s.clock.NowMillis(), true)
			_, _ = s.Entries(topic, q, 0, 10)
		}
	}
	for _, k := range []string{"k", "a", "b"} {
		_, _ = s.Query("T", k, 64, 0, 1<<60)
	}
	for _, phy := range []int64{-1, 0, 7, 100, 16384, 1 << 40} {
		_, _ = s.RecordAt(phy)
	}
}
