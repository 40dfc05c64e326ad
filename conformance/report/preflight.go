package report

import (
	"cmp"
	"context"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/merlinmq/merlin/conformance/calls"
	"github.com/merlinmq/merlin/conformance/probe"
	"github.com/merlinmq/merlin/conformance/suite"
)

// Plan is what a run would do to a cluster.
type Plan struct {
	// NameServers are all that have to do with the cluster, Brokers its broker sets
	// with a master, as far as they were selected.
	NameServers []string
	Brokers     []*suite.Cluster
	// Sets are all broker sets that the name server knows, also those without a
	// master.
	Sets map[string]probe.Broker
	// Run is how many rows would be run, Off those that would not, by reason.
	Run int
	Off []group
	// Own says that cases that others see would run.
	Own bool
}

// Preflight looks at a cluster, and only reads. The error wraps
// suite.ErrUnreachable when a server does not answer.
func Preflight(ctx context.Context, o Options) (*Plan, error) {
	all, err := suite.Look{NameServer: o.NameServer, Match: o.Brokers, ReadOnly: true}.Inspect(ctx)
	if err != nil {
		return nil, err
	}
	p := &Plan{NameServers: all[0].NameServers, Brokers: all, Own: o.Own}
	if p.Sets, err = probe.Brokers(ctx, o.NameServer); err != nil {
		return nil, err
	}
	for i, c := range all {
		for _, row := range o.rows(i > 0) {
			why := cmp.Or(c.Without(row.Suite, row.Case), row.Reason)
			if why == "" {
				p.Run++
				continue
			}
			row.Broker = ""
			if len(all) > 1 {
				row.Broker = c.BrokerName
			}
			k := slices.IndexFunc(p.Off, func(g group) bool { return g.Reason == why })
			if k < 0 {
				k = len(p.Off)
				p.Off = append(p.Off, group{Reason: why})
			}
			p.Off[k].Cases = append(p.Off[k].Cases, row.Suite+" "+row.Title())
		}
	}
	return p, nil
}

// rows lists the selected cases; those that would be skipped have the reason.
func (o *Options) rows(ofBroker bool) []Row {
	var rows []Row
	if o.Go {
		for _, c := range suite.Cases() {
			if !o.matches(c.Name) {
				continue
			}
			row := Row{Suite: suite.Name, Case: c.Name}
			if c.Disturbs != suite.Nothing && o.Control == nil {
				row.Reason = suite.Undisturbed(c.Disturbs)
			}
			rows = append(rows, row)
		}
	}
	for _, version := range sorted(o.Java) {
		for _, c := range o.javaCases(version) {
			row := Row{Suite: javaSuite(version), Case: c.Name}
			if c.Disturbs != "" && o.Control == nil {
				row.Reason = suite.Undisturbed(suite.Disturbance(c.Disturbs))
			}
			rows = append(rows, row)
		}
	}
	if !o.Wire {
		return rows
	}
	for _, c := range calls.Cases() {
		if o.matches(c.Name) && (!ofBroker || c.OfBroker()) {
			row := Row{Suite: wireSuite, Case: c.Name}
			if !o.Own {
				row.Reason = c.Touches()
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// Write writes the plan as text.
func (p *Plan) Write(w io.Writer) error {
	out := &printer{w: w}
	out.printf("Nothing was changed: this run only read.\n\n")
	names := cmp.Or(p.Brokers[0].NamesImplementation, "Java, as far as it says")
	for _, ns := range p.NameServers {
		out.printf("name server  %s\n", ns)
	}
	out.printf("             %s\n", names)
	for _, name := range slices.Sorted(maps.Keys(p.Sets)) {
		set := p.Sets[name]
		tested := "not tested"
		for _, c := range p.Brokers {
			if c.BrokerName == name {
				tested = c.Server
			}
		}
		out.printf("broker set   %s in cluster %s: %s\n", name, set.Cluster, tested)
		for _, id := range slices.Sorted(maps.Keys(set.Addrs)) {
			role := "slave " + id
			if id == "0" {
				role = "master"
			}
			out.printf("             %-8s %s\n", role, set.Addrs[id])
		}
	}
	for _, c := range p.Brokers {
		for _, n := range c.Notes {
			out.printf("note         %s: %s\n", c.BrokerName, n)
		}
		if c.Guarded {
			out.printf("note         %s checks access keys, and this program has none: what it refuses is n/a\n", c.BrokerName)
		}
	}
	out.printf("\nA run would test %d cases. On each of %s it would make and remove some hundred topics and groups named conf-…, jconf-… and wire-…,\n"+
		"at most a few dozen at a time, and store messages of up to 4 MiB in them, which stay in the log until it is cleaned.\n", p.Run, p.brokerNames())
	if p.Own {
		out.printf("-own: it would also change settings and put them back, register brokers named wire-… with the name server, delete expired\n" +
			"files and queues (requests 306, 316, 329), and leave empty KV namespaces named wire-…\n")
	}
	for i, g := range p.Off {
		if i == 0 {
			out.printf("\nIt would not test\n")
		}
		out.printf("  %d cases: %s\n    %s\n", len(g.Cases), g.Reason, shortened(g.Cases))
	}
	if p.Run == 0 {
		out.printf("\nIt would test nothing.\n")
	}
	return out.err
}

func (p *Plan) brokerNames() string {
	var names []string
	for _, c := range p.Brokers {
		names = append(names, c.BrokerName)
	}
	return strings.Join(names, ", ")
}
