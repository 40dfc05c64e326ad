package suite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/merlinmq/merlin/compat/version"
	"github.com/merlinmq/merlin/conformance/probe"
)

// ErrUnreachable says that a server does not answer, so that nothing can be
// said about the cluster.
var ErrUnreachable = errors.New("cannot be reached")

// Cluster is what a look at one broker set of a cluster before the run has shown.
type Cluster struct {
	// NameServer is the address that clients are given: one or several, separated
	// by semicolons. NameServers are all that have to do with the cluster and
	// answer: those, and those that its brokers register with.
	NameServer  string
	NameServers []string
	// BrokerName, Broker and ClusterName are the set that cases work on, its
	// master's address and its cluster's name.
	BrokerName, Broker, ClusterName string
	// Masters is how many broker sets with a master there are.
	Masters int
	// Server is the broker's language and version as it tells them: "JAVA V5_3_3",
	// "Merlin as JAVA V5_3_3" where it says that it is no Java broker.
	Server string
	// Implementation is what the broker says that it is, NamesImplementation what
	// the name server does: "Merlin", or empty, which Java servers are.
	Implementation, NamesImplementation string
	// Refuses is empty, or says why no case can run here: the cluster takes no
	// topics or messages from this client.
	Refuses string
	// Guarded says that the cluster checks permissions, so that a refusal tells
	// about this client's rights and not about the server.
	Guarded bool
	// Notes are things that a reader of the report should know.
	Notes []string

	config        map[string]string // settings; empty when the broker does not show them
	lacks         []lack
	brokers       map[string]string // all masters, by name
	registersWith []string          // name servers, as the broker's settings have them
	registered    []string          // name servers that know the broker
}

type lack struct {
	feature
	why string
}

// Look says what Inspect looks at.
type Look struct {
	// NameServer is host:port, or several separated by semicolons.
	NameServer string
	// Match leaves out the brokers whose name it does not match; nil matches all.
	Match *regexp.Regexp
	// ReadOnly says that nothing may be made, not even a topic to see whether that
	// is permitted.
	ReadOnly bool
	// ID is part of the name of that topic, "conf-ID-may-i"; empty is a random one.
	ID string
}

