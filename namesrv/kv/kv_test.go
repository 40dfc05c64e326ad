package kv

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/configfile"
)

func TestStore_SurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "namesrv", "kvConfig.json")
	s, err := Open(configfile.OS(), path)
	require.NoError(t, err)
	require.Nil(t, s.List(OrderTopics))
	require.NoError(t, s.Put(OrderTopics, "T1", "b1:4"))
	require.NoError(t, s.Put(OrderTopics, "T2", "b1:8;b2:8"))
	require.NoError(t, s.Put("other", "k", "v\"\n"))
	require.NoError(t, s.Delete("other", "k"))
	require.NoError(t, s.Delete("never", "k"))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	// KVConfigSerializeWrapper.toJson, compact, in the order of Java's hash map.
	require.Equal(t, `{"configTable":{"other":{},"ORDER_TOPIC_CONFIG":{"T1":"b1:4","T2":"b1:8;b2:8"}}}`, string(data))

	again, err := Open(configfile.OS(), path)
	require.NoError(t, err)
	v, ok := again.Get(OrderTopics, "T2")
	require.True(t, ok)
	require.Equal(t, "b1:8;b2:8", v)
	_, ok = again.Get("other", "k")
	require.False(t, ok)
	require.NotNil(t, again.List("other"), "a namespace stays when its last key goes")
}

func TestStore_FallsBackToTheBackup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kvConfig.json")
	s, err := Open(configfile.OS(), path)
	require.NoError(t, err)
	require.NoError(t, s.Put("n", "k", "1"))
	require.NoError(t, s.Put("n", "k", "2"))
	for _, bad := range []string{"", `{"configTable":{"n"`, "\x00\x00"} {
		require.NoError(t, os.WriteFile(path, []byte(bad), 0o644))
		again, err := Open(configfile.OS(), path)
		require.NoError(t, err, "%q", bad)
		v, _ := again.Get("n", "k")
		require.Equal(t, "1", v)
	}
	require.NoError(t, os.WriteFile(path+".bak", []byte("{"), 0o644))
	_, err = Open(configfile.OS(), path)
	require.ErrorContains(t, err, "kvConfig.json")
}

type failing struct{ configfile.Files }

func (failing) Save(string, []byte) error { return errors.New("disk full") }

func TestStore_AChangeThatIsNotOnTheDiskIsNone(t *testing.T) {
	s, err := Open(failing{configfile.NewMemory()}, "kv")
	require.NoError(t, err)
	require.ErrorContains(t, s.Put("n", "k", "v"), "disk full")
	_, ok := s.Get("n", "k")
	require.False(t, ok)
}
