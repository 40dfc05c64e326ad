package offset

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/configfile"
)

const path = "/store/config/consumerOffset.json"

func load(t *testing.T, files configfile.Files) *Table {
	t.Helper()
	tab, err := Load(Options{Files: files, Path: path, VersionStep: 2, Now: func() int64 { return 42 }})
	require.NoError(t, err)
	return tab
}

func TestCommit_SurvivesAReload(t *testing.T) {
	files := configfile.NewMemory()
	tab := load(t, files)
	require.Equal(t, None, tab.Query("T", "G", 0))
	require.Equal(t, None, tab.Commit("T", "G", 0, 9))
	require.EqualValues(t, 9, tab.Commit("T", "G", 0, 4), "going back is allowed")
	tab.Commit("T", "%RETRY%x", 1, 1)
	tab.CommitPull("T", "G", 0, 30)
	require.NoError(t, tab.Persist())

	tab = load(t, files)
	require.EqualValues(t, 4, tab.Query("T", "G", 0))
	require.EqualValues(t, 1, tab.Query("T", "%RETRY%x", 1))
	require.EqualValues(t, 4, tab.QueryPull("T", "G", 0), "pull offsets are not kept")
	require.EqualValues(t, 1, tab.Version().Counter, "every second commit makes a version")
	require.Equal(t, []string{"T"}, tab.TopicsOf("G"))
	require.Equal(t, []string{"%RETRY%x", "G"}, tab.GroupsOf("T"))
}

// The form that fastjson writes and reads: queue ids without quotes.
func TestEncode_IsJavas(t *testing.T) {
	tab := load(t, configfile.NewMemory())
	tab.Commit("TopicA", "GroupB", 2, 7)
	tab.Commit("TopicA", "GroupB", 0, 9)
	data, err := tab.Encode()
	require.NoError(t, err)
	require.Contains(t, strings.Join(strings.Fields(string(data)), ""), `"offsetTable":{"TopicA@GroupB":{0:9,2:7}}`)
}

func TestLoad_ReadsJavas(t *testing.T) {
	files := configfile.NewMemory()
	require.NoError(t, files.Save(path, []byte(`{
	"dataVersion":{
		"counter":3,
		"stateVersion":0,
		"timestamp":1758240000000
	},
	"groupTopicMap":{
		"GroupB":["TopicA"]
	},
	"offsetTable":{
		"TopicA@GroupB":{0:9,1:11,2:7
		}
	},
	"pullOffsetTable":{}
}`)))
	tab := load(t, files)
	require.Equal(t, map[int32]int64{0: 9, 1: 11, 2: 7}, tab.Queues("TopicA", "GroupB"))
	require.EqualValues(t, 3, tab.Version().Counter)
}

func TestLoad_FallsBackToTheBackup(t *testing.T) {
	files := configfile.NewMemory()
	tab := load(t, files)
	tab.Commit("T", "G", 0, 1)
	require.NoError(t, tab.Persist())
	require.NoError(t, files.Save(path, []byte(`{"offsetTable":{"T@G":{0:`)))
	require.EqualValues(t, 1, load(t, files).Query("T", "G", 0))

	require.NoError(t, files.Save(path, []byte(`[]`)))
	_, err := Load(Options{Files: files, Path: path})
	require.ErrorContains(t, err, path, "neither file can be read: going on would lose the offsets")
}

func TestReset_IsTakenOnce(t *testing.T) {
	tab := load(t, configfile.NewMemory())
	tab.Commit("T", "G", 0, 100)
	tab.AssignReset("T", "G", 0, 5)
	require.True(t, tab.HasReset("T", "G", 0))
	require.False(t, tab.HasReset("T", "G", 1))
	require.EqualValues(t, 5, tab.Query("T", "G", 0))
	at, ok := tab.TakeReset("T", "G", 0)
	require.True(t, ok)
	require.EqualValues(t, 5, at)
	_, ok = tab.TakeReset("T", "G", 0)
	require.False(t, ok)
	require.EqualValues(t, 5, tab.Query("T", "G", 0), "the reset is the committed offset, too")
}

func TestRemoveAndClone(t *testing.T) {
	tab := load(t, configfile.NewMemory())
	tab.Commit("T", "G", 0, 1)
	tab.Commit("U", "G", 0, 2)
	tab.Clone("G", "H", "T")
	tab.Clone("G", "H", "nothing")
	require.Equal(t, []string{"T"}, tab.TopicsOf("H"))
	tab.RemoveGroup("G")
	require.Equal(t, None, tab.Query("T", "G", 0))
	tab.RemoveTopic("T")
	require.Equal(t, None, tab.Query("T", "H", 0))
}

type failing struct{ configfile.Files }

func (failing) Save(string, []byte) error { return errors.New("disk full") }

func TestPersist_TriesAgainAfterAFailure(t *testing.T) {
	mem := configfile.NewMemory()
	tab := load(t, mem)
	tab.Commit("T", "G", 0, 1)
	tab.opts.Files = failing{mem}
	require.Error(t, tab.Persist())
	tab.opts.Files = mem
	require.NoError(t, tab.Persist())
	require.EqualValues(t, 1, load(t, mem).Query("T", "G", 0))
}

func TestTable_ManyAtOnce(t *testing.T) {
	tab := load(t, configfile.NewMemory())
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 500 {
				tab.Commit("T", "G", int32(g), int64(i))
				tab.Query("T", "G", int32(g))
				if i%100 == 0 {
					_, err := tab.Encode()
					require.NoError(t, err)
				}
			}
		})
	}
	all.Wait()
	for g := range 4 {
		require.EqualValues(t, 499, tab.Query("T", "G", int32(g)))
	}
}

// An empty table has a version of the moment at which it was made, as in Java.
func TestLoad_WithoutAFile(t *testing.T) {
	table, err := Load(Options{Files: configfile.NewMemory(), Path: "consumerOffset.json", Now: func() int64 { return 7 }})
	require.NoError(t, err)
	require.EqualValues(t, 7, table.Version().Timestamp)
}

// A rotten byte sets one entry back to what the older file has, not all of them.
func TestLoad_ARottenByteCostsOneEntry(t *testing.T) {
	files := configfile.NewMemory()
	table := load(t, files)
	for round := range int64(2) {
		for i := range 20 {
			table.Commit("T"+strconv.Itoa(i), "G", 0, 10+round)
		}
		require.NoError(t, table.Persist())
	}
	data, err := files.Load(path, nil, nil)
	require.NoError(t, err)
	at := bytes.Index(data, []byte(`"T7@G"`))
	data[at] = '!'
	bak, err := files.Load(path+".bak", nil, nil)
	require.NoError(t, err)
	require.NoError(t, files.Save(path, bak))
	require.NoError(t, files.Save(path, data))
	again := load(t, files)
	for i := range 20 {
		want := int64(11)
		if i == 7 {
			want = 10
		}
		require.Equal(t, want, again.Query("T"+strconv.Itoa(i), "G", 0), i)
	}
}
