package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/compat/javaprops"
	"github.com/stretchr/testify/require"
)

// Pins Configuration.getAllConfigsFormatString: testdata/get-broker-config.txt is
// the body that a Java 5.3.3 broker on two processors answered to code 26 after
// it was started with testdata/broker.conf.
func TestText_IsWhatJavaAnswers(t *testing.T) {
	file, err := os.ReadFile("testdata/broker.conf")
	require.NoError(t, err)
	want, err := os.ReadFile("testdata/get-broker-config.txt")
	require.NoError(t, err)
	h := Host{CPUs: 2, Name: "vm", RocketMQHome: "/data/home"}
	c, warnings, err := h.Parse(file, "broker.conf")
	require.NoError(t, err)
	require.Empty(t, warnings)
	// Where Java says that a feature is there and this broker does not have it, this
	// broker says so.
	java := string(want)
	for key, v := range does {
		before, after, found := strings.Cut(java, "\n"+key+"=")
		require.True(t, found, key)
		_, after, _ = strings.Cut(after, "\n")
		java = before + "\n" + key + "=" + v + "\n" + after
	}
	require.Equal(t, java, c.Text())
}

// Pins the formulas of BrokerConfig's and NettyClientConfig's initialisers.
func TestDefault_FollowsTheNumberOfProcessors(t *testing.T) {
	for cpus, want := range map[int]string{1: "1 18 9 1 10 1", 2: "2 20 10 2 12 2", 7: "4 30 15 7 22 7", 64: "4 144 72 32 136 64"} {
		var got []string
		for _, key := range []string{"sendMessageThreadPoolNums", "pullMessageThreadPoolNums", "queryMessageThreadPoolNums",
			"heartbeatThreadPoolNums", "endTransactionThreadPoolNums", "clientCallbackExecutorThreads"} {
			v, _ := Host{CPUs: cpus}.Default().Value(key)
			got = append(got, v)
		}
		require.Equal(t, want, strings.Join(got, " "))
	}
}

func TestDefault_IsJavas(t *testing.T) {
	c := Default()
	require.Equal(t, "DefaultCluster", c.BrokerClusterName)
	require.Equal(t, "DEFAULT_BROKER", c.BrokerName)
	require.Equal(t, 10911, c.ListenPort)
	require.Equal(t, "127.0.0.1:10911", JoinAddr(c.BrokerIP1, c.ListenPort))
	require.Equal(t, "./store/commitlog", c.CommitLogDir())
	require.Equal(t, int32(6), c.BrokerPermission)
	require.Len(t, c.DelayLevels(), 18)
	require.Equal(t, 2*time.Hour, c.DelayLevels()[17])
	require.Equal(t, 24*time.Second, c.RegisterBrokerTimeoutMills.Duration())
	require.Empty(t, c.NameServers())
	require.Equal(t, "broker-host", Host{Name: "broker-host"}.Default().BrokerName)
}

func TestParse_WarnsAboutWhatHasNoEffect(t *testing.T) {
	_, w, err := Parse([]byte("# a comment\nfoo = 1\nenablePopLog=true\npullMessageThreadPoolNums=1\nbrokerId=-3\ninitAuthenticationUser=x:y\n"), "b.conf")
	require.NoError(t, err)
	require.Equal(t, []string{
		"b.conf:2: unknown key foo is ignored",
		"b.conf: these keys have no effect here (docs/CONFIG.md says why): enablePopLog=true, initAuthenticationUser=…, pullMessageThreadPoolNums=1",
		"b.conf:5: brokerId -3 becomes 0, as a master always has",
	}, texts(w))
}

// Java writes all keys when one is changed: what stands there as Java's default
// needs no line, but for features that are not there.
func TestParse_AFileThatJavaWroteGivesOneLine(t *testing.T) {
	written, err := os.ReadFile("testdata/get-broker-config.txt")
	require.NoError(t, err)
	h := Host{CPUs: 2, Name: "vm", RocketMQHome: "/data/home"}
	_, w, err := h.Parse(append(written, "brokerConfigPath=/etc/broker.conf\nisBrokerContainer=false\n"...), "b.conf")
	require.NoError(t, err)
	require.Equal(t, []string{"b.conf: these keys have no effect here (docs/CONFIG.md says why): " +
		"enableBroadcastOffsetStore=true, enableCompaction=true, serverLoadBalancerEnable=true, timerWheelEnable=true"}, texts(w))
}