// Inspect looks at a cluster and returns its first broker set by name.
func Inspect(ctx context.Context, nameServer string) (*Cluster, error) {
	all, err := Look{NameServer: nameServer}.Inspect(ctx)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// Inspect looks at every broker set that has a master, in the order of their
// names: who answers, what is turned off, and whether this client may make a
// topic, which it removes again. The error wraps ErrUnreachable when a server does
// not answer.
func (l Look) Inspect(ctx context.Context) ([]*Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	sets, err := probe.Brokers(ctx, l.NameServer)
	if err != nil {
		return nil, notAnswering("name server "+l.NameServer, err)
	}
	masters := map[string]string{}
	for name, b := range sets {
		if addr := b.Addrs["0"]; addr != "" {
			masters[name] = addr
		}
	}
	if len(masters) == 0 {
		return nil, fmt.Errorf("name server %s %w: it knows no broker with id 0", l.NameServer, ErrUnreachable)
	}
	var all []*Cluster
	for _, name := range slices.Sorted(maps.Keys(masters)) {
		if l.Match != nil && !l.Match.MatchString(name) {
			continue
		}
		c := &Cluster{NameServer: l.NameServer, NameServers: probe.NameServers(l.NameServer), BrokerName: name, Broker: masters[name],
			ClusterName: sets[name].Cluster, Masters: len(masters), brokers: masters}
		if err := c.inspect(ctx); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no broker of name server %s has a name that matches %q", l.NameServer, l.Match)
	}
	c := all[0]
	for _, ns := range c.NameServers {
		a, err := probe.Do(ctx, ns, probe.NamesConfig, nil, nil)
		if err != nil {
			return nil, notAnswering("name server "+ns, err)
		}
		c.NamesImplementation = a.Fields[version.Field]
	}
	others := elsewhere(ctx, all)
	for _, o := range all {
		o.NameServers = append(probe.NameServers(l.NameServer), others...)
		o.register(ctx)
		o.NamesImplementation = c.NamesImplementation
		if o.Refuses == "" && !l.ReadOnly {
			o.tryTopic(ctx, cmp.Or(l.ID, NewID()))
		}
	}
	return all, nil
}

// elsewhere finds the name servers that the brokers register with besides the
// ones given: what cases make appears there, too.
func elsewhere(ctx context.Context, all []*Cluster) []string {
	var found []string
	for _, c := range all {
		for _, ns := range c.registersWith {
			if slices.Contains(c.NameServers, ns) || slices.Contains(found, ns) {
				continue
			}
			if _, err := probe.Masters(ctx, ns); err != nil {
				c.Notes = append(c.Notes, fmt.Sprintf("the broker registers with the name server %s, too, which does not answer here: topics that the cases made may stay there (%v)", ns, err))
				continue
			}
			found = append(found, ns)
		}
	}
	return found
}

// register finds the name servers that know the broker.
func (c *Cluster) register(ctx context.Context) {
	for _, ns := range c.NameServers {
		if masters, err := probe.Masters(ctx, ns); err == nil && masters[c.BrokerName] != "" {
			c.registered = append(c.registered, ns)
		} else {
			c.Notes = append(c.Notes, fmt.Sprintf("name server %s does not know broker %s: clients that ask it do not find what is there", ns, c.BrokerName))
		}
	}
}

// inspect asks the broker what it is and how it is set.
func (c *Cluster) inspect(ctx context.Context) error {
	a, err := probe.Do(ctx, c.Broker, probe.BrokerConfig, nil, nil)
	if err != nil {
		return notAnswering(fmt.Sprintf("broker %s, which name server %s places at %s,", c.BrokerName, c.NameServer, c.Broker), err)
	}
	c.Server = strings.TrimSpace(a.Language + " " + version.Name(int32(a.Version)))
	if info, err := probe.Do(ctx, c.Broker, probe.RuntimeInfo, nil, nil); err == nil {
		c.Implementation = info.Fields[version.Field]
	}
	if c.Implementation != "" {
		c.Server = c.Implementation + " as " + c.Server
	}
	if a.Code == probe.Success {
		c.readConfig(int32(a.Version), probe.Properties(string(a.Body)))
		return nil
	}
	c.Guarded = Denied(fmt.Sprintf("code %d: %s", a.Code, a.Remark))
	c.Notes = append(c.Notes, fmt.Sprintf("the broker does not show its configuration (code %d: %s): features that are turned off show as failures", a.Code, a.Remark))
	return nil
}

// Setting is the broker's value of a setting, usual where it does not show it.
func (c *Cluster) Setting(key, usual string) string {
	if v, ok := c.config[key]; ok {
		return v
	}
	return usual
}

// Places are where cases may leave something: every master, since any of them
// makes a topic at its first message, and every name server.
func (c *Cluster) Places() *probe.Places {
	return &probe.Places{NameServers: c.NameServers, Brokers: c.brokers}
}

// All are the name servers as a list for clients.
func (c *Cluster) all() string { return strings.Join(c.NameServers, ";") }

func notAnswering(who string, err error) error {
	var answered *probe.Error
	if errors.As(err, &answered) {
		return fmt.Errorf("%s answered with code %d: %s", who, answered.Code, answered.Remark)
	}
	return fmt.Errorf("%s %w: %w", who, ErrUnreachable, err)
}

// tryTopic makes and removes a topic.
func (c *Cluster) tryTopic(ctx context.Context, id string) {
	ctx, cancel := uninterrupted(ctx)
	defer cancel()
	topic := "conf-" + id + "-may-i"
	err := probe.PutTopic(ctx, c.Broker, topic, 1)
	if err != nil {
		c.Refuses = "the cluster does not let this client make topics: " + err.Error()
		return
	}
	// What the broker tells a name server late would bring a removed topic back.
	for _, ns := range c.registered {
		_ = poll(ctx, func() (bool, string) {
			_, err := probe.RouteOf(ctx, ns, topic)
			return err == nil, ""
		})
	}
	if err := probe.DropTopic(ctx, c.all(), c.Broker, topic); err != nil {
		c.Notes = append(c.Notes, fmt.Sprintf("the cluster does not let this client remove topics; those named conf-… stay: %v", err))
	}
}

// readConfig finds what is turned off. Keys that a version has not got count
// as they are by default.
func (c *Cluster) readConfig(v int32, conf map[string]string) {
	for _, key := range []string{"aclEnable", "authenticationEnabled", "authorizationEnabled"} {
		c.Guarded = c.Guarded || conf[key] == "true"
	}
	c.config = conf
	c.registersWith = probe.NameServers(conf["namesrvAddr"])
	for _, f := range features() {
		if why := f.off(v, conf); why != "" {
			c.lacks = append(c.lacks, lack{f, why})
			c.Notes = append(c.Notes, f.name+": "+why)
		}
	}
	if perm, err := strconv.Atoi(conf["brokerPermission"]); err == nil && perm&6 != 6 {
		c.Refuses = fmt.Sprintf("the broker takes no messages or gives none: brokerPermission=%d", perm)
	}
	if conf["brokerRole"] == "SLAVE" {
		c.Refuses = "the broker is a slave: brokerRole=SLAVE"
	}
}

// Without returns why a case of a suite ("go 2.1.2", "java 5.3.3", "wire") cannot
// run on this cluster, or nothing: the cluster refuses this client, or lacks
// what the case is about.
func (c *Cluster) Without(suite, caseName string) string {
	if c.Refuses != "" {
		return c.Refuses
	}
	for _, l := range c.lacks {
		if strings.HasPrefix(suite, l.suite) && l.cases.MatchString(caseName) {
			return l.why
		}
	}
	return ""
}

// deniedText is how servers of 4.9 and 5.x say that a client may not do
// something: response code 16, or the exception of the access checks.
var deniedText = regexp.MustCompile(`(?i)\bcode:? 16\b|AclException|AuthenticationException|AuthorizationException|No accessKey is configured`)

// Denied says whether a reason tells of a refusal for lack of permission.
func Denied(reason string) bool { return deniedText.MatchString(reason) }

// Judge turns a failure that says nothing about the server into what it is: the
// run was interrupted, or a cluster that checks permissions refused this client.
func (c *Cluster) Judge(run context.Context, status Status, reason string) (Status, string) {
	switch {
	case status == Failed && run.Err() != nil:
		return Skipped, Interrupted
	case status == Failed && c.Guarded && Denied(reason):
		return NotApplicable, "the cluster does not let this client: " + reason
	}
	return status, reason
}
