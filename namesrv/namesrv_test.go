package namesrv

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudwego/netpoll"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	netpoll.Initialize()
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent(),
		goleak.IgnoreAnyFunction("github.com/cloudwego/netpoll.(*defaultPoll).Wait"))
}

type peer struct {
	t    *testing.T
	s    *Server
	c    *remoting.Client
	vers int32
}

// start runs a name server, with poisoned frames so that what the tables keep of
// a frame shows.
func start(t *testing.T, o Options) *peer {
	t.Helper()
	o.Listen = "127.0.0.1:0"
	o.Server.PoisonFrames = true
	s, err := New(o)
	require.NoError(t, err)
	require.NoError(t, s.Start())
	c := remoting.NewClient(remoting.ClientOptions{})
	t.Cleanup(func() {
		c.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		require.NoError(t, s.Shutdown(ctx))
	})
	return &peer{t: t, s: s, c: c, vers: 479}
}

func (p *peer) call(code protocol.Code, h wire.FieldEncoder, text string, ext ...wire.Field) *wire.Command {
	p.t.Helper()
	a, err := p.c.Invoke(context.Background(), p.s.Addr(), &wire.Outgoing{Code: int32(code), Version: p.vers, Header: h, Ext: ext}, []byte(text))
	require.NoError(p.t, err)
	return a
}

