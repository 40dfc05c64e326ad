package main

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/cluster"
	"github.com/merlinmq/merlin/conformance/faulty"
	"github.com/merlinmq/merlin/conformance/probe"
	"github.com/merlinmq/merlin/conformance/reference"
	"github.com/merlinmq/merlin/protocol"
)

// cheap are cases of all areas that take no second.
const cheap = "^(send-sync|send-batch|tags|consume-pull|offset-not-found|route-unknown|send-auto-create|max-offset.*)$"

// withGoClient skips a test of whole cases under the race detector: the Go client
// v2.1.2 has data races of its own.
func withGoClient(t *testing.T) {
	t.Helper()
	if raceEnabled {
		t.Skip("rocketmq-client-go has data races")
	}
}

// configured starts both servers of this process with lines of a broker.conf.
func configured(t *testing.T, conf ...string) *servers {
	t.Helper()
	dir := t.TempDir()
	store := filepath.Join(dir, "store")
	conf = append(conf, "brokerName=b", "storePathRootDir="+store, "storePathCommitLog="+filepath.Join(store, "commitlog"), "mappedFileSizeCommitLog=16777216")
	file := filepath.Join(dir, "broker.conf")
	require.NoError(t, os.WriteFile(file, []byte(strings.Join(conf, "\n")+"\n"), 0o644))
	s, err := start(options{host: "127.0.0.1", data: dir, brokerConf: file, brokerPort: freePort(t)}, t.Output())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.stop()) })
	return s
}

// freePort finds a port for a broker: one that it is told goes into its records.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// conformanceRun runs the command and returns its exit code and what it wrote.
func conformanceRun(ctx context.Context, args ...string) (code int, out, errOut string) {
	var o, e output
	err := run(ctx, append([]string{"conformance"}, args...), &o, &e)
	if err != nil {
		e.Write([]byte(err.Error()))
	}
	return exitCode(err), o.String(), e.String()
}

type shownCase struct {
	Suite, Case, Broker, Verdict string
	Tested, Reference            *struct{ Status, Reason string }
	Differences                  []struct{ Field, Expected, Seen, OnPurpose, Means string }
}

// shown runs the command with -json and returns its cases by name.
func shown(t *testing.T, args ...string) (code int, passed bool, cases map[string]shownCase) {
	t.Helper()
	code, out, _ := conformanceRun(t.Context(), append(args, "-json")...)
	cases = map[string]shownCase{}
	for _, c := range parseCases(t, out) {
		cases[c.Suite+"/"+c.Case] = c
	}
	return code, strings.Contains(out, `"passed": true`), cases
}

// parseCases reads the cases of a report as JSON.
func parseCases(t *testing.T, out string) []shownCase {
	t.Helper()
	var report struct{ Cases []shownCase }
	require.NoError(t, json.Unmarshal([]byte(out), &report), out)
	return report.Cases
}

