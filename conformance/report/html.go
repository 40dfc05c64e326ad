package report

import (
	_ "embed" // for the page
	"fmt"
	"html/template"
	"io"
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
	Lines []htmlLine
}

type htmlLine struct {
	Line
	Verdict string
}

type htmlPage struct {
	Report   *Report
	Passed   bool
	Verdict  string
	Expected string
	Columns  []*Column
	Statuses []suite.Status
	Verdicts []string
	Count    map[string]int
	Areas    []htmlArea
	Groups   []htmlGroup
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
	}).Parse(page)
	if err != nil {
		return err
	}
	p := htmlPage{Report: r, Passed: r.Passed(), Verdict: verdict(r), Expected: expectation(r), Columns: r.columns(),
		Statuses: suite.Statuses(), Verdicts: []string{"pass", "fail", "differs", "na", "skip"}, Count: map[string]int{}}
	for _, l := range r.Lines() {
		h := htmlLine{Line: l, Verdict: lineVerdict(&l)}
		p.Count[h.Verdict]++
		if n := len(p.Areas); n == 0 || p.Areas[n-1].Name != l.Row().Area {
			p.Areas = append(p.Areas, htmlArea{Name: l.Row().Area})
		}
		last := &p.Areas[len(p.Areas)-1]
		last.Lines = append(last.Lines, h)
	}
	for _, c := range p.Columns {
		for _, s := range []suite.Status{suite.NotApplicable, suite.Skipped} {
			for _, g := range grouped(c, s) {
				p.Groups = append(p.Groups, htmlGroup{c.NameServer, s, g})
			}
		}
	}
	return t.Execute(w, p)
}

// class is a status as a CSS class.
func class(s any) string {
	text := fmt.Sprint(s)
	switch text {
	case string(suite.NotApplicable):
		return "na"
	case "-":
		return "skip"
	}
	return text
}

// lineVerdict is what a line is filtered by.
func lineVerdict(l *Line) string {
	switch {
	case l.Tested != nil && l.Tested.Status == suite.Failed:
		return "fail"
	case len(l.Differences) > 0:
		return "differs"
	case l.Bad():
		return "fail"
	}
	return class(l.Row().Status)
}
