package configfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// tableEntry is an entry with a body of about n bytes.
func tableEntry(i, n int) []byte {
	return fmt.Appendf(nil, "\"n%d\":{\n\t\t\t\"v\":%q\n\t\t}", i, strings.Repeat("x", n))
}

func tableHead(i int) []byte {
	return fmt.Appendf(nil, "\"dataVersion\":{\n\t\t\"counter\":%d\n\t}", i)
}

type tableContent struct {
	DataVersion struct{ Counter int }
	Table       map[string]struct{ V string }
}

func readTable(t require.TestingT, f Files) tableContent {
	var got tableContent
	_, err := f.Load(file, func(b []byte) error { return json.Unmarshal(b, &got) }, nil)
	require.NoError(t, err)
	return got
}

func entries(n, size int) (iter.Seq[Entry], []Entry) {
	var es []Entry
	for i := range n {
		es = append(es, entry(i, size))
	}
	return slices.Values(es), es
}

func entry(i, size int) Entry { return Entry{fmt.Sprint("n", i), tableEntry(i, size)} }

func TestTable_GrowsInPlace(t *testing.T) {
	files := NewMemory()
	tb := NewTable(files, file, "table")
	require.ErrorIs(t, tb.Change(tableHead(1), nil, nil), ErrNoRoom, "nothing is there yet")
	some, _ := entries(3, 20)
	require.NoError(t, tb.Replace(tableHead(1), nil, some, 0))
	data, err := files.Load(file, nil, nil)
	require.NoError(t, err)
	require.Equal(t, "{\n\t\"dataVersion\":{\n\t\t\"counter\":1\n\t},\n\t\"table\":{\n\t\t\"n0\":{\n\t\t\t\"v\":\"xxxxxxxxxxxxxxxxxxxx\"\n\t\t},\n\t\t\"n1\"", string(data[:98]))
	require.NotContains(t, string(data), "  ")
	require.ErrorIs(t, tb.Change(tableHead(2), []Entry{entry(3, 9)}, nil), ErrNoRoom, "no room was left")

	require.NoError(t, tb.Replace(tableHead(2), nil, some, 4000))
	data, err = files.Load(file, nil, nil)
	require.NoError(t, err)
	size := len(data)
	n := 3
	for ; ; n++ {
		err := tb.Change(tableHead(1000000+n), []Entry{entry(n, 200+n)}, nil)
		if errors.Is(err, ErrNoRoom) {
			break
		}
		require.NoError(t, err)
		got := readTable(t, files)
		require.Len(t, got.Table, n+1)
		require.Len(t, got.Table[fmt.Sprint("n", n)].V, 200+n)
		require.Equal(t, 1000000+n, got.DataVersion.Counter)
	}
	require.Greater(t, n, 10)
	data, err = files.Load(file, nil, nil)
	require.NoError(t, err)
	require.Len(t, data, size)

	// The last one counts, and an entry longer than a sector needs a Replace.
	require.NoError(t, tb.Replace(tableHead(3), nil, some, 4000))
	require.NoError(t, tb.Change(tableHead(4), []Entry{entry(1, 1), entry(1, 2)}, nil))
	require.Len(t, readTable(t, files).Table["n1"].V, 2)
	require.ErrorIs(t, tb.Change(tableHead(5), []Entry{entry(7, 600)}, nil), ErrNoRoom)
	require.ErrorIs(t, tb.Change(fmt.Appendf(nil, "\"x\":%q", strings.Repeat("x", 200)), nil, nil), ErrNoRoom)

	// Somebody changed the file: it is not written into.
	require.NoError(t, files.Save(file, []byte(`{"table":{}}`)))
	require.Error(t, tb.Change(tableHead(5), []Entry{entry(7, 6)}, nil))
	require.ErrorIs(t, tb.Change(tableHead(5), []Entry{entry(7, 6)}, nil), ErrNoRoom)
}

// Whatever a crash leaves of the sectors, the file is whole and has every entry
// whose Add was done.
func TestTable_CrashLeavesWhatWasDone(t *testing.T) {
	for _, lie := range []string{"", "fdatasync"} {
		d := newCrashDisk()
		tb := NewTable(onDisk{d}, file, "table")
		some, _ := entries(2, 50)
		require.NoError(t, tb.Replace(tableHead(0), nil, some, 60_000))
		d.lie = lie
		r := rand.New(rand.NewPCG(7, 7))
		done, images, lost := 2, 0, 0
		look := func() {
			for range 5 {
				images++
				got := readTable(t, onDisk{d.crash(r)})
				for i := range done {
					if _, there := got.Table[fmt.Sprint("n", i)]; !there {
						lost++
					}
				}
			}
		}
		d.before = look
		for range 25 {
			var es []Entry
			for k := range 1 + r.IntN(4) {
				es = append(es, entry(done+k, r.IntN(400)))
			}
			require.NoError(t, tb.Change(tableHead(done), es, nil))
			done += len(es)
			look()
		}
		if lie == "" {
			require.Zero(t, lost)
		} else {
			require.NotZero(t, lost, "a sync that does nothing must show")
		}
		t.Logf("%d crash images, %d entries lost", images, lost)
	}
}

