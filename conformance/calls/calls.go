package calls

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/merlinmq/merlin/compat/version"
	"github.com/merlinmq/merlin/conformance/probe"
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
	// Options.Own is set. So do those that register a broker or leave a KV
	// namespace behind.
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

// Options of Run; NameServer or Cluster is required.
type Options struct {
	// NameServer is host:port, or several separated by semicolons; the first is
	// asked. The cases use its first broker with id 0, by name.
	NameServer string
	// Cluster is what suite.Inspect found; nil has Run look itself. Its broker set
	// is the one that is asked.
	Cluster *suite.Cluster
	// ID is part of all names, "wire-ID-…"; empty is a random one.
	ID string
	// Match leaves out the cases whose name it does not match; nil matches all.
	Match *regexp.Regexp
	// Parallel is how many cases run at a time; zero is 8.
	Parallel int
	// Own says that nobody else uses the cluster: cases that change its
	// configuration, register brokers or leave traces run, too.
	Own bool
	// Record asks for what the cluster answers without holding it against the
	// recording: for making one.
	Record bool
	// Done is called as each case ends, one at a time.
	Done func(Result)
	// Left is called at the end with what the run made and could not remove; nil
	// is not told.
	Left func([]probe.Left)
}

// Result is what one case saw.
type Result struct {
	Name, Promise, Area string
	// Code is the request code that the case is about, By what the server says
	// that it is: "Merlin", empty for a Java server.
	Code int32
	By   string
	// Status is passed when the answer has the code that it should have, on purpose
	// when a server that says that it is Merlin answers in the way that Known lists.
	Status suite.Status
	// Reason says why the case failed, was skipped or is otherwise on purpose.
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
	o.Parallel, o.ID = cmp.Or(o.Parallel, 8), cmp.Or(o.ID, suite.NewID())
	if o.Cluster == nil {
		all, err := suite.Look{NameServer: o.NameServer, ReadOnly: true}.Inspect(ctx)
		if err != nil {
			return nil, err
		}
		o.Cluster = all[0]
	}
	r := &run{o: o, cases: cases(!o.Record), java: Recorded()}
	r.results = make([]Result, len(r.cases))
	r.skipped()
	f, err := newFixture(ctx, o.Cluster, o.ID)
	if err != nil {
		return nil, err
	}
	defer func() {
		if left := f.close(); o.Left != nil && len(left) > 0 {
			o.Left(left)
		}
	}()
	r.f = f
	r.all(ctx, o.Parallel, func(c *Case) bool { return !c.alone && !c.needs() })
	r.withTraces(ctx)
	r.all(ctx, 1, func(c *Case) bool { return c.alone })
	return slices.DeleteFunc(r.results, func(res Result) bool { return res.Status == "" }), ctx.Err()
}

// wants says that a case is selected and has not ended.
func (r *run) wants(i int) bool {
	return r.results[i].Status == "" && (r.o.Match == nil || r.o.Match.MatchString(r.cases[i].Name))
}

// withTraces runs the cases that need what other clients and tools of the
// cluster can see, and has it there only for them.
func (r *run) withTraces(ctx context.Context) {
	var space, broker bool
	for i := range r.cases {
		if c := &r.cases[i]; r.wants(i) && !c.alone && c.needs() {
			space, broker = space || c.space(), broker || c.fake()
		}
	}
	var err error
	if space {
		err = r.f.withSpace(ctx)
	}
	if broker && err == nil {
		var end func()
		if end, err = r.f.withBroker(ctx); err == nil {
			defer end()
		}
	}
	if err == nil {
		r.all(ctx, r.o.Parallel, (*Case).needs)
		return
	}
	for i := range r.cases {
		if c := &r.cases[i]; r.wants(i) && !c.alone && c.needs() {
			r.finish(i, Result{Name: c.Name, Promise: c.Promise, Area: c.Area, Code: c.Code, Status: suite.Failed, Reason: err.Error()})
		}
	}
}

// skipped ends the cases that may not run on a cluster that others use.
func (r *run) skipped() {
	for i := range r.cases {
		c := &r.cases[i]
		if why := c.Touches(); why != "" && !r.o.Own && r.wants(i) {
			r.finish(i, Result{Name: c.Name, Promise: c.Promise, Area: c.Area, Code: c.Code, Status: suite.Skipped, Reason: why})
		}
	}
}

// Touches says what a case does to others of the cluster, or nothing: without
// Options.Own it is Skipped for that reason.
func (c *Case) Touches() string {
	switch {
	case c.Own:
		return "it would touch what others use on this cluster"
	case c.registers():
		return "it registers a broker with the name server, which the clients and tools of this cluster would see"
	case c.keeps():
		return "it leaves an empty KV namespace in the name server, which no request removes"
	}
	return ""
}

// OfBroker says that a case asks the broker, and the name server only beside it.
func (c *Case) OfBroker() bool {
	return slices.ContainsFunc(c.steps, func(st step) bool { return st.to != names && st.code == c.Code })
}

