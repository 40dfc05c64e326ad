package report

import (
	"cmp"
	"slices"
	"time"

	"github.com/merlinmq/merlin/conformance/suite"
)

// Row is what became of one case of one suite on one cluster.
type Row struct {
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
	// Seen has the answers that a wire case got, as "field = value".
	Seen []string
	Took time.Duration
}

// Column is what the suites saw on one cluster.
type Column struct {
	// NameServer is its address, Server the broker's language and version.
	NameServer, Server string
	// Notes are what a reader should know about the cluster: what is turned off.
	Notes []string
	Rows  []Row
}

// Count returns how many rows have the status.
func (c *Column) Count(s suite.Status) (n int) {
	for i := range c.Rows {
		if c.Rows[i].Status == s {
			n++
		}
	}
	return n
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
}

// Line is one case with what became of it on the clusters.
type Line struct {
	// Tested and Reference are nil where the case did not run there.
	Tested, Reference *Row
	Differences       []Difference
}

// Row is one of the two, the tested one first.
func (l *Line) Row() *Row { return cmp.Or(l.Tested, l.Reference) }

// Bad says that the case failed somewhere, or differs.
func (l *Line) Bad() bool {
	return len(l.Differences) > 0 || l.Tested != nil && l.Tested.Status == suite.Failed ||
		l.Reference != nil && l.Reference.Status == suite.Failed
}

type key struct{ suite, name string }

// Lines merges the columns, ordered by area, then as the suites order them.
func (r *Report) Lines() []Line {
	var lines []Line
	at := map[key]int{}
	for i := range r.Tested.Rows {
		row := &r.Tested.Rows[i]
		at[key{row.Suite, row.Case}] = len(lines)
		lines = append(lines, Line{Tested: row})
	}
	if r.Reference != nil {
		for i := range r.Reference.Rows {
			row := &r.Reference.Rows[i]
			if k, ok := at[key{row.Suite, row.Case}]; ok {
				lines[k].Reference = row
				lines[k].Differences = statusDifference(lines[k].Tested, row)
			} else {
				lines = append(lines, Line{Reference: row})
			}
		}
	}
	for _, d := range r.wireDifferences() {
		if k, ok := at[key{d.Suite, d.Case}]; ok {
			lines[k].Differences = append(lines[k].Differences, d)
		}
	}
	areas := suite.Areas()
	slices.SortStableFunc(lines, func(a, b Line) int {
		return cmp.Compare(slices.Index(areas, a.Row().Area), slices.Index(areas, b.Row().Area))
	})
	return lines
}

// statusDifference tells of a case that passes on one cluster and fails on the
// other. A case that did not run, or tells nothing, on one is none.
func statusDifference(tested, reference *Row) []Difference {
	verdict := func(s suite.Status) bool { return s == suite.Passed || s == suite.Failed }
	if tested.Status == reference.Status || !verdict(tested.Status) || !verdict(reference.Status) {
		return nil
	}
	return []Difference{{tested.Suite, tested.Case, "status", outcome(reference), outcome(tested)}}
}

func outcome(r *Row) string {
	if r.Reason == "" {
		return string(r.Status)
	}
	return string(r.Status) + ": " + r.Reason
}

// Passed says that no case failed and nothing differs.
func (r *Report) Passed() bool {
	lines := r.Lines()
	return !slices.ContainsFunc(lines, func(l Line) bool { return l.Bad() })
}

// columns are the tested one and, where there is one, the reference.
func (r *Report) columns() []*Column {
	if r.Reference == nil {
		return []*Column{r.Tested}
	}
	return []*Column{r.Tested, r.Reference}
}
