package main

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/cmd/internal/cli"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/compat/javaprops"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// distribution has the files of conf/ that RocketMQ 5.3.3 ships for its servers, as
// they are; defaults.conf beside it is what its `mqbroker -p` prints on two
// processors, with the addresses of the loopback.
const distribution = "../internal/testdata/distribution"

// Why files of the distribution are refused.
const (
	slave      = "brokerRole=SLAVE: this broker cannot keep that promise"
	syncMaster = "brokerRole=SYNC_MASTER: this broker cannot keep that promise"
	slaveID    = "brokerId=1: this broker cannot keep that promise"
	copies     = "inSyncReplicas=2: this broker cannot keep that promise"
	total      = "totalReplicas=2: this broker cannot keep that promise"
	autoCopies = "enableAutoInSyncReplicas=true: this broker cannot keep that promise"
	acting     = "enableSlaveActingMaster=true: this broker cannot keep that promise"
	allAcks    = "allAckInSyncStateSet=true: this broker cannot keep that promise"
	controlled = "enableControllerMode=true: this broker cannot keep that promise"
	dledger    = "enableDLegerCommitLog=true: this broker cannot keep that promise"
	container  = ": this is the configuration file of a broker container"
	controller = "controllerDLegerGroup=group1: this is the configuration file of a controller"
	inNames    = "enableControllerInNamesrv=true: this is the configuration file of a name server"
	names      = "supportActingMaster=true: this is the configuration file of a name server"
)

// verdicts are what becomes of each file: no text, it serves; else it is refused with
// one line for each text, which begins with the file and the number of its line.
var verdicts = map[string][]string{
	"broker.conf":                        nil,
	"2m-noslave/broker-a.properties":     nil,
	"2m-noslave/broker-b.properties":     nil,
	"2m-noslave/broker-trace.properties": nil,
	"2m-2s-async/broker-a.properties":    nil,
	"2m-2s-async/broker-b.properties":    nil,

	"2m-2s-async/broker-a-s.properties": {"20: " + slave, "17: " + slaveID},
	"2m-2s-async/broker-b-s.properties": {"20: " + slave, "17: " + slaveID},
	"2m-2s-sync/broker-a.properties":    {"20: " + syncMaster},
	"2m-2s-sync/broker-b.properties":    {"20: " + syncMaster},
	"2m-2s-sync/broker-a-s.properties":  {"20: " + slave, "17: " + slaveID},
	"2m-2s-sync/broker-b-s.properties":  {"20: " + slave, "17: " + slaveID},

	"container/2container-2m-2s/broker-a-in-container1.conf": {"20: " + syncMaster, "27: " + copies, "26: " + total, "29: " + autoCopies, "34: " + acting},
	"container/2container-2m-2s/broker-a-in-container2.conf": {"20: " + slave, "27: " + copies, "26: " + total, "29: " + autoCopies, "19: " + slaveID, "34: " + acting},
	"container/2container-2m-2s/broker-b-in-container1.conf": {"20: " + slave, "27: " + copies, "26: " + total, "29: " + autoCopies, "19: " + slaveID, "34: " + acting},
	"container/2container-2m-2s/broker-b-in-container2.conf": {"20: " + syncMaster, "27: " + copies, "26: " + total, "29: " + autoCopies, "34: " + acting},
	"container/2container-2m-2s/broker-container1.conf":      {"24: brokerConfigPaths=/root/2container-2m-2s/broker-a-in-container1.conf:"},
	"container/2container-2m-2s/broker-container2.conf":      {"24: brokerConfigPaths=/root/2container-2m-2s/broker-a-in-container2.conf:"},
	"container/2container-2m-2s/nameserver.conf":             {"16: " + names},

	"dledger/broker-n0.conf": {"22: " + dledger},
	"dledger/broker-n1.conf": {"22: " + dledger},
	"dledger/broker-n2.conf": {"22: " + dledger},

	"controller/quick-start/broker-n0.conf":                {"19: " + slave, "25: " + allAcks, "22: " + controlled},
	"controller/quick-start/broker-n1.conf":                {"19: " + slave, "25: " + allAcks, "22: " + controlled},
	"controller/quick-start/namesrv.conf":                  {"16: " + inNames},
	"controller/controller-standalone.conf":                {"16: " + controller},
	"controller/cluster-3n-independent/controller-n0.conf": {"16: " + controller},
	"controller/cluster-3n-independent/controller-n1.conf": {"16: " + controller},
	"controller/cluster-3n-independent/controller-n2.conf": {"16: " + controller},
	"controller/cluster-3n-namesrv-plugin/namesrv-n0.conf": {"20: " + inNames},
	"controller/cluster-3n-namesrv-plugin/namesrv-n1.conf": {"20: " + inNames},
	"controller/cluster-3n-namesrv-plugin/namesrv-n2.conf": {"20: " + inNames},
}

