package store

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/commitlog"
	"github.com/merlinmq/merlin/store/vfs"
)

// A deleted topic stays deleted over a kill, a recreated one begins at 0, and the
// start does not read the whole log to find out.
func TestDeleted_StaysDeletedOverAKill(t *testing.T) {
	for _, again := range []bool{false, true} {
		for _, point := range []string{"no checkpoint", "checkpoint before", "checkpoint after"} {
			t.Run(fmt.Sprint(point, ", created again ", again), func(t *testing.T) {
				mem := vfs.NewMem()
				o := small(mem)
				lines := &strings.Builder{}
				s := open(t, o)
				save := func(when string) {
					settled(t, s)
					if point == when {
						require.True(t, s.cleaner.do(func() { require.NoError(t, s.cleaner.checkpoint()) }))
					}
				}
				for i := range 100 {
					put(t, s, msg("gone", int32(i%3), fmt.Sprint("old", i)))
					put(t, s, msg("T", 0, damageBody(i)))
				}
				save("checkpoint before")
				for i := range 10 {
					put(t, s, msg("gone", int32(i%3), fmt.Sprint("old", i)))
				}
				require.NoError(t, s.DeleteTopic("gone"))
				if again {
					for i := range 10 {
						require.EqualValues(t, i/2, put(t, s, msg("gone", int32(i%2), fmt.Sprint("new", i))).QueueOffset)
					}
				}
				put(t, s, msg("T", 0, "last"))
				save("checkpoint after")
				image := killed(t, mem)
				require.NoError(t, s.Close())
				for round := range 3 {
					o.FS, o.Logger = image, slog.New(slog.NewTextHandler(lines, nil))
					s = open(t, o)
					require.NotContains(t, lines.String(), "whole log")
					require.Len(t, readAll(t, s, "T", 0, 0), 101)
					if again {
						require.Equal(t, []string{"new0", "new2", "new4", "new6", "new8"}, readAll(t, s, "gone", 0, 0))
						require.Equal(t, []string{"new1", "new3", "new5", "new7", "new9"}, readAll(t, s, "gone", 1, 0))
						require.Zero(t, s.MaxOffset("gone", 2))
					} else {
						require.NotContains(t, s.Topics(), "gone")
					}
					next := killed(t, image)
					require.NoError(t, s.Close())
					if image = next; round == 1 { // also when all queues are built again
						require.NoError(t, image.RemoveAll("/store/consumequeue"))
					}
				}
			})
		}
	}
}

// Messages that are stored while their topic is deleted are of its old life or of
// its new one: whatever is there afterwards begins at 0 and has no hole, before and
// after a kill.
func TestDeleted_RacesWithPuts(t *testing.T) {
	for round := range 20 {
		mem := vfs.NewMem()
		o := small(mem)
		if round%2 == 1 {
			o.FlushDiskType = SyncFlush
		}
		s := open(t, o)
		var wg sync.WaitGroup
		for w := range 3 {
			wg.Go(func() {
				for i := range 60 {
					s.Put(&Put{Msg: msg("gone", int32(w%2), fmt.Sprint(w, ".", i))})
				}
			})
		}
		for range 3 {
			require.NoError(t, s.DeleteTopic("gone"))
		}
		wg.Wait()
		settled(t, s)
		image := killed(t, mem)
		check := func(s *Store) (out [2][]string) {
			for q := range int32(2) {
				require.Zero(t, s.MinOffset("gone", q))
				out[q] = readAll(t, s, "gone", q, 0)
				require.Len(t, out[q], int(s.MaxOffset("gone", q)))
			}
			return out
		}
		before := check(s)
		require.NoError(t, s.Close())
		o.FS = image
		s = open(t, o)
		require.Equal(t, before, check(s))
		require.NoError(t, s.Close())
	}
}

