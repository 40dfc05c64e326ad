package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/calls"
	"github.com/merlinmq/merlin/conformance/probe"
	"github.com/merlinmq/merlin/conformance/suite"
)

const hostile = "<script>alert(1)</script> \x00\x1b \"quoted\" & ]]> 消息"

// sample is a report with every status, a difference of status and one of a field.
func sample() *Report {
	return &Report{
		Began: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Took: time.Minute,
		Tested: &Column{NameServer: "127.0.0.1:1", Server: "JAVA V5_3_3", Notes: []string{"transactions: off"}, Rows: []Row{
			{Suite: "go 2.1.2", Case: "one", Area: suite.Send, Promise: "One.", Status: suite.Passed, Took: time.Second},
			{Suite: "go 2.1.2", Case: "two", Area: suite.Send, Promise: "Two.", Status: suite.Failed, Reason: hostile + "\nmore", Log: []string{"first " + hostile, "second"}},
			{Suite: "java 5.3.3", Case: "one", Area: suite.Consume, Promise: "Java one.", Status: suite.NotApplicable, Reason: "off"},
			{Suite: "wire", Case: "ask", Area: suite.Query, Promise: "Asked.", Status: suite.Passed, Seen: []string{"code = 0 SUCCESS", "body = " + hostile}},
			{Suite: "go 2.1.2", Case: "three", Area: suite.Errors, Promise: "Three.", Status: suite.Skipped, Reason: suite.Interrupted},
		}},
		Reference: &Column{NameServer: "127.0.0.1:2", Server: "JAVA V5_3_3", Rows: []Row{
			{Suite: "go 2.1.2", Case: "one", Area: suite.Send, Promise: "One.", Status: suite.Passed},
			{Suite: "go 2.1.2", Case: "two", Area: suite.Send, Promise: "Two.", Status: suite.Passed},
			{Suite: "java 5.3.3", Case: "one", Area: suite.Consume, Promise: "Java one.", Status: suite.Passed},
			{Suite: "wire", Case: "ask", Area: suite.Query, Promise: "Asked.", Status: suite.Passed, Seen: []string{"code = 0 SUCCESS", "body = {}"}},
			{Suite: "go 2.1.2", Case: "three", Area: suite.Errors, Promise: "Three.", Status: suite.Failed, Reason: "reference"},
		}},
	}
}

func TestLines_TellWhatDiffers(t *testing.T) {
	r := sample()
	lines := r.Lines()
	require.Len(t, lines, 5)
	require.Empty(t, lines[0].Differences)
	require.Equal(t, []Difference{{Suite: "go 2.1.2", Case: "two", Field: "status", Expected: "pass", Seen: "fail: " + hostile + "\nmore",
		Means: "What an application may rely on, by this promise, does not hold here: Two."}}, lines[1].Differences)
	require.Empty(t, lines[2].Differences, "n/a tells nothing")
	require.Len(t, lines[3].Differences, 1)
	require.Equal(t, []string{"body", "{}", hostile, ""}, []string{lines[3].Differences[0].Field, lines[3].Differences[0].Expected, lines[3].Differences[0].Seen, lines[3].Differences[0].OnPurpose})
	require.NotEmpty(t, lines[3].Differences[0].Means)
	require.Empty(t, lines[4].Differences, "what did not run tells nothing")
	require.True(t, lines[4].Bad(), "it failed on the reference")
	require.False(t, r.Passed())
	r.Reference, r.Tested.Rows = nil, r.Tested.Rows[:1]
	require.True(t, r.Passed())
}

func TestWriteText_HasBothColumnsAndReasons(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, WriteText(&b, sample()))
	text := b.String()
	require.Regexp(t, `(?m)^send +go 2\.1\.2 +two +fail +pass +differs$`, text)
	require.Regexp(t, `(?m)^consume +java 5\.3\.3 +one +n/a +pass *$`, text)
	require.Contains(t, text, "body expected {}")
	require.Contains(t, text, "note: transactions: off")
	require.Contains(t, text, "promised: Two.")
	require.Contains(t, text, "    second\n")
	require.Contains(t, text, "127.0.0.1:1: 1 passed, 2 failed, 1 differ, 0 otherwise on purpose, 1 not applicable, 0 skipped; "+
		"reference 127.0.0.1:2: 4 passed, 1 failed, 0 otherwise on purpose, 0 not applicable, 0 skipped. There are failed cases or differences.")
	require.Contains(t, text, "the 1 wire cases that were answered show 1 distinct behaviours")
}

