// Package topic keeps the topics of a broker (TopicConfigManager): the system
// topics, automatic and administrative creation, and their file
// config/topics.json in Java's form.
//
// It owns no goroutine. Readers see immutable snapshots of a topic; Table.mu orders
// the changes. The file is written by whoever changed something, one at a time
// (configfile.Saver): changes that come together share a write, and new and changed
// topics are added to the file in place (configfile.Table), so that creating many
// one by one costs each a small write.
package topic

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sort"
	"strings"
	"sync"

	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/compat/fastjson"
	"github.com/merlinmq/merlin/protocol/body"
)

// scheduleQueues is the number of queues of the schedule topic.
const scheduleQueues = 18

// Config are the settings a Table reads; they may change while it runs.
type Config struct {
	ClusterName     string
	BrokerName      string
	AutoCreateTopic bool  // autoCreateTopicEnable
	DefaultQueues   int32 // defaultTopicQueueNums
	ClusterTopic    bool  // clusterTopicEnable
	BrokerTopic     bool  // brokerTopicEnable
	TraceTopic      bool  // traceTopicEnable
	TraceTopicName  string
	ReviveQueues    int32 // reviveQueueNum
	TimerTopic      bool  // whether the topic of timer messages is there
}

// Options configure a Table.
type Options struct {
	Files  configfile.Files
	Path   string // of topics.json
	Config func() Config
	Logger *slog.Logger
	Now    func() int64 // ms, for data versions
	// Changed is called after a topic was created or changed, without a lock:
	// the broker registers it with the name servers, which goes on beside the write
	// of the file. It must not block.
	Changed func(c body.TopicConfig)
}

// Table holds the topics.
type Table struct {
	opts   Options
	topics sync.Map // string → *body.TopicConfig, immutable

	mu      sync.Mutex // guards changes of topics, and the fields below
	version body.DataVersion
	system  map[string]bool
	dirty   map[string]bool // topics that the file does not have as they are
	whole   bool            // the next write replaces the file

	saver *configfile.Saver
	disk  *configfile.Entries // used by the saver's function
}

type file struct {
	DataVersion      body.DataVersion            `json:"dataVersion"`
	TopicConfigTable map[string]body.TopicConfig `json:"topicConfigTable"`
}

// Load reads the table and adds the system topics. A file that cannot be read is
// an error: starting without the topics would lose their queue counts.
func Load(opts Options) (*Table, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Changed == nil {
		opts.Changed = func(body.TopicConfig) {}
	}
	t := &Table{opts: opts, system: maps.Clone(builtinSystem), dirty: map[string]bool{}}
	t.disk = t.newDisk()
	t.saver = configfile.NewSaver(t.write)
	t.addSystem()
	var f file
	damaged, err := configfile.LoadTable(opts.Files, opts.Path, "topicConfigTable", opts.Logger, func(data []byte) error {
		f = file{} // nothing stays of a damaged one
		return fastjson.Unmarshal(data, &f)
	}, func(name string, c *body.TopicConfig) bool { return c.TopicName == name })
	if err != nil && !errors.Is(err, configfile.ErrNone) {
		return nil, fmt.Errorf("topic: load: %w", err)
	}
	if damaged != nil {
		f.TopicConfigTable = damaged.On(f.TopicConfigTable)
	}
	for name, c := range f.TopicConfigTable {
		t.loaded(name, c, f.TopicConfigTable)
	}
	t.version = f.DataVersion
	if damaged != nil { // the name servers and the file have seen another one
		t.NextVersion()
		if err := t.Persist(); err != nil {
			t.unwritten("", err)
		}
	}
	return t, nil
}

// loaded takes a topic of the file. When name and settings do not agree, a byte of
// one of them is rotten: the topic is there under both names then, unless the file has
// the other one, too.
func (t *Table) loaded(name string, c body.TopicConfig, all map[string]body.TopicConfig) {
	if _, there := all[c.TopicName]; !there && c.TopicName != "" {
		t.opts.Logger.Error("a topic has another name in its settings, it is taken under both", "topic", name, "settings", c.TopicName)
		other := c
		t.topics.Store(other.TopicName, &other)
	}
	c.TopicName = name
	t.topics.Store(name, &c)
	t.warnOf(&c)
}

// warnOf names a topic that a Java broker made and this one does not serve.
func (t *Table) warnOf(c *body.TopicConfig) {
	if why := Unserved(c); why != "" {
		t.opts.Logger.Error("a topic is not served", "topic", c.TopicName, "why", why)
	}
}

