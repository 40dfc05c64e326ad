package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Report is the outcome of one run. Latencies are in microseconds.
type Report struct {
	Work     string  `json:"work"`
	Broker   string  `json:"broker"`
	Count    int64   `json:"count"`
	Failed   int64   `json:"failed"`
	Seconds  float64 `json:"seconds"`
	Rate     float64 `json:"perSecond"`
	P50      int64   `json:"p50us"`
	P90      int64   `json:"p90us"`
	P99      int64   `json:"p99us"`
	P999     int64   `json:"p999us"`
	Max      int64   `json:"maxus"`
	Server   *Usage  `json:"server,omitempty"`
	FirstErr string  `json:"firstError,omitempty"`
}

// Usage is what the server's process took during the run.
type Usage struct {
	CPU      float64 `json:"cpuSeconds"`
	CPU100k  float64 `json:"cpuSecondsPer100k"`
	AnonMiB  int64   `json:"anonMiB"`
	FileMiB  int64   `json:"fileMiB"`
	ShmemMiB int64   `json:"shmemMiB"`
}

// clockTick is the unit of /proc/pid/stat, which Linux fixes for programs.
const clockTick = 100

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
		kib, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "RssAnon:":
			u.AnonMiB = kib >> 10
		case "RssFile:":
			u.FileMiB = kib >> 10
		case "RssShmem:":
			u.ShmemMiB = kib >> 10
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
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60_000_000, 3) }

// record adds a latency; what is out of range counts as the nearest that is in.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), 1), 60_000_000))
}

func (r *Report) latencies(h *hdrhistogram.Histogram) {
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
	row("failed", "%d", r.Failed)
	row("seconds", "%.2f", r.Seconds)
	row("messages/s", "%.0f", r.Rate)
	if r.Max > 0 {
		row("p50/p90/p99/p99.9/max", "%.3f / %.3f / %.3f / %.3f / %.3f ms", ms(r.P50), ms(r.P90), ms(r.P99), ms(r.P999), ms(r.Max))
	}
	if r.Server != nil {
		row("server CPU", "%.2f s, %.3f s per 100,000 messages", r.Server.CPU, r.Server.CPU100k)
		row("server memory", "%d MiB anonymous, %d MiB file, %d MiB shared", r.Server.AnonMiB, r.Server.FileMiB, r.Server.ShmemMiB)
	}
	if r.FirstErr != "" {
		row("first failure", "%s", r.FirstErr)
	}
	return nil
}

func ms(us int64) float64 { return float64(us) / 1000 }

// progress writes a line a second until stop is closed.
func progress(w io.Writer, count *atomic.Int64, stop <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last, began := int64(0), time.Now()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			n := count.Load()
			fmt.Fprintf(w, "%3.0f s  %9d messages  %8d/s\n", time.Since(began).Seconds(), n, n-last)
			last = n
		}
	}
}
