package store

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/vfs"
)

// The record before the floor rots, and no consume queue knows it: what lies behind the
// floor stays, also over a clean stop without a new message.
func TestFloor_TheRecordBeforeItRots(t *testing.T) {
	for name, last := range map[string]func(m *message.Message){
		"rolled back":   func(m *message.Message) { m.SysFlag = message.SysFlagRollback },
		"half message":  func(m *message.Message) { m.SysFlag = message.SysFlagPrepared },
		"deleted since": func(m *message.Message) { m.Topic = "gone" },
		"in a queue":    func(*message.Message) {},
	} {
		for _, behind := range []int{0, 100} {
			t.Run(name, func(t *testing.T) {
				mem := vfs.NewMem()
				o := small(mem)
				s := open(t, o)
				want := map[int64]string{}
				for i := range 10 {
					want[int64(i)] = damageBody(i)
					put(t, s, msg("T", 0, want[int64(i)]))
				}
				m := msg("T", 1, "last")
				last(&m)
				at := put(t, s, m).PhyOffset
				settled(t, s)
				require.True(t, s.cleaner.do(func() { require.NoError(t, s.cleaner.checkpoint()) }))
				require.NoError(t, s.DeleteTopic("gone"))
				for i := 10; i < 10+behind; i++ {
					want[int64(i)] = damageBody(i)
					put(t, s, msg("T", 0, want[int64(i)]))
				}
				settled(t, s)
				end := s.MaxPhyOffset()
				image := killed(t, mem)
				require.NoError(t, s.Close())
				overwrite(t, image, o, at+4, []byte{0x5A})
				for range 3 { // started and stopped, with nothing new
					o.FS = image
					s = open(t, o)
					require.Equal(t, end, s.MaxPhyOffset())
					require.Equal(t, want, readable(t, s, "T", 0))
					require.NoError(t, s.Close())
				}
			})
		}
	}
}

// The newest files of the log and the checkpoint are lost after a kill: the start works
// and gives no place of the log out twice.
func TestFloor_TheAbortFileNamesAPlaceBeyondTheLog(t *testing.T) {
	mem := vfs.NewMem()
	o := small(mem)
	s := open(t, o)
	for i := range 150 {
		put(t, s, msg("T", 0, damageBody(i)))
	}
	require.NoError(t, s.Close())
	s = open(t, o)
	end := s.MaxPhyOffset()
	image := killed(t, mem)
	require.NoError(t, s.Close())
	segs := files(t, image, "/store/commitlog")
	for _, f := range segs[len(segs)-2:] { // the very last one may not have been written to
		require.NoError(t, image.Remove(f))
	}
	require.NoError(t, image.Remove("/store/checkpoint"))
	require.NoError(t, image.RemoveAll("/store/consumequeue"))
	o.FS = image
	s = open(t, o)
	require.GreaterOrEqual(t, s.MaxPhyOffset(), end)
	require.NotEmpty(t, readable(t, s, "T", 0))
}

// The files of a queue whose messages have expired are damaged: it goes on where it
// ended, over every start.
func TestFloor_AnExpiredQueueKeepsItsEnd(t *testing.T) {
	mem := vfs.NewMem()
	o := small(mem)
	s := open(t, o)
	for range 7 {
		put(t, s, msg("E", 0, "x"))
	}
	for i := range 40 {
		put(t, s, msg("T", 0, damageBody(i)))
	}
	settled(t, s)
	require.True(t, s.cleaner.do(func() {
		require.NoError(t, s.cleaner.checkpoint())
		s.cleaner.deleteSegments(true)
	}))
	require.Positive(t, s.clog.Min())
	image := killed(t, mem)
	require.NoError(t, s.Close())
	require.NoError(t, image.RemoveAll("/store/consumequeue/E"))
	for range 3 {
		o.FS = image
		s = open(t, o)
		require.EqualValues(t, 7, s.MaxOffset("E", 0))
		require.NoError(t, s.Close())
	}
	s = open(t, o)
	require.EqualValues(t, 7, put(t, s, msg("E", 0, "y")).QueueOffset)
}

// One byte of a record's place in its queue rots, below the floor: everything else stays
// where it was, and no offset is given out twice, also when the queues are lost too.
func TestFloor_TheHeadOfAMessageRots(t *testing.T) {
	const queueIDAt, queueOffsetAt = 12, 20
	for name, at := range map[string]int64{
		"queue id": queueIDAt + 3, "queue id, high": queueIDAt, "queue offset": queueOffsetAt + 7, "queue offset, second": queueOffsetAt + 6,
		"queue offset, high": queueOffsetAt, "topic": -1,
	} {
		for _, which := range []int{0, 1, 2, 50, 97, 98, 99} {
			for _, lost := range []bool{false, true} {
				for _, value := range []byte{0, 1, 2, 3, 49, 50, 'U', 255} {
					mem := vfs.NewMem()
					o := small(mem)
					s := open(t, o)
					want := []map[int64]string{{}, {}}
					var spoilt PutResult
					for i := range 100 {
						r := put(t, s, msg("T", int32(i%2), damageBody(i)))
						if want[i%2][r.QueueOffset] = damageBody(i); i == which {
							spoilt = r
						}
					}
					settled(t, s)
					require.True(t, s.cleaner.do(func() { require.NoError(t, s.cleaner.checkpoint()) }))
					image := killed(t, mem)
					require.NoError(t, s.Close())
					where := spoilt.PhyOffset + at
					if at < 0 { // the topic is the last, but for the length of no properties
						where = spoilt.PhyOffset + int64(spoilt.Bytes) - 3
					}
					overwrite(t, image, o, where, []byte{value})
					if lost {
						require.NoError(t, image.RemoveAll("/store/consumequeue"))
					}
					o.FS = image
					for range 3 {
						lines := &strings.Builder{}
						o.Logger = slog.New(slog.NewTextHandler(lines, nil))
						s = open(t, o)
						require.NotContains(t, lines.String(), "not believed", "%s of %d became %d, queues lost %t", name, which, value, lost)
						for q := range int32(2) {
							got := readable(t, s, "T", q)
							for off, b := range want[q] {
								// With no queue left nobody knows which of two messages that name the
								// same place is the right one.
								if off != spoilt.QueueOffset || int(q) != which%2 && !lost {
									require.True(t, b == got[off], "%s of %d became %d, queues lost %t: %d of queue %d", name, which, value, lost, off, q)
								}
							}
							require.EqualValues(t, 50, s.MaxOffset("T", q), "%s of %d became %d, queues lost %t", name, which, value, lost)
						}
						require.NoError(t, s.Close())
					}
				}
			}
		}
	}
}
