package group

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/configfile"
)

// counting counts the writes of a file.
type counting struct {
	configfile.Files
	saves int
}

func (c *counting) Save(path string, data []byte) error {
	c.saves++
	return c.Files.Save(path, data)
}

func newTable(t *testing.T, limit int) (*Table, *counting) {
	files := &counting{Files: configfile.NewMemory()}
	table, err := Load(Options{Files: files, Path: "g.json", Limit: limit, Now: func() int64 { return 1 },
		Config: func() Config { return Config{AutoCreate: true} }})
	require.NoError(t, err)
	return table, files
}

// Many new groups of a heartbeat are one write of the file, and all are in it.
func TestFindOrCreateAll_OneWrite(t *testing.T) {
	table, files := newTable(t, 0)
	names := []string{"", "bad name"}
	for i := range 1500 {
		names = append(names, fmt.Sprintf("G%d", i))
	}
	groups := table.FindOrCreateAll(names)
	require.Nil(t, groups[0])
	require.Nil(t, groups[1])
	require.Equal(t, "G1499", groups[1501].GroupName)
	require.Equal(t, 1, files.saves, "it was a write for each")
	table.FindOrCreateAll(names[2:])
	require.Equal(t, 1, files.saves, "nothing new, nothing written")
	again, err := Load(table.opts)
	require.NoError(t, err)
	require.NotNil(t, again.Find("G1499"))
	require.Equal(t, table.count, again.count)
}

// Who may connect may name groups: there is an end to it, and what is there stays.
func TestFindOrCreate_Limit(t *testing.T) {
	table, _ := newTable(t, 20)
	for i := range 100 {
		_, err := table.FindOrCreate(fmt.Sprintf("G%d", i))
		require.NoError(t, err)
	}
	all, _ := table.All()
	require.Len(t, all, 20)
	c, err := table.FindOrCreate("G0")
	require.NoError(t, err)
	require.NotNil(t, c)
	was, err := table.Delete("G0")
	require.NoError(t, err)
	require.True(t, was)
	c, err = table.FindOrCreate("another")
	require.NoError(t, err)
	require.NotNil(t, c, "there is room again")
}
