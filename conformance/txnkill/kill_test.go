package txnkill

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/cluster"
)

func TestMain(m *testing.M) {
	code := m.Run()
	cluster.Clean()
	os.Exit(code)
}

// kills is the number of kills of each flush mode; scripts/txn-kill sets it.
func kills(t *testing.T) int {
	text := os.Getenv("MERLIN_TXN_KILLS")
	if text == "" {
		return len(Moments())
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "MERLIN_TXN_KILLS")
	return n
}

// Transactions survive kills of the broker in every state with SYNC_FLUSH.
func TestKill_SyncFlush(t *testing.T) {
	t.Parallel()
	kill(t, "SYNC_FLUSH", true)
}

// The same holds with ASYNC_FLUSH as long as the machine lives.
func TestKill_AsyncFlush(t *testing.T) {
	t.Parallel()
	kill(t, "ASYNC_FLUSH", false)
}

func kill(t *testing.T, mode string, sync bool) {
	n := kills(t)
	c := cluster.Merlin().StartT(t, cluster.Options{BrokerConf: BrokerConf(sync)})
	r, err := NewRig(c)
	require.NoError(t, err)
	began := time.Now()
	for i := range n {
		require.NoError(t, r.Cycle(Moments()[i%len(Moments())]), "kill %d", i)
	}
	rep, err := r.Settle(time.Minute)
	require.NoError(t, err)
	fmt.Printf("%s, %v: %s\n", mode, time.Since(began).Round(time.Second), r.Line(rep))
	require.Empty(t, rep.Violations)
	require.Equal(t, rep.Committed, rep.Found)
	require.Positive(t, rep.RolledBack)
	require.Positive(t, rep.LeftOpen)
}
