package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/merlinmq/merlin/conformance/probe"
	"github.com/merlinmq/merlin/conformance/suite"
)

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// status is what a table shows of a row.
func status(r *Row) string {
	if r == nil {
		return "-"
	}
	return string(r.Status)
}

// WriteText writes a table of the cases by area with a column for each cluster,
// then what differs, what is otherwise on purpose, what failed and what does not
// apply.
func WriteText(w io.Writer, r *Report) error {
	p := &printer{w: w}
	lines := r.Lines()
	p.printf("%-12s %-11s %-44s", "area", "suite", "case")
	for _, c := range r.columns() {
		p.printf(" %-21s", c.NameServer)
	}
	p.printf("\n")
	for i := range lines {
		row := lines[i].Row()
		p.printf("%-12s %-11s %-44s %-21s", row.Area, row.Suite, row.Title(), status(lines[i].Tested))
		if r.Reference != nil {
			p.printf(" %-21s", status(lines[i].Reference))
		}
		switch v := lines[i].Verdict(); {
		case v == Differs || v == suite.OnPurpose:
			p.printf(" %s", v)
		case lines[i].differs():
			p.printf(" %s", Differs)
		}
		p.printf("\n")
	}
	p.differences(r, lines)
	p.purposes(lines)
	for _, c := range r.columns() {
		p.column(r, c)
	}
	p.printf("\n%s\n", verdict(r))
	return p.err
}

// headline says in a sentence how the whole run ended.
func headline(r *Report) string {
	switch r.Outcome() {
	case SomeFailed:
		return "There are failed cases or differences"
	case NothingTested:
		return "Nothing was tested: no case applied to this cluster, or all were skipped"
	}
	if r.Reference != nil {
		return "Everything that applies passed, and nothing differs from the reference but on purpose"
	}
	return "Everything that applies passed"
}

// verdict is the report in two sentences.
func verdict(r *Report) string { return fmt.Sprintf("%s. %s.", sums(r), headline(r)) }

// sums are the counts of all clusters.
func sums(r *Report) string {
	text := fmt.Sprintf("%s: %s", r.Tested.NameServer, counts(r, r.Tested))
	if r.Reference != nil {
		text += fmt.Sprintf("; reference %s: %s", r.Reference.NameServer, counts(r, r.Reference))
	}
	return text
}

// words are the verdicts as they stand behind a number.
var words = map[suite.Status]string{suite.Passed: "passed", suite.Failed: "failed", Differs: "differ", suite.OnPurpose: "otherwise on purpose",
	suite.NotApplicable: "not applicable", suite.Skipped: "skipped"}

func counts(r *Report, c *Column) string {
	n := r.Counts(c)
	var parts []string
	for _, v := range Verdicts() {
		if v != Differs || c == r.Tested { // a reference differs from nothing
			parts = append(parts, fmt.Sprintf("%d %s", n[v], words[v]))
		}
	}
	return strings.Join(parts, ", ")
}