// Some of RocketMQ's own files begin with an HTML comment, whose lines are keys to
// Java.
func TestParse_ALicenceInAnHTMLCommentIsQuiet(t *testing.T) {
	licence := "<!--\n  ~ Licensed to the Apache Software Foundation (ASF)\n  ~ WARRANTIES OR CONDITIONS\nlistenPort=1234\n-->\n"
	c, w, err := Parse([]byte(licence+"foo=1\n"), "b.conf")
	require.NoError(t, err)
	require.Equal(t, []string{"b.conf:6: unknown key foo is ignored"}, texts(w))
	require.Equal(t, 1234, c.ListenPort, "Java takes a setting there too")
}

// Each value that promises something which this broker does not do refuses the
// start and the update, and says which key of which line, and what to do.
func TestPromises_RefuseTheStartAndTheUpdate(t *testing.T) {
	for _, kv := range []string{
		"aclEnable=true", "authenticationEnabled=TRUE", "authorizationEnabled=true", "useTLS=true",
		"brokerRole=SYNC_MASTER", "brokerRole=SLAVE", "inSyncReplicas=2", "minInSyncReplicas=3", "totalReplicas=2",
		"allAckInSyncStateSet=true", "enableAutoInSyncReplicas=true", "duplicationEnable=true", "asyncLearner=true",
		"brokerId=1", "enableDLegerCommitLog=true", "enableControllerMode=true", "enableSlaveActingMaster=true",
		"enableRemoteEscape=true", "fetchNameSrvAddrByDnsLookup=true", "fetchNamesrvAddrByAddressServer=true",
		"storeType=defaultRocksDB", "configManagerVersion=v2", "rocksdbCQDoubleWriteEnable=true",
		"messageStorePlugIn=org.apache.rocketmq.tieredstore.TieredMessageStore", "readOnlyCommitLogStorePaths=/old",
		"storePathCommitLog=/a,/b", "enableConsumeQueueExt=true", "enableLmq=true", "enableMultiDispatch=true",
	} {
		key, v, _ := strings.Cut(kv, "=")
		_, _, err := Parse([]byte("\n"+kv), "b.conf")
		require.ErrorIs(t, err, ErrPromise, kv)
		require.Contains(t, err.Error(), "b.conf:2: "+key+"=", kv)
		h := NewHolder(Default(), HolderOptions{File: "b.conf", Files: configfile.NewMemory()})
		require.ErrorIs(t, h.Update(map[string]string{key: v}), ErrPromise, kv)
		require.Contains(t, Default().Text(), "\nbrokerRole=ASYNC_MASTER\n")
	}
	// All at once, so that the operator reads them in one go.
	_, _, err := Parse([]byte("aclEnable=true\ninSyncReplicas=2\n"), "b.conf")
	require.ErrorContains(t, err, "b.conf:1: aclEnable=true: this broker cannot keep that promise: nobody would be asked")
	require.ErrorContains(t, err, "b.conf:2: inSyncReplicas=2: this broker cannot keep that promise: this broker keeps one copy")
	// Java asks no address server when it has addresses.
	_, _, err = Parse([]byte("fetchNamesrvAddrByAddressServer=true\nnamesrvAddr=a:1\nstoreType=DEFAULT\ninSyncReplicas=1\n"), "b.conf")
	require.NoError(t, err)
	// What Java reads from -D only, and believers put here.
	_, _, err = Parse([]byte("tls.server.mode=enforcing"), "b.conf")
	require.ErrorIs(t, err, ErrPromise)
}

func TestParse_NoticesAnotherServersFile(t *testing.T) {
	_, _, err := Parse([]byte("listenPort=9876\nkvConfigPath=/x"), "ns.conf")
	require.ErrorIs(t, err, ErrForeign)
	require.ErrorContains(t, err, "ns.conf:2: kvConfigPath=/x: this is the configuration file of a name server")
	_, _, err = Parse([]byte("controllerDLegerGroup = group1"), "controller.conf")
	require.ErrorContains(t, err, "of a controller")
}

func texts(ws []Warning) (out []string) {
	for _, w := range ws {
		out = append(out, w.String())
	}
	return out
}

