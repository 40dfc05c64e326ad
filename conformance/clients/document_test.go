package clients

import (
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/internal/document"
	javaclients "github.com/merlinmq/merlin/conformance/java"
	"github.com/merlinmq/merlin/conformance/suite"
)

// docs/CONFORMANCE.md has every case with its promise, and the counts by area.
// MERLIN_UPDATE=1 writes them.
func TestCases_StandInTheDocument(t *testing.T) {
	document.Holds(t, "cases", caseTables(t))
}

type row struct{ area, name, promise string }

func caseTables(t *testing.T) string {
	var inGo []row
	for _, c := range allGoCases() {
		inGo = append(inGo, row{c.Area, c.Name, c.Promise})
	}
	inJava := javaCases(t)
	var b strings.Builder
	fmt.Fprintf(&b, "\n| area | Go cases | Java cases |\n| --- | --- | --- |\n")
	for _, area := range suite.Areas() {
		fmt.Fprintf(&b, "| %s | %d | %d |\n", area, count(inGo, area), count(inJava, area))
	}
	fmt.Fprintf(&b, "| all | %d | %d |\n", len(inGo), len(inJava))
	section(&b, "Go client (rocketmq-client-go v2.1.2)", inGo)
	section(&b, "Java clients (4.9.8 and 5.3.3)", inJava)
	return b.String()
}

func count(rows []row, area string) (n int) {
	for _, r := range rows {
		if r.area == area {
			n++
		}
	}
	return n
}

func section(b *strings.Builder, title string, rows []row) {
	order := map[string]int{}
	for i, a := range suite.Areas() {
		order[a] = i
	}
	sort.SliceStable(rows, func(i, j int) bool { return order[rows[i].area] < order[rows[j].area] })
	fmt.Fprintf(b, "\n### %s\n\n| area | case | promise |\n| --- | --- | --- |\n", title)
	for _, r := range rows {
		fmt.Fprintf(b, "| %s | `%s` | %s |\n", r.area, r.name, r.promise)
	}
	b.WriteString("\n")
}

// javaCases are those of the newest client, which has all.
func javaCases(t *testing.T) []row {
	cases, err := javaclients.Cases(javaclients.V5)
	require.NoError(t, err)
	older, err := javaclients.Cases(javaclients.V4)
	require.NoError(t, err)
	require.Less(t, len(older), len(cases), "cases about calls that came with 5.x")
	seen := map[string]bool{}
	var rows []row
	for _, c := range cases {
		require.False(t, seen[c.Name], "two cases are called %s", c.Name)
		seen[c.Name] = true
		require.Contains(t, suite.Areas(), c.Area, c.Name)
		require.Regexp(t, `^[A-Z].*\.$`, c.Promise, c.Name)
		rows = append(rows, row{area: c.Area, name: c.Name, promise: c.Promise})
	}
	return rows
}
