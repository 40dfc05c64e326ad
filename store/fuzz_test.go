package store

import (
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/consumequeue"
	"github.com/merlinmq/merlin/store/vfs"
)

// stored is a message of an image and its place.
type stored struct {
	queue     int32
	offset    int64
	phy, size int64
	body      string
}

// image is a small store with some messages, closed or killed; all of them lie below
// the floor of its checkpoint.
func image(t testing.TB, closed bool) (*vfs.Mem, []stored) {
	mem := vfs.NewMem()
	s, err := Open(small(mem))
	require.NoError(t, err)
	var out []stored
	for i := range 100 {
		m := msg("T", int32(i%2), fmt.Sprint(i, string(make([]byte, 300+i))), "UNIQ_KEY", "k", "KEYS", "a b")
		p := &Put{Msg: m}
		require.Equal(t, PutOK, s.Put(p).Status)
		out = append(out, stored{int32(i % 2), p.Result.QueueOffset, p.Result.PhyOffset, int64(p.Result.Bytes), string(m.Body)})
	}
	if closed {
		require.NoError(t, s.Close())
		return mem, out
	}
	settled(t, s)
	s.cleaner.do(func() { require.NoError(t, s.cleaner.checkpoint()) })
	clone := mem.CrashClone(nil)
	require.NoError(t, s.Close())
	return clone, out
}

// poke overwrites a piece of a file and gives the bounds of it.
func poke(t testing.TB, mem *vfs.Mem, path string, at uint16, b []byte) (from, to int64) {
	f, err := mem.Open(path, vfs.ReadWrite)
	require.NoError(t, err)
	n, err := f.Size()
	require.NoError(t, err)
	off := int64(at) % max(n, 1)
	b = b[:min(int64(len(b)), n-off)]
	_, err = f.WriteAt(b, off)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return off, off + int64(len(b))
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

// FuzzRecovery opens stores with damaged files: Open neither panics nor hangs nor
// refuses, every message is there but those whose own bytes were overwritten, and the
// store takes messages at offsets that nobody had, gives them back and opens again.
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
		mem, all := image(t, closed)
		dir := []string{"/store/commitlog", "/store/consumequeue/T/0", "/store/index", "/store"}[kind%4]
		var paths []string
		for _, p := range files(t, mem, dir) {
			if e, err := mem.Stat(p); err == nil && !e.Dir {
				paths = append(paths, p)
			}
		}
		path := paths[int(which)%len(paths)]
		from, to := poke(t, mem, path, at, b)
		o := small(mem)
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
		s, err := Open(o)
		require.NoError(t, err)
		walk(s)
		base, err := strconv.ParseInt(filepath.Base(path), 10, 64)
		require.True(t, err == nil || kind%4 == 3)
		survivors := slices.DeleteFunc(all, func(m stored) bool {
			switch kind % 4 {
			case 0:
				return m.phy < base+to && base+from < m.phy+m.size
			case 1:
				at := m.offset * consumequeue.EntrySize
				return m.queue == 0 && at < base+to && base+from < at+consumequeue.EntrySize
			}
			return false
		})
		check := func() {
			got := [2]map[int64]string{readable(t, s, "T", 0), readable(t, s, "T", 1)}
			for _, m := range survivors {
				require.True(t, got[m.queue][m.offset] == m.body, "message %d of queue %d at %d is lost: %.9q", m.offset, m.queue, m.phy, got[m.queue][m.offset])
			}
		}
		check()
		for q := range int32(2) {
			r := s.Put(&Put{Msg: msg("T", q, "new")})
			require.Equal(t, PutOK, r.Status, "%v", r.Err)
			require.GreaterOrEqual(t, r.QueueOffset, int64(len(all)/2), "an offset is given out twice")
		}
		r := s.Put(&Put{Msg: msg("T", 5, "new")})
		require.Equal(t, PutOK, r.Status, "%v", r.Err)
		settled(t, s)
		require.Equal(t, []string{"new"}, readAll(t, s, "T", 5, 0))
		require.NoError(t, s.Close())
		s, err = Open(o)
		require.NoError(t, err)
		require.Equal(t, []string{"new"}, readAll(t, s, "T", 5, 0))
		check()
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