// logTo is a logger whose lines stand in the test's output.
func logTo(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

// A newcomer's run of Merlin beside the Java servers: no case fails, nothing
// differs, the files can be read, and nothing is left behind.
func TestConformance_MerlinBesideJava(t *testing.T) {
	withGoClient(t)
	java := cluster.Java(reference.V5).StartT(t, cluster.Options{})
	merlin := configured(t)
	dir := t.TempDir()
	junit, page := filepath.Join(dir, "junit.xml"), filepath.Join(dir, "page.html")
	code, out, errOut := conformanceRun(t.Context(), "-n", merlin.names.Addr(), "-vs", java.NameServer(), "-run", cheap, "-junit", junit, "-html", page)
	require.NotContains(t, out, "left behind")
	require.Zero(t, code, "%s\n%s", out, errOut)
	require.Contains(t, out, " 0 differ,")
	require.Regexp(t, `(?m)^send +go 2\.1\.2 +send-sync +pass +pass *$`, out)
	require.Regexp(t, `(?m)^ *1/\d+  \S+  pass `, errOut)
	checkFiles(t, junit, page, java.NameServer())
	nothingLeft(t, merlin.names.Addr(), probe.AllTopics, probe.AllGroups)
	// A pull that a Java broker still holds for a client that is gone makes its group again when its time is over.
	nothingLeft(t, java.NameServer(), probe.AllTopics)
}

func checkFiles(t *testing.T, junit, page, reference string) {
	var suites struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Suites   []struct {
			Name  string `xml:"name,attr"`
			Tests int    `xml:"tests,attr"`
			Cases []struct {
				Name string `xml:"name,attr"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	text, err := os.ReadFile(junit)
	require.NoError(t, err)
	require.NoError(t, xml.Unmarshal(text, &suites))
	require.Zero(t, suites.Failures)
	total := 0
	for _, s := range suites.Suites {
		require.Len(t, s.Cases, s.Tests, s.Name)
		total += s.Tests
	}
	require.Equal(t, suites.Tests, total)
	require.Greater(t, total, 6)
	html, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Contains(t, string(html), "nothing differs from the reference but on purpose")
	require.Contains(t, string(html), reference)
}

// ours matches the names of what the cases make.
var ours = regexp.MustCompile(`[\w%|-]*(conf|wire)-[\w%|-]*`)

// nothingLeft waits until the cluster has no topics or groups of the cases.
func nothingLeft(t *testing.T, nameServer string, lists ...int) {
	t.Helper()
	masters, err := probe.Masters(t.Context(), nameServer)
	require.NoError(t, err)
	require.Len(t, masters, 1)
	empty := func(addr string, code int) {
		var left strings.Builder
		require.Eventually(t, func() bool {
			left.Reset()
			a, err := probe.Call(t.Context(), addr, code, nil, nil)
			if err != nil {
				left.WriteString(err.Error())
				return false
			}
			left.WriteString(strings.Join(ours.FindAllString(string(a.Body), -1), " "))
			return left.Len() == 0
		}, 20*time.Second, 50*time.Millisecond, "request %d to %s: %s", code, addr, &left)
	}
	empty(nameServer, probe.AllRoutes)
	for _, addr := range masters {
		for _, code := range lists {
			empty(addr, code)
		}
	}
}

// A server that breaks a promise has exit code 1, and the report says what was
// expected and what was seen.
func TestConformance_ShowsADifference(t *testing.T) {
	withGoClient(t)
	s := configured(t)
	proxy, err := faulty.New(s.names.Addr(), s.broker.Addr(), faulty.Fault{Edit: func(f *faulty.Frame) faulty.Action {
		if f.Answer(protocol.SendMessage.Code) {
			f.Cmd.Code = int32(protocol.SystemError)
			return faulty.Changed
		}
		return faulty.Pass
	}})
	require.NoError(t, err)
	defer proxy.Close()
	code, passed, cases := shown(t, "-n", proxy.NameServer(), "-vs", s.names.Addr(), "-run", "^(send-sync|route-unknown)$", "-wire=false")
	require.Equal(t, 1, code)
	require.False(t, passed)
	c := cases["go 2.1.2/send-sync"]
	require.Equal(t, "fail", c.Tested.Status)
	require.Equal(t, "pass", c.Reference.Status)
	require.Len(t, c.Differences, 1)
	require.Equal(t, "status", c.Differences[0].Field)
	require.Equal(t, "pass", c.Differences[0].Expected)
	require.Contains(t, c.Differences[0].Seen, "fail: ")
	require.Empty(t, cases["go 2.1.2/route-unknown"].Differences)
}

// What is turned off is n/a with the setting as its reason, and no failure.
func TestConformance_WhatIsTurnedOff(t *testing.T) {
	withGoClient(t)
	t.Parallel()
	for _, test := range []struct{ setting, affected string }{
		{"autoCreateTopicEnable=false", "send-auto-create"},
		{"rejectTransactionMessage=true", "transaction-commit"},
		{"maxMessageSize=65536", "send-too-large"},
		{"brokerPermission=4", "route-unknown"},
	} {
		t.Run(test.setting, func(t *testing.T) {
			t.Parallel()
			s := configured(t, test.setting)
			code, passed, cases := shown(t, "-n", s.names.Addr(), "-run", "^(route-unknown|"+test.affected+")$", "-wire=false")
			if test.affected == "route-unknown" { // nothing was tested
				require.Equal(t, 3, code)
				require.False(t, passed)
			} else {
				require.Zero(t, code)
				require.True(t, passed)
			}
			c := cases["go 2.1.2/"+test.affected]
			require.Equal(t, "n/a", c.Tested.Status)
			require.Contains(t, c.Tested.Reason, test.setting)
			if test.affected != "route-unknown" {
				require.Equal(t, "pass", cases["go 2.1.2/route-unknown"].Tested.Status)
			}
		})
	}
}

// refusing is a fault: requests of these codes are not permitted.
func refusing(codes ...protocol.Code) faulty.Fault {
	return faulty.Fault{Edit: func(f *faulty.Frame) faulty.Action {
		if !f.Answer(codes...) {
			return faulty.Pass
		}
		f.Cmd.Code, f.Cmd.Remark, f.Cmd.HasRemark, f.Cmd.Body = int32(protocol.NoPermission), "AuthenticationException: who are you?", true, nil
		return faulty.Changed
	}}
}

// A cluster that lets this client do nothing is not a broken one.
func TestConformance_WithoutPermission(t *testing.T) {
	withGoClient(t)
	t.Parallel()
	s := configured(t)
	all, err := faulty.New(s.names.Addr(), s.broker.Addr(), refusing(protocol.UpdateAndCreateTopic.Code, protocol.GetBrokerConfig.Code))
	require.NoError(t, err)
	defer all.Close()
	code, passed, cases := shown(t, "-n", all.NameServer(), "-run", cheap)
	require.Equal(t, 3, code, "a run that tested nothing")
	require.False(t, passed)
	require.Greater(t, len(cases), 6)
	for name, c := range cases {
		require.Equal(t, "n/a", c.Tested.Status, name)
		require.Contains(t, c.Tested.Reason, "does not let this client make topics", name)
	}

	sends, err := faulty.New(s.names.Addr(), s.broker.Addr(), refusing(protocol.SendMessage.Code, protocol.GetBrokerConfig.Code))
	require.NoError(t, err)
	defer sends.Close()
	code, _, cases = shown(t, "-n", sends.NameServer(), "-run", "^(send-sync|route-unknown)$", "-wire=false")
	require.Zero(t, code)
	require.Equal(t, "n/a", cases["go 2.1.2/send-sync"].Tested.Status)
	require.Contains(t, cases["go 2.1.2/send-sync"].Tested.Reason, "who are you?")
	require.Equal(t, "pass", cases["go 2.1.2/route-unknown"].Tested.Status)
}

// Wrong usage and clusters that are not there have exit code 2 and say why.
func TestConformance_Unusable(t *testing.T) {
	withGoClient(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := l.Addr().String()
	require.NoError(t, l.Close())
	// A broker that tells clients an address where nobody listens.
	s := configured(t)
	away, err := faulty.New(s.names.Addr(), s.broker.Addr(), faulty.Fault{Edit: func(f *faulty.Frame) faulty.Action {
		if f.Answer(protocol.GetBrokerClusterInfo.Code) {
			f.Cmd.Body = []byte(`{"brokerAddrTable":{"b":{"brokerAddrs":{0:"` + closed + `"},"brokerName":"b","cluster":"c"}},"clusterAddrTable":{"c":["b"]}}`)
			return faulty.Changed
		}
		return faulty.Pass
	}})
	require.NoError(t, err)
	defer away.Close()
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"-n", closed}, "name server " + closed + " cannot be reached"},
		{[]string{"-n", s.names.Addr(), "-vs", closed, "-run", "^route-unknown$"}, "name server " + closed + " cannot be reached"},
		{[]string{"-n", away.NameServer()}, "places at " + closed + ", cannot be reached"},
		{[]string{"-run", "("}, "-run"},
		{[]string{"-brokers", "("}, "-brokers"},
		{[]string{"-n", ";"}, "no name server"},
		{[]string{"-n", s.names.Addr(), "-brokers", "^nobody$"}, "no broker of name server"},
		{[]string{"-preflight", "-n", closed}, "name server " + closed + " cannot be reached"},
		{[]string{"-java=3.2.6"}, "5.3.3"},
		{[]string{"more"}, "unexpected argument"},
		{[]string{"-no-such-flag"}, "no-such-flag"},
		{[]string{"-n", s.names.Addr(), "-run", "no-such-case"}, "no case has a name"},
	} {
		code, _, errOut := conformanceRun(t.Context(), test.args...)
		require.Equal(t, 2, code, "%v: %s", test.args, errOut)
		require.Contains(t, errOut, test.says, "%v", test.args)
	}
	code, _, errOut := conformanceRun(t.Context(), "-h")
	require.Zero(t, code)
	require.Contains(t, errOut, "-vs a reference")
	require.Contains(t, errOut, "no credentials and no TLS yet")
}

func TestConformance_JavaFlag(t *testing.T) {
	for args, want := range map[string]string{"-java": "5.3.3,4.9.8", "-java=4.9.8": "4.9.8", "-java 5.3.3 -json": "5.3.3", "": ""} {
		o, done, err := parseConformance(strings.Fields(args), t.Output())
		require.NoError(t, err, args)
		require.False(t, done, args)
		require.Equal(t, want, o.java.String(), args)
		require.Equal(t, strings.Contains(args, "-json"), o.json, args)
	}
}

// A run that is interrupted removes what it made.
func TestConformance_Interrupted(t *testing.T) {
	withGoClient(t)
	s := configured(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errOut output
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"conformance", "-n", s.names.Addr(), "-wire=false", "-run", "^(retry|delay-|consume-)"}, &out, &errOut)
	}()
	require.Eventually(t, func() bool { // topics of cases under way
		a, err := probe.Call(t.Context(), s.broker.Addr(), probe.AllTopics, nil, nil)
		return err == nil && strings.Count(string(a.Body), `"conf-`) > 3
	}, 20*time.Second, 10*time.Millisecond)
	cancel()
	err := <-done
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, exitCode(err))
	require.Contains(t, out.String(), "the run was interrupted")
	require.NotContains(t, out.String(), "  fail ")
	nothingLeft(t, s.names.Addr(), probe.AllTopics, probe.AllGroups)
}
