package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Report is the outcome of one run. Latencies are in microseconds.
type Report struct {
	Work       string           `json:"work"`
	Broker     string           `json:"broker"`
	Settings   map[string]any   `json:"settings"`
	Count      int64            `json:"count"`        // what succeeded in the measured time
	Failed     int64            `json:"failed"`       // what did not, in the measured time
	FailedWarm int64            `json:"failedWarmup"` // what did not succeed before it
	Codes      map[string]int64 `json:"failures"`     // Failed by answer
	Seconds    float64          `json:"seconds"`
	Rate       float64          `json:"perSecond"`
	P50        int64            `json:"p50us"`
	P90        int64            `json:"p90us"`
	P99        int64            `json:"p99us"`
	P999       int64            `json:"p999us"`
	Max        int64            `json:"maxus"`
	Server     *Usage           `json:"server,omitempty"`
	Client     *Usage           `json:"client,omitempty"` // this process, where /proc tells
	Soak       *Soak            `json:"soak,omitempty"`
	FirstErr   string           `json:"firstError,omitempty"`

	h     *latencies
	marks []mark
}

// latencies is a histogram of microseconds.
type latencies = hdrhistogram.Histogram

// verdict is the error of a run that cannot be counted as a good one.
func (r *Report) verdict() error {
	switch {
	case r.Count == 0:
		return fmt.Errorf("bench: no message succeeded: %s", r.FirstErr)
	case r.Failed > 0:
		return fmt.Errorf("bench: %d failed, %d succeeded: %s", r.Failed, r.Count, r.FirstErr)
	}
	return nil
}

// Usage is what the server's process took during the run.
type Usage struct {
	CPU     float64 `json:"cpuSeconds"`
	CPU100k float64 `json:"cpuSecondsPer100k"`
	AnonMiB float64 `json:"anonMiB"`
	// PeakAnonMiB is the highest of several looks during the run.
	PeakAnonMiB float64 `json:"peakAnonMiB"`
	FileMiB     float64 `json:"fileMiB"`
	ShmemMiB    float64 `json:"shmemMiB"`
	Threads     int     `json:"threads"`
}

// clockTick is the unit of /proc/pid/stat, which Linux fixes for programs.
const clockTick = 100

// UsageOf reads CPU seconds so far and the memory now of a process.
func UsageOf(pid int) (*Usage, error) {
	u, err := usage(pid)
	if u == nil && err == nil {
		err = errors.New("bench: no process")
	}
	return u, err
}

// usage reads CPU seconds so far and the memory now from /proc.
func usage(pid int) (*Usage, error) {
	if pid == 0 {
		return nil, nil
	}
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return nil, fmt.Errorf("bench: -pid: %w", err)
	}
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return nil, fmt.Errorf("bench: -pid: %w", err)
	}
	return parseUsage(string(stat), string(status))
}

func parseUsage(stat, status string) (*Usage, error) {
	// The name of the program stands in brackets and may hold anything.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return nil, fmt.Errorf("bench: /proc stat is %q", stat)
	}
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	if err1 != nil || err2 != nil {
		return nil, fmt.Errorf("bench: /proc stat is %q", stat)
	}
	u := &Usage{CPU: (user + system) / clockTick}
	for line := range strings.Lines(status) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.ParseFloat(f[1], 64)
		switch f[0] {
		case "RssAnon:":
			u.AnonMiB = n / 1024
		case "RssFile:":
			u.FileMiB = n / 1024
		case "RssShmem:":
			u.ShmemMiB = n / 1024
		case "Threads:":
			u.Threads = int(n)
		}
	}
	return u, nil
}

// since turns a reading into what was used after an earlier one.
func (u *Usage) since(before *Usage, count int64) *Usage {
	if u == nil || before == nil {
		return nil
	}
	v := *u
	v.CPU -= before.CPU
	v.CPU100k = v.CPU / float64(max(count, 1)) * 100_000
	return &v
}

// newHistogram holds 1 µs to 1 min with three digits.
func newHistogram() *latencies { return hdrhistogram.New(1, 60_000_000, 3) }

// record adds a latency; what is out of range counts as the nearest that is in.
func record(h *latencies, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), 1), 60_000_000))
}

func (r *Report) quantiles(h *latencies) {
	if h.TotalCount() == 0 {
		return
	}
	r.P50, r.P90, r.P99 = h.ValueAtQuantile(50), h.ValueAtQuantile(90), h.ValueAtQuantile(99)
	r.P999, r.Max = h.ValueAtQuantile(99.9), h.Max()
}

// write prints the report as a table or as JSON.
func (r *Report) write(w io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-22s "+format+"\n", append([]any{name}, args...)...)
	}
	row("work", "%s", r.Work)
	row("broker", "%s", r.Broker)
	row("messages", "%d", r.Count)
	row("failed", "%d%s", r.Failed, r.why())
	row("seconds", "%.2f", r.Seconds)
	row("messages/s", "%.0f", r.Rate)
	if r.Max > 0 {
		row("p50/p90/p99/p99.9/max", "%.3f / %.3f / %.3f / %.3f / %.3f ms", ms(r.P50), ms(r.P90), ms(r.P99), ms(r.P999), ms(r.Max))
	}
	if r.Server != nil {
		row("server CPU", "%.2f s, %.3f s per 100,000 messages", r.Server.CPU, r.Server.CPU100k)
		row("server memory", "%.1f MiB anonymous, %.1f MiB file, %.1f MiB shared", r.Server.AnonMiB, r.Server.FileMiB, r.Server.ShmemMiB)
	}
	if r.Client != nil {
		row("client CPU", "%.2f s, %.3f s per 100,000 messages", r.Client.CPU, r.Client.CPU100k)
	}
	if r.Soak != nil {
		r.Soak.write(row)
	}
	if r.FirstErr != "" {
		row("first failure", "%s", r.FirstErr)
	}
	return nil
}

func ms(us int64) float64 { return float64(us) / 1000 }

// why lists the failures by answer, and those of the warm-up.
func (r *Report) why() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(r.Codes)) {
		parts = append(parts, fmt.Sprintf("%d %s", r.Codes[name], name))
	}
	if r.FailedWarm > 0 {
		parts = append(parts, fmt.Sprintf("%d more during the warm-up", r.FailedWarm))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// mark is the number of messages at a time since the start.
type mark struct {
	at    time.Duration
	total int64
}

const (
	markEvery     = 200 * time.Millisecond
	progressEvery = 5 // marks
	maxMarks      = 5000
)

// watchProgress writes a line a second and keeps the marks of the plot, until
// stop is closed.
func (b *bench) watchProgress(stop <-chan struct{}) {
	tick := time.NewTicker(markEvery)
	defer tick.Stop()
	began, last := time.Now(), mark{}
	for i := 1; ; i++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		now := mark{time.Since(began), b.total.Load()}
		if len(b.marks) < maxMarks {
			b.marks = append(b.marks, now)
		}
		if u, err := usage(b.pid); err == nil && u != nil {
			b.peak = max(b.peak, u.AnonMiB)
		}
		if i%progressEvery == 0 && b.work != "soak" {
			rate := float64(now.total-last.total) / (now.at - last.at).Seconds()
			fmt.Fprintf(b.errOut, "%3.0f s  %9d messages  %8.0f/s\n", now.at.Seconds(), now.total, rate)
			last = now
		}
	}
}
