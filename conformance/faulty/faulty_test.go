package faulty

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/broker"
	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/conformance/internal/document"
	"github.com/merlinmq/merlin/conformance/suite"
	"github.com/merlinmq/merlin/namesrv"
)

// servers starts Merlin on free ports; all proxies share it.
func servers(t *testing.T) (nameServer, brokerAddr string) {
	t.Helper()
	names, err := namesrv.New(namesrv.Options{Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	require.NoError(t, names.Start())
	dir := t.TempDir()
	text := fmt.Sprintf("namesrvAddr=%s\nstorePathRootDir=%s\nstorePathCommitLog=%s/commitlog\n", names.Addr(), dir, dir) + `
brokerName=b
bindAddress=127.0.0.1
brokerIP1=127.0.0.1
brokerIP2=127.0.0.1
listenPort=0
mappedFileSizeCommitLog=16777216
# A client may be known only after half a minute, so it is asked often enough.
transactionCheckInterval=2000
transactionTimeOut=1000
transactionCheckMax=100
`
	cfg, _, err := config.Parse([]byte(text), "test.conf")
	require.NoError(t, err)
	b, err := broker.New(broker.Options{Config: config.NewHolder(cfg, config.HolderOptions{}), Rand: rand.IntN})
	require.NoError(t, err)
	require.NoError(t, b.Start())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, b.Shutdown(ctx))
		require.NoError(t, names.Shutdown(ctx))
	})
	return names.Addr(), b.Addr()
}

// limit is the time that a case has here: a fault that loses something shows
// when it is over. The run without a fault has the same.
const limit = 45 * time.Second

func cases(t *testing.T, names []string) []suite.Case {
	var out []suite.Case
	for _, c := range suite.Cases() {
		if slices.Contains(names, c.Name) {
			c.Limit = limit
			out = append(out, c)
		}
	}
	require.Len(t, out, len(names), "cases called %v", names)
	return out
}

// seen is what became of the cases behind one proxy.
type seen struct {
	fired   int64
	results []suite.Result
	err     error
}

func run(ns, addr string, fault Fault, selected []suite.Case) seen {
	p, err := New(ns, addr, fault)
	if err != nil {
		return seen{err: err}
	}
	defer p.Close()
	results, err := suite.Run(context.Background(), suite.Options{NameServer: p.NameServer(), Cases: selected, Parallel: 8})
	return seen{p.Fired(), results, err}
}

// Each fault changes something, and every case that is named for it turns red.
// Without a fault all of them are green.
func TestFaults_TurnCasesRed(t *testing.T) {
	ns, addr := servers(t)
	var all []string
	for _, f := range Faults() {
		all = append(all, f.Cases...)
	}
	slices.Sort(all)
	healthy := run(ns, addr, Fault{}, cases(t, slices.Compact(all)))
	require.NoError(t, healthy.err)
	for _, r := range healthy.results {
		require.Equal(t, suite.Passed, r.Status, "%s without a fault: %s", r.Case.Name, r.Reason)
	}
	require.Zero(t, healthy.fired)

	faults := Faults()
	runs := make([]seen, len(faults))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i, f := range faults {
		selected := cases(t, f.Cases)
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			runs[i] = run(ns, addr, f, selected)
		})
	}
	wg.Wait()
	var lines []string
	for i, f := range faults {
		t.Run(f.Name, func(t *testing.T) {
			require.NoError(t, runs[i].err)
			require.Positive(t, runs[i].fired, "no frame was changed")
			var red []string
			for _, r := range runs[i].results {
				t.Logf("%s: %s after %v: %s", r.Case.Name, r.Status, r.Duration.Round(time.Millisecond), r.Reason)
				if r.Status == suite.Failed {
					red = append(red, r.Case.Name)
				}
			}
			lines = append(lines, fmt.Sprintf("%-22s %4d frames → %s", f.Name, runs[i].fired, strings.Join(red, ", ")))
			for _, r := range runs[i].results {
				require.Equal(t, suite.Failed, r.Status, "%s does not see it: %s", r.Case.Name, f.What)
			}
		})
	}
	t.Logf("fault, frames that it harmed → cases that turned red\n%s", strings.Join(lines, "\n"))
}

// MERLIN_UPDATE=1 writes the table of faults and cases.
func TestFaults_StandInTheDocument(t *testing.T) {
	var table strings.Builder
	table.WriteString("\n| fault | what the servers do wrong | cases that turn red |\n| --- | --- | --- |\n")
	names := map[string]bool{}
	for _, f := range Faults() {
		require.False(t, names[f.Name], "two faults are called %s", f.Name)
		names[f.Name] = true
		require.NotEmpty(t, f.Cases, f.Name)
		fmt.Fprintf(&table, "| `%s` | %s | `%s` |\n", f.Name, f.What, strings.Join(f.Cases, "`, `"))
	}
	document.Holds(t, "faults", table.String()+"\n")
}
