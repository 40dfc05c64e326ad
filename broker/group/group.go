// Package group keeps the consumer group settings of a broker
// (SubscriptionGroupManager) and the topics a group is forbidden to read, in
// config/subscriptionGroup.json in Java's form.
//
// It owns no goroutine. Readers see immutable snapshots; Table.mu orders the
// writers, and its Saver lets one of them at a time write the file: new, changed and
// deleted groups in place (configfile.Entries).
package group

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/compat/fastjson"
	"github.com/merlinmq/merlin/protocol/body"
)

// MaxLength is the longest group name (Validators.CHARACTER_MAX_LENGTH is 255;
// a retry topic of the name must fit too, which the store checks).
const MaxLength = 255

// systemPrefix begins the names of system groups.
const systemPrefix = "CID_RMQ_SYS_"

// builtin are the groups that every broker has (SubscriptionGroupManager.init).
var builtin = []string{
	"TOOLS_CONSUMER", "FILTERSRV_CONSUMER", "SELF_TEST_C_GROUP", "CID_ONS-HTTP-PROXY", "CID_ONSAPI_PULL",
	"CID_ONSAPI_PERMISSION", "CID_ONSAPI_OWNER", "CID_RMQ_SYS_TRANS",
}

// Builtin reports whether every broker has the group.
func Builtin(name string) bool { return slices.Contains(builtin, name) }

// ForbidRead is the bit of the forbidden table that stops reading
// (PermName.INDEX_PERM_READ).
const ForbidRead = 2

// Config are the settings a Table reads; they may change while it runs.
type Config struct {
	AutoCreate   bool // autoCreateSubscriptionGroup
	CreateSystem bool // enableCreateSysGroup
}

// Options configure a Table.
type Options struct {
	Files  configfile.Files
	Path   string // of subscriptionGroup.json
	Config func() Config
	Logger *slog.Logger
	Now    func() int64 // ms, for data versions
	// Limit is the number of groups from which on none is created on its own: who
	// may connect may name groups. 0 = DefaultLimit.
	Limit int
}

// DefaultLimit is the Limit of a Table that is given none.
const DefaultLimit = 100_000

// Table holds the groups.
type Table struct {
	opts   Options
	groups sync.Map // string → *body.SubscriptionGroupConfig, immutable

	mu        sync.Mutex // guards changes of groups, and the fields below
	version   body.DataVersion
	count     int                         // of groups
	forbidden map[string]map[string]int32 // group → topic → bits
	dirty     map[string]bool             // groups that the file does not have as they are
	anew      bool                        // the file has other forbidden bits: it must be replaced
	whole     bool                        // the next write is in Java's form

	saver *configfile.Saver   // changes that come together share one write
	disk  *configfile.Entries // used by the saver's function
}

type file struct {
	DataVersion            body.DataVersion                        `json:"dataVersion"`
	ForbiddenTable         map[string]map[string]int32             `json:"forbiddenTable"`
	SubscriptionGroupTable map[string]body.SubscriptionGroupConfig `json:"subscriptionGroupTable"`
}

// Load reads the table and adds the predefined groups. A file that cannot be
// read is an error.
func Load(opts Options) (*Table, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Limit == 0 {
		opts.Limit = DefaultLimit
	}
	t := &Table{opts: opts, forbidden: map[string]map[string]int32{}, dirty: map[string]bool{}}
	t.disk = t.newDisk()
	t.saver = configfile.NewSaver(t.write)
	for _, name := range builtin {
		c := body.NewSubscriptionGroupConfig(name)
		t.groups.Store(name, &c)
		t.count++
	}
	var f file
	damaged, err := configfile.LoadTable(opts.Files, opts.Path, "subscriptionGroupTable", opts.Logger, func(data []byte) error {
		f = file{} // nothing stays of a damaged one
		return fastjson.Unmarshal(data, &f)
	}, func(name string, c *body.SubscriptionGroupConfig) bool { return c.GroupName == name })
	if err != nil && !errors.Is(err, configfile.ErrNone) {
		return nil, fmt.Errorf("group: load: %w", err)
	}
	if damaged != nil {
		f.SubscriptionGroupTable = damaged.On(f.SubscriptionGroupTable)
	}
	for name, c := range f.SubscriptionGroupTable {
		t.loaded(name, c, f.SubscriptionGroupTable)
	}
	if f.ForbiddenTable != nil {
		t.forbidden = f.ForbiddenTable
	}
	t.version = f.DataVersion
	if damaged != nil {
		t.nextVersionLocked() // nobody else has the table yet
		if err := t.Persist(); err != nil {
			opts.Logger.Error("consumer groups not written", "err", err)
		}
	}
	return t, nil
}

// loaded takes a group of the file. When name and settings do not agree, a byte of
// one of them is rotten: the group is there under both names then, unless the file has
// the other one, too.
func (t *Table) loaded(name string, c body.SubscriptionGroupConfig, all map[string]body.SubscriptionGroupConfig) {
	add := func(name string, c body.SubscriptionGroupConfig) {
		c.GroupName = name
		if _, was := t.groups.Swap(name, &c); !was {
			t.count++
		}
	}
	if _, there := all[c.GroupName]; !there && c.GroupName != "" {
		t.opts.Logger.Error("a consumer group has another name in its settings, it is taken under both", "group", name, "settings", c.GroupName)
		add(c.GroupName, c)
	}
	add(name, c)
}

