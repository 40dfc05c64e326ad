package namesrv

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/compat/javaprops"
)

// Config is the configuration of a name server: NamesrvConfig, and what is used
// of NettyServerConfig. The tag is the key in the file. The zero value is not
// useful: begin with Default.
type Config struct {
	RocketmqHome                         string `conf:"rocketmqHome"`
	KVConfigPath                         string `conf:"kvConfigPath"`
	ConfigStorePath                      string `conf:"configStorePath"`
	ProductEnvName                       string `conf:"productEnvName"`
	ClusterTest                          bool   `conf:"clusterTest"`
	OrderMessageEnable                   bool   `conf:"orderMessageEnable"`
	ReturnOrderTopicConfigToBroker       bool   `conf:"returnOrderTopicConfigToBroker"`
	ClientRequestThreadPoolNums          int    `conf:"clientRequestThreadPoolNums"` // shown only: routes are answered where they are read
	DefaultThreadPoolNums                int    `conf:"defaultThreadPoolNums"`
	ClientRequestThreadPoolQueueCapacity int    `conf:"clientRequestThreadPoolQueueCapacity"`
	DefaultThreadPoolQueueCapacity       int    `conf:"defaultThreadPoolQueueCapacity"`
	ScanNotActiveBrokerInterval          int64  `conf:"scanNotActiveBrokerInterval"` // ms
	UnRegisterBrokerQueueCapacity        int    `conf:"unRegisterBrokerQueueCapacity"`
	SupportActingMaster                  bool   `conf:"supportActingMaster"`
	EnableAllTopicList                   bool   `conf:"enableAllTopicList"`
	EnableTopicList                      bool   `conf:"enableTopicList"`
	NotifyMinBrokerIDChanged             bool   `conf:"notifyMinBrokerIdChanged"`
	EnableControllerInNamesrv            bool   `conf:"enableControllerInNamesrv"`
	NeedWaitForService                   bool   `conf:"needWaitForService"`
	WaitSecondsForService                int    `conf:"waitSecondsForService"`
	DeleteTopicWithBrokerRegistration    bool   `conf:"deleteTopicWithBrokerRegistration"`
	ConfigBlackList                      string `conf:"configBlackList"`

	BindAddress                     string `conf:"bindAddress"`
	ListenPort                      int    `conf:"listenPort"`
	ServerChannelMaxIdleTimeSeconds int    `conf:"serverChannelMaxIdleTimeSeconds"`
	EnableShutdownGracefully        bool   `conf:"enableShutdownGracefully"`
	ShutdownWaitTimeSeconds         int    `conf:"shutdownWaitTimeSeconds"`
	ServerAsyncSemaphoreValue       int    `conf:"serverAsyncSemaphoreValue"`

	// What peers may make the server keep; keys of this server, 0 = the default.
	PeerMemoryBytes    int64 `conf:"merlinPeerMemoryBytes"`    // all peers; a quarter of what the heap may have
	PeerShareBytes     int64 `conf:"merlinPeerShareBytes"`     // one connection; a quarter of that
	FrameTimeoutMillis int64 `conf:"merlinFrameTimeoutMillis"` // until a begun frame is complete; 30 s

	// Others are keys that this server does not act on. They are shown and kept.
	Others map[string]string
}

// Default is the configuration of an empty file. home is the directory that Java
// takes from user.home; its files are in home/namesrv.
func Default(home string) Config {
	return Config{
		KVConfigPath: home + "/namesrv/kvConfig.json", ConfigStorePath: home + "/namesrv/namesrv.properties",
		ProductEnvName: "center", ReturnOrderTopicConfigToBroker: true,
		ClientRequestThreadPoolNums: 8, DefaultThreadPoolNums: 16,
		ClientRequestThreadPoolQueueCapacity: 50000, DefaultThreadPoolQueueCapacity: 10000,
		ScanNotActiveBrokerInterval: 5000, UnRegisterBrokerQueueCapacity: 3000,
		EnableAllTopicList: true, EnableTopicList: true, WaitSecondsForService: 45,
		ConfigBlackList: "configBlackList;configStorePath;kvConfigPath",
		BindAddress:     "0.0.0.0", ListenPort: 9876, ServerChannelMaxIdleTimeSeconds: 120,
		ShutdownWaitTimeSeconds: 30, ServerAsyncSemaphoreValue: 64,
		Others: map[string]string{
			"serverWorkerThreads": "8", "serverCallbackExecutorThreads": "0", "serverSelectorThreads": "3",
			"serverOnewaySemaphoreValue": "256", "serverSocketSndBufSize": "0", "serverSocketRcvBufSize": "0",
			"writeBufferHighWaterMark": "0", "writeBufferLowWaterMark": "0", "serverSocketBacklog": "1024",
			"serverNettyWorkerGroupEnable": "true", "serverPooledByteBufAllocatorEnable": "true",
			"useEpollNativeSelector": "false",
		},
	}
}

