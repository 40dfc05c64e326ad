package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/merlinmq/merlin/conformance/suite"
)

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Time     string       `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`
	Timestamp  string          `xml:"timestamp,attr"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`

	took      time.Duration
	onPurpose int
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Time    string        `xml:"time,attr"`
	Skipped *junitSkipped `xml:"skipped"`
	Failure *junitFailure `xml:"failure"`
	Error   *junitFailure `xml:"error"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitSkipped struct {
	Message string `xml:"message,attr"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes the XML that CI servers read: a test suite for each suite,
// the area as part of the class. A case fails when it failed on either cluster or
// differs; one that does not apply is skipped. JUnit has no word for "otherwise on
// purpose": such a case is skipped, too, with a message that begins so, and the
// suite's property onPurpose counts them. Where nothing was tested a test of that
// name is an error, so that no CI server shows green.
func WriteJUnit(w io.Writer, r *Report) error {
	out := junitSuites{Name: "RocketMQ conformance of " + r.Tested.NameServer, Time: seconds(r.Took)}
	at := map[string]int{}
	for _, l := range r.Lines() {
		name := l.Row().Suite
		k, ok := at[name]
		if !ok {
			k = len(out.Suites)
			at[name] = k
			out.Suites = append(out.Suites, junitSuite{Name: name, Timestamp: r.Began.UTC().Format("2006-01-02T15:04:05"), Properties: junitProperties(r)})
		}
		out.Suites[k].add(junitOf(&l), l.Row().Took)
		if l.Verdict() == suite.OnPurpose {
			out.Suites[k].onPurpose++
		}
	}
	if r.Outcome() == NothingTested {
		s := junitSuite{Name: "conformance", Timestamp: r.Began.UTC().Format("2006-01-02T15:04:05"), Properties: junitProperties(r)}
		s.add(junitCase{Name: "something-was-tested", Class: "conformance", Time: seconds(0),
			Error: &junitFailure{Message: headline(r), Type: string(NothingTested), Text: verdict(r)}}, 0)
		out.Suites = append(out.Suites, s)
	}
	for i := range out.Suites {
		s := &out.Suites[i]
		s.Properties = append(s.Properties, junitProperty{"onPurpose", strconv.Itoa(s.onPurpose)})
		out.Errors += s.Errors
		s.Time = seconds(s.took)
		out.Tests += s.Tests
		out.Failures += s.Failures
		out.Skipped += s.Skipped
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(out); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *junitSuite) add(c junitCase, took time.Duration) {
	s.Cases = append(s.Cases, c)
	s.Tests++
	s.took += took
	switch {
	case c.Error != nil:
		s.Errors++
	case c.Failure != nil:
		s.Failures++
	case c.Skipped != nil:
		s.Skipped++
	}
}

func junitProperties(r *Report) []junitProperty {
	p := []junitProperty{{"nameServer", r.Tested.NameServer}, {"server", r.Tested.Server}}
	if r.Reference != nil {
		p = append(p, junitProperty{"reference", r.Reference.NameServer}, junitProperty{"referenceServer", r.Reference.Server})
	}
	return p
}

func junitOf(l *Line) junitCase {
	row := l.Row()
	c := junitCase{Name: row.Title(), Class: "conformance." + strings.NewReplacer(" ", "_", ".", "_").Replace(row.Suite) + "." + row.Area,
		Time: seconds(row.Took), Out: row.Promise}
	switch l.Verdict() {
	case suite.Failed:
		reason := "on the reference: "
		if l.Tested != nil && l.Tested.Status == suite.Failed {
			reason, row = "", l.Tested
		} else {
			row = l.Reference
		}
		c.Failure = &junitFailure{Message: reason + firstLine(row.Reason), Type: "fail", Text: failureText(l)}
	case Differs:
		d := l.Differences[slices.IndexFunc(l.Differences, func(d Difference) bool { return d.OnPurpose == "" })]
		c.Failure = &junitFailure{Message: firstLine(fmt.Sprintf("%s: expected %s, seen %s", d.Field, d.Expected, d.Seen)), Type: "difference", Text: failureText(l)}
	case suite.OnPurpose:
		why, means := l.purpose()
		c.Skipped = &junitSkipped{Message: "on purpose: " + why}
		c.Out += "\n" + means
	case suite.Skipped, suite.NotApplicable:
		c.Skipped = &junitSkipped{Message: string(row.Status) + ": " + firstLine(row.Reason)}
	}
	return c
}

// failureText is all that is known about a bad line.
func failureText(l *Line) string {
	var b strings.Builder
	for _, row := range []*Row{l.Tested, l.Reference} {
		if row != nil && row.Status == suite.Failed {
			fmt.Fprintf(&b, "%s\n%s\n", row.Reason, strings.Join(row.Log, "\n"))
		}
	}
	for _, d := range l.Differences {
		fmt.Fprintf(&b, "%s\n  expected %s\n  seen     %s\n  means    %s\n", d.Field, d.Expected, d.Seen, d.Means)
	}
	return b.String()
}

func firstLine(s string) string {
	first, _, _ := strings.Cut(s, "\n")
	return first
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
