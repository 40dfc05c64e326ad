package suite

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/merlinmq/merlin/compat/version"
	"github.com/merlinmq/merlin/conformance/probe"
)

// feature is something that a cluster may lack, with the cases that are about it
// in every suite: Go, Java and wire cases share their names.
type feature struct {
	name  string
	cases *regexp.Regexp
	// suite is the beginning of the suite's name where only that one is meant.
	suite string
	// off returns why the cluster lacks it, or nothing.
	off func(v int32, conf map[string]string) string
}

func features() []feature {
	is := func(key, value string) func(int32, map[string]string) string {
		return func(_ int32, conf map[string]string) string {
			if conf[key] == value {
				return "turned off on this broker: " + key + "=" + value
			}
			return ""
		}
	}
	since := func(v int32) func(int32, map[string]string) string {
		return func(server int32, _ map[string]string) string {
			if server >= 0 && server < v {
				return "comes with " + version.Name(v) + ", the broker is " + version.Name(server)
			}
			return ""
		}
	}
	of := func(name, cases string, off func(int32, map[string]string) string) feature {
		return feature{name: name, cases: regexp.MustCompile(cases), off: off}
	}
	wire := of("the answers that wire cases are about", ``, since(version.V5_0_0))
	wire.suite = "wire"
	lite := of("pulls as lite consumers of 5.x send them", `^lite-`, since(version.V5_0_0))
	lite.suite = "java 5"
	return []feature{
		of("topics made by the first message", `auto-create|^send-namespace$`, is("autoCreateTopicEnable", "false")),
		of("transactions", `transaction`, is("rejectTransactionMessage", "true")),
		of("queries by key", `^(query-|trace)`, is("messageIndexEnable", "false")),
		of("messages of 4 MiB", `^send-(sizes|too-large)$`, otherSize),
		of("delays of 1, 5 and 10 seconds", `^(retry|delay-|broker-(restart|kill)-delay)`, otherDelays),
		of("SQL92 turned off", `^sql-refused$`, is("enablePropertyFilter", "true")),
		of("answers of 5.x", `^(send-illegal-queue|send-empty|offset-not-found|offset-by-time|offsets|offset-reset-queue)$`, since(version.V5_0_0)),
		lite, wire,
	}
}

func otherSize(_ int32, conf map[string]string) string {
	const usual = "4194304"
	if size := conf["maxMessageSize"]; size != "" && size != usual {
		return "the case is about the default of " + usual + " bytes; here maxMessageSize=" + size
	}
	return ""
}

func otherDelays(_ int32, conf map[string]string) string {
	if levels := conf["messageDelayLevel"]; levels != "" && !strings.HasPrefix(levels, "1s 5s 10s ") {
		return "the case is about the default delay levels; here messageDelayLevel=" + levels
	}
	return ""
}

// ErrUnreachable says that a server does not answer, so that nothing can be
// said about the cluster.
var ErrUnreachable = errors.New("cannot be reached")

// Cluster is what a look at a cluster before the run has shown.
type Cluster struct {
	NameServer string
	// BrokerName and Broker are the set that cases work on, the first by name.
	BrokerName, Broker string
	// Masters is how many broker sets with a master there are.
	Masters int
	// Server is the broker's language and version as it tells them: "JAVA V5_3_3".
	Server string
	// Refuses is empty, or says why no case can run here: the cluster takes no
	// topics or messages from this client.
	Refuses string
	// Guarded says that the cluster checks permissions, so that a refusal tells
	// about this client's rights and not about the server.
	Guarded bool
	// Notes are things that a reader of the report should know.
	Notes []string

	lacks []lack
}

type lack struct {
	feature
	why string
}

// brokerConfig is GET_BROKER_CONFIG.
const brokerConfig = 26

// Inspect looks at a cluster: who answers, what is turned off, and whether this
// client may make a topic, which it removes again. The error wraps
// ErrUnreachable when a server does not answer.
func Inspect(ctx context.Context, nameServer string) (*Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	masters, err := probe.Masters(ctx, nameServer)
	if err != nil {
		return nil, notAnswering("name server "+nameServer, err)
	}
	if len(masters) == 0 {
		return nil, fmt.Errorf("name server %s %w: it knows no broker with id 0", nameServer, ErrUnreachable)
	}
	names := make([]string, 0, len(masters))
	for n := range masters {
		names = append(names, n)
	}
	sort.Strings(names)
	c := &Cluster{NameServer: nameServer, BrokerName: names[0], Broker: masters[names[0]], Masters: len(masters)}
	a, err := probe.Do(ctx, c.Broker, brokerConfig, nil, nil)
	if err != nil {
		return nil, notAnswering(fmt.Sprintf("broker %s, which name server %s places at %s,", c.BrokerName, nameServer, c.Broker), err)
	}
	c.Server = strings.TrimSpace(a.Language + " " + version.Name(int32(a.Version)))
	if a.Code == probe.Success {
		c.readConfig(int32(a.Version), properties(string(a.Body)))
	} else {
		c.Guarded = Denied(fmt.Sprintf("code %d: %s", a.Code, a.Remark))
		c.Notes = append(c.Notes, fmt.Sprintf("the broker does not show its configuration (code %d: %s): features that are turned off show as failures", a.Code, a.Remark))
	}
	if c.Refuses == "" {
		c.tryTopic(ctx)
	}
	return c, nil
}

func notAnswering(who string, err error) error {
	var answered *probe.Error
	if errors.As(err, &answered) {
		return fmt.Errorf("%s answered with code %d: %s", who, answered.Code, answered.Remark)
	}
	return fmt.Errorf("%s %w: %w", who, ErrUnreachable, err)
}

// tryTopic makes and removes a topic.
func (c *Cluster) tryTopic(ctx context.Context) {
	ctx, cancel := uninterrupted(ctx)
	defer cancel()
	topic := "conf-" + runID() + "-may-i"
	err := probe.PutTopic(ctx, c.Broker, topic, 1)
	if err != nil {
		c.Refuses = "the cluster does not let this client make topics: " + err.Error()
		return
	}
	// What the broker tells the name server late would bring a removed topic back.
	_ = poll(ctx, func() (bool, string) {
		_, err := probe.RouteOf(ctx, c.NameServer, topic)
		return err == nil, ""
	})
	if err := probe.DropTopic(ctx, c.NameServer, c.Broker, topic); err != nil {
		c.Notes = append(c.Notes, fmt.Sprintf("the cluster does not let this client remove topics; those named conf-… stay: %v", err))
	}
}

// readConfig finds what is turned off. Keys that a version has not got count
// as they are by default.
func (c *Cluster) readConfig(v int32, conf map[string]string) {
	for _, key := range []string{"aclEnable", "authenticationEnabled", "authorizationEnabled"} {
		c.Guarded = c.Guarded || conf[key] == "true"
	}
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

// properties reads lines of key=value.
func properties(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			m[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return m
}