// Unserved says why a topic that a Java broker made can be neither sent to nor read
// here, "" when it can: its messages belong into another kind of queue
// (queue.type=BatchCQ) or are kept in another way (cleanup.policy=COMPACTION).
func Unserved(c *body.TopicConfig) string {
	switch {
	case len(c.Attributes) == 0:
		return ""
	case c.Attributes["queue.type"] == "BatchCQ":
		return "the topic[" + c.TopicName + "] has batch queues (queue.type=BatchCQ), which this broker does not have yet"
	case c.Attributes["cleanup.policy"] == "COMPACTION":
		return "the topic[" + c.TopicName + "] is compacted (cleanup.policy=COMPACTION), which this broker cannot do yet"
	}
	return ""
}

func (t *Table) addSystem() {
	c := t.opts.Config()
	rw, all := PermRead|PermWrite, PermRead|PermWrite|PermInherit
	add := func(name string, queues, perm int32) {
		t.system[name] = true
		tc := body.NewTopicConfig(name)
		tc.ReadQueueNums, tc.WriteQueueNums, tc.Perm = queues, queues, perm
		t.topics.Store(name, &tc)
	}
	permOf := func(open bool) int32 {
		if open {
			return all
		}
		return PermInherit
	}
	add(SelfTest, 1, rw)
	if c.AutoCreateTopic {
		add(AutoCreateKey, c.DefaultQueues, all)
	}
	add(Benchmark, 1024, rw)
	add(c.ClusterName, 16, permOf(c.ClusterTopic))
	add(c.BrokerName, 1, permOf(c.BrokerTopic))
	add(OffsetMovedEvent, 1, rw)
	add(Schedule, scheduleQueues, rw)
	if c.TraceTopic {
		add(c.TraceTopicName, 1, rw)
	}
	add(Reply(c.ClusterName), 1, rw)
	add(revivePrefix+c.ClusterName, c.ReviveQueues, rw)
	add(syncMemberPrefix+c.BrokerName, 1, PermInherit)
	add(TransHalf, 1, rw)
	add(TransOpHalf, 1, rw)
	if c.TimerTopic {
		add(Timer, 1, rw)
	}
}

// Find gives a topic, an immutable snapshot, or nil. The name may alias a frame.
func (t *Table) Find(name string) *body.TopicConfig {
	v, ok := t.topics.Load(name)
	if !ok {
		return nil
	}
	return v.(*body.TopicConfig)
}

// IsSystem reports whether a topic is the broker's own.
func (t *Table) IsSystem(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.system[name] || strings.HasPrefix(name, systemPrefix)
}