// Whichever operation of an Add fails, the file is whole, and Replace works.
func TestTable_EveryFault(t *testing.T) {
	for _, fault := range []error{syscall.EIO, errTorn} {
		for at := 1; at <= 3; at++ {
			d := newCrashDisk()
			tb := NewTable(onDisk{d}, file, "table")
			some, all := entries(2, 50)
			require.NoError(t, tb.Replace(tableHead(0), nil, some, 60_000))
			first := d.ops
			d.fail = func(string) error {
				if d.ops == first+at {
					return fault
				}
				return nil
			}
			err := tb.Change(tableHead(1), []Entry{entry(2, 400), entry(3, 400), entry(4, 400)}, nil)
			require.ErrorIs(t, err, fault)
			readTable(t, onDisk{d})
			require.ErrorIs(t, tb.Change(tableHead(1), all, nil), ErrNoRoom)
			require.NoError(t, tb.Replace(tableHead(2), nil, some, 100))
			require.Len(t, readTable(t, onDisk{d}).Table, 2)
		}
	}
}

// Entries go in place: each deletion is a small write, what is left is whole at any
// moment, and a crash loses none that stays.
func TestTable_ErasesInPlace(t *testing.T) {
	d := newCrashDisk()
	tb := NewTable(onDisk{d}, file, "table")
	some, all := entries(40, 100)
	require.NoError(t, tb.Replace(tableHead(0), []byte("\"fixed\":{}"), some, 60_000))
	require.ErrorIs(t, tb.Change(tableHead(1), nil, []string{"n0"}), ErrNoRoom, "the first has no comma before it")
	size := len(d.names[file].now)
	r := rand.New(rand.NewPCG(3, 3))
	gone := map[string]bool{}
	next := ""
	d.before = func() {
		for range 5 {
			got := readTable(t, onDisk{d.crash(r)})
			for _, e := range all {
				_, there := got.Table[e.Name]
				require.True(t, there != gone[e.Name] || e.Name == next, e.Name)
			}
		}
	}
	for i := 39; i > 0; i-- {
		next = all[i].Name
		require.NoError(t, tb.Change(tableHead(i), []Entry{entry(1000+i, 300)}, []string{next, "never there"}))
		gone[next] = true
	}
	d.before()
	require.Len(t, readTable(t, onDisk{d}).Table, 40)
	require.Len(t, d.names[file].now, size)

	// A name that the file has twice would come back as it was before.
	require.NoError(t, tb.Change(tableHead(1), []Entry{entry(1001, 7)}, nil))
	require.ErrorIs(t, tb.Change(tableHead(1), nil, []string{"n1001"}), ErrNoRoom)
}

// The .bak has everything that came in place, so that no damage of one file takes it.
func TestTable_TheBackupKeepsUp(t *testing.T) {
	files, path := OS(), filepath.Join(t.TempDir(), "config", "topics.json")
	table := NewTable(files, path, "topicConfigTable")
	entry := func(name string) Entry { return Entry{name, []byte(`"` + name + `":{"topicName":"` + name + `"}`)} }
	same := func() {
		t.Helper()
		a, err := os.ReadFile(path)
		require.NoError(t, err)
		b, err := os.ReadFile(path + ".bak")
		require.NoError(t, err)
		require.Equal(t, string(a), string(b))
	}
	require.NoError(t, table.Replace([]byte(`"dataVersion":{}`), nil, slices.Values([]Entry{entry("first")}), 1000))
	same()
	require.NoError(t, table.Change([]byte(`"dataVersion":{"a":1}`), []Entry{entry("one"), entry("two")}, nil))
	require.NoError(t, table.Change([]byte(`"dataVersion":{"a":2}`), nil, []string{"one"}))
	same()
	require.NoError(t, os.Remove(path))
	data, err := files.Load(path, nil, nil)
	require.NoError(t, err)
	require.Contains(t, string(data), `"two"`)
	// Without room it is Java's way: what was there before.
	require.NoError(t, table.Replace([]byte(`"dataVersion":{}`), nil, slices.Values([]Entry{entry("first")}), 0))
	require.NoError(t, table.Replace([]byte(`"dataVersion":{"b":1}`), nil, slices.Values([]Entry{entry("first")}), 0))
	b, err := os.ReadFile(path + ".bak")
	require.NoError(t, err)
	require.NotContains(t, string(b), `"b":1`)
}
