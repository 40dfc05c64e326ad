package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/conformance/cluster"
	"github.com/merlinmq/merlin/conformance/faulty"
	"github.com/merlinmq/merlin/conformance/probe"
	"github.com/merlinmq/merlin/conformance/reference"
	"github.com/merlinmq/merlin/namesrv"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/remoting"
)

// onPurpose are wire cases that Merlin answers otherwise than Java.
const onPurpose = "^(who-consumes|topic-put-queues-negative)$"

// A run that tells nothing about the cluster has an exit code of its own, and all
// forms of the report say so.
func TestConformance_NothingTested(t *testing.T) {
	s := configured(t, "brokerPermission=4")
	dir := t.TempDir()
	junit, page := filepath.Join(dir, "junit.xml"), filepath.Join(dir, "page.html")
	code, out, errOut := conformanceRun(t.Context(), "-n", s.names.Addr(), "-run", cheap, "-junit", junit, "-html", page)
	require.Equal(t, 3, code, "%s%s", out, errOut)
	require.Contains(t, out, "Nothing was tested")
	require.Contains(t, errOut, "nothing was tested")
	for _, file := range []string{junit, page} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Contains(t, string(text), "Nothing was tested", file)
		require.NotContains(t, string(text), "Everything that applies passed", file)
	}
}

// Known differences of Merlin are shown, with a status of their own, why, and
// what they mean for an application.
func TestConformance_OnPurpose(t *testing.T) {
	s := configured(t)
	code, passed, cases := shown(t, "-n", s.names.Addr(), "-run", onPurpose)
	require.Zero(t, code)
	require.True(t, passed)
	for name, says := range map[string]string{"wire/who-consumes": "Dashboards", "wire/topic-put-queues-negative": "tool"} {
		c := cases[name]
		require.Equal(t, "on purpose", c.Tested.Status, name)
		require.Equal(t, "on purpose", c.Verdict, name)
		require.NotEmpty(t, c.Differences, name)
		for _, d := range c.Differences {
			require.Contains(t, d.OnPurpose, "Merlin:", name)
			require.Contains(t, d.Means, says, name)
		}
	}
	dir := t.TempDir()
	junit, page := filepath.Join(dir, "junit.xml"), filepath.Join(dir, "page.html")
	_, out, _ := conformanceRun(t.Context(), "-n", s.names.Addr(), "-run", onPurpose, "-junit", junit, "-html", page)
	require.Contains(t, out, "2 otherwise on purpose")
	require.Contains(t, out, "for an application: Dashboards")
	for file, says := range map[string]string{junit: `<property name="onPurpose" value="2">`, page: `class="badge purpose"`} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Contains(t, string(text), says)
	}
}

// The same answers of a server that does not say that it is Merlin are failures
// and differences, as any other's.
func TestConformance_OnPurposeOnlyOfMerlin(t *testing.T) {
	s := configured(t)
	proxy, err := faulty.New(s.names.Addr(), s.broker.Addr(), faulty.Fault{Edit: func(f *faulty.Frame) faulty.Action {
		if f.Answer(protocol.GetBrokerRuntimeInfo.Code) {
			f.Cmd.Ext = nil
			return faulty.Changed
		}
		return faulty.Pass
	}})
	require.NoError(t, err)
	defer proxy.Close()
	code, passed, cases := shown(t, "-n", proxy.NameServer(), "-run", onPurpose)
	require.Equal(t, 1, code)
	require.False(t, passed)
	require.Equal(t, "differs", cases["wire/who-consumes"].Verdict)
	require.Equal(t, "fail", cases["wire/topic-put-queues-negative"].Verdict)
	for _, c := range cases {
		for _, d := range c.Differences {
			require.Empty(t, d.OnPurpose, c.Case)
		}
	}
}

// What a fresh broker answers does not depend on which cases ran before.
func TestConformance_FreshMerlin(t *testing.T) {
	for _, cases := range []string{"^all-offsets", "^bad-get-broker-consume-stats", "^consume-stats-all", "^topic-table"} {
		s := configured(t)
		code, out, errOut := conformanceRun(t.Context(), "-n", s.names.Addr(), "-run", cases)
		require.Zero(t, code, "%s\n%s", out, errOut)
	}
}

// otherSettings are those of a cluster whose owner has changed what cases see.
var otherSettings = map[string]string{"regionId": "eu", "traceOn": "false", "autoCreateSubscriptionGroup": "false", "notifyConsumerIdsChangedEnable": "false",
	"transactionCheckInterval": "120000", "litePullMessageEnable": "false", "storeReplyMessageEnable": "false", "defaultTopicQueueNums": "2"}

