package report

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"

	javaclients "github.com/merlinmq/merlin/conformance/java"
	"github.com/merlinmq/merlin/conformance/probe"
	"github.com/merlinmq/merlin/conformance/suite"
)

// Options of Run. NameServer is required; a zero rest runs nothing.
type Options struct {
	// NameServer is host:port, or several separated by semicolons.
	NameServer string
	// Match leaves out the cases whose name it does not match; nil matches all.
	Match *regexp.Regexp
	// Go and Wire select the suites that need nothing but this program.
	Go, Wire bool
	// Java has the class path of each client version to run (javaclients.Build).
	Java map[string]string
	// Control is nil where the servers must not be disturbed.
	Control suite.Control
	// Own says that nobody else uses the cluster, so that wire cases may change
	// its configuration.
	Own bool
	// Brokers leaves out the broker sets whose name it does not match; nil matches
	// all that have a master.
	Brokers *regexp.Regexp
	// Parallel is how many Go cases run at a time; zero is 8.
	Parallel int
	// Start is called before the first case with the number of rows there will be.
	Start func(rows int)
	// Done is called as each case ends, one at a time.
	Done func(Row)
}

func (o *Options) matches(name string) bool { return o.Match == nil || o.Match.MatchString(name) }

// Total is how many rows Run will give for a number of broker sets.
func (o *Options) Total(brokers int) int {
	n := 0
	if o.Go {
		for _, c := range suite.Cases() {
			if o.matches(c.Name) {
				n += brokers
			}
		}
	}
	if o.Wire {
		n += len(o.wireCases(false)) + (brokers-1)*len(o.wireCases(true))
	}
	for version := range o.Java {
		n += len(o.javaCases(version)) * brokers
	}
	return n
}

// running is one run: where its rows go.
type running struct {
	ctx    context.Context
	o      *Options
	id     string
	column *Column

	mu sync.Mutex // guards column, serialises calls of o.Done
}

// done takes a row that was seen on a cluster.
func (r *running) done(c *suite.Cluster, row Row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	row.Status, row.Reason = c.Judge(r.ctx, row.Status, row.Reason)
	if len(r.column.Brokers) > 1 {
		row.Broker = c.BrokerName
	}
	r.column.Rows = append(r.column.Rows, row)
	if r.o.Done != nil {
		r.o.Done(row)
	}
}

// left takes what cases could not remove; what a request could is tried again at
// the end.
func (r *running) left(all []probe.Left) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range all {
		if l.Stays {
			r.column.Left = append(r.column.Left, l)
		}
	}
}

// Run inspects a cluster and runs the suites on each of its broker sets, one after
// the other. When ctx ends the cases clean up and the rest is skipped. The error
// wraps suite.ErrUnreachable when the cluster does not answer.
func Run(ctx context.Context, o Options) (*Column, error) {
	id := suite.NewID()
	all, err := suite.Look{NameServer: o.NameServer, Match: o.Brokers, ID: id}.Inspect(ctx)
	if err != nil {
		return nil, err
	}
	r := &running{ctx: ctx, o: &o, id: id, column: describe(o.NameServer, all)}
	if o.Start != nil {
		o.Start(o.Total(len(all)))
	}
	for i, cluster := range all {
		if o.Go {
			if err := o.runGo(ctx, cluster, r); err != nil {
				return nil, err
			}
		}
		if o.Wire {
			o.runWire(ctx, cluster, r, i > 0)
		}
		for _, version := range sorted(o.Java) {
			o.runJava(ctx, cluster, r, version)
		}
	}
	mine := regexp.MustCompile(`(conf|jconf|wire)-` + id)
	r.column.Left = append(r.column.Left, all[0].Places().Clean(context.WithoutCancel(ctx), mine)...)
	o.order(r.column.Rows)
	return r.column, nil
}

// describe makes the column of a cluster, without rows.
func describe(nameServer string, all []*suite.Cluster) *Column {
	c := &Column{NameServer: nameServer}
	var servers []string
	for _, b := range all {
		c.Brokers = append(c.Brokers, b.BrokerName)
		if !slices.Contains(servers, b.Server) {
			servers = append(servers, b.Server)
		}
		for _, n := range b.Notes {
			if len(all) > 1 {
				n = "broker " + b.BrokerName + ": " + n
			}
			c.Notes = append(c.Notes, n)
		}
	}
	c.Server = strings.Join(servers, ", ")
	return c
}

