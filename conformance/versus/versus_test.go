package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/cmd/merlin/bench"
)

// Every row of the table has a work that the brokers do, and every row with a
// goal against the limit one that the limit does.
func TestRows_HaveTheirWork(t *testing.T) {
	does := map[kind]map[string]int{}
	for _, k := range []kind{java, merlin, limit} {
		does[k] = map[string]int{}
		for _, st := range stages(k, "4g") {
			for _, id := range st.works {
				does[k][id]++
			}
		}
		for id, n := range does[k] {
			require.Equal(t, 1, n, "%s does %s once a round", k, id)
		}
	}
	ids := map[string]bool{}
	for _, w := range works {
		ids[w.id] = true
	}
	for _, r := range rows() {
		require.True(t, ids[r.work], r.title)
		require.Positive(t, does[java][r.work], r.title)
		require.Positive(t, does[merlin][r.work], r.title)
		if r.limit != nil {
			require.Positive(t, does[limit][r.work], r.title)
		}
	}
}

// sampleOf makes a sample of a rate.
func sampleOf(rate, cpu float64, failed int64) *result {
	return &result{Report: &bench.Report{Count: 100, Rate: rate, Failed: failed, FirstErr: "busy", Server: &bench.Usage{CPU100k: cpu}}}
}

func TestDocument(t *testing.T) {
	c := &comparison{settings: &settings{rounds: 3, seconds: 2, heap: "4g", warmup: time.Second, javaWarmup: time.Minute,
		args: []string{"-bin", "/secret", "-rounds", "3", "-work", "64x1|start"}}, rate: 17000, done: 3, broken: []string{"round 2, limit: gone\nlong story"},
		samples: map[kind]map[string][]*result{
			java: {"64x1": {sampleOf(34_000, 4.3, 0), sampleOf(30_000, 4, 7), sampleOf(36_000, 4.5, 0)},
				"start": {{Started: 2.5, Idle: &bench.Usage{AnonMiB: 683, FileMiB: 61}}}},
			merlin: {"64x1": {sampleOf(85_000, 1.2, 0)}, "10k": {{Report: &bench.Report{Count: 1, Rate: 9e5}, Part: 0.9}},
				"start": {{Started: 0.02, Idle: &bench.Usage{AnonMiB: 20, FileMiB: 10}}}, "load512": {{RoundPeak: 60}}},
			limit: {"64x1": {sampleOf(90_000, 0.9, 0), sampleOf(110_000, 0.8, 0)}},
		}}
	text := c.document(time.Unix(1_700_000_000, 0))
	require.Contains(t, text, "| send 64×1, /s | 34.0k [30.0k–36.0k] | 85.0k [85.0k–85.0k] | 100k [90.0k–110k] | 2.50 | ≥ 2.2 met | 0.850 | ≥ 0.85 met |\n")
	require.Contains(t, text, "| server CPU of send 64×1, s per 100,000 | 4.30 [4.00–4.50] | 1.20 [1.20–1.20] | 0.850 [0.800–0.900] | 0.279 | ≤ 0.3 met | 1.41 | – |\n")
	require.Contains(t, text, "alone: ≥ 0.95 **not met**")
	require.Contains(t, text, "| 744 [744–744] | 30.0 [30.0–30.0] | – | 0.040 | ≤ 1/15 met |")
	require.Contains(t, text, "| 744 [744–744] | 60.0 [60.0–60.0] | – | 0.081 | ≤ 1/15 **not met** |")
	require.Contains(t, text, "0.008 | ≤ 1/20 met")
	require.Contains(t, text, "- Java, send 64×1, round 2: 7 of 107 requests failed (busy)")
	require.Contains(t, text, "\nMissing: round 2, limit: gone\n")
	require.Contains(t, text, "3 rounds of 2 s")
	require.Contains(t, text, "scripts/bench-vs-java -rounds 3 -work '64x1|start'\n")
	require.NotContains(t, text, "secret")
	require.NotContains(t, text, "8×32,", "rows without samples are left out")
}

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.md")
	require.NoError(t, os.WriteFile(path, []byte("a\n"+beginMark+"\nold\n"+endMark+"\nb\n"), 0o644))
	require.NoError(t, replace(path, "new"))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "a\n"+beginMark+"\nnew\n"+endMark+"\nb\n", string(text))
	require.NoError(t, os.WriteFile(path, []byte("no marks"), 0o644))
	require.Error(t, replace(path, "new"))
}

func TestNeeds(t *testing.T) {
	c := &comparison{wanted: regexp.MustCompile("^(open|10k)$")}
	for id, want := range map[string]bool{"open": true, "64x1": true, "10k": true, "8near": true, "10kfull": true, "8x256": false, "8x32": false, "start": false, "64x1sync": false} {
		require.Equal(t, want, c.needs(id), id)
	}
}

// The document of the project has the marks that -write needs.
func TestDocs_HaveTheMarks(t *testing.T) {
	text, err := os.ReadFile("../../docs/performance.md")
	require.NoError(t, err)
	copied := filepath.Join(t.TempDir(), "performance.md")
	require.NoError(t, os.WriteFile(copied, text, 0o644))
	require.NoError(t, replace(copied, "x"))
}
