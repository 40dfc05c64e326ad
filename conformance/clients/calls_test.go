package clients

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/calls"
	"github.com/merlinmq/merlin/conformance/cluster"
	"github.com/merlinmq/merlin/conformance/internal/document"
	"github.com/merlinmq/merlin/conformance/reference"
	"github.com/merlinmq/merlin/conformance/suite"
	"github.com/merlinmq/merlin/protocol"
)

// The Java servers answer every wire case as they were recorded to, and do so
// again. MERLIN_UPDATE=1 records what they answer.
func TestCalls_Java(t *testing.T) {
	t.Parallel()
	reference.Need(t)
	c := cluster.Java(reference.V5).StartT(t, fewThreads())
	if os.Getenv("MERLIN_UPDATE") == "1" {
		results := ask(t, c, calls.Options{Record: true})
		require.NoError(t, os.WriteFile(filepath.Join("..", "calls", "testdata", "java-5.3.3.txt"), calls.Format(results), 0o644))
		return
	}
	repeat(t, c)
}

// Merlin answers every wire case as the Java servers were recorded to, but for
// the known differences, which are all still there.
func TestCalls_Merlin(t *testing.T) {
	t.Parallel()
	c := cluster.Merlin().StartT(t, fewThreads())
	known := calls.Known()
	results := repeat(t, c)
	for _, k := range known {
		if i := slices.IndexFunc(results, func(r calls.Result) bool { return r.Name == k.Case }); i >= 0 {
			require.Equal(t, suite.OnPurpose, results[i].Status, k.Case)
			require.Equal(t, k.Seen, seen(&results[i], k.Field), "%s, %s: a known difference is gone (%s)", k.Case, k.Field, k.Known)
		} else {
			require.NotEmpty(t, os.Getenv("MERLIN_CASE"), "there is no case %s any more", k.Case)
		}
	}
}

// fewThreads keeps the Java broker small: each of its threads that stores a
// message keeps a buffer of the largest size.
func fewThreads() cluster.Options {
	return cluster.Options{BrokerConf: map[string]string{"adminBrokerThreadPoolNums": "4", "endTransactionThreadPoolNums": "4",
		"processReplyMessageThreadPoolNums": "4", "sendMessageThreadPoolNums": "4"}}
}

// repeat runs all cases, and twice more those that spoil nothing (all of them
// where MERLIN_CALLS_AGAIN is a regular expression that says so); what is seen
// must be as recorded each time. It returns the results of the first time.
func repeat(t *testing.T, c cluster.Cluster) []calls.Result {
	again := os.Getenv("MERLIN_CALLS_AGAIN")
	if again == "" {
		again = `^([^b]|b[^a]|ba[^d])`
	}
	var first []calls.Result
	for n, match := range []string{"", again, again} {
		results := ask(t, c, calls.Options{Match: regexp.MustCompile(match)})
		for i := range results {
			r := &results[i]
			require.Contains(t, []suite.Status{suite.Passed, suite.OnPurpose}, r.Status, "%s: %s\n%s", r.Name, r.Reason, strings.Join(r.Seen, "\n"))
			require.False(t, r.Status == suite.OnPurpose && r.By == "", "%s: nothing is excused of a Java server", r.Name)
		}
		require.Empty(t, calls.Unknown(calls.Compare(calls.Recorded(), results)), "what was answered the %d. time is not what Java was recorded to answer", n+1)
		if n == 0 {
			first = results
		}
	}
	return first
}

// ask runs cases against a cluster of the test's own. MERLIN_CASE is a regular
// expression of the cases to run.
func ask(t *testing.T, c cluster.Cluster, o calls.Options) []calls.Result {
	t.Helper()
	o.NameServer, o.Own = c.NameServer(), true
	if m := os.Getenv("MERLIN_CASE"); m != "" {
		o.Match = regexp.MustCompile(m)
	}
	results, err := calls.Run(context.Background(), o)
	require.NoError(t, err)
	require.True(t, len(results) > 0 || os.Getenv("MERLIN_CASE") != "", "no case was run")
	return results
}

// seen is the value of a field of a result.
func seen(r *calls.Result, field string) string {
	for _, line := range r.Seen {
		if v, ok := strings.CutPrefix(line, field+" = "); ok {
			return v
		}
	}
	return "(absent)"
}

