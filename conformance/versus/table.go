package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// The table in the document stands between these lines.
const (
	beginMark = "<!-- bench-vs-java: begin -->"
	endMark   = "<!-- bench-vs-java: end -->"
)

// document is the table with what it was measured on.
func (c *comparison) document(now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s: %s. Go %s, Java %s, RocketMQ 5.3.3, Merlin %s.\n", now.UTC().Format("2006-01-02"), machine(),
		strings.TrimPrefix(runtime.Version(), "go"), javaVersion(), commit())
	fmt.Fprintf(&b, "%d rounds of %g s a sample after %v that do not count; the Java broker with the flags of runbroker.sh and -Xms%s -Xmx%s, warmed up for %v (half of it with SYNC_FLUSH).\n",
		c.done, c.seconds, c.warmup, c.heap, c.heap, c.javaWarmup)
	if c.rate > 0 {
		fmt.Fprintf(&b, "The open loop ran at %d/s. ", c.rate)
	}
	fmt.Fprintf(&b, "Bodies of 1 KiB, 8 queues unless said; medians with the lowest and the highest.\n\n    scripts/bench-vs-java %s\n\n", strings.Join(c.shown(), " "))
	b.WriteString("| work | Java | Merlin | limit | Merlin ÷ Java | goal | Merlin ÷ limit | goal |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range rows() {
		if line := c.line(r); line != "" {
			b.WriteString(line)
		}
	}
	b.WriteString(c.failures())
	for _, why := range c.broken {
		line, _, _ := strings.Cut(why, "\n")
		fmt.Fprintf(&b, "\nMissing: %s\n", line)
	}
	return b.String()
}

// shown are the arguments without those that depend on the machine.
func (c *comparison) shown() []string {
	var all []string
	for i := 0; i < len(c.args); i++ {
		if slices.Contains([]string{"-bin", "-dir", "-json"}, c.args[i]) {
			i++
			continue
		}
		a := c.args[i]
		if strings.ContainsAny(a, "|*$ ") {
			a = "'" + a + "'"
		}
		all = append(all, a)
	}
	return all
}

// line is one row, or nothing when Merlin has no sample of it.
func (c *comparison) line(r row) string {
	javaWork, javaOf := cmp.Or(r.javaWork, r.work), r.javaOf
	if javaOf == nil {
		javaOf = r.of
	}
	limitOn := cmp.Or(r.limitOn, r.work)
	j, m, l := spread(c.samples[java][javaWork], javaOf), spread(c.samples[merlin][r.work], r.of), spread(c.samples[limit][limitOn], r.of)
	if m == nil {
		return ""
	}
	cells := []string{r.title, j.cell(r.format), m.cell(r.format), l.cell(r.format)}
	cells = append(cells, versus(m, j, r.java)...)
	cells = append(cells, versus(m, l, r.limit)...)
	if r.alone != nil {
		cells[4], cells[5] = "–", judged(r.alone, m.median, "alone: ")
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// versus gives the ratio of two medians and what the goal says to it.
func versus(m, other *numbers, g *goal) []string {
	if other == nil || other.median == 0 {
		return []string{"–", "–"}
	}
	ratio := m.median / other.median
	if g == nil {
		return []string{small(ratio), "–"}
	}
	return []string{small(ratio), judged(g, ratio, "")}
}

func judged(g *goal, v float64, prefix string) string {
	if g.met(v) {
		return prefix + g.String() + " met"
	}
	return prefix + g.String() + " **not met**"
}

// failures lists the samples in which requests failed.
func (c *comparison) failures() string {
	var b strings.Builder
	for _, k := range []kind{java, merlin, limit} {
		for _, w := range works {
			for i, r := range c.samples[k][w.id] {
				if r.Report != nil && r.Failed > 0 {
					fmt.Fprintf(&b, "- %s, %s, round %d: %d of %d requests failed (%s)\n", k, w.title, i+1, r.Failed, r.Failed+r.Count, r.FirstErr)
				}
			}
		}
	}
	if b.Len() == 0 {
		return "\nNo request failed in any sample.\n"
	}
	return "\nFailed requests:\n\n" + b.String()
}

// numbers are those of one cell.
type numbers struct{ median, low, high float64 }

// spread takes a number of each sample; nil when there is none.
func spread(rs []*result, of func(*result) float64) *numbers {
	var all []float64
	for _, r := range rs {
		all = append(all, of(r))
	}
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	n := len(all)
	return &numbers{median: (all[(n-1)/2] + all[n/2]) / 2, low: all[0], high: all[n-1]}
}

func (n *numbers) cell(format func(float64) string) string {
	if n == nil {
		return "–"
	}
	return fmt.Sprintf("%s [%s–%s]", format(n.median), format(n.low), format(n.high))
}

// kilo writes a rate.
func kilo(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.2fM", v/1e6)
	case v >= 1e5:
		return fmt.Sprintf("%.0fk", v/1e3)
	}
	return fmt.Sprintf("%.1fk", v/1e3)
}

// small writes a number with about three digits.
func small(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// replace puts text between the marks of a document.
func replace(path, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	begin, end := bytes.Index(old, []byte(beginMark)), bytes.Index(old, []byte(endMark))
	if begin < 0 || end < begin {
		return fmt.Errorf("%s has no %q before a %q", path, beginMark, endMark)
	}
	var b bytes.Buffer
	b.Write(old[:begin+len(beginMark)])
	b.WriteString("\n" + text + "\n")
	b.Write(old[end:])
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// machine describes where it was measured.
func machine() string {
	model, memory := "unknown processor", ""
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
			}
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kib int64
		if _, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &kib); err == nil {
			memory = fmt.Sprintf(", %.0f GiB", float64(kib)/(1<<20))
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%d cores of %s%s, Linux %s, client and server on the same machine", runtime.NumCPU(), model, memory, strings.TrimSpace(string(kernel)))
}

// commit is that of the checkout in the current directory.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--exclude", "*").Output()
	if err != nil {
		return "of an unknown commit"
	}
	return string(bytes.TrimSpace(out))
}
