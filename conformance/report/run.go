package report

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sort"
	"strings"
	"sync"

	javaclients "github.com/merlinmq/merlin/conformance/java"
	"github.com/merlinmq/merlin/conformance/suite"
)

// Options of Run. NameServer is required; a zero rest runs nothing.
type Options struct {
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
	// Parallel is how many Go cases run at a time; zero is 8.
	Parallel int
	// Done is called as each case ends, one at a time.
	Done func(Row)
}

func (o *Options) matches(name string) bool { return o.Match == nil || o.Match.MatchString(name) }

// Total is how many rows Run will give.
func (o *Options) Total() int {
	n := 0
	if o.Go {
		for _, c := range suite.Cases() {
			if o.matches(c.Name) {
				n++
			}
		}
	}
	if o.Wire {
		n += len(o.wireCases())
	}
	for version := range o.Java {
		n += len(o.javaCases(version))
	}
	return n
}

// Run inspects a cluster and runs the suites on it, one after the other. When ctx
// ends the cases clean up and the rest is skipped. The error wraps
// suite.ErrUnreachable when the cluster does not answer.
func Run(ctx context.Context, o Options) (*Column, error) {
	cluster, err := suite.Inspect(ctx, o.NameServer)
	if err != nil {
		return nil, err
	}
	column := &Column{NameServer: o.NameServer, Server: cluster.Server, Notes: cluster.Notes}
	var mu sync.Mutex // guards column.Rows, serialises calls of o.Done
	done := func(row Row) {
		mu.Lock()
		defer mu.Unlock()
		row.Status, row.Reason = cluster.Judge(ctx, row.Status, row.Reason)
		column.Rows = append(column.Rows, row)
		if o.Done != nil {
			o.Done(row)
		}
	}
	if o.Go {
		if err := o.runGo(ctx, cluster, done); err != nil {
			return nil, err
		}
	}
	if o.Wire {
		o.runWire(ctx, cluster, done)
	}
	for _, version := range sorted(o.Java) {
		o.runJava(ctx, cluster, version, done)
	}
	o.order(column.Rows)
	return column, nil
}

func (o *Options) runGo(ctx context.Context, c *suite.Cluster, done func(Row)) error {
	_, err := suite.Run(ctx, suite.Options{NameServer: o.NameServer, Cluster: c, Control: o.Control, Match: o.Match, Parallel: o.Parallel,
		Done: func(r suite.Result) {
			row := Row{Suite: suite.Name, Case: r.Case.Name, Area: r.Case.Area, Promise: r.Case.Promise, Status: r.Status, Reason: r.Reason, Took: r.Duration}
			if r.Status == suite.Failed {
				row.Log = r.Log
			}
			done(row)
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

func (o *Options) runJava(ctx context.Context, c *suite.Cluster, version string, done func(Row)) {
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
		for _, r := range o.wireCases() {
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
