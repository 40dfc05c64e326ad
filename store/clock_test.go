package store

import (
	"encoding/binary"
	"fmt"
	"math/rand"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/store/vfs"
)

// What is left of the checkpoint when the store is opened after a kill.
var checkpointsAfterKill = map[string]func(t *testing.T, mem *vfs.Mem){
	"with a floor": func(*testing.T, *vfs.Mem) {},
	"without a checkpoint": func(t *testing.T, mem *vfs.Mem) {
		require.NoError(t, mem.Remove("/store/checkpoint"))
	},
	"as Java writes it": func(t *testing.T, mem *vfs.Mem) {
		b, err := vfs.ReadFile(mem, "/store/checkpoint")
		require.NoError(t, err)
		clear(b[40:])
		writeFile(t, mem, "/store/checkpoint", b)
		writeFile(t, mem, "/store/abort", []byte("4711"))
	},
	"of an older Merlin": func(t *testing.T, mem *vfs.Mem) {
		b, err := vfs.ReadFile(mem, "/store/checkpoint")
		require.NoError(t, err)
		clear(b[40:])
		writeFile(t, mem, "/store/checkpoint", b)
		writeFile(t, mem, "/store/abort", nil)
	},
	"rewritten by Java": func(t *testing.T, mem *vfs.Mem) {
		b, err := vfs.ReadFile(mem, "/store/checkpoint")
		require.NoError(t, err)
		binary.BigEndian.PutUint64(b, binary.BigEndian.Uint64(b)+7)
		writeFile(t, mem, "/store/checkpoint", b)
		writeFile(t, mem, "/store/abort", []byte("4711"))
	},
}

// stepClock is a clock that can be set: timers do not see it.
type stepClock struct {
	*clock.Manual
	set atomic.Int64 // by so much, as a time.Duration
}

// Now implements clock.Clock.
func (c *stepClock) Now() time.Time { return c.Manual.Now().Add(time.Duration(c.set.Load())) }

// NowMillis implements clock.Clock.
func (c *stepClock) NowMillis() int64 { return c.Now().UnixMilli() }

// The clock steps back and forth over kills and checkpoints: no message is lost and
// no offset of a queue is given out twice.
func TestClock_Steps(t *testing.T) {
	steps := []time.Duration{0, -time.Hour, 2 * time.Hour, -24 * time.Hour, time.Minute, -10 * time.Second, 48 * time.Hour}
	for name, leave := range checkpointsAfterKill {
		for _, power := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, power %t", name, power), func(t *testing.T) {
				for seed := range int64(6) {
					r := rand.New(rand.NewSource(seed))
					mem, start, step := vfs.NewMem(), time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC), time.Duration(0)
					want := map[int32][]string{}
					for life := range 5 {
						c := &stepClock{Manual: clock.NewManual(start)}
						c.set.Store(int64(step))
						o := small(mem)
						o.FlushDiskType, o.Clock, o.CheckpointInterval, o.CheckpointBytes = SyncFlush, c, time.Hour, 1
						s := open(t, o)
						for q, bodies := range want {
							require.Equal(t, bodies, readAll(t, s, "T", q, 0), "seed %d, life %d, queue %d", seed, life, q)
						}
						for n := range 20 + r.Intn(50) {
							q := int32(r.Intn(3))
							if r.Intn(10) == 0 {
								q = int32(10 + r.Intn(3)) // seldom used
							}
							body := fmt.Sprintf("%d.%d.%0900d", life, n, n)
							res := put(t, s, msg("T", q, body))
							require.EqualValues(t, len(want[q]), res.QueueOffset, "seed %d, life %d: an offset was given out twice", seed, life)
							want[q] = append(want[q], body)
							step += 50 * time.Millisecond
							switch r.Intn(20) {
							case 0:
								step += steps[r.Intn(len(steps))]
							case 1:
								settled(t, s)
								require.True(t, s.cleaner.do(func() { require.NoError(t, s.cleaner.checkpoint()) }))
							}
							c.set.Store(int64(step))
						}
						settled(t, s)
						var image *vfs.Mem
						if power {
							image = mem.CrashClone(rand.New(rand.NewSource(seed)))
						} else {
							image = killed(t, mem)
						}
						require.NoError(t, s.Close())
						if leave(t, image); life == 3 {
							step -= 72 * time.Hour
						}
						mem = image
					}
				}
			})
		}
	}
}

// The case that was found: a clock that is set back by an hour behind a checkpoint,
// the last message of a queue, others of a queue that is well written, a kill.
func TestClock_BackBeforeTheLastMessage(t *testing.T) {
	for name, leave := range checkpointsAfterKill {
		t.Run(name, func(t *testing.T) {
			mem, c := vfs.NewMem(), &stepClock{Manual: clock.NewManual(time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC))}
			o := small(mem)
			o.FlushDiskType, o.Clock = SyncFlush, c
			s := open(t, o)
			fill := func(n int) {
				for range n {
					put(t, s, msg("T", 0, damageBody(1)))
					c.set.Add(int64(30 * time.Second))
				}
			}
			fill(100)
			settled(t, s)
			require.True(t, s.cleaner.do(func() { require.NoError(t, s.cleaner.checkpoint()) }))
			c.set.Add(-int64(time.Hour))
			put(t, s, msg("T", 1, "last"))
			fill(queueTail) // so many are written to their file
			settled(t, s)
			image := killed(t, mem)
			require.NoError(t, s.Close())
			leave(t, image)
			s = reopen(t, image)
			require.Equal(t, []string{"last"}, readAll(t, s, "T", 1, 0))
			require.EqualValues(t, 1, put(t, s, msg("T", 1, "next")).QueueOffset)
			require.Len(t, readAll(t, s, "T", 0, 0), 100+queueTail)
		})
	}
}
