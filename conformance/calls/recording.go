package calls

import (
	_ "embed" // for the recording
	"strings"

	"github.com/merlinmq/merlin/conformance/suite"
)

// recording is what the Java servers 5.3.3 answered, as Format writes it.
//
//go:embed testdata/java-5.3.3.txt
var recording string

// Recorded returns what the Java servers 5.3.3 were seen to answer, for
// comparing a cluster with them where none run.
func Recorded() []Result {
	var out []Result
	codes := map[string]int32{}
	for _, c := range cases(false) {
		codes[c.Name] = c.Code
	}
	for line := range strings.SplitSeq(recording, "\n") {
		switch {
		case strings.HasPrefix(line, "# "):
			out = append(out, Result{Name: line[2:], Code: codes[line[2:]], Status: suite.Passed})
		case line != "" && len(out) > 0:
			last := &out[len(out)-1]
			last.Seen = append(last.Seen, line)
		}
	}
	return out
}

// Format writes results as Recorded reads them.
func Format(results []Result) []byte {
	var b strings.Builder
	for _, r := range results {
		b.WriteString("# " + r.Name + "\n")
		for _, l := range r.Seen {
			b.WriteString(l + "\n")
		}
	}
	return []byte(b.String())
}

// expect fills in what made cases wait for: the recorded code, and the silence
// where Java does not answer.
func expect(cases []Case) {
	seen := map[string][]field{}
	for _, r := range Recorded() {
		seen[r.Name] = split(r.Seen)
	}
	for i := range cases {
		c := &cases[i]
		if c.want != recorded {
			continue
		}
		switch valueOf(seen[c.Name], "answer") {
		case absent:
			c.want = codeNumber(valueOf(seen[c.Name], "code"))
		case refusal:
			c.want = refused
		case "(none)":
			c.want, c.steps[0].silent = none, true
		default:
			c.want = closed
		}
	}
}