func TestParse_ErrorsNameFileAndLine(t *testing.T) {
	for text, want := range map[string]string{
		"\n\nlistenPort=abc":                       `b.conf:3: listenPort must be a whole number between`,
		"listenPort=70000":                         `b.conf:1: listenPort must be between 0 and 65535, not 70000`,
		"autoCreateTopicEnable=yes":                `b.conf:1: autoCreateTopicEnable must be true or false, not "yes"`,
		"brokerName=a\\\n  b\nbrokerRole=\\u":      `b.conf:3: \u needs four hexadecimal digits`,
		"brokerRole=MASTER":                        `b.conf:1: brokerRole must be one of ASYNC_MASTER, SYNC_MASTER, SLAVE`,
		"brokerName=a b":                           `b.conf:1: brokerName must not contain`,
		"deleteWhen=04;25":                         `b.conf:1: deleteWhen must be hours`,
		"messageDelayLevel=1s 5x":                  `b.conf:1: messageDelayLevel: "5x"`,
		"namesrvAddr=one;two":                      `b.conf:1: the name server address`,
		"fileReservedTime=0":                       `b.conf:1: fileReservedTime must be at least 1`,
		"logicalDiskSpaceCleanForciblyThreshold=x": `b.conf:1: logicalDiskSpaceCleanForciblyThreshold must be a number`,
	} {
		_, _, err := Parse([]byte(text), "b.conf")
		require.ErrorContains(t, err, want, text)
	}
}

// Pins the promise of edit: nothing but the values changes.
func TestEdit(t *testing.T) {
	for _, c := range [][3]string{
		{"", "a=1\n", ""},
		{"x=2", "x=2\na=1\n", ""},
		{"  a : old value \r\nb=2\r\n", "  a : 1\r\nb=2\r\n", ""},
		{"a=1 \\\n  and more\n# end\n", "a=1\n# end\n", ""},
		{"a\nb=2", "a=1\nb=2", ""},
		{"a old\ra=older", "a old\ra=1", "the last one counts"},
		{"b=\\", "b=\\\n\na=1\n", "an open backslash at the end"},
		{"\\u0061 : 3", "\\u0061 : 1", "an escaped key"},
		{"\\\n a=3\nb=1\n", "a=1\nb=1\n", "a key in the next line"},
		{"#a=9\n", "#a=9\na=1\n", "a comment is not an entry"},
	} {
		out, err := edit([]byte(c[0]), []change{{"a", "1"}})
		require.NoError(t, err)
		require.Equal(t, c[1], string(out), c[2])
	}
}

func TestParse_OverridesComeAfterTheFile(t *testing.T) {
	c, _, err := Host{NamesrvAddr: "env:1"}.Parse([]byte("namesrvAddr=file:1"), "f", map[string]string{"namesrvAddr": "flag:1;flag:2"})
	require.NoError(t, err)
	require.Equal(t, []string{"flag:1", "flag:2"}, c.NameServers())
	c, _, err = Host{NamesrvAddr: "env:1"}.Parse(nil, "f")
	require.NoError(t, err)
	require.Equal(t, []string{"env:1"}, c.NameServers())
}

func TestBlackList(t *testing.T) {
	c, _, err := Parse([]byte("configBlackList=a; b"), "f")
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"brokerConfigPath": true, "rocketmqHome": true, "configBlackList": true, "a": true, "b": true}, c.BlackList())
}

func TestText_KeepsSecretsAndShowsWhatTheFileAdds(t *testing.T) {
	c, _, err := Parse([]byte("initAuthenticationUser={\"username\":\"u\",\"password\":\"p\"}\nuserCacheMaxNum=5\nmine=7\n"), "f")
	require.NoError(t, err)
	require.NotContains(t, c.Text(), "initAuthenticationUser")
	require.Contains(t, c.Text(), "\nuserCacheMaxNum=5\n")
	require.Contains(t, c.Text(), "\nmine=7\n")
	require.NotContains(t, c.Text(), "aclCacheMaxNum")
}