// Apply takes the settings of a properties text over c; file is named in errors
// and warnings. Unknown keys go to Others, as Java keeps them, and are warned of, as
// are keys without effect. Unlike Java, which drops a number it cannot read without
// a word, Apply refuses it; it refuses promises that this server does not keep
// (ErrPromise) and the file of another server (ErrForeign). c is unchanged then.
func (c *Config) Apply(data []byte, file string) ([]string, error) {
	entries, err := javaprops.Parse(data, file)
	if err != nil {
		return nil, err
	}
	if err := whose(entries); err != nil {
		return nil, err
	}
	next := *c
	next.Others = maps.Clone(c.Others)
	if next.Others == nil {
		next.Others = map[string]string{}
	}
	for _, e := range entries {
		if err := next.set(e.Key, e.Value); errors.Is(err, errUnknownKey) {
			next.Others[e.Key] = e.Value
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Pos(), err)
		}
	}
	warned := warnings(entries, file, c)
	*c = next
	return warned, nil
}

var errUnknownKey = errors.New("unknown key")

// set sets one field by its key.
func (c *Config) set(key, value string) error {
	if err := keep(key, value); err != nil {
		return err
	}
	f, ok := c.field(key)
	if !ok {
		return errUnknownKey
	}
	switch f.Kind() {
	case reflect.String:
		f.SetString(strings.TrimSpace(value))
	case reflect.Bool:
		f.SetBool(strings.EqualFold(value, "true"))
	default:
		n, err := strconv.ParseInt(value, 10, f.Type().Bits())
		if err != nil || f.Kind() == reflect.Int && int64(int32(n)) != n {
			return fmt.Errorf("%s=%s is not a number that fits", key, value)
		}
		f.SetInt(n)
	}
	return nil
}

func (c *Config) field(key string) (reflect.Value, bool) {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("conf") == key {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// Table lists all keys with their values; an unset rocketmqHome is left out, as
// Java leaves out what is null.
func (c *Config) Table() map[string]string {
	t := maps.Clone(c.Others)
	if t == nil {
		t = map[string]string{}
	}
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if key := v.Type().Field(i).Tag.Get("conf"); key != "" {
			t[key] = fmt.Sprint(v.Field(i).Interface())
		}
	}
	if c.RocketmqHome == "" {
		delete(t, "rocketmqHome")
	}
	for _, key := range []string{"merlinPeerMemoryBytes", "merlinPeerShareBytes", "merlinFrameTimeoutMillis"} {
		if t[key] == "0" {
			delete(t, key) // not a key of Java's
		}
	}
	return t
}

// Text is Table as "key=value" lines, sorted by key.
func (c *Config) Text() string { return javaprops.Format(c.Table()) }

// blackListed tells whether a key may not be changed while running.
func (c *Config) blackListed(key string) bool {
	switch key {
	case "configBlackList", "configStorePath", "kvConfigPath", "rocketmqHome":
		return true
	}
	for _, k := range strings.Split(c.ConfigBlackList, ";") {
		if k == key {
			return true
		}
	}
	return false
}

// errBlackListed refuses a change of a key in configBlackList.
//
//lint:ignore ST1005 Java's words, which reach the tool
var errBlackListed = errors.New("Can not update config in black list.")

// settings is the configuration in force and its file.
type settings struct {
	files   configfile.Files
	log     *slog.Logger
	current atomic.Pointer[Config]

	updating sync.Mutex // one update at a time; held while the file is written
}

func (s *settings) get() *Config { return s.current.Load() }

// update changes the configuration by a properties text and writes its file.
// Keys that neither the server nor its file knew are not taken over, as in Java.
func (s *settings) update(text []byte) error {
	entries, err := javaprops.Parse(text, "request")
	if err != nil {
		return err
	}
	s.updating.Lock()
	defer s.updating.Unlock()
	old := s.get()
	for _, e := range entries {
		if old.blackListed(e.Key) {
			return errBlackListed
		}
	}
	next := *old
	next.Others = maps.Clone(old.Others)
	for _, e := range entries {
		err := next.set(e.Key, e.Value)
		if _, kept := next.Others[e.Key]; errors.Is(err, errUnknownKey) && kept {
			next.Others[e.Key] = e.Value
		} else if errors.Is(err, errUnknownKey) {
			s.log.Warn("an unknown configuration key is ignored", "key", e.Key)
		} else if err != nil {
			return err
		}
	}
	// With the escapes that the file needs to be read the same again.
	if err := s.files.Save(next.ConfigStorePath, []byte(javaprops.Write(next.Table()))); err != nil {
		return err
	}
	s.current.Store(&next)
	return nil
}
