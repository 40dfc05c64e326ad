package configfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// thing is an entry that bears its name.
type thing struct {
	Name string         `json:"name"`
	In   map[string]int `json:"in"`
	N    int            `json:"n"`
}

func isThing(name string, v *thing) bool { return v.Name == name }

type thingFile struct {
	Version map[string]int
	Table   map[string]thing
}

// things makes a file of n entries, of which the .bak has the first.
func things(t *testing.T, bak, n int) *Memory {
	files := NewMemory()
	write := func(from, to int, es *Entries) {
		all := func(yield func(string, any) bool) {
			for i := from; i < to; i++ {
				name := fmt.Sprint("n", i)
				if !yield(name, thing{Name: name, In: map[string]int{"n9": i}, N: i}) {
					return
				}
			}
		}
		require.NoError(t, es.Write(tableHead(to), nil, false, all, all))
	}
	es := NewEntries(EntriesOptions{Files: files, Path: file, Field: "table", Log: slog.New(slog.DiscardHandler),
		First: func(name string) bool { return name == "n0" }, Default: func() any { return thing{} }})
	write(0, bak, es)
	require.NoError(t, files.Save(file, files.files[file])) // a full write that keeps the .bak
	es.table.size = int64(len(files.files[file]))
	write(bak, n, es)
	return files
}

// loadThings loads them as a server does, and gives what was logged.
func loadThings(t *testing.T, files Files) (map[string]thing, string) {
	var f thingFile
	var log bytes.Buffer
	d, err := LoadTable(files, file, "table", slog.New(slog.NewTextHandler(&log, nil)), func(b []byte) error {
		f = thingFile{}
		return json.Unmarshal(b, &f)
	}, isThing)
	require.NoError(t, err)
	if d != nil {
		f.Table = d.On(f.Table)
	}
	return f.Table, log.String()
}

// One rotten byte, wherever it is, costs at most the entries that were added in
// place and that it touches: it was all that had been added since the last full write.
func TestLoadTable_OneRottenByte(t *testing.T) {
	const bak, n = 8, 24
	files := things(t, bak, n)
	good := bytes.Clone(files.files[file])
	_, line := loadThings(t, files)
	require.Empty(t, line)
	damaged := 0
	for at := range good {
		if good[at] == ' ' && at%97 != 0 {
			continue
		}
		for _, flip := range []byte{0x01, 0x20, 0x80, good[at]} { // the last one makes it a zero
			data := bytes.Clone(good)
			data[at] ^= flip
			files.files[file] = data
			if json.Unmarshal(data, new(thingFile)) == nil {
				continue // it is whole, with another content
			}
			damaged++
			got, line := loadThings(t, files)
			require.Contains(t, line, "unreadable=", "at %d ^ %d", at, flip)
			lost := 0
			for i := range n {
				name := fmt.Sprint("n", i)
				v, there := got[name]
				if !there {
					lost++
					continue
				}
				require.Equal(t, name, v.Name)
				require.True(t, v.N == i || good[at] >= '0' && good[at] <= '9', "%d at %d", v.N, at)
			}
			require.LessOrEqual(t, lost, 2, "%q at %d ^ %d: %v", good[max(0, at-20):at+9], at, flip, slices.Sorted(maps.Keys(got)))
			require.LessOrEqual(t, len(got), n, "at %d ^ %d: %v", at, flip, slices.Sorted(maps.Keys(got)))
			require.Equal(t, data, files.files[file+".damaged"])
		}
	}
	require.Greater(t, damaged, 1000)
}

// A file that is cut off, or has a hole of zeros or of rubbish, gives the rest.
func TestLoadTable_CutOffAndHoles(t *testing.T) {
	const bak, n = 8, 24
	files := things(t, bak, n)
	good := bytes.Clone(files.files[file])
	at := bytes.Index(good, []byte(`"n16"`))
	for name, data := range map[string][]byte{
		"cut":     good[:at],
		"zeros":   slices.Concat(good[:at], make([]byte, 512), good[at+512:]),
		"nesting": slices.Concat(good[:at], bytes.Repeat([]byte("{"), 512), good[at+512:]),
	} {
		files.files[file] = data
		got, line := loadThings(t, files)
		require.Contains(t, line, "a file is damaged", name)
		require.Contains(t, got, "n15", name)
		if name == "cut" {
			require.Len(t, got, 16)
		} else {
			require.GreaterOrEqual(t, len(got), n-8, name)
		}
	}
}

// Whatever the file has, reading it takes time in proportion to it.
func TestLoadTable_Hostile(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	files := things(t, 3, 3)
	good := string(files.files[file])
	for name, unit := range map[string]string{
		"entries that do not end": "\n\t\t\"a\":{", "quotes": `"`, "names": "\n\t\t\"a\":", "braces": "{", "brackets": "[", "ends": "}",
		"backslashes": `"\`, "lines": "\n", "nested": `{"a":`, "empty": "\n\t\t\"\":{},", "zeros": "\x00", "joined": `"a":{"name":"a"},`,
	} {
		for _, before := range []string{"", "{\n\t\"table\":{\n\t\t", good} {
			files.files[file] = []byte(before + strings.Repeat(unit, 2<<20/len(unit)))
			began := time.Now()
			got, line := loadThings(t, files)
			require.Less(t, time.Since(began), 20*time.Second, name)
			require.GreaterOrEqual(t, len(got), 3, name)
			require.True(t, line != "" || json.Valid(files.files[file]), name)
		}
	}
	for range 300 {
		data := []byte(good)
		for range 1 + r.IntN(40) {
			data[r.IntN(len(data))] = byte(r.IntN(256))
		}
		files.files[file] = data
		got, _ := loadThings(t, files)
		require.GreaterOrEqual(t, len(got), 2)
	}
}