// Every file that RocketMQ ships either serves with all of its settings in force, or
// is refused with file, line, key and reason.
func TestRun_FilesOfTheDistribution(t *testing.T) {
	seen := 0
	require.NoError(t, filepath.WalkDir(distribution, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(distribution, path)
		require.NoError(t, err)
		want, listed := verdicts[filepath.ToSlash(name)]
		require.True(t, listed, "no verdict for %s", name)
		seen++
		t.Run(name, func(t *testing.T) {
			if want != nil {
				refuses(t, path, want)
				return
			}
			warnings := serves(t, path)
			require.Empty(t, warnings)
		})
		return nil
	}))
	require.Equal(t, len(verdicts), seen, "a verdict is about a file that is not there")
}

func refuses(t *testing.T, path string, want []string) {
	t.Helper()
	out, errOut, err := runIt(t, "-c", path, "-p") // should it be taken, it is only printed
	require.Error(t, err)
	require.Equal(t, 1, cli.Code(err))
	require.Empty(t, out)
	require.Empty(t, errOut)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, len(want), err.Error())
	for i, text := range want {
		require.True(t, strings.HasPrefix(lines[i], path+":"+text), "%s\nwants %s", lines[i], text)
		require.Regexp(t, `(; (set|remove) |: give the broker its own$)`, lines[i], "it says what to do")
		if strings.Contains(text, "brokerConfigPaths") {
			require.Contains(t, lines[i], container)
		}
	}
}

// What Java's own `mqbroker -p` prints is a file that starts.
func TestRun_ServesJavasDefaults(t *testing.T) {
	require.Equal(t, []string{"these keys have no effect here (docs/CONFIG.md says why): " +
		"enableBroadcastOffsetStore=true, enableCompaction=true, serverLoadBalancerEnable=true, timerWheelEnable=true"},
		serves(t, "../internal/testdata/defaults.conf"))
}

// own are keys that a test must choose itself: what it opens, and what names machines.
var own = map[string]string{
	"bindAddress": "127.0.0.1", "brokerIP1": "127.0.0.1", "listenPort": "0", "haListenPort": "1", "rocketmqHome": "/opt/rocketmq",
}