// Find gives a group, an immutable snapshot, or nil. The name may alias a frame.
func (t *Table) Find(name string) *body.SubscriptionGroupConfig {
	v, ok := t.groups.Load(name)
	if !ok {
		return nil
	}
	return v.(*body.SubscriptionGroupConfig)
}

// FindOrCreate gives a group, created with the defaults when it is not there and
// may be, or nil. The name may alias a frame.
func (t *Table) FindOrCreate(name string) (*body.SubscriptionGroupConfig, error) {
	if c := t.Find(name); c != nil {
		return c, nil
	}
	return t.FindOrCreateAll([]string{name})[0], nil
}

// FindOrCreateAll is FindOrCreate for many names, in their order, with one write
// of the file for all that are new.
func (t *Table) FindOrCreateAll(names []string) []*body.SubscriptionGroupConfig {
	out := make([]*body.SubscriptionGroupConfig, len(names))
	cfg := t.opts.Config()
	created := 0
	last := ""
	for i, name := range names {
		if out[i] = t.Find(name); out[i] != nil {
			continue
		}
		if !cfg.AutoCreate && !(cfg.CreateSystem && strings.HasPrefix(name, systemPrefix)) {
			continue
		}
		if name == "" || len(name) > MaxLength || !topic.LegalName(name) {
			continue
		}
		c, fresh := t.create(name)
		if out[i] = c; fresh {
			created++
			last = c.GroupName
			t.opts.Logger.Info("consumer group created", "group", c.GroupName)
		}
	}
	if created > 0 {
		if err := t.save(); err != nil {
			// They would be made again just like this: consumers go on when the disk is full.
			t.opts.Logger.Error("consumer groups not written", "group", last, "groups", created, "err", err)
		}
	}
	return out
}

// create makes a group that is not there and may be; nil when there are too many.
func (t *Table) create(name string) (c *body.SubscriptionGroupConfig, fresh bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.Find(name); c != nil {
		return c, false
	}
	if t.count >= t.opts.Limit {
		t.opts.Logger.Warn("consumer group not created: there are too many", "group", name, "limit", t.opts.Limit)
		return nil, false
	}
	n := body.NewSubscriptionGroupConfig(strings.Clone(name))
	t.storeLocked(&n)
	return &n, true
}

// storeLocked REQUIRES: t.mu.
func (t *Table) storeLocked(c *body.SubscriptionGroupConfig) {
	if _, was := t.groups.Swap(c.GroupName, c); !was {
		t.count++
	}
	t.dirty[c.GroupName] = true
	t.nextVersionLocked()
}

// nextVersionLocked REQUIRES: t.mu.
func (t *Table) nextVersionLocked() {
	t.version.Counter++
	t.version.Timestamp = t.opts.Now()
}

// Put creates or replaces groups and writes the file.
func (t *Table) Put(cs ...body.SubscriptionGroupConfig) error {
	t.mu.Lock()
	for i := range cs {
		c := cs[i]
		t.storeLocked(&c)
	}
	t.mu.Unlock()
	return t.save()
}

// Delete forgets a group and its forbidden topics. It reports whether the group
// was there.
func (t *Table) Delete(name string) (bool, error) {
	t.mu.Lock()
	_, was := t.groups.LoadAndDelete(name)
	if was {
		t.count--
		t.dirty[name] = true
	}
	if _, had := t.forbidden[name]; had {
		delete(t.forbidden, name)
		t.anew = true
	}
	t.nextVersionLocked()
	t.mu.Unlock()
	if !was {
		return false, nil
	}
	return true, t.save()
}

// Forbidden gives the forbidden bits of a group on a topic. The strings may
// alias a frame.
func (t *Table) Forbidden(name, topicName string) int32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(0, t.forbidden[name][topicName])
}

// ReadForbidden reports whether the group may not read the topic.
func (t *Table) ReadForbidden(name, topicName string) bool {
	return t.Forbidden(name, topicName)&(1<<ForbidRead) != 0
}

// SetForbidden sets or clears one bit. Clearing the last bit of a topic removes
// all entries of the group, as Java does and tools show.
func (t *Table) SetForbidden(name, topicName string, bit uint, set bool) error {
	t.mu.Lock()
	v := max(0, t.forbidden[name][topicName])
	if set {
		v |= 1 << bit
	} else {
		v &^= 1 << bit
	}
	if v == 0 {
		delete(t.forbidden, name)
	} else {
		if t.forbidden[name] == nil {
			t.forbidden[name] = map[string]int32{}
		}
		t.forbidden[name][topicName] = v
	}
	t.anew = true
	t.nextVersionLocked()
	t.mu.Unlock()
	return t.save()
}

// ForbiddenTable gives a copy of all forbidden bits.
func (t *Table) ForbiddenTable() map[string]map[string]int32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[string]map[string]int32, len(t.forbidden))
	for g, m := range t.forbidden {
		out[g] = maps.Clone(m)
	}
	return out
}

// All gives every group, sorted by name, with the data version.
func (t *Table) All() ([]*body.SubscriptionGroupConfig, body.DataVersion) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*body.SubscriptionGroupConfig
	t.groups.Range(func(_, v any) bool {
		out = append(out, v.(*body.SubscriptionGroupConfig))
		return true
	})
	sort.Slice(out, func(i, j int) bool { return out[i].GroupName < out[j].GroupName })
	return out, t.version
}
