package clients

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/admintool"
	"github.com/merlinmq/merlin/conformance/cluster"
	"github.com/merlinmq/merlin/conformance/internal/servers"
	"github.com/merlinmq/merlin/conformance/probe"
	"github.com/merlinmq/merlin/conformance/reference"
	"github.com/merlinmq/merlin/conformance/suite"
)

// transcript is what the admin tool printed, command by command, normalised.
type transcript struct {
	steps []string
	text  map[string]string
}

// The stock admin tool prints the same against Merlin as against the Java
// servers, but for addresses, times, ids and numbers that measure the machine.
func TestAdminTool_PrintsTheSame(t *testing.T) {
	t.Parallel()
	reference.Need(t)
	var java, merlin *transcript
	t.Run("session", func(t *testing.T) {
		t.Run("java", func(t *testing.T) { t.Parallel(); java = adminSession(t, cluster.Java(reference.V5)) })
		t.Run("merlin", func(t *testing.T) { t.Parallel(); merlin = adminSession(t, cluster.Merlin()) })
	})
	if java == nil || merlin == nil {
		reference.Skip(t, "NOT COMPARED: one of the sides did not run")
	}
	require.Equal(t, java.steps, merlin.steps)
	for _, step := range java.steps {
		t.Run(step, func(t *testing.T) {
			require.NotEmpty(t, strings.TrimSpace(java.text[step]), "Java printed nothing: the step shows nothing")
			require.Equal(t, java.text[step], merlin.text[step])
		})
	}
}

// adminSession runs the commands against a cluster of its own, whose topic and
// group lists are known.
func adminSession(t *testing.T, k cluster.Kind) *transcript {
	c := k.StartT(t, cluster.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	tool, err := admintool.Start(ctx, reference.V5, c.NameServer())
	require.NoError(t, err)
	defer func() { require.NoError(t, tool.Close()) }()
	stop := context.AfterFunc(ctx, func() { _ = tool.Close() })
	defer stop()
	s := &adminScript{t: t, ctx: ctx, c: c, tool: tool, out: &transcript{text: map[string]string{}}}
	s.topics()
	s.groups()
	s.messages()
	s.config()
	s.deletions()
	return s.out
}

type adminScript struct {
	t    *testing.T
	ctx  context.Context
	c    cluster.Cluster
	tool *admintool.Tool
	out  *transcript
}

// run runs a command and keeps its normalised output under name.
func (s *adminScript) run(name string, args ...string) string {
	s.t.Helper()
	raw, err := s.tool.Run(args...)
	require.NoError(s.t, err)
	if os.Getenv("MERLIN_ADMIN_RAW") != "" {
		s.t.Logf("%s: %s\n%s", s.c.Name(), strings.Join(args, " "), raw)
	}
	s.out.steps = append(s.out.steps, name)
	text := normalise(raw)
	switch args[0] {
	case "topicList":
		text = sorted(text) // the order of a hash table
	case "brokerStatus", "clusterList", "statsAll", "consumerProgress", "wipeWritePerm", "addWritePerm":
		text = sorted(measured.ReplaceAllString(text, "N"))
	}
	if name == "consumerProgress" {
		text = sorted(normalise(raw)) // here the numbers count
	}
	s.out.text[name] = text
	return raw
}

func (s *adminScript) topics() {
	broker := s.c.BrokerAddr()
	s.run("clusterList", "clusterList")
	s.run("clusterList more", "clusterList", "-m")
	s.run("topicList", "topicList")
	s.run("updateTopic on broker", "updateTopic", "-b", broker, "-t", "TopicA", "-r", "3", "-w", "3")
	s.run("updateTopic on cluster", "updateTopic", "-c", servers.ClusterName, "-t", "TopicB", "-r", "4", "-w", "4", "-p", "4")
	s.run("updateTopic order", "updateTopic", "-b", broker, "-t", "TopicOrder", "-o", "true")
	s.run("updateTopic bad name", "updateTopic", "-b", broker, "-t", "no spaces")
	s.run("updateTopic system", "updateTopic", "-b", broker, "-t", "SELF_TEST_TOPIC")
	s.awaitRoute("TopicB")
	s.awaitRoute("TopicOrder")
	s.run("topicList with new topics", "topicList")
	s.run("topicList with clusters", "topicList", "-c")
	s.run("topicRoute", "topicRoute", "-t", "TopicA")
	s.run("topicRoute as list", "topicRoute", "-t", "TopicB", "-l")
	s.run("topicRoute unknown", "topicRoute", "-t", "Nowhere")
	s.run("topicStatus empty", "topicStatus", "-t", "TopicA")
	s.run("topicStatus unknown", "topicStatus", "-t", "Nowhere")
	s.run("topicClusterList", "topicClusterList", "-t", "TopicA")
	s.run("updateTopicPerm", "updateTopicPerm", "-b", broker, "-t", "TopicB", "-p", "6")
}

func (s *adminScript) groups() {
	broker := s.c.BrokerAddr()
	s.run("updateSubGroup", "updateSubGroup", "-b", broker, "-g", "GroupA", "-r", "5", "-q", "2")
	s.run("updateSubGroup on cluster", "updateSubGroup", "-c", servers.ClusterName, "-g", "GroupB")
	s.run("consumerProgress of a group without offsets", "consumerProgress", "-g", "GroupA")
	s.run("consumerConnection none", "consumerConnection", "-g", "GroupA")
	s.run("producerConnection none", "producerConnection", "-g", "Nobody", "-t", "TopicA")
}

var idInOutput = regexp.MustCompile(`[0-9A-F]{32,56}`)

func (s *adminScript) messages() {
	send := s.run("sendMessage", "sendMessage", "-t", "TopicA", "-p", "hello admin", "-k", "KeyA", "-c", "TagA", "-b", servers.BrokerName, "-i", "1")
	for i := range 3 {
		s.run(fmt.Sprint("sendMessage to queue ", i), "sendMessage", "-t", "TopicA", "-p", "more", "-k", "KeyB", "-b", servers.BrokerName, "-i", fmt.Sprint(i))
	}
	unique := idInOutput.FindString(send)
	require.NotEmpty(s.t, unique, "sendMessage printed no message id:\n%s", send)
	s.awaitIndex(unique)
	s.run("topicStatus", "topicStatus", "-t", "TopicA")
	s.run("queryMsgByKey", "queryMsgByKey", "-t", "TopicA", "-k", "KeyA")
	s.run("queryMsgByKey unknown", "queryMsgByKey", "-t", "TopicA", "-k", "KeyNobody")
	byUnique := s.run("queryMsgByUniqueKey", "queryMsgByUniqueKey", "-t", "TopicA", "-i", unique)
	at := logOffset.FindStringSubmatch(byUnique)
	require.NotNil(s.t, at, "no commit log offset in\n%s", byUnique)
	offsetID, err := messageID(s.c.BrokerAddr(), at[1])
	require.NoError(s.t, err)
	s.run("queryMsgById", "queryMsgById", "-t", "TopicA", "-i", offsetID)
	s.run("queryMsgByOffset", "queryMsgByOffset", "-t", "TopicA", "-b", servers.BrokerName, "-i", "1", "-o", "0")
	s.consume()
	s.run("consumerProgress", "consumerProgress", "-g", "GroupA")
	s.run("consumerProgress of all groups", "consumerProgress")
	s.run("statsAll", "statsAll", "-t", "TopicB")
}

var logOffset = regexp.MustCompile(`CommitLog Offset:\s*(\d+)`)

// messageID makes the offset message id of a record: IPv4 address, port and
// commit log offset in hexadecimal digits.
func messageID(addr, offset string) (string, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return "", err
	}
	n, err := strconv.ParseUint(offset, 10, 64)
	return fmt.Sprintf("%X%08X%016X", ap.Addr().AsSlice(), ap.Port(), n), err
}

