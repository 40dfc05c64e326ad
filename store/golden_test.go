package store

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol/message"
)

// golden is what a Java 5.3.3 broker answered about the store that it wrote:
// 400 messages of a topic with two queues, some delayed, over several files of
// every kind.
type golden struct {
	OffsetByTime [][4]int64 // queue, time, lower, upper
	Query        []goldenQuery
	Max          map[string]int64
}

type goldenQuery struct {
	key  string
	phys []int64
}

func (q *goldenQuery) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&q.key, &q.phys})
}

// goldenStore unpacks the Java store into a directory.
func goldenStore(t *testing.T) (Options, golden) {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Open("testdata/java-5.3.3.tar.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		to := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.FileInfo().IsDir() {
			require.NoError(t, os.MkdirAll(to, 0o755))
			continue
		}
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(to, b, 0o644))
	}
	var g golden
	b, err := os.ReadFile("testdata/java-5.3.3.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &g))
	return Options{StorePathRootDir: dir, FileSizeCommitLog: 65536, FileSizeConsumeQueue: 1000,
		MaxHashSlotNum: 50, MaxIndexNum: 200, MaxMessageSize: 32768, DeleteWhen: "none"}, g
}

func (g *golden) check(t *testing.T, s *Store) {
	t.Helper()
	require.Equal(t, g.Max["Golden-0"], s.MaxOffset("Golden", 0))
	require.Equal(t, g.Max["Golden-1"], s.MaxOffset("Golden", 1))
	require.Equal(t, g.Max["SCHEDULE_TOPIC_XXXX-17"], s.MaxOffset("SCHEDULE_TOPIC_XXXX", 17))
	for q := range int32(2) {
		require.Len(t, readAll(t, s, "Golden", q, 0), int(s.MaxOffset("Golden", q)))
	}
	for _, c := range g.OffsetByTime {
		for i, upper := range []bool{false, true} {
			at, err := s.OffsetByTime("Golden", int32(c[0]), c[1], upper)
			require.NoError(t, err)
			require.Equal(t, c[2+i], at, "time %d in queue %d, upper %v", c[1], c[0], upper)
		}
	}
	for _, q := range g.Query {
		r, err := s.Query("Golden", q.key, 64, 0, math.MaxInt64)
		require.NoError(t, err)
		var phys []int64
		for _, rec := range r.Records {
			var m message.Message
			_, err := message.Decode(rec, &m, true)
			require.NoError(t, err)
			phys = append(phys, m.PhyOffset)
		}
		require.ElementsMatch(t, q.phys, phys, "key %s", q.key)
	}
}

func TestGolden_ReadsAStoreThatJavaWrote(t *testing.T) {
	o, g := goldenStore(t)
	s := open(t, o)
	g.check(t, s)
	require.NoError(t, s.Close())
	s = open(t, o)
	g.check(t, s)
}

func TestGolden_RecoversAStoreThatJavaDidNotClose(t *testing.T) {
	o, g := goldenStore(t)
	require.NoError(t, os.WriteFile(filepath.Join(o.StorePathRootDir, "abort"), nil, 0o644))
	s := open(t, o)
	g.check(t, s)
}

// TestGolden_BuildsTheFilesThatJavaBuilds lets the store build consume queues and
// index from Java's commit log: the files are the same to the byte.
func TestGolden_BuildsTheFilesThatJavaBuilds(t *testing.T) {
	o, g := goldenStore(t)
	java := t.TempDir()
	for _, dir := range []string{"consumequeue", "index"} {
		require.NoError(t, os.Rename(filepath.Join(o.StorePathRootDir, dir), filepath.Join(java, dir)))
	}
	s := open(t, o)
	g.check(t, s)
	require.NoError(t, s.Close())
	n := 0
	require.NoError(t, filepath.WalkDir(filepath.Join(java, "consumequeue"), func(path string, d os.DirEntry, err error) error {
		require.NoError(t, err)
		if d.IsDir() {
			return nil
		}
		rel, err := filepath.Rel(java, path)
		require.NoError(t, err)
		n++
		sameFile(t, path, filepath.Join(o.StorePathRootDir, rel))
		return nil
	}))
	require.Greater(t, n, 8)
	theirs, err := os.ReadDir(filepath.Join(java, "index"))
	require.NoError(t, err)
	ours, err := os.ReadDir(filepath.Join(o.StorePathRootDir, "index"))
	require.NoError(t, err)
	require.Greater(t, len(theirs), 1)
	require.Len(t, ours, len(theirs))
	for i := range theirs { // only the names tell when they were made
		sameFile(t, filepath.Join(java, "index", theirs[i].Name()), filepath.Join(o.StorePathRootDir, "index", ours[i].Name()))
	}
}

func sameFile(t *testing.T, want, got string) {
	t.Helper()
	a, err := os.ReadFile(want)
	require.NoError(t, err)
	b, err := os.ReadFile(got)
	require.NoError(t, err)
	require.True(t, string(a) == string(b), "%s differs from Java's", strings.TrimPrefix(got, os.TempDir()))
}