func TestWriteJSON_HasEverything(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, WriteJSON(&b, sample()))
	var got jsonReport
	require.NoError(t, json.Unmarshal(b.Bytes(), &got))
	require.False(t, got.Passed)
	require.Len(t, got.Clusters, 2)
	require.Equal(t, map[string]int{"pass": 1, "fail": 2, "differs": 1, "on purpose": 0, "n/a": 1, "skip": 0}, got.Clusters[0].Counts)
	require.Equal(t, SomeFailed, got.Outcome)
	require.Len(t, got.Cases, 5)
	require.Equal(t, suite.Failed, got.Cases[1].Tested.Status)
	require.Equal(t, suite.Passed, got.Cases[1].Reference.Status)
	require.Equal(t, "{}", got.Cases[3].Differences[0].Expected)
}

// The counts of a suite are those of its cases, and nothing that a server said
// makes the file unreadable.
func TestWriteJUnit_IsWellFormed(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, WriteJUnit(&b, sample()))
	require.NotContains(t, b.String(), "<script>")
	var got junitSuites
	require.NoError(t, xml.Unmarshal(b.Bytes(), &got))
	require.Equal(t, []int{5, 3, 1}, []int{got.Tests, got.Failures, got.Skipped})
	for _, s := range got.Suites {
		failures, skipped := 0, 0
		for _, c := range s.Cases {
			if c.Failure != nil {
				failures++
				require.NotEmpty(t, c.Failure.Text, c.Name)
			}
			if c.Skipped != nil {
				skipped++
			}
		}
		require.Equal(t, []int{len(s.Cases), failures, skipped}, []int{s.Tests, s.Failures, s.Skipped}, s.Name)
	}
	require.Equal(t, "2026-01-02T03:04:05", got.Suites[0].Timestamp)
}

// The page needs nothing from outside, has no script, and escapes what servers
// said.
func TestWriteHTML_StandsAlone(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, WriteHTML(&b, sample()))
	page := b.String()
	require.NotRegexp(t, regexp.MustCompile(`(?i)<script|https?://|<link|<img|@import|url\(`), page)
	require.Contains(t, page, "&lt;script&gt;alert(1)&lt;/script&gt;")
	require.NotContains(t, page, "ZgotmplZ", "a value that the template refused")
	require.Equal(t, 5, strings.Count(page, `<tr class="case `))
	for _, id := range regexp.MustCompile(`for="(show-[a-z]+)"`).FindAllStringSubmatch(page, -1) {
		require.Contains(t, page, `id="`+id[1]+`"`)
	}
}

// purposeful is a report with a line of every verdict, and areas with lines of one.
func purposeful() *Report {
	r := sample()
	k := calls.Known()[0]
	r.Tested.Rows = append(r.Tested.Rows, Row{Suite: "wire", Case: k.Case, Area: suite.Retry, Promise: "Known.", Status: suite.OnPurpose, Reason: k.Known, By: "Merlin",
		Seen: []string{k.Field + " = " + k.Seen}})
	r.Reference.Rows = append(r.Reference.Rows, Row{Suite: "wire", Case: k.Case, Area: suite.Retry, Promise: "Known.", Status: suite.Passed,
		Seen: []string{k.Field + " = " + k.Expected}})
	return r
}

// The filter of the page counts what its summary, the text and the JSON count,
// and there are as many rows of each verdict.
func TestCounts_Agree(t *testing.T) {
	r := purposeful()
	var page, text, object bytes.Buffer
	require.NoError(t, WriteHTML(&page, r))
	require.NoError(t, WriteText(&text, r))
	require.NoError(t, WriteJSON(&object, r))
	var j jsonReport
	require.NoError(t, json.Unmarshal(object.Bytes(), &j))
	summary := regexp.MustCompile(`data-name="([^"]+)">(\d+)</td>`).FindAllStringSubmatch(page.String(), len(Verdicts()))
	require.Len(t, summary, len(Verdicts()))
	total := 0
	for i, v := range Verdicts() {
		filter := regexp.MustCompile(`for="show-` + class(v) + `">` + regexp.QuoteMeta(string(v)) + ` (\d+)</label>`).FindStringSubmatch(page.String())
		require.NotNil(t, filter, v)
		n := strings.Count(page.String(), `<tr class="case `+class(v)+`"`)
		require.Equal(t, strconv.Itoa(n), filter[1], v)
		require.Equal(t, []string{string(v), filter[1]}, summary[i][1:], v)
		require.Equal(t, n, j.Clusters[0].Counts[string(v)], v)
		require.Contains(t, text.String(), filter[1]+" "+words[v])
		total += n
	}
	require.Equal(t, len(r.Lines()), total, "every line has one verdict")
}

