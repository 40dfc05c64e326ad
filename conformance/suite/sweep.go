package suite

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/merlinmq/merlin/conformance/probe"
)

const (
	settled  = 500 * time.Millisecond // nothing came back for so long: the sweep is over
	sweepFor = 20 * time.Second
)

// sweep removes what came back after the cases removed it: a heartbeat that was
// under way when its client ended makes its group again, and a registration
// that was under way brings back a route. It ends when nothing of the run was
// there for a while, or with the first refusal.
func (r *run) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sweepFor)
	defer cancel()
	mine := regexp.MustCompile(`[\w%|+-]*conf-` + r.id + `-[\w%|+-]*`)
	clean := time.Now()
	for time.Since(clean) < settled {
		topics, groups := r.left(ctx, mine)
		for _, t := range topics {
			if probe.DropTopic(ctx, r.o.NameServer, r.o.Cluster.Broker, t) != nil {
				return
			}
		}
		for _, g := range groups {
			if probe.DropGroup(ctx, r.o.Cluster.Broker, g) != nil {
				return
			}
		}
		if len(topics)+len(groups) > 0 {
			clean = time.Now()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// left lists the topics and groups of the run that the cluster still has. A list
// that cannot be had counts as empty.
func (r *run) left(ctx context.Context, mine *regexp.Regexp) (topics, groups []string) {
	names := func(addr string, code int) []string {
		a, err := probe.Call(ctx, addr, code, nil, nil)
		if err != nil {
			return nil
		}
		return mine.FindAllString(string(a.Body), -1)
	}
	unique := func(l []string) []string {
		slices.Sort(l)
		return slices.Compact(l)
	}
	topics = unique(append(names(r.o.Cluster.Broker, probe.AllTopics), names(r.o.NameServer, probe.AllRoutes)...))
	groups = slices.DeleteFunc(unique(names(r.o.Cluster.Broker, probe.AllGroups)), func(g string) bool { return strings.HasPrefix(g, "%") })
	return topics, groups
}
