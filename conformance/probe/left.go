package probe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Left is one thing that a run made and that is still there.
type Left struct {
	// What it is and where: "topic conf-1-t1 on broker a (10.0.0.1:10911)".
	What string `json:"what"`
	// Remove says how to remove it.
	Remove string `json:"remove"`
	// Stays says that no request can remove it.
	Stays bool `json:"stays,omitempty"`
}

// Places are the servers that a run may have left things on.
type Places struct {
	// NameServers are all of the cluster, each host:port.
	NameServers []string
	// Brokers has the address of each broker by its name.
	Brokers map[string]string
}

// How long Clean looks for things that come back, and how often.
const (
	settled  = 500 * time.Millisecond // nothing came back for so long: it is clean
	cleanFor = 20 * time.Second
	again    = 50 * time.Millisecond
)

// Clean removes every topic, group and registered broker whose name mine matches,
// from all places, and returns what is there all the same. Things come back: a
// heartbeat that was under way when its client ended makes its group again, and a
// registration that was under way brings back a route. It looks until nothing was
// there for half a second, or a round of removing was refused, twenty seconds at
// most. A place that cannot be asked is part of the answer. ctx limits it too.
func (p *Places) Clean(ctx context.Context, mine *regexp.Regexp) []Left {
	ctx, cancel := context.WithTimeout(ctx, cleanFor)
	defer cancel()
	clean := time.Now()
	for {
		found := p.look(ctx, mine)
		refused := 0
		for i := range found {
			if found[i].remove == nil || found[i].remove(ctx) != nil {
				refused++
			}
		}
		if len(found) > 0 {
			clean = time.Now()
		}
		if time.Since(clean) >= settled || refused > 0 && refused == len(found) || ctx.Err() != nil {
			return p.rest(mine, found)
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

// rest is what is left at the end: what was found last, looked for again where
// time was over.
func (p *Places) rest(mine *regexp.Regexp, found []thing) []Left {
	if len(found) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		found = p.look(ctx, mine)
	}
	out := make([]Left, 0, len(found))
	for _, f := range found {
		out = append(out, f.Left)
	}
	return out
}

// thing is something that was found, with what removes it; nil is nothing.
type thing struct {
	Left
	remove func(context.Context) error
}

// look lists what is there, brokers first: a topic that is removed from a name
// server while its broker has it comes back.
func (p *Places) look(ctx context.Context, mine *regexp.Regexp) []thing {
	var out []thing
	names := strings.Join(p.NameServers, ";")
	for _, name := range slices.Sorted(maps.Keys(p.Brokers)) {
		addr := p.Brokers[name]
		at := fmt.Sprintf("on broker %s (%s)", name, addr)
		out = append(out, listed(ctx, mine, addr, AllTopics, "topics "+at, func(t string) thing {
			return thing{Left{What: "topic " + t + " " + at, Remove: fmt.Sprintf("mqadmin deleteTopic -n '%s' -c <cluster> -t '%s'", names, t)},
				call(addr, DeleteTopicInBroker, map[string]string{"topic": t})}
		})...)
		out = append(out, listed(ctx, mine, addr, AllGroups, "groups "+at, func(g string) thing {
			return thing{Left{What: "group " + g + " " + at, Remove: fmt.Sprintf("mqadmin deleteSubGroup -n '%s' -b %s -g '%s' -r", names, addr, g)},
				call(addr, DeleteGroup, map[string]string{"groupName": g, "cleanOffset": "true"})}
		})...)
	}
	for _, ns := range p.NameServers {
		out = append(out, registered(ctx, mine, ns)...)
		out = append(out, listed(ctx, mine, ns, AllRoutes, "topics in name server "+ns, func(t string) thing {
			return thing{Left{What: "route of topic " + t + " in name server " + ns, Remove: fmt.Sprintf("mqadmin deleteTopic -n %s -c <cluster> -t '%s'", ns, t)},
				call(ns, DeleteTopicInNames, map[string]string{"topic": t})}
		})...)
	}
	return out
}

func call(addr string, code int, fields map[string]string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := Call(ctx, addr, code, fields, nil)
		return err
	}
}

// listed makes things of the names in a table or list that match. A list that
// cannot be had is a thing itself, unless the server refuses to tell.
func listed(ctx context.Context, mine *regexp.Regexp, addr string, code int, what string, of func(string) thing) []thing {
	a, err := Call(ctx, addr, code, nil, nil)
	if err != nil {
		return unseen(what, err)
	}
	var body struct {
		Topics map[string]any `json:"topicConfigTable"`
		Groups map[string]any `json:"subscriptionGroupTable"`
		Routes []string       `json:"topicList"`
	}
	if err := Unmarshal(a.Body, &body); err != nil {
		return unseen(what, err)
	}
	names := slices.AppendSeq(body.Routes, maps.Keys(body.Topics))
	names = slices.AppendSeq(names, maps.Keys(body.Groups))
	slices.Sort(names)
	var out []thing
	for _, n := range slices.Compact(names) {
		if mine.MatchString(n) {
			out = append(out, of(n))
		}
	}
	return out
}

func unseen(what string, err error) []thing {
	var refused *Error
	if errors.As(err, &refused) {
		return nil // who may not look could not make anything either
	}
	return []thing{{Left{What: "perhaps " + what + ": nobody could look: " + err.Error(), Remove: "look there yourself"}, nil}}
}

// registered lists brokers that a name server knows.
func registered(ctx context.Context, mine *regexp.Regexp, ns string) []thing {
	a, err := Call(ctx, ns, ClusterInfo, nil, nil)
	if err != nil {
		return unseen("brokers in name server "+ns, err)
	}
	var info struct {
		Table map[string]Broker `json:"brokerAddrTable"`
	}
	if Unmarshal(a.Body, &info) != nil {
		return nil
	}
	var out []thing
	for _, name := range slices.Sorted(maps.Keys(info.Table)) {
		if !mine.MatchString(name) {
			continue
		}
		b := info.Table[name]
		if len(b.Addrs) == 0 {
			b.Addrs = map[string]string{"0": "127.0.0.1:1"}
		}
		for id, addr := range b.Addrs {
			out = append(out, thing{Left{What: "broker " + name + " in name server " + ns, Remove: "nothing: a name server forgets a broker that has been silent for two minutes"},
				call(ns, UnregisterBroker, map[string]string{"brokerName": name, "brokerAddr": addr, "clusterName": b.Cluster, "brokerId": id})})
		}
	}
	return out
}