type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// indented writes text, each line after the first under the beginning.
func (p *printer) indented(label, text string) {
	pad := strings.Repeat(" ", len(label))
	p.printf("%s%s\n", label, strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n"+pad))
}

func (p *printer) differences(r *Report, lines []Line) {
	first := true
	for i := range lines {
		l := &lines[i]
		if !l.differs() {
			continue
		}
		if first {
			p.printf("\nDifferences (expected is what %s)\n", expectation(r))
			first = false
		}
		p.printf("  %s %s: %s\n", l.Row().Suite, l.Row().Title(), l.Row().Promise)
		for _, d := range l.Differences {
			p.indented("    "+d.Field+" expected ", d.Expected)
			p.indented("    "+d.Field+" seen     ", d.Seen)
			if d.OnPurpose != "" {
				p.printf("      on purpose: %s\n", d.OnPurpose)
			}
			p.printf("      means: %s\n", d.Means)
		}
	}
}

// purposes lists what is otherwise on purpose, by reason.
func (p *printer) purposes(lines []Line) {
	for i, g := range purposes(lines) {
		if i == 0 {
			p.printf("\nOtherwise than Java on purpose\n")
		}
		p.printf("  %s\n", g.Reason)
		if g.Means != "" {
			p.printf("    for an application: %s\n", g.Means)
		}
		p.printf("    %s\n", shortened(g.Cases))
	}
}

// purposes groups the lines that are otherwise on purpose.
func purposes(lines []Line) []group {
	var out []group
	for i := range lines {
		l := &lines[i]
		if l.Verdict() != suite.OnPurpose {
			continue
		}
		why, means := l.purpose()
		k := slices.IndexFunc(out, func(g group) bool { return g.Reason == why })
		if k < 0 {
			k = len(out)
			out = append(out, group{Reason: why, Means: means})
		}
		out[k].Cases = append(out[k].Cases, l.Row().Suite+" "+l.Row().Title())
	}
	return out
}

// expectation says whose answers the expected ones are.
func expectation(r *Report) string {
	if r.Reference != nil {
		return "the reference " + r.Reference.NameServer + " did"
	}
	return "Java servers 5.3.3 were recorded to answer"
}

// column writes what one cluster's column has besides passes.
func (p *printer) column(r *Report, c *Column) {
	role := "under test"
	if c == r.Reference {
		role = "reference"
	}
	p.printf("\n%s, %s, %s: %s\n", c.NameServer, role, c.Server, counts(r, c))
	if len(c.Brokers) > 1 {
		p.printf("  brokers: %s\n", strings.Join(c.Brokers, ", "))
	}
	if n, distinct := behaviours(c); n > 0 {
		p.printf("  the %d wire cases that were answered show %d distinct behaviours (a request code that is answered in one way counts once)\n", n, distinct)
	}
	for _, n := range c.Notes {
		p.printf("  note: %s\n", n)
	}
	for _, l := range c.Left {
		p.printf("  left behind: %s\n    to remove it: %s\n", l.What, l.Remove)
	}
	for i := range c.Rows {
		if row := &c.Rows[i]; row.Status == suite.Failed {
			p.indented(fmt.Sprintf("  fail %s %s: ", row.Suite, row.Title()), row.Reason)
			p.printf("    promised: %s\n", row.Promise)
			for _, l := range row.Log {
				p.indented("    ", l)
			}
		}
	}
	for _, s := range []suite.Status{suite.NotApplicable, suite.Skipped} {
		p.reasons(c, s)
	}
}

// reasons lists the rows of a status by reason.
func (p *printer) reasons(c *Column, s suite.Status) {
	for _, g := range grouped(c, s) {
		p.printf("  %s: %s\n    %s\n", s, g.Reason, shortened(g.Cases))
	}
}

// shortened joins names; the table above has them all.
func shortened(names []string) string {
	const shown = 12
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}

// group is the cases that share a reason, and what it means for an application.
type group struct {
	Reason, Means string
	Cases         []string
}

func grouped(c *Column, s suite.Status) []group {
	var out []group
	at := map[string]int{}
	for i := range c.Rows {
		row := &c.Rows[i]
		if row.Status != s {
			continue
		}
		k, ok := at[row.Reason]
		if !ok {
			k = len(out)
			at[row.Reason] = k
			out = append(out, group{Reason: row.Reason})
		}
		out[k].Cases = append(out[k].Cases, row.Suite+" "+row.Title())
	}
	return out
}

type jsonCluster struct {
	NameServer string         `json:"nameServer"`
	Role       string         `json:"role"` // "under test" or "reference"
	Server     string         `json:"server"`
	Brokers    []string       `json:"brokers,omitempty"`
	Notes      []string       `json:"notes,omitempty"`
	Left       []probe.Left   `json:"left,omitempty"`
	Counts     map[string]int `json:"counts"`
	// WireCases are those that were answered, Behaviours what they tell apart.
	WireCases  int `json:"wireCases"`
	Behaviours int `json:"behaviours"`
}

type jsonResult struct {
	Status suite.Status `json:"status"`
	Reason string       `json:"reason,omitempty"`
	Log    []string     `json:"log,omitempty"`
	Seen   []string     `json:"seen,omitempty"`
	Millis int64        `json:"millis"`
}

type jsonCase struct {
	Suite       string       `json:"suite"`
	Case        string       `json:"case"`
	Broker      string       `json:"broker,omitempty"`
	Verdict     suite.Status `json:"verdict"`
	Area        string       `json:"area"`
	Promise     string       `json:"promise"`
	Tested      *jsonResult  `json:"tested,omitempty"`
	Reference   *jsonResult  `json:"reference,omitempty"`
	Differences []Difference `json:"differences,omitempty"`
}

type jsonReport struct {
	Passed   bool          `json:"passed"`
	Outcome  Outcome       `json:"outcome"`
	Began    time.Time     `json:"began"`
	Millis   int64         `json:"millis"`
	Clusters []jsonCluster `json:"clusters"`
	Cases    []jsonCase    `json:"cases"`
}

// WriteJSON writes one object: the clusters, and the cases with what became of
// them on each.
func WriteJSON(w io.Writer, r *Report) error {
	out := jsonReport{Passed: r.Passed(), Outcome: r.Outcome(), Began: r.Began, Millis: r.Took.Milliseconds(), Cases: []jsonCase{}}
	for _, c := range r.columns() {
		k := jsonCluster{NameServer: c.NameServer, Role: "under test", Server: c.Server, Brokers: c.Brokers, Notes: c.Notes, Left: c.Left, Counts: map[string]int{}}
		k.WireCases, k.Behaviours = behaviours(c)
		n := r.Counts(c)
		if c == r.Reference {
			k.Role = "reference"
		}
		for _, v := range Verdicts() {
			k.Counts[string(v)] = n[v]
		}
		out.Clusters = append(out.Clusters, k)
	}
	for _, l := range r.Lines() {
		row := l.Row()
		out.Cases = append(out.Cases, jsonCase{Suite: row.Suite, Case: row.Case, Broker: row.Broker, Verdict: l.Verdict(), Area: row.Area, Promise: row.Promise,
			Tested: jsonOf(l.Tested), Reference: jsonOf(l.Reference), Differences: l.Differences})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}

func jsonOf(r *Row) *jsonResult {
	if r == nil {
		return nil
	}
	return &jsonResult{Status: r.Status, Reason: r.Reason, Log: r.Log, Seen: r.Seen, Millis: r.Took.Milliseconds()}
}
