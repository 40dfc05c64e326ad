package report

import (
	"cmp"
	"slices"
	"time"

	"github.com/merlinmq/merlin/conformance/probe"
	"github.com/merlinmq/merlin/conformance/suite"
)

// Row is what became of one case of one suite on one cluster.
type Row struct {
	// Broker is the name of the broker set that it worked on, where the cluster has
	// several; else empty.
	Broker string
	// Suite is what ran the case: "go 2.1.2", "java 5.3.3", "java 4.9.8", "wire".
	Suite string
	// Case is unique within its suite; Area is one of suite.Areas; Promise is a
	// sentence.
	Case, Area, Promise string
	Status              suite.Status
	// Reason says why it failed, was skipped or does not apply.
	Reason string
	// Log is what the case did, in order; empty unless it failed.
	Log []string
	// Seen has the answers that a wire case got, as "field = value"; By is what the
	// server says that it is, Code the request code that the case is about.
	Seen []string
	By   string
	Code int32
	Took time.Duration

	recorded bool // the server is of the version that answers were recorded from
}

// Title is the case, with its broker where there are several.
func (r *Row) Title() string {
	if r.Broker == "" {
		return r.Case
	}
	return r.Case + "@" + r.Broker
}

// Column is what the suites saw on one cluster.
type Column struct {
	// NameServer is its address, Server the language and version of its brokers.
	NameServer, Server string
	// Brokers are the names of the broker sets that were looked at.
	Brokers []string
	// Notes are what a reader should know about the cluster: what is turned off.
	Notes []string
	// Left is what the run made and could not remove.
	Left []probe.Left
	Rows []Row
}

// Report is the outcome of a run.
type Report struct {
	// Tested is the cluster in question, Reference the one that it is compared
	// with, or nil.
	Tested, Reference *Column
	Began             time.Time
	Took              time.Duration
}

// Difference is one field of a case that is not as it was expected. The field
// "status" is how the case ended.
type Difference struct {
	Suite    string `json:"suite"`
	Case     string `json:"case"`
	Field    string `json:"field"`
	Expected string `json:"expected"`
	Seen     string `json:"seen"`
	// OnPurpose is empty, or says why Merlin answers otherwise than Java.
	OnPurpose string `json:"onPurpose,omitempty"`
	// Means is what it means for an application, in one sentence.
	Means string `json:"means"`
}

// Line is one case with what became of it on the clusters.
type Line struct {
	// Tested and Reference are nil where the case did not run there.
	Tested, Reference *Row
	Differences       []Difference
}

// Row is one of the two, the tested one first.
func (l *Line) Row() *Row { return cmp.Or(l.Tested, l.Reference) }

// Differs is the verdict on a line that differs, and not on purpose.
const Differs suite.Status = "differs"

// Verdicts lists the verdicts on lines in report order.
func Verdicts() []suite.Status {
	return []suite.Status{suite.Passed, suite.Failed, Differs, suite.OnPurpose, suite.NotApplicable, suite.Skipped}
}

// Verdict is what became of the line, of which every line has exactly one.
func (l *Line) Verdict() suite.Status {
	switch {
	case l.Tested != nil && l.Tested.Status == suite.Failed:
		return suite.Failed
	case l.differs():
		return Differs
	case l.Reference != nil && l.Reference.Status == suite.Failed:
		return suite.Failed
	case l.Tested == nil:
		return suite.Skipped
	case len(l.Differences) > 0:
		return suite.OnPurpose
	}
	return l.Tested.Status
}

// differs says that something differs that is not on purpose.
func (l *Line) differs() bool {
	return slices.ContainsFunc(l.Differences, func(d Difference) bool { return d.OnPurpose == "" })
}

// Bad says that the case failed somewhere, or differs and not on purpose.
func (l *Line) Bad() bool {
	v := l.Verdict()
	return v == suite.Failed || v == Differs
}

// purpose is why the case is otherwise on purpose, and what that means for an
// application.
func (l *Line) purpose() (why, means string) {
	for _, d := range l.Differences {
		if d.OnPurpose != "" {
			return d.OnPurpose, d.Means
		}
	}
	return l.Row().Reason, ""
}

