package disk

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/cluster"
	"github.com/merlinmq/merlin/conformance/reference"
)

var (
	long     = flag.Bool("long", false, "all hops, and more messages")
	seed     = flag.Uint64("seed", 1, "0: another one each time")
	strict   = flag.Bool("strict", false, "what is pending fails as well")
	route    = flag.String("hops", "", "other hops: 5, 4 or m, then s, k or b for stopped, killed or killed while sending, as in 5s,mk,4b")
	messages = flag.Int("messages", 150, "sent in a hop")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	code := m.Run()
	cluster.Clean()
	os.Exit(code)
}

var (
	merlin = cluster.Merlin()
	java5  = cluster.Java(reference.V5)
	java4  = cluster.Java(reference.V4)
)

// TestThereAndBack: a directory goes from Java to Merlin and back, and nothing on it
// changes that nobody changed.
func TestThereAndBack(t *testing.T) {
	reference.Need(t)
	hops, last := []Hop{{java5, Kill}, {merlin, Stop}, {java5, Stop}, {merlin, Kill}}, java5
	if *long {
		hops = []Hop{{java5, Stop}, {merlin, KillBusy}, {java4, KillBusy}, {merlin, Stop}, {java5, KillBusy}, {merlin, KillBusy},
			{java5, Stop}, {merlin, Stop}, {java4, Stop}, {merlin, Kill}}
	}
	if *route != "" {
		hops, last = hopsOf(t, *route), merlin
	}
	began := time.Now()
	c := cluster.Mixed(merlin, hops[0].Kind).StartT(t, cluster.Options{BrokerConf: Conf()})
	trip := NewTrip(c, *messages, *seed)
	trip.Timers = time.Hour
	if *long {
		trip.Timers = 30 * time.Second
	}
	if why := pending["zeros"]; why != "" && !*strict {
		fmt.Println("PENDING: no property has NUL bytes without -strict:", why)
		trip.NoZeros = true
	}
	for i, h := range hops {
		require.NoError(t, trip.Visit(h, i == 0))
		t.Logf("%s in %v", trip.name, time.Since(began).Round(time.Second))
	}
	require.NoError(t, trip.Arrive(last))
	fmt.Printf("%d hops, %d messages, %d keys asked for, %d lost by Java after a kill, %d delayed messages again after a kill, %d hurried by Java 4.9, %d problems, in %v, seed %d\n",
		len(hops), trip.ledger.Messages(), trip.Asked, trip.JavasLoss, trip.Again(), trip.Hurried(), len(trip.Problems), time.Since(began).Round(time.Second), *seed)
	for _, p := range trip.Problems {
		if why := pending[p.Kind]; why != "" && !*strict {
			fmt.Printf("PENDING: %v: %s\n", p, why)
			continue
		}
		t.Error(p)
	}
}

// hopsOf reads the flag.
func hopsOf(t *testing.T, text string) []Hop {
	kinds := map[byte]cluster.Kind{'5': java5, '4': java4, 'm': merlin}
	ends := map[byte]End{'s': Stop, 'k': Kill, 'b': KillBusy}
	var out []Hop
	for one := range strings.SplitSeq(text, ",") {
		require.Len(t, one, 2)
		require.Contains(t, kinds, one[0])
		require.Contains(t, ends, one[1])
		out = append(out, Hop{kinds[one[0]], ends[one[1]]})
	}
	return out
}