// SystemTopics lists the broker's own topics, sorted (answer of 305).
func (t *Table) SystemTopics() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]string, 0, len(t.system))
	for name := range t.system {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

// CreateOnSend makes a topic after a template when a message came for a topic
// that is not there: queues and permission follow the template, when it may be
// inherited. It gives nil when the topic may not be created. created says that
// this call made it: then the name servers are only being told. The strings may
// alias a frame.
func (t *Table) CreateOnSend(name, template string, clientQueues, sysFlag int32) (c *body.TopicConfig, created bool) {
	return t.create(name, func() *body.TopicConfig {
		from := t.Find(template)
		if from == nil || from.Perm&PermInherit == 0 {
			t.opts.Logger.Warn("topic not created: no template to inherit from", "topic", name, "template", template)
			return nil
		}
		if from.TopicName == AutoCreateKey && !t.opts.Config().AutoCreateTopic {
			return nil // the template came from an older file
		}
		c := body.NewTopicConfig(strings.Clone(name))
		c.ReadQueueNums = max(0, min(clientQueues, from.WriteQueueNums))
		c.WriteQueueNums = c.ReadQueueNums
		c.Perm = from.Perm &^ PermInherit
		c.TopicSysFlag = sysFlag
		c.TopicFilterType = from.TopicFilterType
		return &c
	})
}

// CreateForGroup gives a retry or dead letter topic, made with this many queues
// when it is not there, whatever the settings of auto creation. order marks it
// as ordered. created says that this call made or changed it.
func (t *Table) CreateForGroup(name string, queues, perm, sysFlag int32, order bool) (c *body.TopicConfig, created bool) {
	if c := t.Find(name); c != nil && c.Order != order {
		next := *c
		next.Order = order
		if err := t.Put(next); err != nil {
			t.unwritten(name, err)
		}
		return &next, true
	}
	return t.create(name, func() *body.TopicConfig {
		c := body.NewTopicConfig(strings.Clone(name))
		c.ReadQueueNums = min(queues, MaxQueues)
		c.WriteQueueNums = c.ReadQueueNums
		c.Perm, c.TopicSysFlag, c.Order = perm, sysFlag, order
		return &c
	})
}

func (t *Table) create(name string, build func() *body.TopicConfig) (c *body.TopicConfig, created bool) {
	if c := t.Find(name); c != nil {
		return c, false
	}
	t.mu.Lock()
	if c := t.Find(name); c != nil {
		t.mu.Unlock()
		if err := t.settle(); err != nil { // who made it may still be writing
			t.unwritten(c.TopicName, err)
		}
		return c, false
	}
	c = build()
	if c == nil {
		t.mu.Unlock()
		return nil, false
	}
	t.storeLocked(c)
	t.mu.Unlock()
	t.opts.Logger.Info("topic created", "topic", c.TopicName, "queues", c.WriteQueueNums, "perm", PermString(c.Perm))
	t.opts.Changed(*c)
	if err := t.settle(); err != nil {
		t.unwritten(c.TopicName, err)
	}
	return c, true
}

// unwritten logs that a topic that was made on the way is not in the file. It
// would be made again just like this after a restart: clients go on when the disk
// is full, as with groups. A tool that makes a topic is told (Put).
func (t *Table) unwritten(name string, err error) {
	t.opts.Logger.Error("topics not written", "topic", name, "err", err)
}

// storeLocked REQUIRES: t.mu.
func (t *Table) storeLocked(c *body.TopicConfig) {
	t.topics.Store(c.TopicName, c)
	t.touchLocked(c.TopicName)
}

// touchLocked says that a topic is not in the file as it is. REQUIRES: t.mu.
func (t *Table) touchLocked(name string) {
	t.dirty[name] = true
	t.version.Counter++
	t.version.Timestamp = t.opts.Now()
}

// Put creates or replaces topics as they are, and writes the file. With an error
// the topics are there and registered, but not in the file.
func (t *Table) Put(cs ...body.TopicConfig) error { return t.Stage(cs...)() }

// Stage creates or replaces topics as they are, for readers at once. The function
// that it gives tells Changed of them and writes the file, as Put does; callers who
// run it together share a write.
func (t *Table) Stage(cs ...body.TopicConfig) (settle func() error) {
	t.mu.Lock()
	for i := range cs {
		c := cs[i]
		t.storeLocked(&c)
	}
	t.mu.Unlock()
	return func() error {
		for _, c := range cs {
			t.opts.Changed(c)
		}
		return t.settle()
	}
}

// Rewrite writes what others have changed and not written yet: because they are
// about to, or because it failed. Without such a change it does nothing.
func (t *Table) Rewrite() error { return t.settle() }

// Delete forgets a topic. It reports whether the topic was there.
func (t *Table) Delete(name string) (bool, error) {
	t.mu.Lock()
	_, was := t.topics.LoadAndDelete(name)
	if was {
		t.touchLocked(name)
	}
	t.mu.Unlock()
	if !was {
		return false, nil
	}
	t.opts.Logger.Info("topic deleted", "topic", name)
	return true, t.settle()
}

// MarkOrdered sets the order flag of the topics that the name server lists as
// ordered (ORDER_TOPIC_CONFIG).
func (t *Table) MarkOrdered(names []string) error {
	var changed []body.TopicConfig
	for _, name := range names {
		if c := t.Find(name); c != nil && !c.Order {
			next := *c
			next.Order = true
			changed = append(changed, next)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	t.mu.Lock()
	for i := range changed {
		t.storeLocked(&changed[i])
	}
	t.mu.Unlock()
	return t.settle()
}

// All gives every topic, sorted by name, with the data version they belong to.
func (t *Table) All() ([]*body.TopicConfig, body.DataVersion) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*body.TopicConfig
	t.topics.Range(func(_, v any) bool {
		out = append(out, v.(*body.TopicConfig))
		return true
	})
	sort.Slice(out, func(i, j int) bool { return out[i].TopicName < out[j].TopicName })
	return out, t.version
}

// Version is the data version.
func (t *Table) Version() body.DataVersion {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.version
}

// NextVersion makes a new data version without a change of a topic: the name
// servers take the next registration as news then.
func (t *Table) NextVersion() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.version.Counter++
	t.version.Timestamp = t.opts.Now()
}

// Describe prints a topic as Java's TopicConfig does: it stands in remarks.
func Describe(c *body.TopicConfig) string {
	names := make([]string, 0, len(c.Attributes))
	for k := range c.Attributes {
		names = append(names, k)
	}
	sort.Strings(names)
	for i, k := range names {
		names[i] = k + "=" + c.Attributes[k]
	}
	return fmt.Sprintf("TopicConfig [topicName=%s, readQueueNums=%d, writeQueueNums=%d, perm=%s, topicFilterType=%s, topicSysFlag=%d, order=%t, attributes={%s}]",
		c.TopicName, c.ReadQueueNums, c.WriteQueueNums, PermString(c.Perm), c.TopicFilterType, c.TopicSysFlag, c.Order, strings.Join(names, ", "))
}