func TestUpdate_ChangesOnlyItsKeysInTheFile(t *testing.T) {
	files := configfile.NewMemory()
	file := "# my broker\r\nbrokerPermission : 6   \r\nlistenPort=1234\r\n! end"
	require.NoError(t, files.Save("b.conf", []byte(file)))
	c, _, err := Parse([]byte(file), "b.conf")
	require.NoError(t, err)
	clk := clock.NewManual(time.UnixMilli(1000))
	h := NewHolder(c, HolderOptions{File: "b.conf", Files: files, Clock: clk})
	before := h.Get()
	clk.Advance(time.Second)
	require.NoError(t, h.Update(map[string]string{"brokerPermission": "4", "traceOn": "FALSE", "listenPort": "1234"}))
	require.Equal(t, int32(6), before.BrokerPermission)
	require.Equal(t, int32(4), h.Get().BrokerPermission)
	require.False(t, h.Get().TraceOn)
	require.Contains(t, h.Text(), "\nbrokerPermission=4\n")
	require.Equal(t, Version{Timestamp: 2000, Counter: 1}, h.Version())
	data, err := files.Load("b.conf", nil, nil)
	require.NoError(t, err)
	require.Equal(t, "# my broker\r\nbrokerPermission : 4\r\nlistenPort=1234\r\n! end\r\ntraceOn=false\r\n", string(data))
}

func TestUpdate_AllOrNothing(t *testing.T) {
	files := configfile.NewMemory()
	h := NewHolder(Default(), HolderOptions{File: "b.conf", Files: files})
	for key, want := range map[string]error{"zzz": ErrUnknownKey, "zEnable": ErrUnknownKey, "inSyncReplicas": ErrPromise} {
		err := h.Update(map[string]string{"brokerPermission": "4", key: "9"})
		require.ErrorIs(t, err, want, key)
	}
	for _, bad := range []map[string]string{{"brokerPermission": "9"}, {"listenPort": "70000"}, {"reviveMaxSlow": "x"}, {"namesrvAddr": "foo"}} {
		bad["traceOn"] = "false"
		require.Error(t, h.Update(bad))
	}
	require.Equal(t, Default(), h.Get())
	require.Zero(t, h.Version().Counter)
	_, err := files.Load("b.conf", nil, nil)
	require.ErrorIs(t, err, configfile.ErrNone)
}

// What is read at start goes into the file and waits; what has no effect is kept
// and shown. Both are said.
func TestChange_SaysWhatHasNoEffectNow(t *testing.T) {
	files := configfile.NewMemory()
	h := NewHolder(Default(), HolderOptions{File: "b.conf", Files: files})
	saved := func() string {
		data, err := files.Load("b.conf", nil, nil)
		require.NoError(t, err)
		return string(data)
	}
	notes, err := h.Change(map[string]string{"listenPort": "1234", "reviveMaxSlow": "9", "traceOn": "false"})
	require.NoError(t, err)
	require.Equal(t, []Note{{"listenPort", "1234", ErrStartOnly}, {"reviveMaxSlow", "9", ErrNotSupported}}, notes)
	require.Equal(t, "listenPort=1234\nreviveMaxSlow=9\ntraceOn=false\n", saved())
	require.Equal(t, 10911, h.Get().ListenPort)
	require.Contains(t, h.Text(), "\nlistenPort=10911\n", "what is in force")
	require.Contains(t, h.Text(), "\nreviveMaxSlow=9\n")

	notes, err = h.Change(map[string]string{"listenPort": "10911"}) // back to what is in force
	require.NoError(t, err)
	require.Len(t, notes, 1)
	require.Contains(t, saved(), "listenPort=10911\n")
	notes, err = h.Change(map[string]string{"timerWheelEnable": "false"})
	require.NoError(t, err)
	require.Len(t, notes, 1)
	require.Contains(t, h.Text(), "\ntimerWheelEnable=false\n")

	// Without a file nothing would come of it.
	h = NewHolder(Default(), HolderOptions{})
	require.ErrorIs(t, h.Update(map[string]string{"listenPort": "1"}), ErrStartOnly)
	require.NoError(t, h.Update(map[string]string{"reviveMaxSlow": "9"}))
}

func TestUpdate_WithoutAFileLastsForTheProcess(t *testing.T) {
	h := NewHolder(Default(), HolderOptions{})
	require.NoError(t, h.Update(map[string]string{"brokerPermission": "4"}))
	require.Equal(t, int32(4), h.Get().BrokerPermission)
	require.True(t, Hot("brokerPermission"))
	require.False(t, Hot("listenPort"))
	require.True(t, ActedOn("listenPort"))
	require.False(t, ActedOn("enablePopLog"))
}

func TestKeys_TableIsSane(t *testing.T) {
	require.Len(t, Keys(), 447+3, "Java's and those of this broker")
	for i, k := range Keys() {
		if i > 0 {
			require.Less(t, Keys()[i-1].Name, k.Name)
		}
		v, ok := expand(&k, Host{NamesrvAddr: "a:1", RocketMQHome: "/r"})
		if ok {
			_, err := k.check(v)
			require.NoError(t, err)
			require.NotContains(t, v, "${")
		}
	}
}

