package group

import (
	"bytes"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/compat/fastjson"
	"github.com/merlinmq/merlin/protocol/body"
)

var errNoSpace = errors.New("no space")

// counted counts the bytes that are written, and takes them in place.
type counted struct {
	*configfile.Memory
	written, whole int
}

func (c *counted) Save(path string, data []byte) error {
	c.written += len(data)
	c.whole++
	return c.Memory.Save(path, data)
}

func (c *counted) Patch(path string, size int64, pieces []configfile.Piece) error {
	for _, p := range pieces {
		c.written += len(p.Data)
	}
	return c.Memory.Patch(path, size, pieces)
}

func sameAfterAKill(t *testing.T, table *Table) {
	t.Helper()
	again, err := Load(table.opts)
	require.NoError(t, err)
	all, version := table.All()
	same, sameVersion := again.All()
	require.Equal(t, version, sameVersion)
	require.Equal(t, len(all), len(same))
	for i := range all {
		a, err := fastjson.Append(nil, all[i], fastjson.Pretty)
		require.NoError(t, err)
		b, err := fastjson.Append(nil, same[i], fastjson.Pretty)
		require.NoError(t, err)
		require.Equal(t, string(a), string(b))
	}
	require.Equal(t, table.ForbiddenTable(), again.ForbiddenTable())
	require.Equal(t, table.count, again.count)
}

// Creating and deleting many groups one by one costs each a small write, whatever the
// length of their names, and each is in the file when it was acknowledged.
func TestTable_OneByOneIsLinear(t *testing.T) {
	files := &counted{Memory: configfile.NewMemory()}
	table, err := Load(Options{Files: files, Path: "g.json", Now: func() int64 { return 1 },
		Config: func() Config { return Config{AutoCreate: true} }})
	require.NoError(t, err)
	const n = 3000
	size := 0
	name := func(i int) string { return "g" + strconv.Itoa(i) + strings.Repeat("x", i%240) }
	for i := range n {
		c := body.NewSubscriptionGroupConfig(name(i))
		switch i % 50 {
		case 7:
			c.RetryMaxTimes, c.ConsumeEnable = 3, false
		case 8:
			c.GroupRetryPolicy.Type = body.RetryExponential
		}
		if i == 509 { // too long for a sector
			c.Attributes = map[string]string{"long": strings.Repeat("y", 600)}
		}
		require.NoError(t, table.Put(c))
		size += 600
		if i%1000 == 0 || i == n-1 {
			sameAfterAKill(t, table)
		}
	}
	require.Less(t, files.written, 10*size, "%d full writes", files.whole)
	require.NoError(t, table.SetForbidden(name(3), "T", ForbidRead, true))
	sameAfterAKill(t, table)

	files.written, files.whole = 0, 0
	for i := range n {
		_, err := table.Delete(name(i))
		require.NoError(t, err)
		if i%1000 == 0 || i == n-1 {
			sameAfterAKill(t, table)
		}
	}
	require.Less(t, files.written, 10*size, "%d full writes", files.whole)
	require.NoError(t, table.Persist())
	data, err := files.Load("g.json", nil, nil)
	require.NoError(t, err)
	require.NotContains(t, string(data), "  ", "a stop leaves the file as Java writes it")
	sameAfterAKill(t, table)
}

// Of the groups that were added in place since the last full write a rotten byte takes
// one at most, and the log says so.
func TestLoad_ARottenByteKeepsWhatWasAddedInPlace(t *testing.T) {
	files := configfile.NewMemory()
	var log bytes.Buffer
	opts := Options{Files: files, Path: "g.json", Now: func() int64 { return 1 }, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Config: func() Config { return Config{AutoCreate: true} }}
	table, err := Load(opts)
	require.NoError(t, err)
	require.NoError(t, table.SetForbidden("F", "T", ForbidRead, true))
	for i := range 200 {
		_, err := table.FindOrCreate("group-" + strconv.Itoa(i))
		require.NoError(t, err)
	}
	bak, err := files.Load("g.json.bak", nil, nil)
	require.NoError(t, err)
	require.NotContains(t, string(bak), "group-199")
	data, err := files.Load("g.json", nil, nil)
	require.NoError(t, err)
	data[bytes.Index(data, []byte(`"group-180"`))] ^= 4
	require.NoError(t, files.Save("g.json", bak))
	require.NoError(t, files.Save("g.json", data))
	log.Reset()
	again, err := Load(opts)
	require.NoError(t, err)
	for i := range 200 {
		if name := "group-" + strconv.Itoa(i); i != 180 {
			require.NotNil(t, again.Find(name), name)
		}
	}
	require.True(t, again.ReadForbidden("F", "T"))
	require.Contains(t, log.String(), "a file is damaged")
	require.Contains(t, log.String(), "unreadable=1")
	sameAfterAKill(t, again)
}

// What failed to be written is written with the next change.
func TestPut_AFailedWriteIsMadeUpFor(t *testing.T) {
	files := &fails{Memory: configfile.NewMemory()}
	opts := Options{Files: files, Path: "g.json", Now: func() int64 { return 1 }, Config: func() Config { return Config{} }}
	table, err := Load(opts)
	require.NoError(t, err)
	require.NoError(t, table.Put(body.NewSubscriptionGroupConfig("a")))
	files.full = true
	require.ErrorContains(t, table.Put(body.NewSubscriptionGroupConfig("b")), "no space")
	require.ErrorContains(t, table.SetForbidden("a", "T", ForbidRead, true), "no space")
	files.full = false
	require.NoError(t, table.Put(body.NewSubscriptionGroupConfig("c")))
	sameAfterAKill(t, table)
}

// fails fails every write while it is told to.
type fails struct {
	*configfile.Memory
	full bool
}

func (f *fails) Save(path string, data []byte) error {
	if f.full {
		return errNoSpace
	}
	return f.Memory.Save(path, data)
}

func (f *fails) Patch(path string, size int64, pieces []configfile.Piece) error {
	if f.full {
		return errNoSpace
	}
	return f.Memory.Patch(path, size, pieces)
}
