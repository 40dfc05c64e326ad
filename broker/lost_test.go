package broker

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/broker/config"
)

// restarted stops the broker, changes its files below config/ and gives what a new one
// says.
func (r *rig) restarted(change func(dir string)) string {
	r.t.Helper()
	r.stop()
	change(filepath.Join(r.dir, "config"))
	lines := &strings.Builder{}
	r.restart(slog.New(slog.NewTextHandler(lines, nil)))
	return lines.String()
}

func (r *rig) restart(log *slog.Logger) {
	cfg := r.opts.Config.Get()
	var err error
	r.Broker, err = New(Options{Config: config.NewHolder(cfg, config.HolderOptions{}), Rand: rand.IntN, Logger: log})
	require.NoError(r.t, err)
	require.NoError(r.t, r.Start())
}

// lostRig has messages in two topics, delayed ones, and a group with an offset.
func lostRig(t *testing.T) *rig {
	r := newRig(t, "autoCreateTopicEnable=true")
	r.send("one", 0, "x")
	r.send("one", 1, "x")
	r.send("other", 0, "x", "DELAY", "1")
	_, err := r.groups.FindOrCreate("G")
	require.NoError(t, err)
	r.offsets.Commit("one", "G", 0, 1)
	require.Eventually(t, func() bool { return r.store.MaxOffset("other", 0) == 1 }, 20*time.Second, time.Millisecond)
	return r
}

// What the store holds and no file names has a line that names the file.
func TestLost_FilesBelowConfig(t *testing.T) {
	for name, want := range map[string]string{
		"topics.json":            "one (2 queues), other (1 queues)",
		"subscriptionGroup.json": "groups=1 names=G",
		"delayOffset.json":       "messages=1",
	} {
		t.Run(name, func(t *testing.T) {
			r := lostRig(t)
			said := r.restarted(func(dir string) {
				for _, suffix := range []string{"", ".bak"} {
					if err := os.Remove(filepath.Join(dir, name+suffix)); err != nil {
						require.ErrorIs(t, err, os.ErrNotExist)
					}
				}
			})
			require.Contains(t, said, fmt.Sprintf("file=%s", filepath.Join(r.dir, "config", name)))
			require.Contains(t, said, want)
			require.Equal(t, 1, strings.Count(said, "level=ERROR"), said)
		})
	}
}

// The offsets are missed when a group is known from elsewhere.
func TestLost_Offsets(t *testing.T) {
	r := lostRig(t)
	said := r.restarted(func(dir string) {
		require.NoError(t, os.Remove(filepath.Join(dir, "consumerOffset.json")))
		_ = os.Remove(filepath.Join(dir, "consumerOffset.json.bak")) // may not be there yet
	})
	require.Contains(t, said, "consumerOffset.json")
	require.Contains(t, said, "names=G")
}

// A broker that has lost nothing says nothing; one whose file is damaged says which it
// uses instead.
func TestLost_OlderCopy(t *testing.T) {
	r := lostRig(t)
	require.NotContains(t, r.restarted(func(string) {}), "level=ERROR")
	r.send("one", 0, "x")
	for _, name := range []string{"topics.json", "consumerOffset.json", "delayOffset.json"} {
		said := r.restarted(func(dir string) {
			b, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, name+".bak"), b, 0o644))
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), b[:len(b)/2], 0o644))
		})
		path := filepath.Join(r.dir, "config", name)
		require.Contains(t, said, fmt.Sprintf("file=%s instead=%s.bak reason=", path, path), said)
	}
}