// consume commits offsets of GroupA on TopicA, so that there is progress to see,
// and shows a live consumer of another group.
func (s *adminScript) consume() {
	for queue, offset := range []string{"1", "2", "1"} {
		_, err := probe.Call(s.ctx, s.c.BrokerAddr(), probe.UpdateConsumerOffset, map[string]string{"consumerGroup": "GroupA",
			"topic": "TopicA", "queueId": fmt.Sprint(queue), "commitOffset": offset}, nil)
		require.NoError(s.t, err)
	}
	require.NoError(s.t, probe.PutTopic(s.ctx, s.c.BrokerAddr(), "%RETRY%GroupA", 1))
	s.awaitRoute("%RETRY%GroupA")
	results, err := suite.Run(s.ctx, suite.Options{NameServer: s.c.NameServer(), Cases: []suite.Case{{Name: "admin-consume",
		Run: func(ctx context.Context, e *suite.Env) {
			box := e.Push("GroupC", "TopicA", suite.All, suite.Accept)
			e.AwaitBodies([]string{"hello admin", "more", "more", "more"}, box)
			s.awaitRoute("%RETRY%GroupC")
			s.run("consumerConnection", "consumerConnection", "-g", "GroupC")
			box.Stop()
		}}}})
	require.NoError(s.t, err)
	require.Equal(s.t, suite.Passed, results[0].Status, results[0].Reason)
}

