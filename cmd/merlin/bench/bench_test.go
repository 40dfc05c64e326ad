package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cloudwego/netpoll"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/merlinmq/merlin/broker"
	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/namesrv"
)

func TestMain(m *testing.M) {
	netpoll.Initialize()
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent(),
		goleak.IgnoreTopFunction("github.com/cloudwego/netpoll.EpollWait"),
		goleak.IgnoreAnyFunction("github.com/cloudwego/netpoll.(*defaultPoll).Wait"))
}

// servers starts both servers and gives their addresses.
func servers(t testing.TB) (names, addr string) {
	t.Helper()
	ns, err := namesrv.New(namesrv.Options{Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	require.NoError(t, ns.Start())
	dir := t.TempDir()
	text := fmt.Sprintf("brokerName=b\nbindAddress=127.0.0.1\nbrokerIP1=127.0.0.1\nlistenPort=0\nnamesrvAddr=%s\nstorePathRootDir=%s\nstorePathCommitLog=%s/commitlog\nmappedFileSizeCommitLog=16777216\n", ns.Addr(), dir, dir)
	cfg, _, err := config.Parse([]byte(text), "test.conf")
	require.NoError(t, err)
	b, err := broker.New(broker.Options{Config: config.NewHolder(cfg, config.HolderOptions{}), Rand: rand.IntN})
	require.NoError(t, err)
	require.NoError(t, b.Start())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, b.Shutdown(ctx))
		require.NoError(t, ns.Shutdown(ctx))
	})
	return ns.Addr(), b.Addr()
}

// bench1 runs one command with -json and gives its report.
func bench1(t *testing.T, args ...string) Report {
	t.Helper()
	var out, errOut bytes.Buffer
	require.NoError(t, Run(t.Context(), append(args, "-json"), &out, &errOut), errOut.String())
	var r Report
	require.NoError(t, json.Unmarshal(out.Bytes(), &r), out.String())
	require.Zero(t, r.Failed, r.FirstErr)
	require.Positive(t, r.Count)
	return r
}

func TestBench_OnMerlin(t *testing.T) {
	_, addr := servers(t)
	sent := bench1(t, "send", "-b", addr, "-topic", "counted", "-queues", "4", "-c", "4", "-w", "4", "-size", "100", "-d", "300ms", "-warmup", "0")
	require.Positive(t, sent.P50)
	read := bench1(t, "pull", "-b", addr, "-topic", "counted", "-queues", "4", "-c", "2", "-laps", "1", "-d", "30s")
	// Answers that came after the end are stored and not counted.
	require.GreaterOrEqual(t, read.Count, sent.Count)
	require.LessOrEqual(t, read.Count, sent.Count+4*4)

	bench1(t, "send", "-b", addr, "-queues", "2", "-c", "2", "-w", "8", "-unbatched", "-d", "200ms", "-warmup", "0")
	bench1(t, "send", "-b", addr, "-queues", "2", "-c", "2", "-w", "8", "-oneway", "-d", "100ms", "-warmup", "0")
	open := bench1(t, "send", "-b", addr, "-queues", "2", "-c", "2", "-rate", "500", "-d", "400ms", "-warmup", "0")
	require.LessOrEqual(t, open.Count, int64(202), "an open loop keeps its rate") // a slow machine may answer after the end
	bench1(t, "send", "-b", addr, "-topic", "many", "-topics", "20", "-queues", "3", "-c", "2", "-w", "16", "-count", "1200", "-d", "30s", "-warmup", "0")
	many := bench1(t, "pull", "-b", addr, "-topic", "many", "-topics", "20", "-queues", "3", "-c", "3", "-laps", "1", "-d", "30s")
	require.EqualValues(t, 1200, many.Count)
	tail := bench1(t, "tail", "-b", addr, "-topic", "tailed", "-queues", "2", "-rate", "500", "-d", "400ms", "-warmup", "0")
	require.InDelta(t, 200, tail.Count, 2)
	require.Positive(t, tail.P50)
}

// startLimit serves on a free port until ctx ends.
func startLimit(t *testing.T, ctx context.Context, args ...string) (addr string, done chan error) {
	r, w := io.Pipe()
	done = make(chan error, 1)
	go func() {
		err := Run(ctx, append([]string{"limit", "-listen", "127.0.0.1:0"}, args...), w, io.Discard)
		_ = w.CloseWithError(err)
		done <- err
	}()
	_, err := fmt.Fscanf(r, "limit %s\n", &addr)
	require.NoError(t, err)
	return addr, done
}