// serves runs the broker with a file, which gets no more than a free port of the
// loopback and a directory: every key of it is in force or has a warning, and a message
// that is sent can be pulled. It gives the warnings.
func serves(t *testing.T, path string) []string {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	entries, err := javaprops.Parse(text, path)
	require.NoError(t, err)
	file := filepath.Join(dir, "broker.conf")
	text = append(text, "\nstorePathRootDir="+filepath.Join(dir, "store")+"\n"...)
	for key, v := range own {
		text = append(text, key+"="+v+"\n"...)
	}
	require.NoError(t, os.WriteFile(file, text, 0o600))

	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	booted, isUp := context.WithCancel(ctx)
	out := &bootLine{booted: isUp}
	var errOut bytes.Buffer
	ended := make(chan error, 1)
	go func() {
		defer isUp()
		ended <- run(ctx, []string{"-c", file}, config.Host{Home: dir, Name: "vm", Address: "127.0.0.1", CPUs: 2}, out, &errOut)
	}()
	<-booted.Done()
	addr := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(out.String())
	if addr == "" {
		require.NoError(t, <-ended)
	}
	others := notInForce(t, ctx, addr, entries)
	sendAndPull(t, ctx, addr)
	stop()
	require.NoError(t, <-ended)

	var warnings []string
	for line := range strings.Lines(errOut.String()) {
		if w, ok := strings.CutPrefix(line, "warning: "+file+": "); ok {
			warnings = append(warnings, strings.TrimSpace(w))
		}
		require.NotContains(t, line, "unknown key")
		require.NotContains(t, line, "level=WARN")
		require.NotContains(t, line, "level=ERROR")
	}
	for key, v := range others {
		require.Contains(t, strings.Join(warnings, "\n"), " "+key+"="+v, "it is not in force, and no line says so")
	}
	return warnings
}

// notInForce asks the broker for its configuration (GET_BROKER_CONFIG, 26) and gives the
// settings of a file that are not what the file says.
func notInForce(t *testing.T, ctx context.Context, addr string, entries []javaprops.Entry) map[string]string {
	t.Helper()
	cmd := ask(t, ctx, addr, &wire.Outgoing{Code: int32(protocol.GetBrokerConfig.Code)}, nil)
	now, err := javaprops.Parse(cmd.Body, "answer")
	require.NoError(t, err)
	is := map[string]string{}
	for _, e := range now {
		is[e.Key] = e.Value
	}
	differ := map[string]string{}
	for _, e := range entries {
		if _, mine := own[e.Key]; mine || e.Key == "storePathRootDir" || is[e.Key] == e.Value {
			continue
		}
		differ[e.Key] = e.Value
	}
	return differ
}

// sendAndPull sends a message to a new topic and pulls it.
func sendAndPull(t *testing.T, ctx context.Context, addr string) {
	t.Helper()
	ask(t, ctx, addr, &wire.Outgoing{Code: int32(protocol.SendMessage.Code), Header: &header.SendMessageRequest{
		ProducerGroup: wire.Some("distribution"), Topic: wire.Some("Distribution"), DefaultTopic: wire.Some("TBW102"),
		DefaultTopicQueueNums: wire.Some(int32(1)), QueueID: wire.Some(int32(0)), SysFlag: wire.Some(int32(0)),
		BornTimestamp: wire.Some(clock.Real().NowMillis()), Flag: wire.Some(int32(0)),
	}}, []byte("hello"))
	const suspendAndSubscription = 2 | 4
	cmd := ask(t, ctx, addr, &wire.Outgoing{Code: int32(protocol.PullMessage.Code), Header: &header.PullMessageRequest{
		ConsumerGroup: wire.Some("distribution"), Topic: wire.Some("Distribution"), QueueID: wire.Some(int32(0)),
		QueueOffset: wire.Some(int64(0)), MaxMsgNums: wire.Some(int32(32)), SysFlag: wire.Some(int32(suspendAndSubscription)),
		CommitOffset: wire.Some(int64(0)), SuspendTimeoutMillis: wire.Some(int64(15000)), SubVersion: wire.Some(int64(0)),
		Subscription: wire.Some("*"), ExpressionType: wire.Some("TAG"),
	}}, nil)
	var m message.Message
	_, err := message.Decode(cmd.Body, &m, true)
	require.NoError(t, err)
	require.Equal(t, "hello", string(m.Body))
}

func ask(t *testing.T, ctx context.Context, addr string, o *wire.Outgoing, body []byte) *wire.Command {
	t.Helper()
	client := remoting.NewClient(remoting.ClientOptions{})
	defer client.Close()
	cmd, err := client.Invoke(ctx, addr, o, body)
	require.NoError(t, err)
	require.Zero(t, cmd.Code, "code %d: %s", o.Code, cmd.Remark)
	return cmd
}
