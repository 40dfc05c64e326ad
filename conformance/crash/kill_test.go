package crash

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/cluster"
)

var (
	syncKills  = flag.Int("sync", 12, "kills with SYNC_FLUSH")
	asyncKills = flag.Int("async", 6, "kills with ASYNC_FLUSH")
	seed       = flag.Uint64("seed", 0, "0: another one each time")
)

// life is after how many kills a rig begins with an empty store: every start is
// followed by two reads of everything.
const life = 25

func TestMain(m *testing.M) {
	code := m.Run()
	cluster.Clean()
	os.Exit(code)
}

// TestKill_SyncFlush: every acknowledged message is there after every start, once,
// at its offset and in order.
func TestKill_SyncFlush(t *testing.T) { kill(t, *syncKills, true) }

// TestKill_AsyncFlush: what the checkpoint says is flushed is there after every
// start, and so is everything as long as the machine lives.
func TestKill_AsyncFlush(t *testing.T) { kill(t, *asyncKills, false) }

func kill(t *testing.T, kills int, sync bool) {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	mode := "ASYNC_FLUSH"
	if sync {
		mode = "SYNC_FLUSH"
	}
	began := time.Now()
	var all Report
	for n := uint64(0); all.Kills < kills; n++ {
		one := run(t, Options{Sync: sync, Seed: s + n}, min(life, kills-all.Kills), all.Kills)
		all.Add(one)
		fmt.Printf("%s, %v: %v\n", mode, time.Since(began).Round(time.Second), one)
		for i, v := range one.Violations {
			if i == 20 {
				t.Errorf("… and %d more", len(one.Violations)-i)
				break
			}
			t.Errorf("seed %d: %v", s+n, v)
		}
		if t.Failed() {
			return
		}
	}
	fmt.Printf("%s, all, in %v, seed %d: %v\n", mode, time.Since(began).Round(time.Second), s, &all)
	require.Equal(t, all.Acked-all.Destroyed, all.Found)
}

// run kills one broker so many times; nth is the number of kills before it. Each
// third cycle does no damage, the others take turns in all kinds; in each fifth
// the broker is killed once more while it recovers.
func run(t *testing.T, o Options, kills, nth int) *Report {
	c := cluster.Merlin().StartT(t, cluster.Options{BrokerConf: o.BrokerConf()})
	defer func() { require.NoError(t, c.KillBroker()) }()
	r, err := NewRig(c, o)
	require.NoError(t, err)
	for n := nth; r.report.Kills < kills; n++ {
		var ds []Damage
		if n%3 != 0 {
			all := Damages()
			first := all[(n-n/3-1)%len(all)]
			ds = append(ds, first)
			second := all[(n*5+2)%len(all)]
			// A log whose tail is torn and that claims to be closed well is no
			// crash.
			if n%2 == 0 && !second.cuts() && second != first && second != NoAbort && (first != NoAbort) {
				ds = append(ds, second)
			}
		}
		require.NoError(t, r.Cycle(n%5 == 4 && r.report.Kills+1 < kills, ds...))
		if len(r.report.Violations) > 0 {
			t.Logf("cycle %d, damage %v, kills %d: %d violations", r.cycle, ds, r.report.Kills, len(r.report.Violations))
			return r.Report()
		}
	}
	require.NoError(t, r.Restart())
	return r.Report()
}