// Marks go when the log has forgotten the records, and are kept in one file whatever
// is torn of it.
func TestDeleted_File(t *testing.T) {
	mem := vfs.NewMem()
	require.NoError(t, mem.MkdirAll("/d"))
	d, bad, err := loadDeleted(mem, "/d/x")
	require.NoError(t, err)
	require.Empty(t, bad)
	require.NoError(t, d.add(mark{"a", allQueues, place{at: 100, before: -1}}, mark{"b", 3, place{at: 200, before: -1}}))
	require.NoError(t, d.add(mark{"a", allQueues, place{at: 300, before: -1}}))
	whole, err := vfs.ReadFile(mem, "/d/x")
	require.NoError(t, err)
	for n := range whole { // a torn end is not in force, what lies before is
		writeFile(t, mem, "/d/x", whole[:n])
		d, _, err = loadDeleted(mem, "/d/x")
		require.NoError(t, err)
		require.LessOrEqual(t, d.place("a", 7), int64(100))
		require.NoError(t, d.add(mark{"c", 0, place{at: 400, before: -1}}))
		d, bad, err = loadDeleted(mem, "/d/x")
		require.NoError(t, err)
		require.Empty(t, bad)
		require.EqualValues(t, 400, d.place("c", 0))
	}
	writeFile(t, mem, "/d/x", whole)
	d, _, err = loadDeleted(mem, "/d/x")
	require.NoError(t, err)
	require.EqualValues(t, 300, d.place("a", 0))
	require.EqualValues(t, 200, d.place("b", 3))
	require.Zero(t, d.place("b", 0))
	require.NoError(t, d.clamp(place{at: 250, before: -1}))
	d, _, err = loadDeleted(mem, "/d/x")
	require.NoError(t, err)
	require.EqualValues(t, 250, d.place("a", 0))
	require.NoError(t, d.prune(249))
	require.True(t, vfs.Exists(mem, "/d/x"))
	require.NoError(t, d.prune(250))
	require.False(t, vfs.Exists(mem, "/d/x"))
	require.NoError(t, d.add(mark{"a", allQueues, place{at: 900, before: -1}}))
	d, bad, err = loadDeleted(mem, "/d/x")
	require.NoError(t, err)
	require.Empty(t, bad)
	require.EqualValues(t, 900, d.place("a", 0))
}

// A mark says nothing of a log that another broker has begun, or has cut and gone on
// with: what that broker acknowledged is there.
func TestDeleted_MarksOfAnotherLog(t *testing.T) {
	for _, how := range []string{"begun anew", "cut", "the same"} {
		t.Run(how, func(t *testing.T) {
			mem := vfs.NewMem()
			o := small(mem)
			s := open(t, o)
			var cut int64
			for i := range 30 {
				r := put(t, s, msg("gone", 0, damageBody(i)))
				if i == 9 {
					cut = r.PhyOffset + int64(r.Bytes)
				}
			}
			settled(t, s)
			require.NoError(t, s.DeleteTopic("gone"))
			require.NoError(t, s.Close())

			// Another broker, which knows nothing of the file of marks.
			marks, err := vfs.ReadFile(mem, "/store/"+deletedName)
			require.NoError(t, err)
			other := vfs.NewMem()
			o.FS = other
			if how != "begun anew" {
				o.FS = mem
			}
			if how == "cut" {
				require.NoError(t, mem.Remove("/store/"+deletedName))
				for _, f := range files(t, mem, "/store/commitlog") {
					base, _ := commitlog.ParseFileName(f[len("/store/commitlog/"):])
					if base > cut {
						require.NoError(t, mem.Remove(f))
					} else if base+o.FileSizeCommitLog > cut {
						overwrite(t, mem, o, cut, make([]byte, base+o.FileSizeCommitLog-cut))
					}
				}
				for _, f := range []string{"checkpoint", endsName} {
					require.NoError(t, mem.Remove("/store/"+f))
				}
				require.NoError(t, mem.RemoveAll("/store/consumequeue"))
				s = open(t, o) // has all ten again, as a Java broker with its queues would have none
				require.NoError(t, s.DeleteTopic("gone"))
				require.NoError(t, s.Close())
				require.NoError(t, mem.Remove("/store/"+deletedName))
			}
			if how != "the same" {
				s = open(t, o)
				for i := range 12 {
					put(t, s, msg("gone", 0, fmt.Sprint("new", i, damageBody(i+3))))
				}
				settled(t, s)
				require.NoError(t, s.Close())
			}
			fs := o.FS.(*vfs.Mem)
			writeFile(t, fs, "/store/"+deletedName, marks)
			b, err := vfs.ReadFile(fs, "/store/checkpoint")
			require.NoError(t, err)
			b[7]++ // Java wrote it
			writeFile(t, fs, "/store/checkpoint", b)
			writeFile(t, fs, "/store/abort", nil)

			s = open(t, o)
			got := readable(t, s, "gone", 0)
			if how == "the same" {
				require.Empty(t, got, "deleted is deleted")
				return
			}
			for i := range int64(12) {
				require.Equal(t, fmt.Sprint("new", i, damageBody(int(i)+3)), got[i])
			}
		})
	}
}
