package calls

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/merlinmq/merlin/conformance/suite"
)

// Case is one promise about how requests are answered.
type Case struct {
	// Name is unique, lower case with dashes: "max-offset-binary".
	Name string
	// Promise is one sentence: what a client may rely on.
	Promise string
	// Area is one of suite.Areas.
	Area string
	// Own marks a case that changes what others use; it runs only where
	// Options.Own is set.
	Own bool
	// Code is the request code that the case is about.
	Code int32

	alone bool  // runs after all others, with nobody beside it
	want  int32 // response code of its step without a label; none when it must stay unanswered
	steps []step
}

// none stands for "no answer" among the response codes, closed for the end of
// the connection.
const (
	none   int32 = -1
	closed int32 = -2
	// recorded is the code that Java was recorded to answer.
	recorded int32 = -3
	// refused is any code but success: the Java server fails inside, and nobody
	// depends on how it says so.
	refused int32 = -4
)

// Options of Run; NameServer is required.
type Options struct {
	// NameServer is host:port. The cases use its first broker with id 0, by name.
	NameServer string
	// Match leaves out the cases whose name it does not match; nil matches all.
	Match *regexp.Regexp
	// Parallel is how many cases run at a time; zero is 8.
	Parallel int
	// Own says that nobody else uses the cluster: cases that change its
	// configuration or leave traces run, too.
	Own bool
	// Record asks for what the cluster answers without holding it against the
	// recording: for making one.
	Record bool
	// Done is called as each case ends, one at a time.
	Done func(Result)
}

// Result is what one case saw.
type Result struct {
	Name, Promise, Area string
	// Status is passed when the answer has the code that it should have, or differs
	// from it in the way that Known lists.
	Status suite.Status
	// Reason says why the case failed or was skipped, or passed as a known
	// difference.
	Reason string
	// Seen has the answers as "field = value" lines in a fixed order. What
	// differs from run to run is masked: two conforming clusters give the same.
	Seen []string
	Took time.Duration
}

// Run runs the cases against a cluster and returns their results in the order of
// Cases. The error says that the cluster cannot be reached or did not take what
// the cases stand on.
func Run(ctx context.Context, o Options) ([]Result, error) {
	o.Parallel = cmp.Or(o.Parallel, 8)
	f, err := newFixture(ctx, o.NameServer)
	if err != nil {
		return nil, err
	}
	defer f.close()
	r := &run{o: o, f: f, cases: cases(!o.Record), java: Recorded(), known: Known()}
	r.results = make([]Result, len(r.cases))
	r.all(ctx, o.Parallel, false)
	r.all(ctx, 1, true)
	return slices.DeleteFunc(r.results, func(res Result) bool { return res.Status == "" }), ctx.Err()
}

type run struct {
	o     Options
	f     *fixture
	cases []Case
	java  []Result // the recording
	known []KnownDifference

	doneMu  sync.Mutex // serialises calls of o.Done
	results []Result
}

// all runs the cases that may run beside others, or those that may not.
func (r *run) all(ctx context.Context, parallel int, alone bool) {
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for i := range r.cases {
		c := &r.cases[i]
		if c.alone != alone || r.o.Match != nil && !r.o.Match.MatchString(c.Name) {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			r.finish(i, r.one(ctx, i))
		})
	}
	wg.Wait()
}

func (r *run) finish(i int, res Result) {
	r.doneMu.Lock()
	defer r.doneMu.Unlock()
	r.results[i] = res
	if r.o.Done != nil {
		r.o.Done(res)
	}
}

func (r *run) one(ctx context.Context, i int) Result {
	c := &r.cases[i]
	res := Result{Name: c.Name, Promise: c.Promise, Area: c.Area, Status: suite.Passed}
	if c.Own && !r.o.Own {
		res.Status, res.Reason = suite.Skipped, "it would touch what others use on this cluster"
		return res
	}
	start := time.Now()
	s := newScene(r.f, i)
	s.want = c.want
	defer s.close()
	last := none
	for k := range c.steps {
		code, err := s.step(ctx, &c.steps[k])
		if err != nil {
			res.Status, res.Reason = suite.Failed, err.Error()
			break
		}
		if st := &c.steps[k]; st.label == "" && !st.quiet {
			last = code
		}
	}
	res.Seen, res.Took = s.lines, time.Since(start)
	if res.Status == suite.Passed && !fits(c.want, last) {
		res.Status, res.Reason = suite.Failed, fmt.Sprintf("answered %s, not %s", codeText(last), codeText(c.want))
		if why := r.knownReason(&res); why != "" {
			res.Status, res.Reason = suite.Passed, "otherwise than Java on purpose: "+why
		}
	}
	return res
}

// knownReason says why an answer may be another than Java's: everything that
// differs from what was recorded is known.
func (r *run) knownReason(res *Result) string {
	i := slices.IndexFunc(r.java, func(j Result) bool { return j.Name == res.Name })
	k := slices.IndexFunc(r.known, func(k KnownDifference) bool { return k.Case == res.Name })
	if i < 0 || k < 0 || len(unknown(differences(&r.java[i], res), r.known)) > 0 {
		return ""
	}
	return r.known[k].Reason
}

// unknown leaves out what is known.
func unknown(all []Difference, known []KnownDifference) []Difference {
	return slices.DeleteFunc(all, func(d Difference) bool { return isKnown(known, d) })
}

func fits(want, code int32) bool {
	switch want {
	case recorded:
		return true
	case refused:
		return code > 0
	}
	return code == want
}

// Difference is a field that two clusters answered differently.
type Difference struct{ Case, Field, Expected, Seen string }

// absent stands for a field that an answer has not got.
const absent = "(absent)"

// Compare returns what differs between a reference and what was seen, case by
// case and field by field. Cases that one side has not run, and the differences
// of Known, are left out.
func Compare(reference, seen []Result) []Difference {
	other := make(map[string]*Result, len(seen))
	for i := range seen {
		other[seen[i].Name] = &seen[i]
	}
	list := Known()
	var out []Difference
	for i := range reference {
		a := &reference[i]
		b := other[a.Name]
		if b == nil || a.Status == suite.Skipped || b.Status == suite.Skipped {
			continue
		}
		out = append(out, unknown(differences(a, b), list)...)
	}
	return out
}

func differences(a, b *Result) []Difference {
	var out []Difference
	left, right := split(a.Seen), split(b.Seen)
	for _, f := range left {
		v := valueOf(right, f.name)
		if v != f.value {
			out = append(out, Difference{a.Name, f.name, f.value, v})
		}
	}
	for _, f := range right {
		if valueOf(left, f.name) == absent {
			out = append(out, Difference{a.Name, f.name, absent, f.value})
		}
	}
	return out
}