// key is a case of a suite.
type key struct{ suite, name string }

// Lines merges the columns, ordered by area, then as the suites order them. A row
// of the reference belongs to the tested one of the same broker, or, where the
// reference has no broker of that name, its first belongs to all.
func (r *Report) Lines() []Line {
	var lines []Line
	reference := map[key][]*Row{}
	if r.Reference != nil {
		for i := range r.Reference.Rows {
			row := &r.Reference.Rows[i]
			k := key{row.Suite, row.Case}
			reference[k] = append(reference[k], row)
		}
	}
	taken := map[key]bool{}
	for i := range r.Tested.Rows {
		l := Line{Tested: &r.Tested.Rows[i]}
		k := key{l.Tested.Suite, l.Tested.Case}
		if rows := reference[k]; len(rows) > 0 {
			at := slices.IndexFunc(rows, func(o *Row) bool { return o.Broker == l.Tested.Broker })
			l.Reference, taken[k] = rows[max(at, 0)], true
			l.Differences = statusDifference(l.Tested, l.Reference)
		}
		l.Differences = append(l.Differences, r.wireDifferences(&l)...)
		lines = append(lines, l)
	}
	if r.Reference != nil {
		for i := range r.Reference.Rows {
			if row := &r.Reference.Rows[i]; !taken[key{row.Suite, row.Case}] {
				lines = append(lines, Line{Reference: row})
			}
		}
	}
	areas := suite.Areas()
	slices.SortStableFunc(lines, func(a, b Line) int {
		return cmp.Compare(slices.Index(areas, a.Row().Area), slices.Index(areas, b.Row().Area))
	})
	return lines
}

// statusDifference tells of a case that passes on one cluster and fails on the
// other. A case that did not run, or tells nothing, on one is none, and what is on
// purpose passes.
func statusDifference(tested, reference *Row) []Difference {
	failed := func(r *Row) bool { return r.Status == suite.Failed }
	if !tested.Status.Tested() || !reference.Status.Tested() || failed(tested) == failed(reference) {
		return nil
	}
	means := "What an application may rely on, by this promise, does not hold here: " + tested.Promise
	if failed(reference) {
		means = "The reference does not keep this promise; an application that works around it should be looked at: " + tested.Promise
	}
	return []Difference{{Suite: tested.Suite, Case: tested.Case, Field: "status", Expected: outcome(reference), Seen: outcome(tested), Means: means}}
}

func outcome(r *Row) string {
	if r.Reason == "" {
		return string(r.Status)
	}
	return string(r.Status) + ": " + r.Reason
}

// Outcome is what a report says as a whole.
type Outcome string

// The outcomes of a Report.
const (
	// AllPassed is a run in which something was tested, and nothing failed or
	// differs but on purpose.
	AllPassed Outcome = "passed"
	// SomeFailed is a run with failed cases or differences.
	SomeFailed Outcome = "failed"
	// NothingTested is a run that says nothing about the cluster: no case applied,
	// or all were skipped.
	NothingTested Outcome = "nothing tested"
)

// Outcome judges the whole report.
func (r *Report) Outcome() Outcome {
	lines := r.Lines()
	switch {
	case slices.ContainsFunc(lines, func(l Line) bool { return l.Bad() }):
		return SomeFailed
	case !slices.ContainsFunc(r.Tested.Rows, func(row Row) bool { return row.Status.Tested() }):
		return NothingTested
	}
	return AllPassed
}

// Passed says that something was tested, no case failed and nothing differs but
// on purpose.
func (r *Report) Passed() bool { return r.Outcome() == AllPassed }

// Counts returns how many lines have each verdict; for the reference, how its own
// rows ended.
func (r *Report) Counts(c *Column) map[suite.Status]int {
	n := map[suite.Status]int{}
	if c == r.Reference {
		for i := range c.Rows {
			n[c.Rows[i].Status]++
		}
		return n
	}
	for _, l := range r.Lines() {
		n[l.Verdict()]++
	}
	return n
}

// columns are the tested one and, where there is one, the reference.
func (r *Report) columns() []*Column {
	if r.Reference == nil {
		return []*Column{r.Tested}
	}
	return []*Column{r.Tested, r.Reference}
}