// Each verdict has a colour, in the bar and as a badge, and an area is shown only
// while one of its verdicts is.
func TestWriteHTML_ColoursAndHeadings(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, WriteHTML(&b, purposeful()))
	page := b.String()
	for _, v := range Verdicts() {
		require.Contains(t, page, ".badge."+class(v)+" {", v)
		require.Contains(t, page, ".bar ."+class(v)+" {", v)
		require.Contains(t, page, `#show-`+class(v)+`:checked ~ table tbody.area.has-`+class(v))
	}
	require.Contains(t, page, "tbody.area { display: none; }")
	require.Contains(t, page, `<tbody class="area has-purpose">`)
	require.Contains(t, page, `<tbody class="area has-pass has-fail">`)
	require.Contains(t, page, calls.Known()[0].Means)
}

// What is otherwise on purpose is in every form of the report, does not fail it,
// and is no pass.
func TestOnPurpose(t *testing.T) {
	k := calls.Known()[0]
	r := purposeful()
	r.Tested.Rows, r.Reference.Rows = r.Tested.Rows[len(r.Tested.Rows)-1:], r.Reference.Rows[len(r.Reference.Rows)-1:]
	require.Equal(t, AllPassed, r.Outcome())
	require.Equal(t, map[suite.Status]int{suite.OnPurpose: 1}, r.Counts(r.Tested))
	var text, junit bytes.Buffer
	require.NoError(t, WriteText(&text, r))
	require.Contains(t, text.String(), "1 otherwise on purpose")
	require.Contains(t, text.String(), k.Known)
	require.Contains(t, text.String(), "for an application: "+k.Means)
	require.NoError(t, WriteJUnit(&junit, r))
	require.Contains(t, junit.String(), `<property name="onPurpose" value="1">`)
	require.Contains(t, junit.String(), `<skipped message="on purpose: `)
	// The same answers of a server that does not say that it is Merlin differ.
	r.Tested.Rows[0].By, r.Tested.Rows[0].Status = "", suite.Passed
	require.Equal(t, SomeFailed, r.Outcome())
}

// A run without a verdict on anything is no success in any form.
func TestNothingTested(t *testing.T) {
	r := sample()
	r.Reference = nil
	for i := range r.Tested.Rows {
		r.Tested.Rows[i].Status, r.Tested.Rows[i].Reason = []suite.Status{suite.NotApplicable, suite.Skipped}[i%2], "off"
	}
	require.Equal(t, NothingTested, r.Outcome())
	require.False(t, r.Passed())
	for _, write := range []func(io.Writer, *Report) error{WriteText, WriteHTML, WriteJUnit} {
		var b bytes.Buffer
		require.NoError(t, write(&b, r))
		require.Contains(t, b.String(), "Nothing was tested")
	}
	var b bytes.Buffer
	require.NoError(t, WriteJUnit(&b, r))
	var got junitSuites
	require.NoError(t, xml.Unmarshal(b.Bytes(), &got))
	require.Equal(t, 1, got.Errors, "a CI server must not show green")
	r.Tested.Rows = nil
	require.Equal(t, NothingTested, r.Outcome())
}

// What is left behind stands in text and page.
func TestLeft_IsPrinted(t *testing.T) {
	r := sample()
	r.Tested.Left = []probe.Left{{What: "topic conf-1-t on broker a", Remove: "mqadmin deleteTopic"}}
	for _, write := range []func(io.Writer, *Report) error{WriteText, WriteHTML, WriteJSON} {
		var b bytes.Buffer
		require.NoError(t, write(&b, r))
		require.Contains(t, b.String(), "topic conf-1-t on broker a")
		require.Contains(t, b.String(), "mqadmin deleteTopic")
	}
}

// The rows of a cluster of several brokers stand side by side; those of a
// reference with one broker belong to all of them.
func TestLines_SeveralBrokers(t *testing.T) {
	row := func(broker, status string) Row {
		return Row{Suite: "go 2.1.2", Case: "one", Area: suite.Send, Broker: broker, Promise: "One.", Status: suite.Status(status)}
	}
	r := &Report{Tested: &Column{Brokers: []string{"a", "b"}, Rows: []Row{row("a", "pass"), row("b", "fail")}},
		Reference: &Column{Brokers: []string{"x"}, Rows: []Row{row("", "pass")}}}
	lines := r.Lines()
	require.Len(t, lines, 2)
	require.Empty(t, lines[0].Differences)
	require.Len(t, lines[1].Differences, 1)
	require.Equal(t, "one@b", lines[1].Row().Title())
	var b bytes.Buffer
	require.NoError(t, WriteText(&b, r))
	require.Contains(t, b.String(), "brokers: a, b")
}