// needs says that a case needs more than the fixture has from the start.
func (c *Case) needs() bool { return c.fake() || c.space() }

// listsBrokers are the requests whose answers tell of the run's broker, whatever
// is asked.
var listsBrokers = map[int32]bool{106: true, 206: true, 304: true, 311: true, 312: true, 313: true}

// fake says that a case needs $fakeBroker, space that it needs $space.
func (c *Case) fake() bool {
	return c.asksNames(func(st *step) bool { return listsBrokers[st.code] || st.mentions("$fake") })
}

func (c *Case) space() bool { return c.asksNames(func(st *step) bool { return st.mentions("$space") }) }

// registers says that a case has a broker registered, keeps that it makes a KV
// namespace.
func (c *Case) registers() bool {
	return c.fake() || c.asksNames(func(st *step) bool { return st.code == 103 })
}

func (c *Case) keeps() bool {
	return c.space() || c.asksNames(func(st *step) bool { return st.code == 100 })
}

// asksNames says that one of the case's requests to the name server is such a one.
func (c *Case) asksNames(such func(*step) bool) bool {
	return slices.ContainsFunc(c.steps, func(st step) bool { return st.to == names && such(&st) })
}

type run struct {
	o     Options
	f     *fixture
	cases []Case
	java  []Result // the recording

	doneMu  sync.Mutex // serialises calls of o.Done
	results []Result
}

// all runs those of the selected cases that these are.
func (r *run) all(ctx context.Context, parallel int, these func(*Case) bool) {
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for i := range r.cases {
		if !r.wants(i) || !these(&r.cases[i]) {
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
	res := Result{Name: c.Name, Promise: c.Promise, Area: c.Area, Code: c.Code, By: r.by(c), Status: suite.Passed}
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
	}
	r.judgePurpose(&res)
	return res
}

// by is what the server that a case is about says that it is.
func (r *run) by(c *Case) string {
	for _, st := range c.steps {
		if st.code == c.Code {
			if st.to == names {
				return r.o.Cluster.NamesImplementation
			}
			return r.o.Cluster.Implementation
		}
	}
	return r.o.Cluster.Implementation
}

// judgePurpose finds the answers that differ from Java's on purpose: the server
// says that it is Merlin, and everything that differs from what was recorded is
// known. Nothing else is excused.
func (r *run) judgePurpose(res *Result) {
	i := slices.IndexFunc(r.java, func(j Result) bool { return j.Name == res.Name })
	if i < 0 || r.o.Record || res.By != version.Implementation {
		return
	}
	all := differences(&r.java[i], res)
	if len(all) == 0 || slices.ContainsFunc(all, func(d Difference) bool { return d.Known == "" }) {
		return
	}
	res.Status, res.Reason = suite.OnPurpose, all[0].Known
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
type Difference struct {
	Case, Field, Expected, Seen string
	// Known is empty, or says why Merlin answers otherwise than Java on purpose.
	Known string
	// Means says in one sentence what it means for an application.
	Means string
}

// absent stands for a field that an answer has not got.
const absent = "(absent)"

// Compare returns what differs between a reference and what was seen, case by
// case and field by field. Cases that one side has not run are left out.
func Compare(reference, seen []Result) []Difference {
	other := make(map[string]*Result, len(seen))
	for i := range seen {
		other[seen[i].Name] = &seen[i]
	}
	var out []Difference
	for i := range reference {
		a := &reference[i]
		b := other[a.Name]
		if b == nil || a.Status == suite.Skipped || b.Status == suite.Skipped {
			continue
		}
		out = append(out, differences(a, b)...)
	}
	return out
}

// Unknown returns the differences that are not on purpose.
func Unknown(all []Difference) []Difference {
	return slices.DeleteFunc(slices.Clone(all), func(d Difference) bool { return d.Known != "" })
}

func differences(a, b *Result) []Difference {
	var out []Difference
	left, right := split(a.Seen), split(b.Seen)
	add := func(field, expected, seen string) {
		d := Difference{Case: a.Name, Field: field, Expected: expected, Seen: seen}
		d.Known, d.Means = explain(d, a.By, b.By)
		out = append(out, d)
	}
	for _, f := range left {
		if v := valueOf(right, f.name); v != f.value {
			add(f.name, f.value, v)
		}
	}
	for _, f := range right {
		if valueOf(left, f.name) == absent {
			add(f.name, absent, f.value)
		}
	}
	return out
}

// Behaviours counts what results tell apart: a request code that is answered in
// one way counts once, however many cases show it.
func Behaviours(results []Result) int {
	distinct := map[string]bool{}
	for i := range results {
		if r := &results[i]; len(r.Seen) > 0 {
			distinct[fmt.Sprint(r.Code, "\n", strings.Join(r.Seen, "\n"))] = true
		}
	}
	return len(distinct)
}
