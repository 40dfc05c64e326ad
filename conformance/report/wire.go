package report

import (
	"context"
	"strings"

	"github.com/merlinmq/merlin/compat/version"
	"github.com/merlinmq/merlin/conformance/calls"
	"github.com/merlinmq/merlin/conformance/suite"
)

// wireSuite is the name of the cases that ask over raw sockets.
const wireSuite = "wire"

// wireCases lists the wire cases that a run selects, without a status.
func (o *Options) wireCases() []Row {
	var rows []Row
	for _, c := range calls.Cases() {
		if o.matches(c.Name) {
			rows = append(rows, Row{Suite: wireSuite, Case: c.Name, Area: c.Area, Promise: c.Promise})
		}
	}
	return rows
}

// runWire runs the wire cases. Those about what the cluster has turned off would
// get other answers than elsewhere and tell nothing.
func (o *Options) runWire(ctx context.Context, c *suite.Cluster, done func(Row)) {
	left := map[string]bool{}
	for _, row := range o.wireCases() {
		if why := c.Without(wireSuite, row.Case); why != "" {
			row.Status, row.Reason = suite.NotApplicable, why
			done(row)
		} else {
			left[row.Case] = true
		}
	}
	if len(left) == 0 {
		return
	}
	_, err := calls.Run(ctx, calls.Options{NameServer: o.NameServer, Match: exactly(left), Own: o.Own, Done: func(r calls.Result) {
		delete(left, r.Name)
		done(Row{Suite: wireSuite, Case: r.Name, Area: r.Area, Promise: r.Promise, Status: r.Status, Reason: r.Reason, Seen: r.Seen, Took: r.Took})
	}})
	for _, row := range o.wireCases() {
		if left[row.Case] && err != nil {
			row.Status, row.Reason = suite.Failed, "the wire cases could not be prepared: "+err.Error()
			done(row)
		}
	}
}

// wireDifferences compares the answers of the wire cases with the reference's,
// or with the recorded ones of the version that they were recorded from.
func (r *Report) wireDifferences() []Difference {
	var expected []calls.Result
	switch {
	case r.Reference != nil:
		expected = wireResults(r.Reference)
	case strings.HasSuffix(r.Tested.Server, version.Name(version.V5_3_3)):
		expected = calls.Recorded()
	}
	var out []Difference
	for _, d := range calls.Compare(expected, wireResults(r.Tested)) {
		out = append(out, Difference{wireSuite, d.Case, d.Field, d.Expected, d.Seen})
	}
	return out
}

func wireResults(c *Column) []calls.Result {
	var out []calls.Result
	for _, row := range c.Rows {
		// A case without answers has nothing to compare; its status tells the rest.
		if row.Suite == wireSuite && len(row.Seen) > 0 {
			out = append(out, calls.Result{Name: row.Case, Promise: row.Promise, Area: row.Area, Status: row.Status, Reason: row.Reason, Seen: row.Seen, Took: row.Took})
		}
	}
	return out
}