// awaitIndex waits until a message is found by its unique key: indexes are
// built behind the log.
func (s *adminScript) awaitIndex(unique string) {
	last := ""
	deadline := time.Now().Add(30 * time.Second)
	for !strings.Contains(last, "CommitLog Offset") {
		require.True(s.t, time.Now().Before(deadline), "the message is not found by its unique key:\n%s", last)
		var err error
		last, err = s.tool.Run("queryMsgByUniqueKey", "-t", "TopicA", "-i", unique)
		require.NoError(s.t, err)
	}
}

func (s *adminScript) awaitRoute(topic string) {
	require.Eventually(s.t, func() bool {
		_, err := probe.RouteOf(s.ctx, s.c.NameServer(), topic)
		return err == nil
	}, 30*time.Second, 50*time.Millisecond)
}

func (s *adminScript) config() {
	broker := s.c.BrokerAddr()
	s.run("brokerStatus", "brokerStatus", "-b", broker)
	s.run("updateBrokerConfig", "updateBrokerConfig", "-b", broker, "-k", "autoCreateTopicEnable", "-v", "false")
	out, err := s.tool.Run("getBrokerConfig", "-b", broker)
	require.NoError(s.t, err)
	require.Regexp(s.t, `autoCreateTopicEnable\s*=\s*false`, out, "getBrokerConfig after updateBrokerConfig")
	s.run("updateBrokerConfig forbidden", "updateBrokerConfig", "-b", broker, "-k", "brokerConfigPath", "-v", "/x")
	s.run("wipeWritePerm", "wipeWritePerm", "-b", servers.BrokerName)
	s.run("addWritePerm", "addWritePerm", "-b", servers.BrokerName)
	s.run("updateKvConfig", "updateKvConfig", "-s", "Space", "-k", "Key", "-v", "value")
	s.run("deleteKvConfig", "deleteKvConfig", "-s", "Space", "-k", "Key")
}

func (s *adminScript) deletions() {
	s.run("deleteTopic", "deleteTopic", "-c", servers.ClusterName, "-t", "TopicA")
	s.run("topicRoute after deleteTopic", "topicRoute", "-t", "TopicA")
	s.run("deleteSubGroup", "deleteSubGroup", "-c", servers.ClusterName, "-g", "GroupB")
	s.run("topicList at the end", "topicList")
}

// replacements turn what legitimately differs into words.
var replacements = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\d+\.\d+\.\d+\.\d+(:\d+|@\d+)?`), "ADDR"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[ #]\d\d:\d\d:\d\d([.,]\d+)?`), "TIME"},
	{regexp.MustCompile(`\b[0-9A-F]{32,56}\b`), "ID"},
	{regexp.MustCompile(`\bG?[a-z0-9-]*admin-consume-i\d+\b`), "INSTANCE"},
	{regexp.MustCompile(`(Store Timestamp|Born Timestamp|Commit Log Offset|storeTimestamp|bornTimestamp|commitLogOffset|CommitLogOffset|UserPropertiesSize|StoreSize|Store Size|BodyCRC)(\s*[:=]\s*)-?\d+`), "${1}${2}NUMBER"},
	{regexp.MustCompile(`/tmp/rocketmq/\S+`), "FILE"},
	// Java fills these in at its own moments: empty or null before. What is neither stays, and differs.
	{regexp.MustCompile(`(?m)^(\w*Tps\s+):( -?\d+(\.\d+)?(E-?\d+)?){0,3} *$`), "${1}: RATES"},
	{regexp.MustCompile(`(?m)^(putMessageDistributeTime\s+):( null| *(\[[^\]]+\]:\d+ *)*)$`), "${1}: COUNTS"},
}

// measured finds the numbers of outputs that are nothing but measurements.
var measured = regexp.MustCompile(`-?\b\d+(\.\d+)?(E-?\d+)?\b`)

// known are differences that stay, each with its reason; what matches is taken
// out of both outputs.
var known = []struct {
	re     *regexp.Regexp
	reason string
}{
	{regexp.MustCompile(`(?s)MessageTrack \[consumerGroup=TopicA,.*?\.java:\d+\)\]`),
		"Java 5.3.3 lists a topic that was subscribed to among its own consumer groups: it records the wrong name"},
}

func normalise(raw string) string {
	for _, k := range known {
		raw = k.re.ReplaceAllString(raw, "")
	}
	for _, r := range replacements {
		raw = r.re.ReplaceAllString(raw, r.with)
	}
	var lines []string
	for _, l := range strings.Split(raw, "\n") {
		l = strings.TrimRight(l, " \t\r")
		if strings.HasPrefix(strings.TrimSpace(l), "at ") || strings.Contains(l, " |-") || l == "" {
			continue // stack frames of the tool, and its logging library's talk
		}
		lines = append(lines, strings.Join(strings.Fields(l), " "))
	}
	return strings.Join(lines, "\n")
}

// sorted sorts the lines of an output whose order is that of a hash table.
func sorted(text string) string {
	lines := strings.Split(text, "\n")
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}