// The table of wire cases is well formed, each case was recorded, and each known
// difference is one of them.
func TestCalls_AreWellFormed(t *testing.T) {
	recorded := map[string]bool{}
	for _, r := range calls.Recorded() {
		recorded[r.Name] = true
	}
	name := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	names := map[string]bool{}
	for _, c := range calls.Cases() {
		require.Regexp(t, name, c.Name)
		require.False(t, names[c.Name], "two cases are called %s", c.Name)
		names[c.Name] = true
		require.Contains(t, suite.Areas(), c.Area, c.Name)
		require.Regexp(t, `^[A-Z].*\.$`, c.Promise, c.Name)
		require.True(t, recorded[c.Name], "%s was not recorded: run TestCalls_Java with MERLIN_UPDATE=1", c.Name)
	}
	require.Len(t, names, len(recorded), "the recording has cases that are gone")
	promises := map[string]string{}
	for _, c := range calls.Cases() {
		promises[c.Name] = c.Promise
	}
	for _, k := range calls.Known() {
		require.True(t, names[k.Case], k.Case)
		require.Regexp(t, `^[A-Z].*\.$`, k.Known)
		require.Regexp(t, `^[A-Z].*\.$`, k.Means, k.Case)
		// Merlin does not do what the case says: it must say whose behaviour that is.
		require.Contains(t, promises[k.Case], "Java 5.3.3", k.Case)
	}
}

// Every request code that a name server or a broker serves, to applications or
// to tools, has a case.
func TestCalls_CoverEveryCode(t *testing.T) {
	skipped, err := os.ReadFile(filepath.Join("..", "..", "docs", "SKIPPED.md"))
	require.NoError(t, err)
	covered := map[int32]bool{}
	for _, c := range calls.Cases() {
		covered[c.Code] = true
	}
	n := 0
	for _, row := range protocol.Table() {
		if row.Server&(protocol.NameServer|protocol.Broker) == 0 || row.Direction&protocol.ToServer == 0 || row.Tier > 'C' ||
			strings.Contains(string(skipped), "| "+row.Name+" |") {
			continue
		}
		n++
		require.True(t, covered[int32(row.Code)], "no case is about %d %s", row.Code, row.Name)
	}
	require.Greater(t, n, 80)
}

// docs/CONFORMANCE.md counts the wire cases and what they tell apart.
// MERLIN_UPDATE=1 writes the table.
func TestCalls_StandInTheDocument(t *testing.T) {
	document.Holds(t, "wire cases", callTables())
}

func callTables() string {
	var b strings.Builder
	b.WriteString("\n| area | cases | of them with hostile arguments | distinct behaviours of Java |\n| --- | --- | --- | --- |\n")
	counts := map[string][2]int{}
	recorded := map[string]calls.Result{}
	for _, r := range calls.Recorded() {
		recorded[r.Name] = r
	}
	answers := map[string][]calls.Result{}
	for _, c := range calls.Cases() {
		for _, area := range []string{c.Area, "all"} {
			n := counts[area]
			n[0]++
			if strings.HasPrefix(c.Name, "bad-") {
				n[1]++
			}
			counts[area] = n
			answers[area] = append(answers[area], recorded[c.Name])
		}
	}
	for _, area := range append(suite.Areas(), "all") {
		if n := counts[area]; n[0] > 0 {
			fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", area, n[0], n[1], calls.Behaviours(answers[area]))
		}
	}
	b.WriteString("\n")
	return b.String()
}

// docs/DIFFERENCES.md has every known difference on the wire with its reason and
// what it means. MERLIN_UPDATE=1 writes the table.
func TestDifferences_StandInTheDocument(t *testing.T) {
	document.HoldsIn(t, "DIFFERENCES.md", "differences on the wire", differenceTable())
}

func differenceTable() string {
	var b strings.Builder
	b.WriteString("\n| cases | Java 5.3.3 | Merlin | why | for an application |\n| --- | --- | --- | --- | --- |\n")
	var order []calls.KnownDifference
	cases := map[string][]string{}
	for _, k := range calls.Known() {
		if cases[k.Known] == nil {
			order = append(order, k)
		}
		if name := "`" + k.Case + "`"; !slices.Contains(cases[k.Known], name) {
			cases[k.Known] = append(cases[k.Known], name)
		}
	}
	for _, k := range order {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", strings.Join(cases[k.Known], ", "), k.Java, k.Merlin, k.Why, k.Means)
	}
	b.WriteString("\n")
	return b.String()
}