func (o *Options) runGo(ctx context.Context, c *suite.Cluster, run *running) error {
	_, err := suite.Run(ctx, suite.Options{NameServer: o.NameServer, Cluster: c, ID: run.id, Control: o.Control, Match: o.Match, Parallel: o.Parallel,
		Done: func(r suite.Result) {
			row := Row{Suite: suite.Name, Case: r.Case.Name, Area: r.Case.Area, Promise: r.Case.Promise, Status: r.Status, Reason: r.Reason, Took: r.Duration}
			if r.Status == suite.Failed {
				row.Log = r.Log
			}
			run.done(c, row)
		}})
	return err
}

// javaSuite is the name of the suite of a client version.
func javaSuite(version string) string { return "java " + version }

func (o *Options) javaCases(version string) []javaclients.Case {
	all, err := javaclients.Cases(version)
	if err != nil {
		panic(fmt.Sprintf("the sources that are part of this program: %v", err))
	}
	var out []javaclients.Case
	for _, c := range all {
		if o.matches(c.Name) {
			out = append(out, c)
		}
	}
	return out
}

func (o *Options) runJava(ctx context.Context, c *suite.Cluster, run *running, version string) {
	done := func(row Row) { run.done(c, row) }
	rows := map[string]Row{}
	var names []string
	for _, k := range o.javaCases(version) {
		row := Row{Suite: javaSuite(version), Case: k.Name, Area: k.Area, Promise: k.Promise}
		if why := c.Without(row.Suite, row.Case); why != "" {
			row.Status, row.Reason = suite.NotApplicable, why
			done(row)
			continue
		}
		if k.Disturbs != "" && o.Control == nil {
			row.Status, row.Reason = suite.Skipped, suite.Undisturbed(suite.Disturbance(k.Disturbs))
			done(row)
			continue
		}
		rows[row.Case] = row
		names = append(names, row.Case)
	}
	if len(names) == 0 {
		return
	}
	err := javaclients.Run(ctx, javaclients.Options{ClassPath: o.Java[version], NameServer: o.NameServer, Cases: names,
		ID: run.id, Broker: c.BrokerName,
		Disturb: func(what string) error { return suite.Do(o.Control, suite.Disturbance(what)) },
		Done: func(r javaclients.Result) {
			row := rows[r.Case]
			delete(rows, r.Case)
			row.Status, row.Reason, row.Took = suite.Status(r.Status), r.Reason, millis(r.Millis)
			done(row)
		}})
	for _, name := range names {
		if row, missing := rows[name]; missing {
			row.Status, row.Reason = suite.Failed, fmt.Sprint(errors.Join(errors.New("no result"), err))
			done(row)
		}
	}
}

// order puts the rows as the suites list their cases.
func (o *Options) order(rows []Row) {
	place := map[key]int{}
	put := func(suite, name string) { place[key{suite, name}] = len(place) }
	for _, c := range suite.Cases() {
		put(suite.Name, c.Name)
	}
	for _, version := range sorted(o.Java) {
		for _, c := range o.javaCases(version) {
			put(javaSuite(version), c.Name)
		}
	}
	if o.Wire {
		for _, r := range o.wireCases(false) {
			put(wireSuite, r.Case)
		}
	}
	sort.SliceStable(rows, func(i, j int) bool {
		return place[key{rows[i].Suite, rows[i].Case}] < place[key{rows[j].Suite, rows[j].Case}]
	})
}

// sorted returns the keys, the newest version first.
func sorted(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	sort.Sort(sort.Reverse(sort.StringSlice(keys)))
	return keys
}

// exactly matches these names and no others.
func exactly(names map[string]bool) *regexp.Regexp {
	var quoted []string
	for n := range names {
		quoted = append(quoted, regexp.QuoteMeta(n))
	}
	sort.Strings(quoted)
	return regexp.MustCompile("^(" + strings.Join(quoted, "|") + ")$")
}
