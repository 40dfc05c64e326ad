package stats

import (
	"iter"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/merlinmq/merlin/protocol"
)

// LatencyBounds are the upper ends of the classes that Latencies counts in, in ms; what
// took longer is in one class more. They are those of rocketmq_rpc_latency.
var LatencyBounds = [...]int64{1, 3, 5, 7, 10, 100, 1000, 2000, 3000}

const (
	// responsesEach is how many response codes of a request code are told apart; those
	// that come later are counted as OtherResponse.
	responsesEach = 8
	// maxStripes bounds the copies of the counters.
	maxStripes = 8
)

// Codes of what is not told apart.
const (
	OtherCode     protocol.Code         = -1 // request codes that have no route
	OtherResponse protocol.ResponseCode = -1
)

// Latencies count the requests by code, response code and time taken. Adding takes no
// lock and no memory, and reading holds nobody up: it sees each number as it is at some
// time. What a peer sends does not make it grow.
type Latencies struct {
	codes   []protocol.Code // sorted, the last one is OtherCode's place
	index   [1024]int16     // place of the low codes in codes
	stripes []stripe        // copies, so that connections do not wait for one another
}

type stripe []perCode // by place of the code

type perCode struct {
	responses [responsesEach + 1]perResponse
	_         [64]byte // codes of different lanes do not share a line
}

type perResponse struct {
	code    atomic.Int64 // of the response, +1; 0 = the place is free
	total   atomic.Int64 // ms
	classes [len(LatencyBounds) + 1]atomic.Int64
}

// Latency is what is known of one pair of request and response code.
type Latency struct {
	Code     protocol.Code
	Response protocol.ResponseCode
	Count    int64
	Total    time.Duration // with the clock's ms
	// Classes has the number of requests in each class of LatencyBounds, and of those
	// above the last.
	Classes [len(LatencyBounds) + 1]int64
}

// NewLatencies makes counters for these codes and one for all others.
func NewLatencies(codes []protocol.Code) *Latencies {
	l := &Latencies{codes: slices.Clone(codes)}
	slices.Sort(l.codes)
	l.codes = append(slices.Compact(l.codes), OtherCode)
	for i := range l.index {
		at, ok := slices.BinarySearch(l.codes[:len(l.codes)-1], protocol.Code(i))
		if !ok {
			at = len(l.codes) - 1
		}
		l.index[i] = int16(at)
	}
	n := 1
	for n < min(runtime.GOMAXPROCS(0), maxStripes) {
		n *= 2
	}
	l.stripes = make([]stripe, n)
	for i := range l.stripes {
		l.stripes[i] = make(stripe, len(l.codes))
	}
	return l
}

// Add counts a request of a peer that took so many ms.
func (l *Latencies) Add(peer uint64, code protocol.Code, response protocol.ResponseCode, ms int64) {
	c := &l.stripes[peer%uint64(len(l.stripes))][l.place(code)]
	r := c.of(response)
	class := 0
	for class < len(LatencyBounds) && ms > LatencyBounds[class] {
		class++
	}
	r.classes[class].Add(1)
	if ms > 0 {
		r.total.Add(ms)
	}
}

func (l *Latencies) place(code protocol.Code) int {
	if code >= 0 && int(code) < len(l.index) {
		return int(l.index[code])
	}
	last := len(l.codes) - 1
	if at, ok := slices.BinarySearch(l.codes[:last], code); ok {
		return at
	}
	return last
}

// of finds the place of a response code, or takes a free one.
func (c *perCode) of(response protocol.ResponseCode) *perResponse {
	want := int64(response) + 1
	if want <= 0 {
		return &c.responses[responsesEach]
	}
	for i := range responsesEach {
		r := &c.responses[i]
		has := r.code.Load()
		if has == 0 && r.code.CompareAndSwap(0, want) {
			return r
		}
		if has == want || has == 0 && r.code.Load() == want {
			return r
		}
	}
	return &c.responses[responsesEach]
}

// Each walks what was counted, by request code, then by response code.
func (l *Latencies) Each() iter.Seq[Latency] {
	return func(yield func(Latency) bool) {
		for at, code := range l.codes {
			for _, sum := range l.sum(at) {
				sum.Code = code
				if !yield(sum) {
					return
				}
			}
		}
	}
}

// sum adds up the stripes of a code.
func (l *Latencies) sum(at int) []Latency {
	var out []Latency
	for _, s := range l.stripes {
		for i := range s[at].responses {
			r := &s[at].responses[i]
			response := protocol.ResponseCode(r.code.Load() - 1)
			if i == responsesEach {
				response = OtherResponse
			} else if response == -1 {
				continue
			}
			j := slices.IndexFunc(out, func(x Latency) bool { return x.Response == response })
			if j < 0 {
				j = len(out)
				out = append(out, Latency{Response: response})
			}
			out[j].Total += time.Duration(r.total.Load()) * time.Millisecond
			for k := range r.classes {
				n := r.classes[k].Load()
				out[j].Classes[k] += n
				out[j].Count += n
			}
		}
	}
	out = slices.DeleteFunc(out, func(x Latency) bool { return x.Count == 0 })
	slices.SortFunc(out, func(a, b Latency) int { return int(a.Response) - int(b.Response) })
	return out
}
