package report

import (
	"context"
	"strings"
	"sync"

	"github.com/merlinmq/merlin/compat/version"
	"github.com/merlinmq/merlin/conformance/calls"
	"github.com/merlinmq/merlin/conformance/suite"
)

// wireSuite is the name of the cases that ask over raw sockets.
const wireSuite = "wire"

// wireCases lists the wire cases that a run selects, without a status: all, or
// those about the broker alone, for the second and later brokers of a cluster.
func (o *Options) wireCases(ofBroker bool) []Row {
	var rows []Row
	for _, c := range calls.Cases() {
		if o.matches(c.Name) && (!ofBroker || c.OfBroker()) {
			rows = append(rows, Row{Suite: wireSuite, Case: c.Name, Area: c.Area, Promise: c.Promise, Code: c.Code})
		}
	}
	return rows
}

// runWire runs the wire cases. Those about what the cluster has turned off would
// get other answers than elsewhere and tell nothing.
func (o *Options) runWire(ctx context.Context, c *suite.Cluster, r *running, ofBroker bool) {
	left := map[string]bool{}
	for _, row := range o.wireCases(ofBroker) {
		if why := c.Without(wireSuite, row.Case); why != "" {
			row.Status, row.Reason = suite.NotApplicable, why
			r.done(c, row)
		} else {
			left[row.Case] = true
		}
	}
	if len(left) == 0 {
		return
	}
	recorded := strings.HasSuffix(c.Server, version.Name(version.V5_3_3))
	_, err := calls.Run(ctx, calls.Options{NameServer: o.NameServer, Cluster: c, ID: r.id, Match: exactly(left), Own: o.Own, Left: r.left,
		Done: func(res calls.Result) {
			delete(left, res.Name)
			r.done(c, Row{Suite: wireSuite, Case: res.Name, Area: res.Area, Promise: res.Promise, Status: res.Status, Reason: res.Reason,
				Seen: res.Seen, By: res.By, Code: res.Code, Took: res.Took, recorded: recorded})
		}})
	for _, row := range o.wireCases(ofBroker) {
		if left[row.Case] && err != nil {
			row.Status, row.Reason = suite.Failed, "the wire cases could not be prepared: "+err.Error()
			r.done(c, row)
		}
	}
}

// recordings are the answers of Java servers 5.3.3 by case.
var recordings = sync.OnceValue(func() map[string]calls.Result {
	out := map[string]calls.Result{}
	for _, r := range calls.Recorded() {
		out[r.Name] = r
	}
	return out
})

// wireDifferences compares the answer of a wire case with the reference's, or with
// the recorded one where the broker is of the version that it was recorded from.
func (r *Report) wireDifferences(l *Line) []Difference {
	// A case without answers has nothing to compare; its status tells the rest.
	if l.Tested.Suite != wireSuite || len(l.Tested.Seen) == 0 {
		return nil
	}
	var expected calls.Result
	switch {
	case l.Reference != nil && len(l.Reference.Seen) > 0:
		expected = wireResult(l.Reference)
	case r.Reference == nil && l.Tested.recorded:
		expected = recordings()[l.Tested.Case]
	}
	if expected.Name == "" {
		return nil
	}
	var out []Difference
	for _, d := range calls.Compare([]calls.Result{expected}, []calls.Result{wireResult(l.Tested)}) {
		out = append(out, Difference{Suite: wireSuite, Case: d.Case, Field: d.Field, Expected: d.Expected, Seen: d.Seen, OnPurpose: d.Known, Means: d.Means})
	}
	return out
}

func wireResult(row *Row) calls.Result {
	return calls.Result{Name: row.Case, Promise: row.Promise, Area: row.Area, Code: row.Code, By: row.By,
		Status: row.Status, Reason: row.Reason, Seen: row.Seen, Took: row.Took}
}

// behaviours says how many wire cases a column has that were answered, and how
// many behaviours they tell apart.
func behaviours(c *Column) (cases, distinct int) {
	var results []calls.Result
	for i := range c.Rows {
		if c.Rows[i].Suite == wireSuite && len(c.Rows[i].Seen) > 0 {
			results = append(results, wireResult(&c.Rows[i]))
		}
	}
	return len(results), calls.Behaviours(results)
}
