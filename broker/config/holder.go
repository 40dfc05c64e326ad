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
var ErrStartOnly = errors.New("it is read at start: it takes effect when the broker is started again")

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
	updating  sync.Mutex
	followers []*func(*Config) // guarded by updating
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

// Follow calls f with the configuration in force now, and with each later one before
// Update returns, one at a time, until stop is called. f must not block and must
// not call Update, Follow or stop.
func (h *Holder) Follow(f func(*Config)) (stop func()) {
	h.updating.Lock()
	defer h.updating.Unlock()
	h.followers = append(h.followers, &f)
	f(h.Get())
	return func() {
		h.updating.Lock()
		defer h.updating.Unlock()
		h.followers = slices.DeleteFunc(h.followers, func(g *func(*Config)) bool { return g == &f })
	}
}

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
		v, _ := c.Value(name)
		b.WriteString(name + "=" + v + "\n")
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

// Note tells what came of one change that did not take effect at once.
type Note struct {
	Key, Value string
	Why        error // ErrNotSupported or ErrStartOnly
}

// String is "key=value: why".
func (n Note) String() string { return n.Key + "=" + n.Value + ": " + n.Why.Error() }

// Update is Change for callers that do not care which changes wait.
func (h *Holder) Update(changes map[string]string) error {
	_, err := h.Change(changes)
	return err
}

// Change applies all changes or none, and gives a note for each that does not take
// effect at once. The changed keys, and only they, are written into the file
// before they take effect.
//
// A value of a key that this broker does not act on is kept and shown, as in Java,
// with a note (ErrNotSupported); one of a key that is read at start goes into the
// file, with a note (ErrStartOnly), and is refused with that error when there is no
// file to write it to. Refused are a key that is unknown (ErrUnknownKey), a promise
// that this broker does not keep (ErrPromise), and a value that does not parse or
// is out of range. When the file cannot be written (a read-only mount) changes of
// keys that are read at each use take effect for this process, and a log line says
// so.
func (h *Holder) Change(changes map[string]string) ([]Note, error) {
	h.updating.Lock()
	defer h.updating.Unlock()
	old := h.Get()
	next := *old
	next.text, next.fromFile, next.waiting = maps.Clone(old.text), maps.Clone(old.fromFile), maps.Clone(old.waiting)
	var list []change
	var notes []Note
	needsFile := ""
	for _, key := range slices.Sorted(maps.Keys(changes)) {
		before := old.filed(key)
		v, why, err := next.set(key, changes[key])
		if err != nil {
			return nil, err
		}
		if v == before {
			continue
		}
		list = append(list, change{key, v})
		if why != nil {
			notes = append(notes, Note{key, shown(Lookup(key), v), why})
		}
		if why == ErrStartOnly {
			needsFile = key
		}
	}
	if err := h.persist(list); err != nil {
		if needsFile != "" {
			return nil, fmt.Errorf("%s: %w: %w", needsFile, ErrStartOnly, err)
		}
		h.opts.Logger.Warn("the changed configuration lasts until the broker stops", "error", err)
	}
	for _, c := range list {
		k := Lookup(c.key)
		h.opts.Logger.Info("configuration changes", "key", c.key, "from", shown(k, old.text[c.key]), "to", shown(k, c.value))
	}
	for _, n := range notes {
		h.opts.Logger.Warn("a changed setting has no effect now", "key", n.Key, "value", n.Value, "why", n.Why)
	}
	h.current.Store(&next)
	for _, f := range h.followers {
		(*f)(&next)
	}
	v := h.Version()
	h.version.Store(&Version{v.StateVersion, h.opts.Clock.NowMillis(), v.Counter + 1})
	return notes, nil
}

// filed is the value of a key with which the next start would begin.
func (c *Config) filed(key string) string {
	if v, ok := c.waiting[key]; ok {
		return v
	}
	return c.text[key]
}

// set changes one key of a Config that nobody else sees yet. It gives the value in
// the form of Key.check, and why it does not take effect at once.
func (c *Config) set(key, value string) (v string, why, err error) {
	k := Lookup(key)
	if k == nil {
		return "", nil, fmt.Errorf("%s: %w", clip(key), ErrUnknownKey)
	}
	if v, err = k.check(value); err != nil {
		return "", nil, err
	}
	if v == c.filed(key) {
		return v, nil, nil
	}
	if p := promiseOf(key, v, c.filed); p != nil {
		return "", nil, p.refuse(v)
	}
	f := fields()[key]
	switch {
	case f == nil:
		c.text[key], c.fromFile[key] = v, true
		return v, ErrNotSupported, nil
	case !f.hot:
		if err := f.assign(new(Config), v); err != nil {
			return "", nil, err
		}
		if c.waiting == nil {
			c.waiting = map[string]string{}
		}
		c.waiting[key] = v
		return v, ErrStartOnly, nil
	}
	if err := f.assign(c, v); err != nil {
		return "", nil, err
	}
	c.text[key], c.fromFile[key] = v, true
	return v, nil, nil
}

// persist writes the changed keys into the file. REQUIRES: h.updating.
func (h *Holder) persist(list []change) error {
	if len(list) == 0 {
		return nil
	}
	if h.opts.File == "" || h.opts.Files == nil {
		return errors.New("the broker was started without a configuration file")
	}
	data, err := h.opts.Files.Load(h.opts.File, nil, nil)
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
		return fmt.Errorf("the configuration file cannot be written: %w", err)
	}
	return nil
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