// affected are cases that these settings change the answers of.
const affected = "^(send-sync|send-v2|send-auto-create.*|send-retry-topic-unknown|batch|lite-pull|reply-v2|member-told|consume-member-joins|reset|consume-queue|trace-topic|" +
	"transaction-check|topic-get-default|pull|broker-config|runtime-info|view)$"

// Settings of the cluster's owner make nothing red: answers are held against the
// broker's own values, and what is turned off is n/a with the setting.
func TestConformance_OtherSettings(t *testing.T) {
	withGoClient(t)
	check := func(t *testing.T, nameServer string) {
		code, _, cases := shown(t, "-n", nameServer, "-own", "-run", affected)
		for name, c := range cases {
			require.NotContains(t, []string{"fail", "differs"}, c.Verdict, "%s: %+v", name, c)
		}
		require.Zero(t, code)
		for name, setting := range map[string]string{"wire/lite-pull": "litePullMessageEnable=false", "wire/reply-v2": "storeReplyMessageEnable=false",
			"go 2.1.2/trace-topic": "traceOn=false", "wire/member-told": "notifyConsumerIdsChangedEnable=false", "wire/reset": "autoCreateSubscriptionGroup=false",
			"go 2.1.2/transaction-check": "transactionCheckInterval=120000", "wire/send-auto-create": "defaultTopicQueueNums=2"} {
			require.Equal(t, "n/a", cases[name].Tested.Status, name)
			require.Contains(t, cases[name].Tested.Reason, setting, name)
		}
		require.Equal(t, "pass", cases["wire/send-v2"].Verdict)
		require.Equal(t, "pass", cases["go 2.1.2/send-sync"].Verdict)
	}
	t.Run("merlin", func(t *testing.T) {
		var lines []string
		for k, v := range otherSettings {
			lines = append(lines, k+"="+v)
		}
		check(t, configured(t, lines...).names.Addr())
	})
	t.Run("java", func(t *testing.T) {
		check(t, cluster.Java(reference.V5).StartT(t, cluster.Options{BrokerConf: otherSettings}).NameServer())
	})
}

// second starts one more name server.
func second(t *testing.T) string {
	cfg := namesrv.Default(t.TempDir())
	names, err := namesrv.New(namesrv.Options{Config: &cfg, Listen: "127.0.0.1:0", Files: configfile.OS(), Server: remoting.ServerOptions{}})
	require.NoError(t, err)
	require.NoError(t, names.Start())
	t.Cleanup(func() { require.NoError(t, shutdown(names.Shutdown)) })
	return names.Addr()
}

// Every broker set with a master is tested, and nothing stays in any name server,
// also not in one that only the broker knows.
func TestConformance_AllMastersAllNameServers(t *testing.T) {
	withGoClient(t)
	first, other := second(t), second(t)
	for _, name := range []string{"b", "merlin"} {
		dir := t.TempDir()
		file := filepath.Join(dir, "broker.conf")
		require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, "brokerName=%s\nstorePathRootDir=%s\nmappedFileSizeCommitLog=16777216\n", name, dir), 0o644))
		b, err := startBroker(options{host: "127.0.0.1", data: dir, brokerPort: freePort(t), brokerConf: file}, dir, first+";"+other, 0, logTo(t))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, shutdown(b.Shutdown)) })
	}
	const some = "^(send-sync|send-auto-create|max-offset|route-broker-topic|consume-cluster)$"
	for _, list := range []string{first, first + ";" + other} { // with the second one as only a broker knows it, too
		code, cases := shownRows(t, "-n", list, "-run", some)
		require.Zero(t, code)
		for _, name := range []string{"go 2.1.2/send-sync", "wire/max-offset"} {
			require.Equal(t, []string{"b", "merlin"}, cases[name], name)
		}
		require.Len(t, cases["wire/route-broker-topic"], 1, "it asks the name server")
		for _, ns := range []string{first, other} {
			a, err := probe.Call(t.Context(), ns, probe.AllRoutes, nil, nil)
			require.NoError(t, err)
			require.Empty(t, ours.FindAllString(string(a.Body), -1), ns)
		}
	}
	code, cases := shownRows(t, "-n", first, "-run", some, "-brokers", "^merlin$")
	require.Zero(t, code)
	require.Equal(t, []string{""}, cases["go 2.1.2/send-sync"])
}

