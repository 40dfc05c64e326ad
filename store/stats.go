package store

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
)

// putBuckets are the 13 classes of put times (putMessageDistributeTime): the
// upper bound in ms, exclusive but for the first.
var putBuckets = [13]struct {
	below int64
	name  string
}{
	{1, "[<=0ms]"}, {10, "[0~10ms]"}, {50, "[10~50ms]"}, {100, "[50~100ms]"}, {200, "[100~200ms]"},
	{500, "[200~500ms]"}, {1000, "[500ms~1s]"}, {2000, "[1~2s]"}, {3000, "[2~3s]"}, {4000, "[3~4s]"},
	{5000, "[4~5s]"}, {10000, "[5~10s]"}, {math.MaxInt64, "[10s~]"},
}

// latencySteps are the finer classes of putLatency99: width in ms and number.
var latencySteps = [...][2]int64{{1, 20}, {2, 15}, {5, 10}, {10, 10}, {50, 6}, {100, 5}, {1000, 9}}

const latencyClasses = 20 + 15 + 10 + 10 + 6 + 5 + 9 + 1

// latencyClass gives the class of a put time.
func latencyClass(ms int64) int {
	class, low := 0, int64(0)
	for _, st := range latencySteps {
		width, n := st[0], st[1]
		if ms <= low+width*n {
			return class + int(max(ms-low-1, 0)/width)
		}
		low += width * n
		class += int(n)
	}
	return class
}

// latencyBounds are the upper bounds of the classes.
func latencyBounds() []int64 {
	var out []int64
	low := int64(0)
	for _, st := range latencySteps {
		for range st[1] {
			low += st[0]
			out = append(out, low)
		}
	}
	return append(out, math.MaxInt64)
}

const sampleKeep = 601

// stats counts puts and reads.
type stats struct {
	puts, putBytes, failed     atomic.Int64
	putMax, getMax             atomic.Int64 // ms
	found, missed, transferred atomic.Int64
	dispatchMax                atomic.Int64
	distribution               [13]atomic.Int64
	latency                    [latencyClasses]atomic.Int64

	// mu guards samples, the counters of each past second, newest last, and the
	// tables of the minute before.
	mu               sync.Mutex
	samples          []sample
	lastDistribution [13]int64
	lastLatency      [latencyClasses]int64
}

type sample struct {
	at                               int64 // ms
	puts, found, missed, transferred int64
}

// put counts one final Put.
func (t *stats) put(p *Put, now int64) {
	took := max(now-p.begin, 0)
	if p.Result.Status > SlaveNotAvailable {
		t.failed.Add(1)
		return
	}
	t.puts.Add(int64(p.Result.Messages))
	t.putBytes.Add(int64(p.Result.Bytes))
	for i := range putBuckets {
		if took < putBuckets[i].below {
			t.distribution[i].Add(1)
			break
		}
	}
	t.latency[latencyClass(took)].Add(1)
	raise(&t.putMax, took)
}

func raise(v *atomic.Int64, to int64) {
	for {
		old := v.Load()
		if to <= old || v.CompareAndSwap(old, to) {
			return
		}
	}
}

// sample is called once a second.
func (t *stats) sample(now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.samples) == sampleKeep {
		copy(t.samples, t.samples[1:])
		t.samples = t.samples[:sampleKeep-1]
	}
	t.samples = append(t.samples, sample{now, t.puts.Load(), t.found.Load(), t.missed.Load(), t.transferred.Load()})
}

// minute closes the tables of put times.
func (t *stats) minute() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.distribution {
		t.lastDistribution[i] = t.distribution[i].Swap(0)
	}
	for i := range t.latency {
		t.lastLatency[i] = t.latency[i].Swap(0)
	}
}

// tps gives "10s 60s 600s" of a counter; a window that is not full yet is empty,
// as in Java.
func (t *stats) tps(of func(sample) int64) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []string
	n := len(t.samples)
	for _, w := range []int{10, 60, 600} {
		if n <= w {
			out = append(out, "")
			continue
		}
		a, b := t.samples[n-1-w], t.samples[n-1]
		v := 0.0
		if b.at > a.at {
			v = float64(of(b)-of(a)) / float64(b.at-a.at) * 1000
		}
		out = append(out, javaDouble(v))
	}
	return strings.Join(out, " ")
}

func (t *stats) distributionText() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for i := range putBuckets {
		fmt.Fprintf(&b, "%s:%d ", putBuckets[i].name, t.lastDistribution[i])
	}
	return b.String()
}

// latencyAt gives a percentile of the put times of the minute before, in ms.
func (t *stats) latencyAt(share float64) float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	total := int64(0)
	for _, n := range t.lastLatency {
		total += n
	}
	want, passed := int64(float64(total)*share), int64(0)
	bounds := latencyBounds()
	for i, n := range t.lastLatency {
		if want > passed+n {
			passed += n
			continue
		}
		low := int64(0)
		if i > 0 {
			low = bounds[i-1]
		}
		if n == 0 || i == len(bounds)-1 {
			return float64(low)
		}
		return float64(low) + float64(bounds[i]-low)*float64(want-passed)/float64(n)
	}
	return 0
}