func TestBench_OnLimit(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	addr, done := startLimit(t, ctx, "-log", "16", "-depth", "3200")
	bench1(t, "send", "-n", addr, "-c", "2", "-w", "4", "-d", "100ms", "-warmup", "0")
	read := bench1(t, "pull", "-b", addr, "-c", "2", "-laps", "1", "-d", "30s")
	require.GreaterOrEqual(t, read.Count, int64(8*3200))
	cancel()
	require.NoError(t, <-done)
}

func TestBench_RefusesFlags(t *testing.T) {
	for args, want := range map[string]string{
		"":                                "which work",
		"fly":                             "unknown work",
		"send":                            "either -n",
		"send -n a:1 -b b:1":              "either -n",
		"send -b b:1 -w 0":                "-w 0",
		"send -b b:1 -c 0":                "-c 0",
		"send -b b:1 -queues 0":           "-queues 0",
		"send -b b:1 -size 0":             "-size 0",
		"send -b b:1 -d 0s":               "-d 0s",
		"send -b b:1 -rate -1":            "-rate -1",
		"send -b b:1 -oneway -rate 5":     "exclude",
		"send -b b:1 more":                "unexpected argument",
		"pull -b b:1 -max 0":              "-max 0",
		"pull -b b:1 -w 3":                "not defined: -w",
		"tail -b b:1 -size 8":             "at least 16",
		"tail -b b:1 -rate 0":             "needs a -rate",
		"limit -log 1":                    "-log 1",
		"limit -sync":                     "needs a -dir",
		"soak -b b:1 -every 9s":           "a quarter",
		"send -b b:1 -topics 0":           "-topics 0",
		"send -b b:1 -count 5 -rate 5":    "exclude",
		"send -b 127.0.0.1:1 -d 1s -c 1 ": "refused",
	} {
		err := Run(t.Context(), strings.Fields(args), io.Discard, io.Discard)
		require.ErrorContains(t, err, want, args)
	}
}

// Help is asked for and goes to the output; a mistake is said once, by the caller.
func TestRun_HelpAndMistakes(t *testing.T) {
	for _, args := range []string{"-h", "send -h", "limit -h", "soak --help"} {
		var out, errOut bytes.Buffer
		require.NoError(t, Run(t.Context(), strings.Fields(args), &out, &errOut), args)
		require.NotEmpty(t, out.String(), args)
		require.Empty(t, errOut.String(), args)
	}
	for _, args := range []string{"", "foo", "send -zz", "send", "limit -zz", "limit -log 1"} {
		var out, errOut bytes.Buffer
		var usage *UsageError
		require.ErrorAs(t, Run(t.Context(), strings.Fields(args), &out, &errOut), &usage, args)
		require.Empty(t, out.String()+errOut.String(), args)
	}
}

// What soak does without flags is something that it accepts.
func TestParse_DefaultsAreAccepted(t *testing.T) {
	for _, work := range []string{"send", "pull", "tail", "soak"} {
		b, err := newBench([]string{work, "-n", "n:1"}, io.Discard)
		require.NoError(t, err, work)
		if work == "soak" {
			require.Equal(t, 2500*time.Millisecond, b.every)
		}
	}
}

func TestUsage_Parses(t *testing.T) {
	u, err := parseUsage("7 (a) b) S 1 1 1 0 -1 0 0 0 0 0 150 50 0 0", "Name: x\nRssAnon:\t 2048 kB\nRssFile:\t 4096 kB\nThreads:\t7\n")
	require.NoError(t, err)
	require.Equal(t, Usage{CPU: 2, AnonMiB: 2, FileMiB: 4, Threads: 7}, *u)
	_, err = parseUsage("x", "")
	require.Error(t, err)
}

// BenchmarkTopics makes b.N topics of 8 queues one by one, each durable and known to
// the name server before the next: go test -bench Topics -benchtime 6000x ./cmd/merlin/bench
func BenchmarkTopics(b *testing.B) {
	_, addr := servers(b)
	r := &bench{options: options{broker: addr, topic: "many", topics: b.N, queues: 8, size: 1}, work: "send", errOut: io.Discard}
	b.ResetTimer()
	require.NoError(b, r.prepare(b.Context()))
}
