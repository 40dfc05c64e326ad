package clients

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/cluster"
	"github.com/merlinmq/merlin/conformance/reference"
	"github.com/merlinmq/merlin/conformance/report"
	"github.com/merlinmq/merlin/conformance/suite"
)

// Every promise of the suite holds on Merlin and on the Java servers, as the
// Go client sees it. MERLIN_CASE is a regular expression of the cases to run.
func TestGoClient(t *testing.T) {
	t.Parallel() // with the admin tool, which has clusters of its own; the Java clients come before
	match := regexp.MustCompile(os.Getenv("MERLIN_CASE"))
	forEach(t, func(t *testing.T, c cluster.Cluster) {
		results, err := suite.Run(context.Background(), suite.Options{NameServer: c.NameServer(), Control: c, Match: match, Parallel: 12})
		require.NoError(t, err)
		require.NotEmpty(t, results, "no case has a name that matches %q", match)
		reportResults(t, results)
	})
}

// The cases for brokers with other settings than the stock ones, on clusters of
// their own.
func TestGoClient_TunedBrokers(t *testing.T) {
	t.Parallel()
	match := regexp.MustCompile(os.Getenv("MERLIN_CASE"))
	for _, k := range cluster.Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			c := k.StartT(t, cluster.Options{BrokerConf: suite.Tuning()})
			results, err := suite.Run(context.Background(), suite.Options{NameServer: c.NameServer(), Cases: suite.TunedCases(), Match: match})
			require.NoError(t, err)
			reportResults(t, results)
		})
	}
}

// reportResults makes a subtest of each result.
func reportResults(t *testing.T, results []suite.Result) {
	var rows []report.Row
	for _, r := range results {
		rows = append(rows, report.Row{Case: r.Case.Name, Promise: r.Case.Promise, Status: r.Status, Reason: r.Reason, Log: r.Log, Took: r.Duration})
	}
	reportRows(t, rows)
}

// reportRows makes a subtest of each row.
func reportRows(t *testing.T, rows []report.Row) {
	for _, r := range rows {
		t.Run(r.Case, func(t *testing.T) {
			t.Logf("%s: %s (%v)", r.Status, r.Promise, r.Took.Round(time.Millisecond))
			switch r.Status {
			case suite.Passed:
			case suite.Failed:
				t.Errorf("%s\n%s", r.Reason, strings.Join(r.Log, "\n"))
			default:
				reference.Skip(t, "%s: %s", r.Status, r.Reason)
			}
		})
	}
}

// The table of cases is well formed: names are unique, areas known, promises
// are sentences.
func TestCases_AreWellFormed(t *testing.T) {
	name := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	seen := map[string]bool{}
	for _, c := range allGoCases() {
		require.Regexp(t, name, c.Name)
		require.False(t, seen[c.Name], "two cases are called %s", c.Name)
		seen[c.Name] = true
		require.Contains(t, suite.Areas(), c.Area, c.Name)
		require.Regexp(t, `^[A-Z].*\.$`, c.Promise, c.Name)
		require.NotNil(t, c.Run, c.Name)
	}
}

// allGoCases are those for any broker and those that only a tuned one can show.
func allGoCases() []suite.Case {
	all := suite.Cases()
	stock := len(all)
	for _, c := range suite.TunedCases() {
		if !slices.ContainsFunc(all[:stock], func(s suite.Case) bool { return s.Name == c.Name }) {
			all = append(all, c)
		}
	}
	return all
}
