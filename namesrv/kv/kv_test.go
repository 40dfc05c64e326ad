package kv

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/configfile"
)

func TestStore_SurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "namesrv", "kvConfig.json")
	s, err := Open(configfile.OS(), path, nil)
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

	again, err := Open(configfile.OS(), path, nil)
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
	s, err := Open(configfile.OS(), path, nil)
	require.NoError(t, err)
	require.NoError(t, s.Put("n", "k", "1"))
	require.NoError(t, s.Put("n", "k", "2"))
	for _, bad := range []string{"", `{"configTable":{"n"`, "\x00\x00"} {
		require.NoError(t, os.WriteFile(path, []byte(bad), 0o644))
		again, err := Open(configfile.OS(), path, nil)
		require.NoError(t, err, "%q", bad)
		v, _ := again.Get("n", "k")
		require.Equal(t, "1", v)
	}
	require.NoError(t, os.WriteFile(path+".bak", []byte("{"), 0o644))
	_, err = Open(configfile.OS(), path, nil)
	require.ErrorContains(t, err, "kvConfig.json")
}

type failing struct{ configfile.Files }

func (failing) Save(string, []byte) error { return errors.New("disk full") }

func TestStore_AChangeThatIsNotOnTheDiskIsNone(t *testing.T) {
	s, err := Open(failing{configfile.NewMemory()}, "kv", nil)
	require.NoError(t, err)
	require.ErrorContains(t, s.Put("n", "k", "v"), "disk full")
	_, ok := s.Get("n", "k")
	require.False(t, ok)
}

// held holds its first write until it is let go, and counts them.
type held struct {
	configfile.Files
	began, goOn chan struct{}
	writes      int
}

func (h *held) Save(path string, data []byte) error {
	if h.writes++; h.writes == 1 {
		close(h.began)
		<-h.goOn
	}
	return h.Files.Save(path, data)
}

// Changes that come while the file is written share the next write, and what
// changes nothing costs none.
func TestStore_ChangesShareAWrite(t *testing.T) {
	h := &held{Files: configfile.NewMemory(), began: make(chan struct{}), goOn: make(chan struct{})}
	s, err := Open(h, "kv", nil)
	require.NoError(t, err)
	var all sync.WaitGroup
	put := func(key string) {
		if err := s.Put("n", key, "v"); err != nil {
			t.Error(err)
		}
	}
	all.Go(func() { put("first") })
	<-h.began
	for i := range 100 {
		all.Go(func() { put(strconv.Itoa(i)) })
	}
	waiting := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.waiting)
	}
	require.Eventually(t, func() bool { return waiting() == 100 }, 10*time.Second, time.Millisecond)
	require.Nil(t, s.List("n"), "nothing is seen before it is durable")
	close(h.goOn)
	all.Wait()
	require.Len(t, s.List("n"), 101)
	require.Empty(t, s.waiting)
	writes := h.writes
	require.LessOrEqual(t, writes, 3)
	require.NoError(t, s.Put("n", "7", "v"))
	require.NoError(t, s.Delete("n", "no such key"))
	require.Equal(t, writes, h.writes)
}

func TestStore_IsBounded(t *testing.T) {
	s, err := Open(configfile.NewMemory(), "kv", nil)
	require.NoError(t, err)
	big := strings.Repeat("x", maxBytes-10)
	require.NoError(t, s.Put("n", "big", big))
	require.ErrorIs(t, s.Put("n", "another", "value"), ErrFull)
	_, ok := s.Get("n", "another")
	require.False(t, ok)
	require.NoError(t, s.Put("n", "k", "v"))
	require.NoError(t, s.Delete("n", "big"))
	require.NoError(t, s.Put("n", "another", big))
}

func TestStore_OrdersAreTheBodyOfARegistration(t *testing.T) {
	s, err := Open(configfile.NewMemory(), "kv", nil)
	require.NoError(t, err)
	b, err := s.Orders()
	require.NoError(t, err)
	require.Nil(t, b)
	require.NoError(t, s.Put(OrderTopics, "T", "b:1"))
	b, err = s.Orders()
	require.NoError(t, err)
	require.Equal(t, `{"table":{"T":"b:1"}}`, string(b))
	again, err := s.Orders()
	require.NoError(t, err)
	require.Same(t, &b[0], &again[0], "it is encoded once")
}

// A change that was taken along by the write before its own learns of its failure.
func TestStore_EveryFailedChangeIsTold(t *testing.T) {
	s, err := Open(failing{configfile.NewMemory()}, "kv", nil)
	require.NoError(t, err)
	v, refused := "v", error(nil)
	s.waiting = append(s.waiting, waiter{change{"n", "k", &v}, &refused})
	require.ErrorContains(t, s.Put("n", "other", "v"), "disk full")
	require.ErrorContains(t, refused, "disk full")
}