func (p *peer) ok(code protocol.Code, h wire.FieldEncoder, text string, ext ...wire.Field) *wire.Command {
	p.t.Helper()
	a := p.call(code, h, text, ext...)
	require.Zero(p.t, a.Code, "%s", a.Remark)
	return a
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func broker(addr, name string, id int64) *header.RegisterBrokerRequest {
	return &header.RegisterBrokerRequest{
		BrokerName: wire.Some(name), BrokerAddr: wire.Some(addr), ClusterName: wire.Some("C1"),
		HaServerAddr: wire.Some(addr + "9"), BrokerID: wire.Some(id), BodyCRC32: wire.Some(int32(0)),
	}
}

func topics(version int, names ...string) string {
	b := body.RegisterBrokerBody{}
	b.TopicConfigSerializeWrapper.DataVersion.Counter = int64(version)
	b.TopicConfigSerializeWrapper.TopicConfigTable = map[string]body.TopicConfig{}
	for _, n := range names {
		b.TopicConfigSerializeWrapper.TopicConfigTable[n] = body.NewTopicConfig(n)
	}
	data, err := body.Marshal(&b)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// Every row of the table of calls that a name server answers has a route.
func TestRoutes_EveryCode(t *testing.T) {
	s, err := New(Options{})
	require.NoError(t, err)
	var want []protocol.Code
	for _, row := range protocol.Table() {
		if row.Server&protocol.NameServer != 0 {
			want = append(want, row.Code)
		}
	}
	slices.Sort(want)
	require.Equal(t, want, s.Codes())
	require.Len(t, want, 23)
}

func TestServer_RoutesOfABroker(t *testing.T) {
	p := start(t, Options{})
	route := func(topic string) *header.GetRouteInfoRequest {
		return &header.GetRouteInfoRequest{Topic: wire.Some(topic)}
	}
	a := p.call(105, route("T1"), "")
	require.Equal(t, int32(17), a.Code)
	require.Equal(t, "No topic route info in name server for the topic: T1\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.", a.Remark)

	data := topics(1, "T1", "T2")
	bad := broker("10.0.0.1:10911", "b1", 0)
	bad.BodyCRC32 = wire.Some(int32(7))
	a = p.call(103, bad, data)
	require.Equal(t, int32(1), a.Code)
	require.Equal(t, "crc32 not match", a.Remark)
	good := broker("10.0.0.1:10911", "b1", 0)
	good.BodyCRC32 = wire.Some(int32(crc32.ChecksumIEEE([]byte(data)) & 0x7FFFFFFF))
	p.ok(103, good, data, wire.Field{Key: "__ZONE_NAME", Value: "z1"})
	a = p.ok(103, broker("10.0.0.2:10911", "b1", 1), data, wire.Field{Key: "__ZONE_NAME", Value: "z1"})
	m, _ := a.Lookup("masterAddr")
	h, _ := a.Lookup("haServerAddr")
	require.Equal(t, []string{"10.0.0.1:10911", "10.0.0.1:109119"}, []string{m, h})

	// The bytes are those of a Java 5.3.3 name server.
	standard := `{"brokerDatas":[{"brokerAddrs":{"0":"10.0.0.1:10911","1":"10.0.0.2:10911"},"brokerName":"b1","cluster":"C1","enableActingMaster":false,"zoneName":"z1"}],"filterServerTable":{},"queueDatas":[{"brokerName":"b1","perm":6,"readQueueNums":16,"topicSysFlag":0,"writeQueueNums":16}]}`
	dialect := `{"brokerDatas":[{"brokerAddrs":{0:"10.0.0.1:10911",1:"10.0.0.2:10911"},"brokerName":"b1","cluster":"C1","enableActingMaster":false,"zoneName":"z1"}],"filterServerTable":{},"queueDatas":[{"brokerName":"b1","perm":6,"readQueueNums":16,"topicSysFlag":0,"writeQueueNums":16}]}`
	require.Equal(t, standard, string(p.ok(105, route("T1"), "").Body))
	p.vers = 401
	require.Equal(t, standard, string(p.ok(105, route("T1"), "").Body))
	p.vers = 400
	require.Equal(t, dialect, string(p.ok(105, route("T1"), "").Body))
	asks := route("T1")
	asks.AcceptStandardJSONOnly = wire.Some(true)
	require.Equal(t, standard, string(p.ok(105, asks, "").Body))
	p.vers = 479
	zone := []wire.Field{{Key: "__ZONE_MODE", Value: "true"}, {Key: "__ZONE_NAME", Value: "Z1"}}
	require.Equal(t, dialect, string(p.ok(105, route("T1"), "", zone...).Body), "the zone hook encodes again")
	zone[1].Value = "z2"
	require.Equal(t, `{"brokerDatas":[],"filterServerTable":{},"queueDatas":[]}`, string(p.ok(105, route("T1"), "", zone...).Body))
	zone[1].Value = " "
	require.Equal(t, standard, string(p.ok(105, route("T1"), "", zone...).Body))

	require.Equal(t, `{"brokerAddrTable":{"b1":{"brokerAddrs":{0:"10.0.0.1:10911",1:"10.0.0.2:10911"},"brokerName":"b1","cluster":"C1","enableActingMaster":false,"zoneName":"z1"}},"clusterAddrTable":{"C1":["b1"]}}`,
		string(p.ok(106, nil, "").Body))
	a = p.ok(901, &header.GetBrokerMemberGroupRequest{ClusterName: wire.Some("C1"), BrokerName: wire.Some("b1")}, "")
	require.Equal(t, `{"brokerMemberGroup":{"brokerAddrs":{0:"10.0.0.1:10911",1:"10.0.0.2:10911"},"brokerName":"b1","cluster":"C1"}}`, string(a.Body))

	p.ok(104, &header.UnRegisterBrokerRequest{BrokerName: wire.Some("b1"), BrokerAddr: wire.Some("10.0.0.2:10911"), ClusterName: wire.Some("C1"), BrokerID: wire.Some(int64(1))}, "")
	eventually(t, "the slave is gone", func() bool { return len(p.s.table.Members("C1", "b1").BrokerAddrs) == 1 })
	p.c.Close() // and with its connection the master
	eventually(t, "the topic is gone", func() bool { return p.s.table.Route("T1") == nil })
}

// A registration that a Java broker sends compressed (compressedRegister=true).
func TestServer_CompressedRegistration(t *testing.T) {
	p := start(t, Options{})
	b := body.RegisterBrokerBody{}
	b.TopicConfigSerializeWrapper.TopicConfigTable = map[string]body.TopicConfig{"T1": body.NewTopicConfig("T1"), "T2": body.NewTopicConfig("T2")}
	data, err := b.EncodeCompressed()
	require.NoError(t, err)
	h := broker("10.0.0.1:10911", "b1", 0)
	h.Compressed = true
	p.ok(103, h, string(data))
	require.NotNil(t, p.s.table.Route("T2"))
	a := p.call(103, h, "no deflate stream")
	require.Equal(t, int32(1), a.Code)
	require.Equal(t, "Failed to decode RegisterBrokerBody", a.Remark)
}

func TestServer_KVAndOrderTopics(t *testing.T) {
	files := configfile.NewMemory()
	cfg := Default("home")
	cfg.OrderMessageEnable = true
	p := start(t, Options{Config: &cfg, Files: files})
	put := func(k, v string) *header.PutKVConfigRequest {
		return &header.PutKVConfigRequest{Namespace: wire.Some("ORDER_TOPIC_CONFIG"), Key: wire.Some(k), Value: wire.Some(v)}
	}
	a := p.call(101, &header.GetKVConfigRequest{Namespace: wire.Some("ORDER_TOPIC_CONFIG"), Key: wire.Some("T1")}, "")
	require.Equal(t, int32(22), a.Code)
	require.Equal(t, "No config item, Namespace: ORDER_TOPIC_CONFIG Key: T1", a.Remark)
	a = p.call(219, &header.GetKVListByNamespaceRequest{Namespace: wire.Some("nothing")}, "")
	require.Equal(t, int32(22), a.Code)
	p.ok(100, &header.PutKVConfigRequest{Namespace: wire.Some(""), Key: wire.Some("k"), Value: wire.Some("v")}, "")
	require.Equal(t, "No config item, Namespace: null", p.call(219, &header.GetKVListByNamespaceRequest{}, "").Remark)
	a = p.call(100, &header.PutKVConfigRequest{Namespace: wire.Some("n")}, "")
	require.Equal(t, "namespace or key is null", a.Remark)
	p.ok(100, put("T1", "b1:4"), "")
	p.ok(100, put("T2", "b1:8"), "")
	p.ok(102, &header.DeleteKVConfigRequest{Namespace: wire.Some("ORDER_TOPIC_CONFIG"), Key: wire.Some("T2")}, "")
	require.Equal(t, `{"table":{"T1":"b1:4"}}`, string(p.ok(219, &header.GetKVListByNamespaceRequest{Namespace: wire.Some("ORDER_TOPIC_CONFIG")}, "").Body))
	a = p.ok(103, broker("10.0.0.1:1", "b1", 0), topics(1, "T1", "T2"))
	require.Equal(t, `{"table":{"T1":"b1:4"}}`, string(a.Body), "returnOrderTopicConfigToBroker")
	require.Contains(t, string(p.ok(105, &header.GetRouteInfoRequest{Topic: wire.Some("T1")}, "").Body), `"orderTopicConf":"b1:4"`)
	p.ok(318, nil, "orderMessageEnable=false\nreturnOrderTopicConfigToBroker=false\n")
	require.NotContains(t, string(p.ok(105, &header.GetRouteInfoRequest{Topic: wire.Some("T1")}, "").Body), "orderTopicConf")
	require.Empty(t, p.ok(103, broker("10.0.0.1:1", "b1", 0), topics(1, "T1", "T2")).Body)

	q := start(t, Options{Config: &cfg, Files: files})
	v, _ := q.ok(101, &header.GetKVConfigRequest{Namespace: wire.Some("ORDER_TOPIC_CONFIG"), Key: wire.Some("T1")}, "").Lookup("value")
	require.Equal(t, "b1:4", v, "another server on the same files")
}

func TestServer_Configuration(t *testing.T) {
	files := configfile.NewMemory()
	cfg := Default("home")
	warned, err := cfg.Apply([]byte("listenPort=9999\nmyOwnKey = kept\nconfigBlackList=configBlackList;listenPort\nserverSelectorThreads=7\nclientWorkerThreads=4\n"), "ns.conf")
	require.NoError(t, err)
	require.Equal(t, []string{"ns.conf:2: unknown key myOwnKey is ignored",
		"ns.conf: these keys have no effect here: serverSelectorThreads=7, clientWorkerThreads=4"}, warned)
	cfg.ConfigStorePath = "ns.conf"
	p := start(t, Options{Config: &cfg, Files: files})
	require.Contains(t, string(p.ok(319, nil, "").Body), "\nlistenPort=9999\nmyOwnKey=kept\nneedWaitForService=false\n")
	for _, key := range []string{"listenPort", "kvConfigPath", "configStorePath", "rocketmqHome", "configBlackList"} {
		a := p.call(318, nil, "supportActingMaster=true\n"+key+"=1\n")
		require.Equal(t, int32(16), a.Code)
		require.Equal(t, "Can not update config in black list.", a.Remark)
	}
	a := p.call(318, nil, "supportActingMaster=true\nwaitSecondsForService=soon\n")
	require.Equal(t, int32(1), a.Code)
	require.False(t, p.s.Config().SupportActingMaster, "all or nothing")
	p.ok(318, nil, "supportActingMaster=true\nnobodyKnows=1\nmyOwnKey=changed\n")
	text := string(p.ok(319, nil, "").Body)
	require.Contains(t, text, "supportActingMaster=true\n")
	require.Contains(t, text, "myOwnKey=changed\n")
	require.NotContains(t, text, "nobodyKnows")
	saved, err := files.Load("ns.conf", nil, nil)
	require.NoError(t, err)
	again := Default("home")
	_, err = again.Apply(saved, "ns.conf")
	require.NoError(t, err)
	require.Equal(t, p.s.Config(), again)
	p.ok(318, nil, "")

	p.ok(318, nil, "enableAllTopicList=false\nenableTopicList=false\n")
	for _, code := range []protocol.Code{206, 224, 311, 312, 313} {
		a := p.call(code, &header.GetTopicsByClusterRequest{Cluster: wire.Some("C1")}, "")
		require.Equal(t, int32(1), a.Code)
		require.Equal(t, "disable", a.Remark)
	}
	require.Equal(t, `{"topicList":[]}`, string(p.ok(304, nil, "").Body))
	a = p.call(4711, nil, "")
	require.Equal(t, int32(3), a.Code)
	require.Equal(t, " request type 4711 not supported", a.Remark)
}

func TestServer_WaitsForService(t *testing.T) {
	ck := clock.NewManual(time.UnixMilli(5_000_000))
	cfg := Default("home")
	cfg.NeedWaitForService = true
	p := start(t, Options{Config: &cfg, Clock: ck})
	ask := &header.GetRouteInfoRequest{Topic: wire.Some("T1")}
	a := p.call(105, ask, "")
	require.Equal(t, int32(1), a.Code)
	require.Equal(t, "name server not ready", a.Remark)
	ck.Advance(45*time.Second - time.Millisecond)
	require.Equal(t, int32(1), p.call(105, ask, "").Code)
	ck.Advance(time.Millisecond)
	require.Equal(t, int32(17), p.call(105, ask, "").Code)
}

// 1.9: a silent broker goes after 120 s, its connection is closed, its topics
// disappear. Heartbeats (904) keep it.
func TestServer_SilentBrokersExpire(t *testing.T) {
	ck := clock.NewManual(time.UnixMilli(5_000_000))
	cfg := Default("home")
	cfg.ServerChannelMaxIdleTimeSeconds = 100000
	p := start(t, Options{Config: &cfg, Clock: ck})
	p.ok(103, broker("10.0.0.1:1", "b1", 0), topics(1, "T1", "T2"))
	for range 5 {
		ck.Advance(50 * time.Second)
		p.ok(904, &header.BrokerHeartbeatRequest{ClusterName: wire.Some("C1"), BrokerAddr: wire.Some("10.0.0.1:1")}, "")
	}
	q := &header.QueryDataVersionRequest{BrokerName: wire.Some("b1"), BrokerAddr: wire.Some("10.0.0.1:1"), ClusterName: wire.Some("C1"), BrokerID: wire.Some(int64(0))}
	a := p.ok(322, q, `{"counter":1,"stateVersion":0,"timestamp":0}`)
	changed, _ := a.Lookup("changed")
	require.Equal(t, "false", changed)
	require.Equal(t, `{"counter":1,"stateVersion":0,"timestamp":0}`, string(a.Body))
	ck.Advance(120 * time.Second)
	require.NotNil(t, p.s.table.Route("T1"))
	eventually(t, "it is gone", func() bool {
		ck.Advance(5 * time.Second)
		return p.s.table.Route("T1") == nil
	})
	eventually(t, "its connection is closed", func() bool { return len(p.s.server.Conns()) == 0 })
}

// 1.11: the other brokers of a set are told of a new smallest id (905).
func TestServer_TellsTheNewSmallestID(t *testing.T) {
	told := make(chan header.NotifyMinBrokerIdChangeRequest, 4)
	rs := remoting.NewRoutes()
	remoting.On(rs, protocol.NotifyMinBrokerIDChange, nil, func(r *remoting.Request, h *header.NotifyMinBrokerIdChangeRequest) (*remoting.Answer, error) {
		own := new(header.NotifyMinBrokerIdChangeRequest)
		err := own.DecodeFields(r.Cmd.Clone())
		told <- *own
		return nil, err
	})
	slave := remoting.NewServer(remoting.ServerOptions{Routes: rs})
	require.NoError(t, slave.Start())
	defer func() { require.NoError(t, slave.Shutdown(context.Background())) }()
	addr := slave.Addr().String()

	cfg := Default("home")
	cfg.NotifyMinBrokerIDChanged = true
	p := start(t, Options{Config: &cfg})
	acting := func(r *header.RegisterBrokerRequest) *header.RegisterBrokerRequest {
		r.EnableActingMaster = wire.Some(true)
		return r
	}
	p.ok(103, acting(broker(addr, "b1", 2)), topics(1, "T1", "T2"))
	p.ok(103, acting(broker("10.0.0.1:1", "b1", 0)), topics(1, "T1", "T2"))
	h := <-told
	require.Equal(t, fmt.Sprint(int64(0), "10.0.0.1:1", "10.0.0.1:19", false), fmt.Sprint(h.MinBrokerID.V, h.MinBrokerAddr.V, h.HaBrokerAddr.V, h.OfflineBrokerAddr.Set))
	p.ok(104, &header.UnRegisterBrokerRequest{BrokerName: wire.Some("b1"), BrokerAddr: wire.Some("10.0.0.1:1"), ClusterName: wire.Some("C1"), BrokerID: wire.Some(int64(0))}, "")
	h = <-told
	require.Equal(t, fmt.Sprint(int64(2), addr, "10.0.0.1:1"), fmt.Sprint(h.MinBrokerID.V, h.MinBrokerAddr.V, h.OfflineBrokerAddr.V))
}

func TestApply_RefusesWhatItCannotDo(t *testing.T) {
	for _, text := range []string{"clusterTest=true", "enableControllerInNamesrv=TRUE", "useTLS=true", "aclEnable=true", "tls.server.mode=enforcing"} {
		cfg := Default("")
		_, err := cfg.Apply([]byte("\n"+text), "f")
		require.ErrorIs(t, err, ErrPromise, text)
		require.ErrorContains(t, err, "f:2: "+strings.Split(text, "=")[0])
		require.Equal(t, Default(""), cfg)
	}
	for text, of := range map[string]string{"brokerName=a": "of a broker", "controllerDLegerGroup=g": "of a controller"} {
		cfg := Default("")
		_, err := cfg.Apply([]byte("listenPort=1\n"+text), "f")
		require.ErrorIs(t, err, ErrForeign, text)
		require.ErrorContains(t, err, of)
	}
	cfg := Default("")
	_, err := cfg.Apply([]byte("enableControllerInNamesrv=false\ncontrollerDLegerGroup=g"), "f")
	require.NoError(t, err, "it is switched off")
	_, err = cfg.Apply([]byte("\nlistenPort=99999999999"), "f.conf")
	require.ErrorContains(t, err, "f.conf:2")
	cfg.ScanNotActiveBrokerInterval = 0
	_, err = New(Options{Config: &cfg})
	require.Error(t, err)

	// Neither while it runs.
	p := start(t, Options{})
	a := p.call(318, nil, "clusterTest=true\nenableTopicList=false\n")
	require.Equal(t, int32(1), a.Code)
	require.Contains(t, a.Remark, "clusterTest=true: this name server cannot keep that promise")
	require.True(t, p.s.Config().EnableTopicList)
}

// RocketMQ's own files begin with such a comment.
func TestApply_ALicenceInAnHTMLCommentIsQuiet(t *testing.T) {
	cfg := Default("")
	warned, err := cfg.Apply([]byte("<!--\n  ~ Licensed to the Apache Software Foundation (ASF)\n  ~   WARRANTIES\n  -->\nlistenPort=1\nfoo=1"), "f")
	require.NoError(t, err)
	require.Equal(t, []string{"f:6: unknown key foo is ignored"}, warned)
}

// Java's name server notices when somebody changes something, and answers success.
func TestNew_SaysThatItsFilesCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	cfg := Default(filepath.Join(dir, "fine"))
	cfg.ConfigStorePath = filepath.Join(file, "namesrv.properties")
	var log bytes.Buffer
	_, err := New(Options{Config: &cfg, Files: configfile.OS(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(log.String(), "cannot be written"), log.String())
	require.Contains(t, log.String(), cfg.ConfigStorePath)
}

// FuzzRegister gives arbitrary bodies to a registration: an answer, no panic.
func FuzzRegister(f *testing.F) {
	f.Add([]byte(topics(1, "T1", "T2")), false, int32(479))
	b := body.RegisterBrokerBody{}
	packed, _ := b.EncodeCompressed()
	f.Add(packed, true, int32(479))
	f.Add([]byte("{"), false, int32(10))
	s, err := New(Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, compressed bool, version int32) {
		h := broker("a", "b", 0)
		h.Compressed = compressed
		_, _ = s.registerBroker(&remoting.Request{Cmd: &wire.Command{Version: version, Body: data}}, h)
	})
}