// A setting that nothing reads would be accepted and forgotten. Those read only
// here are listed.
func TestEverySettingIsRead(t *testing.T) {
	here := map[string]bool{"BrokerRole": true, "ConfigBlackList": true}
	var source strings.Builder
	for _, root := range []string{"..", "../../cmd"} {
		require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.Contains(path, "config/") {
				return err
			}
			data, err := os.ReadFile(path)
			source.Write(data)
			return err
		}))
	}
	c := reflect.TypeFor[Config]()
	for i := range c.NumField() {
		if name := c.Field(i).Name; c.Field(i).IsExported() && !here[name] {
			require.True(t, regexp.MustCompile(`\.`+name+`\b`).MatchString(source.String()), "no code reads Config.%s: remove the field", name)
		}
	}
}

// FuzzParse: foreign text never panics, an accepted file parses again after an
// edit, and the edit changes nothing but its key.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"a=b", "brokerName=x\\\n y", "a\\:b c", "\\u00e4=\\uD800", "listenPort=1\r\nlistenPort=2", "=", "\\", "a\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, _, _ = Parse([]byte(s), "f")
		before, err := javaprops.Parse([]byte(s), "f")
		if err != nil {
			return
		}
		out, err := edit([]byte(s), []change{{"brokerPermission", "4"}})
		require.NoError(t, err)
		after, err := javaprops.Parse(out, "f")
		require.NoError(t, err)
		want, got := javaprops.Map(before), javaprops.Map(after)
		delete(got, "")
		want["brokerPermission"] = "4"
		delete(want, "") // of a backslash at the very end
		require.Equal(t, want, got)
	})
}

// The table of docs/CONFIG.md names every setting with its default and says
// whether it changes while the broker runs.
func TestDocumentedSettings(t *testing.T) {
	data, err := os.ReadFile("../../docs/CONFIG.md")
	require.NoError(t, err)
	doc := string(data)
	for name, f := range fields() {
		def, when := Lookup(name).Default, "start"
		if def == "" {
			def = "(unset)"
		}
		if f.hot {
			when = "at once"
		}
		row := "| " + name + " | " + def + " | " + when + " | "
		require.True(t, strings.Contains(doc, "\n"+row), "docs/CONFIG.md needs the row %q", row+"what it means |")
	}
	_, table, _ := strings.Cut(doc, "## Keys that this broker acts on")
	require.Equal(t, len(fields())+2, strings.Count(table, "\n| "), "a row of a key that is no setting")
}

// The keys of this broker's own are read, bounded, and not shown unless set.
func TestParse_OwnKeys(t *testing.T) {
	c, warnings, err := Parse([]byte("merlinPeerMemoryBytes=1000000\nmerlinPeerShareBytes=2000\nmerlinFrameTimeoutMillis=5000\n"), "b.conf")
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.EqualValues(t, 1_000_000, c.PeerMemoryBytes)
	require.EqualValues(t, 2000, c.PeerShareBytes)
	require.Equal(t, 5*time.Second, c.FrameTimeoutMillis.Duration())
	v, ok := c.Value("merlinPeerShareBytes")
	require.True(t, ok)
	require.Equal(t, "2000", v)
	_, ok = Default().Value("merlinPeerShareBytes")
	require.False(t, ok, "Java's tools see nothing they do not know")
	_, _, err = Parse([]byte("merlinPeerMemoryBytes=-1"), "b.conf")
	require.ErrorContains(t, err, "merlinPeerMemoryBytes must be at least 0")
}

// A length of time that does not fit Go's type must not become negative: "never"
// would mean "at once".
func TestMillis_TooLongIsForEver(t *testing.T) {
	for _, k := range Keys() {
		f := fields()[k.Name]
		if f == nil || reflect.TypeFor[Config]().Field(f.index).Type != reflect.TypeFor[Millis]() {
			continue
		}
		c, _, err := Parse([]byte(k.Name+"=9300000000000\n"), "b.conf")
		if err != nil {
			continue // it is bounded
		}
		d := reflect.ValueOf(c).Elem().Field(f.index).Interface().(Millis).Duration()
		require.Greater(t, d, 99*365*24*time.Hour, k.Name)
	}
}
