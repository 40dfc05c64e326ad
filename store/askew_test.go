package store

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/consumequeue"
	"github.com/merlinmq/merlin/store/vfs"
)

// unsyncedRig is a store of some messages that was killed before a checkpoint said
// anything.
func unsyncedRig(t *testing.T, n int) *vfs.Mem {
	mem := vfs.NewMem()
	s := open(t, small(mem))
	for i := range n {
		put(t, s, msg("T", int32(i%2), damageBody(i), "TAGS", "a"))
	}
	settled(t, s)
	require.True(t, s.dispatch.do(func() { require.NoError(t, s.queues.WriteTails(10)) }))
	image := killed(t, mem)
	require.NoError(t, s.Close())
	return image
}

// An entry that points behind the end of the log, or to another place of it, hides
// no message from the start.
func TestDamage_LastEntryBeforeACheckpoint(t *testing.T) {
	for name, place := range map[string]int64{"behind the log": 1 << 41, "in its blank end": 65_000, "in a record": 50_000, "before": 3} {
		for _, at := range []int64{0, 7, 19} {
			t.Run(fmt.Sprint(name, " ", at), func(t *testing.T) {
				mem := unsyncedRig(t, 40)
				f, err := mem.Open("/store/consumequeue/T/0/"+fmt.Sprintf("%020d", 0), vfs.ReadWrite)
				require.NoError(t, err)
				_, err = f.WriteAt(binary.BigEndian.AppendUint64(nil, uint64(place)), at*consumequeue.EntrySize)
				require.NoError(t, err)
				require.NoError(t, f.Close())
				o, lines := small(mem), &strings.Builder{}
				o.Logger = slog.New(slog.NewTextHandler(lines, nil))
				s := open(t, o)
				for q := range int32(2) {
					got := readable(t, s, "T", q)
					for i := range 20 {
						require.True(t, got[int64(i)] == damageBody(2*i+int(q)), "%d of %d\n%s", i, q, lines)
					}
				}
				require.EqualValues(t, 20, put(t, s, msg("T", 0, "next")).QueueOffset)
				require.Contains(t, lines.String(), "topic=T queue=0")
				require.NoError(t, s.Close())
			})
		}
	}
}

// An entry whose tags code rotted is written again where the log is read.
func TestDamage_TagsCodeIsRepaired(t *testing.T) {
	mem := unsyncedRig(t, 40)
	f, err := mem.Open("/store/consumequeue/T/0/"+fmt.Sprintf("%020d", 0), vfs.ReadWrite)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte{1, 2, 3, 4}, 5*consumequeue.EntrySize+14)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	o, lines := small(mem), &strings.Builder{}
	o.Logger = slog.New(slog.NewTextHandler(lines, nil))
	s := open(t, o)
	es, err := s.Entries("T", 0, 0, 20)
	require.NoError(t, err)
	require.Equal(t, es[4].TagsCode, es[5].TagsCode)
	require.Contains(t, lines.String(), "queueOffset=5")
	require.NoError(t, s.Close())
}
