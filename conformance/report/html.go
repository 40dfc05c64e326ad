package report

import (
	_ "embed" // for the page
	"fmt"
	"html/template"
	"io"
	"slices"
	"time"

	"github.com/merlinmq/merlin/conformance/suite"
)

// page is the template of the whole document; styles are part of it, and it has
// no script.
//
//go:embed page.html.tmpl
var page string

type htmlArea struct {
	Name  string
	Lines []Line
	// Has lists the verdicts of its lines: its heading goes when none of them is
	// shown.
	Has []suite.Status
}

// htmlColumn is a cluster with how many of its lines have each verdict.
type htmlColumn struct {
	*Column
	Counts               map[suite.Status]int
	Total                int
	WireCases, Behaviour int
}

type htmlPage struct {
	Report   *Report
	Outcome  Outcome
	Headline string
	Verdict  string
	Expected string
	Columns  []htmlColumn
	Verdicts []suite.Status
	Areas    []htmlArea
	Groups   []htmlGroup
	Purposes []group
}

type htmlGroup struct {
	NameServer string
	Status     suite.Status
	group
}

// WriteHTML writes one page that stands alone: no scripts, and nothing that a
// browser would have to fetch. What servers said is escaped.
func WriteHTML(w io.Writer, r *Report) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"status":  status,
		"class":   class,
		"took":    func(d time.Duration) string { return d.Round(time.Millisecond).String() },
		"percent": func(n, of int) string { return fmt.Sprintf("%.2f%%", 100*float64(n)/float64(max(of, 1))) },
		"why":     func(l Line) string { why, _ := l.purpose(); return why },
	}).Parse(page)
	if err != nil {
		return err
	}
	lines := r.Lines()
	p := htmlPage{Report: r, Outcome: r.Outcome(), Headline: headline(r), Verdict: sums(r), Expected: expectation(r), Verdicts: Verdicts(), Purposes: purposes(lines)}
	for _, c := range r.columns() {
		h := htmlColumn{Column: c, Counts: r.Counts(c)}
		for _, n := range h.Counts {
			h.Total += n
		}
		h.WireCases, h.Behaviour = behaviours(c)
		p.Columns = append(p.Columns, h)
		for _, s := range []suite.Status{suite.NotApplicable, suite.Skipped} {
			for _, g := range grouped(c, s) {
				p.Groups = append(p.Groups, htmlGroup{c.NameServer, s, g})
			}
		}
	}
	for _, l := range lines {
		if n := len(p.Areas); n == 0 || p.Areas[n-1].Name != l.Row().Area {
			p.Areas = append(p.Areas, htmlArea{Name: l.Row().Area})
		}
		last := &p.Areas[len(p.Areas)-1]
		last.Lines = append(last.Lines, l)
		if v := l.Verdict(); !slices.Contains(last.Has, v) {
			last.Has = append(last.Has, v)
		}
	}
	return t.Execute(w, p)
}

// class is a status or verdict as a CSS class.
func class(s any) string {
	switch text := fmt.Sprint(s); text {
	case string(suite.NotApplicable):
		return "na"
	case string(suite.OnPurpose):
		return "purpose"
	case "-":
		return "skip"
	default:
		return text
	}
}
