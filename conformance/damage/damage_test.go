package damage

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/cluster"
	"github.com/merlinmq/merlin/conformance/reference"
)

var (
	long    = flag.Bool("long", false, "every row of the matrix")
	seed    = flag.Uint64("seed", 1, "0: another one each time")
	only    = flag.String("rows", "", "a regular expression for the names of rows")
	strict  = flag.Bool("strict", false, "rows that are listed as pending fail as well")
	tableTo = flag.String("table", "", "a file that gets the table")
	java    = flag.Bool("java", false, "a Java broker 5.3.3 gets the same files: five to ten seconds a row")
	verbose = flag.Bool("lines", false, "the log's warnings of each row")
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

// images makes one store for each way to stop, and one of another broker.
func images(t *testing.T) (map[Stop]*Image, string) {
	t.Helper()
	cluster.Merlin().Need(t)
	dir := t.TempDir()
	stops := append(Stops(), Killed)
	imgs := make([]*Image, len(stops))
	errs := make([]error, len(stops))
	var wg sync.WaitGroup
	for i, stop := range stops {
		wg.Go(func() {
			name, s := "damage", *seed
			if i == len(Stops()) {
				name, s = "other", s+1
			}
			imgs[i], errs[i] = Make(cluster.Merlin(), filepath.Join(dir, fmt.Sprint(i)), name, stop, s)
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	out := map[Stop]*Image{}
	for i, stop := range Stops() {
		out[stop] = imgs[i]
	}
	return out, imgs[len(Stops())].Dir
}

// workers is how many brokers take the rows in turns.
const workers = 2

// TestMatrix: whatever is done to a file, messages whose bytes were not touched are
// there, nothing is given out twice, and a loss has its line.
func TestMatrix(t *testing.T) {
	began := time.Now()
	imgs, other := images(t)
	rows := chosen(t)
	verdicts := make([]*Verdict, len(rows))
	errs := make([]error, len(rows))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(workers, len(rows)) {
		b, err := NewBench(cluster.Merlin().StartT(t, cluster.Options{BrokerConf: conf()}))
		require.NoError(t, err)
		wg.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(rows); n = int(next.Add(1)) - 1 {
				img := imgs[rows[n].Stop]
				var o *Outcome
				if o, errs[n] = b.Run(img, other, rows[n], *seed); errs[n] == nil {
					verdicts[n] = Judge(rows[n], img.History, o)
				}
			}
		})
	}
	wg.Wait()
	count := [2]int{}
	for n, v := range verdicts {
		if err := errs[n]; err != nil {
			if !errors.Is(err, errNothing) {
				t.Errorf("seed %d: %v", *seed, err)
			}
			continue
		}
		report(t, v)
		count[min(len(v.Violations), 1)]++
	}
	if *java {
		beside(t, imgs, other, rows, verdicts)
	}
	text := Table(verdicts)
	if *tableTo != "" {
		require.NoError(t, os.WriteFile(*tableTo, []byte(text), 0o644))
	} else if *long {
		fmt.Print(text)
	}
	fmt.Printf("%d rows as they should be, %d not, in %v, seed %d\n", count[0], count[1], time.Since(began).Round(time.Second), *seed)
}

// beside gives the same damaged files to a Java broker and notes what becomes of
// them; nothing is demanded of it.
func beside(t *testing.T, imgs map[Stop]*Image, other string, rows []Row, verdicts []*Verdict) {
	t.Helper()
	b, err := NewBench(cluster.Mixed(cluster.Merlin(), cluster.Java(reference.V5)).StartT(t, cluster.Options{BrokerConf: conf()}))
	require.NoError(t, err)
	for n, row := range rows {
		if verdicts[n] == nil {
			continue
		}
		img := imgs[row.Stop]
		o, err := b.Run(img, other, row, *seed)
		if err != nil {
			verdicts[n].Beside = "?"
			t.Logf("Java, %v: %v", row, err)
			continue
		}
		verdicts[n].Beside = Judge(row, img.History, o).Outcome()
		fmt.Printf("Java 5.3.3, %v: %s\n", row, verdicts[n].Beside)
	}
}

// chosen are the rows that run.
func chosen(t *testing.T) []Row {
	re, err := regexp.Compile(*only)
	require.NoError(t, err)
	var out []Row
	for _, r := range Rows() {
		if re.MatchString(r.String()) && (*long || *only != "" || short(r)) {
			out = append(out, r)
		}
	}
	require.NotEmpty(t, out)
	return out
}

// short says whether a row belongs to the short form: all that is about messages,
// and of the small files those whose loss is the largest.
func short(r Row) bool {
	if r.Stop == AfterPause || r.Stop == Unsynced {
		return r.Kind == LogFirst && (r.Damage == FlipBody || r.Damage == ZeroAll) || r.Kind == LogLast && r.Damage == Truncate
	}
	if !r.Kind.json() {
		return true
	}
	switch r.Kind {
	case Topics, TopicsBoth, Offsets, GroupsBoth:
		return r.Damage == Truncate || r.Damage == ZeroAll || r.Damage == Delete
	}
	return r.Damage == Delete && r.Stop == Killed
}

// report fails the test for a row that is wrong and not listed, and for one that is
// listed and right.
func report(t *testing.T, v *Verdict) {
	name := v.Row.String()
	why, listed := pendingRow(name)
	if *verbose {
		fmt.Printf("%s (%s): %s\n\t%s\n", name, v.What, v.Outcome(), strings.Join(v.Said, "\n\t"))
	}
	switch {
	case len(v.Violations) == 0 && listed:
		if *verbose {
			fmt.Printf("NO LONGER PENDING: %s\n", name)
		}
	case len(v.Violations) == 0:
	case listed && !*strict:
		fmt.Printf("PENDING: %s (%s; %s): %s\n", name, v.What, why, strings.Join(v.Violations, "; "))
	default:
		t.Errorf("%s (%s), seed %d: %s; the log says: %s", name, v.What, *seed, strings.Join(v.Violations, "; "), strings.Join(v.Said, "\n"))
	}
}
