package config

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/compat/javaprops"
)

// ErrUnknownKey says that no class of Java knows the key.
var ErrUnknownKey = errors.New("unknown key")

// ErrNotSupported says that the key is known but this broker does not act on it.
var ErrNotSupported = errors.New("this broker does not act on it")

// ErrStartOnly says that the key is read at start only.
var ErrStartOnly = errors.New("it is read at start only: change it in the configuration file and start again")

// Version counts the updates of a configuration (DataVersion).
type Version struct {
	StateVersion int64
	Timestamp    int64 // ms, of the last update
	Counter      int64 // number of updates
}

// HolderOptions are the surroundings of a Holder; the zero value works.
type HolderOptions struct {
	File   string           // where updates are written; "": they last until the end of the process
	Files  configfile.Files // nil: as if File were empty
	Clock  clock.Clock      // nil: the machine's
	Logger *slog.Logger     // nil: nothing is logged
}

// Holder keeps the configuration in force. Get may be called from any goroutine
// and never waits.
type Holder struct {
	opts    HolderOptions
	current atomic.Pointer[Config]
	version atomic.Pointer[Version]

	// updating lets one Update at a time through; it is held while the file is
	// written, and nothing that serves requests takes it.
	updating sync.Mutex
}

// NewHolder starts with c.
func NewHolder(c *Config, opts HolderOptions) *Holder {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	opts.Clock = clock.Or(opts.Clock)
	h := &Holder{opts: opts}
	h.current.Store(c)
	h.version.Store(&Version{Timestamp: opts.Clock.NowMillis()})
	return h
}

// Get is the configuration in force, never nil. It does not change; call again to
// see updates.
func (h *Holder) Get() *Config { return h.current.Load() }

// Version counts the updates.
func (h *Holder) Version() Version { return *h.version.Load() }

// Text lists every key that has a value as sorted "key=value" lines, in the form
// of GET_BROKER_CONFIG (26). Passwords are left out.
func (h *Holder) Text() string { return h.Get().Text() }

// Text is Holder.Text of one configuration.
func (c *Config) Text() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c.text)) {
		k := Lookup(name)
		if k != nil && (k.Secret() || k.auth() && !c.fromFile[name]) {
			continue
		}
		b.WriteString(name + "=" + c.text[name] + "\n")
	}
	return b.String()
}

// Hot says whether an update of the key takes effect while the broker runs.
func Hot(key string) bool {
	f := fields()[key]
	return f != nil && f.hot
}

// ActedOn says whether this broker acts on the key at all.
func ActedOn(key string) bool { return fields()[key] != nil }

// Update applies all changes or none. A key that is unknown, not acted on, or
// read at start only is refused with an error that says so (ErrUnknownKey,
// ErrNotSupported, ErrStartOnly), unless it has that value already; so is a value
// that does not parse or is out of range. The changed keys, and only they, are
// written into the file before they take effect; when the file cannot be written
// (a read-only mount) they take effect for this process, and a log line says so.
func (h *Holder) Update(changes map[string]string) error {
	h.updating.Lock()
	defer h.updating.Unlock()
	old := h.Get()
	next := *old
	next.text, next.fromFile = maps.Clone(old.text), maps.Clone(old.fromFile)
	var list []change
	for _, key := range slices.Sorted(maps.Keys(changes)) {
		v, err := next.set(key, changes[key])
		if err != nil {
			return err
		}
		if v != old.text[key] {
			list = append(list, change{key, v})
			h.opts.Logger.Info("configuration changes", "key", key, "from", clip(old.text[key]), "to", clip(v))
		}
	}
	if len(list) > 0 {
		h.persist(list)
	}
	h.current.Store(&next)
	v := h.Version()
	h.version.Store(&Version{v.StateVersion, h.opts.Clock.NowMillis(), v.Counter + 1})
	return nil
}

// set changes one key of a Config that nobody else sees yet.
func (c *Config) set(key, value string) (string, error) {
	k := Lookup(key)
	if k == nil {
		return "", fmt.Errorf("%s: %w", clip(key), ErrUnknownKey)
	}
	v, err := k.check(value)
	if err != nil {
		return "", err
	}
	if old, ok := c.text[key]; ok && old == v {
		return v, nil
	}
	f := fields()[key]
	if f == nil {
		return "", fmt.Errorf("%s: %w", key, ErrNotSupported)
	}
	if !f.hot {
		return "", fmt.Errorf("%s: %w", key, ErrStartOnly)
	}
	if err := f.assign(c, v); err != nil {
		return "", err
	}
	c.text[key], c.fromFile[key] = v, true
	return v, nil
}

// persist writes the changed keys into the file. REQUIRES: h.updating.
func (h *Holder) persist(list []change) {
	if h.opts.File == "" || h.opts.Files == nil {
		h.opts.Logger.Warn("the changed configuration lasts until the broker stops: it was started without a file")
		return
	}
	data, err := h.opts.Files.Load(h.opts.File, nil)
	if errors.Is(err, configfile.ErrNone) {
		data, err = nil, nil
	}
	if err == nil {
		data, err = edit(data, list)
	}
	if err == nil {
		err = h.opts.Files.Save(h.opts.File, data)
	}
	if err != nil {
		h.opts.Logger.Warn("the changed configuration lasts until the broker stops: its file cannot be written", "file", h.opts.File, "error", err)
	}
}

// ParseChanges reads the body of UPDATE_BROKER_CONFIG (25): properties text. When
// a key stands twice the last one counts.
func ParseChanges(data []byte) (map[string]string, error) {
	entries, err := javaprops.Parse(data, "update")
	if err != nil {
		return nil, err
	}
	return javaprops.Map(entries), nil
}
