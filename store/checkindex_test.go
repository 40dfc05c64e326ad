package store

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/vfs"
)

// keyed is a closed store of messages with keys in five index files, and the names of
// these.
func keyed(t *testing.T, topic string) (*vfs.Mem, []string) {
	mem := vfs.NewMem()
	s := open(t, small(mem))
	for i := range 450 {
		put(t, s, msg(topic, 0, fmt.Sprint(i), "UNIQ_KEY", fmt.Sprint(topic, i), "KEYS", fmt.Sprint(topic, "k", i)))
	}
	require.NoError(t, s.Close())
	es, err := mem.ReadDir("/store/index")
	require.NoError(t, err)
	require.Len(t, es, 5)
	var names []string
	for _, e := range es {
		names = append(names, "/store/index/"+e.Name)
	}
	return mem, names
}

// found counts the messages that their key finds.
func found(t *testing.T, s *Store, topic string) (n int) {
	for i := range 450 {
		r, err := s.Query(topic, fmt.Sprint(topic, "k", i), 10, 0, math.MaxInt64)
		require.NoError(t, err)
		n += min(len(r.Records), 1)
	}
	return n
}

func writeAt(t *testing.T, fs vfs.FS, path string, b []byte, at int64) {
	t.Helper()
	f, err := fs.Open(path, vfs.ReadWrite)
	require.NoError(t, err)
	_, err = f.WriteAt(b, at)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// An index file that is damaged, gone or of another store has a line that names it, after
// a clean stop and after a kill; the others are used, and new messages are found.
func TestDamage_IndexFiles(t *testing.T) {
	other, otherNames := keyed(t, "other")
	for _, which := range []int{0, 2, 4} {
		foreign, err := vfs.ReadFile(other, otherNames[which])
		require.NoError(t, err)
		for what, hurt := range map[string]func(mem *vfs.Mem, path string){
			"zeroed":  func(mem *vfs.Mem, path string) { writeAt(t, mem, path, make([]byte, len(foreign)), 0) },
			"header":  func(mem *vfs.Mem, path string) { writeAt(t, mem, path, []byte{0x7F}, 36) },
			"fewer":   func(mem *vfs.Mem, path string) { writeAt(t, mem, path, []byte{0, 0, 0, 3}, 36) },
			"gone":    func(mem *vfs.Mem, path string) { require.NoError(t, mem.Remove(path)) },
			"foreign": func(mem *vfs.Mem, path string) { writeAt(t, mem, path, foreign, 0) },
			"entries": func(mem *vfs.Mem, path string) { writeAt(t, mem, path, make([]byte, 20*40), 40+64*4+20*3) },
		} {
			for _, clean := range []bool{true, false} {
				t.Run(fmt.Sprint(what, " ", which, " clean ", clean), func(t *testing.T) {
					mem, names := keyed(t, "T")
					hurt(mem, names[which])
					o, j := small(mem), &journal{}
					o.Logger = j.logger()
					if !clean {
						f, err := mem.Open("/store/abort", vfs.Create)
						require.NoError(t, err)
						require.NoError(t, f.Close())
					}
					s := open(t, o)
					n := found(t, s, "T")
					if n < 450 {
						require.Contains(t, j.String(), "level=ERROR")
						require.Contains(t, j.String(), "file="+names[which])
					}
					if clean || which != 4 {
						require.GreaterOrEqual(t, n, 450-200)
					}
					put(t, s, msg("T", 0, "x", "KEYS", "new"))
					settled(t, s)
					r, err := s.Query("T", "new", 10, 0, math.MaxInt64)
					require.NoError(t, err)
					require.Len(t, r.Records, 1)
					require.NoError(t, s.Close())
				})
			}
		}
	}
	s := open(t, small(other))
	require.Equal(t, 450, found(t, s, "other"))
}

// What retention or a checkpoint changes is no damage.
func TestIndexFiles_NothingIsSaidWithoutDamage(t *testing.T) {
	for _, clean := range []bool{true, false} {
		mem := vfs.NewMem()
		s := open(t, small(mem))
		for i := range 450 {
			put(t, s, msg("T", 0, damageBody(i), "KEYS", fmt.Sprint("Tk", i)))
			if i == 300 {
				settled(t, s)
				require.True(t, s.cleaner.do(func() { require.NoError(t, s.cleaner.checkpoint()) }))
			}
		}
		settled(t, s)
		var o Options
		if clean {
			require.NoError(t, s.Close())
			o = small(mem)
		} else {
			o = small(killed(t, mem))
			require.NoError(t, s.Close())
		}
		j := &journal{}
		o.Logger = j.logger()
		s = open(t, o)
		require.NotContains(t, j.String(), "index", clean)
		require.Equal(t, 450, found(t, s, "T"))
	}
}