// shownRows are the brokers of each case of a run, sorted.
func shownRows(t *testing.T, args ...string) (code int, brokers map[string][]string) {
	t.Helper()
	code, out, errOut := conformanceRun(t.Context(), append(args, "-json")...)
	require.Contains(t, out, `"cases"`, errOut)
	brokers = map[string][]string{}
	for _, c := range parseCases(t, out) {
		brokers[c.Suite+"/"+c.Case] = append(brokers[c.Suite+"/"+c.Case], c.Broker)
		if c.Verdict == "fail" || c.Verdict == "differs" {
			t.Logf("%+v: %+v", c, c.Tested)
		}
	}
	for _, l := range brokers {
		slices.Sort(l)
	}
	return code, brokers
}

// What a run cannot remove is printed with how to remove it.
func TestConformance_LeftBehind(t *testing.T) {
	s := configured(t)
	proxy, err := faulty.New(s.names.Addr(), s.broker.Addr(), faulty.Fault{Edit: func(f *faulty.Frame) faulty.Action {
		if f.Request(protocol.DeleteTopicInBroker.Code, protocol.DeleteSubscriptionGroup.Code) {
			f.Cmd.Code = 30001 // the broker refuses it
			return faulty.Changed
		}
		return faulty.Pass
	}})
	require.NoError(t, err)
	defer proxy.Close()
	_, out, errOut := conformanceRun(t.Context(), "-n", proxy.NameServer(), "-run", "^max-offset$")
	require.Regexp(t, `left behind: topic wire-\w+-f-topic on broker b`, out, errOut)
	require.Regexp(t, `to remove it: mqadmin deleteTopic -n `, out)
	require.Regexp(t, `left behind: group wire-\w+-f-live on broker b`, out)

	_, out, errOut = conformanceRun(t.Context(), "-n", s.names.Addr(), "-own", "-run", "^kv-put$")
	require.Regexp(t, `left behind: 1 empty KV namespaces named wire-`, out, errOut)
}

// writes are the requests that change something.
var writes = regexp.MustCompile(`^(UPDATE|DELETE|SEND|REGISTER|UNREGISTER|PUT|HEART|WIPE|ADD|CLEAN|RESET|CONSUMER_SEND|END|LOCK|UNLOCK|INVOKE|PULL|LITE|BROKER_HEART)`)

// Without -own no broker is registered and no KV namespace made on a cluster that
// others use, and -preflight sends nothing but questions.
func TestConformance_LeavesOthersAlone(t *testing.T) {
	names := map[protocol.Code]string{}
	for _, row := range protocol.Table() {
		names[row.Code] = row.Name
	}
	watched := func(args ...string) (out string, asked map[string]int) {
		s := configured(t)
		var mu sync.Mutex
		asked = map[string]int{}
		proxy, err := faulty.New(s.names.Addr(), s.broker.Addr(), faulty.Fault{Edit: func(f *faulty.Frame) faulty.Action {
			if !f.ToClient && !f.Cmd.IsResponse() {
				mu.Lock()
				defer mu.Unlock()
				asked[names[f.Code]]++
			}
			return faulty.Pass
		}})
		require.NoError(t, err)
		defer proxy.Close()
		code, out, errOut := conformanceRun(t.Context(), append([]string{"-n", proxy.NameServer()}, args...)...)
		require.Zero(t, code, "%s%s", out, errOut)
		mu.Lock()
		defer mu.Unlock()
		return out, asked
	}
	const some = "^(max-offset|route|kv-get|register|cluster-info)$"
	_, asked := watched("-run", some)
	require.Zero(t, asked["REGISTER_BROKER"]+asked["PUT_KV_CONFIG"], "%v", asked)
	_, asked = watched("-run", some, "-own")
	require.NotZero(t, asked["REGISTER_BROKER"])
	require.NotZero(t, asked["PUT_KV_CONFIG"])
	_, asked = watched("-run", "^max-offset$", "-own")
	require.Zero(t, asked["REGISTER_BROKER"]+asked["PUT_KV_CONFIG"], "no case needs them: %v", asked)

	out, asked := watched("-preflight")
	for name, n := range asked {
		require.False(t, writes.MatchString(name), "%s was sent %d times", name, n)
	}
	require.Contains(t, out, "Merlin as JAVA V5_3_3")
	require.Contains(t, out, "Nothing was changed")
	require.Regexp(t, `A run would test \d{3,} cases`, out)
	require.Contains(t, out, "broker restart")
	require.Contains(t, strings.ReplaceAll(out, "\n", " "), "it registers a broker with the name server")
}
