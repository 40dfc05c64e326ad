package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/merlinmq/merlin/compat/javaprops"
)

// Host is what the defaults of a configuration take from the machine. The zero
// Host gives a broker on the loopback address with its data below ".".
type Host struct {
	Name         string // host name, the default of brokerName; "": DEFAULT_BROKER
	Address      string // first usable address, the default of brokerIP1 and brokerIP2; "": 127.0.0.1
	Home         string // home directory, storePathRootDir is below it; "": "."
	NamesrvAddr  string // $NAMESRV_ADDR
	RocketMQHome string // $ROCKETMQ_HOME
	CPUs         int    // 0: as many as Go sees
}

// Warning is something in a file that is not an error but does not do what the
// file's author expects.
type Warning struct {
	File string
	Line int // 0 when it is not about one line
	Text string
}

// String is "file:line: text".
func (w Warning) String() string {
	if w.Line == 0 {
		return w.File + ": " + w.Text
	}
	return w.File + ":" + strconv.Itoa(w.Line) + ": " + w.Text
}

// Default is the configuration of an empty file on the zero Host.
func Default() *Config { return Host{}.Default() }

// Default is the configuration of an empty file on h.
func (h Host) Default() *Config {
	c, _, err := h.Parse(nil, "defaults")
	if err != nil {
		panic("config: the defaults do not stand their own checks: " + err.Error())
	}
	return c
}

// Parse reads a broker.conf on the zero Host.
func Parse(data []byte, file string) (*Config, []Warning, error) { return Host{}.Parse(data, file) }

// Parse reads a broker.conf. A key that no class of Java knows is a warning, and
// so are, in one line, the keys that this broker does not act on and that differ
// from what it does. A value that does not parse or is out of range, a key that
// promises protection, copies, membership or a storage that this broker does not
// have (ErrPromise), and a key of another server's file (ErrForeign) are errors
// that name file and line. overrides, when given, are applied after the file (the
// command line).
func (h Host) Parse(data []byte, file string, overrides ...map[string]string) (*Config, []Warning, error) {
	props, err := javaprops.Parse(data, file)
	if err != nil {
		return nil, nil, err
	}
	p := parser{file: file, lines: map[string]int{}, values: map[string]string{}, set: map[string]bool{}, over: map[string]bool{}}
	p.defaults(h)
	for _, e := range withoutLicence(props) {
		if err := p.put(e.Key, e.Value, e.Line); err != nil {
			return nil, nil, err
		}
	}
	for _, o := range overrides {
		for k, v := range o {
			p.over[k] = true
			if err := p.put(k, v, 0); err != nil {
				return nil, nil, err
			}
		}
	}
	if err := p.keepsPromises(); err != nil {
		return nil, nil, err
	}
	p.listIdle(h)
	c, err := p.finish()
	if err != nil {
		return nil, nil, err
	}
	return c, p.warnings, nil
}

// parser gathers the values of all keys by name before they go into a Config.
type parser struct {
	file     string
	lines    map[string]int    // where the file sets a key
	values   map[string]string // every key that has a value
	set      map[string]bool   // keys set by the file or an override
	over     map[string]bool   // keys that an override set
	warnings []Warning
}

func (p *parser) defaults(h Host) {
	for i := range table().rows {
		k := &table().rows[i]
		v, ok := expand(k, h)
		if ok && !k.auth() {
			p.values[k.Name] = v
		}
	}
}

// expand is the default of a key on a machine, false when it is null.
func expand(k *Key, h Host) (string, bool) {
	cpus := h.CPUs
	if cpus <= 0 {
		cpus = runtime.NumCPU()
	}
	switch k.Default {
	case "${host}":
		return or(h.Name, "DEFAULT_BROKER"), true
	case "${ip}":
		return or(h.Address, "127.0.0.1"), true
	case "${home}/store":
		return or(h.Home, ".") + "/store", true
	case "${NAMESRV_ADDR}":
		return h.NamesrvAddr, h.NamesrvAddr != ""
	case "${ROCKETMQ_HOME}":
		return h.RocketMQHome, h.RocketMQHome != ""
	case "${listenPort+1}":
		return "0", true // finish sets it
	case "${cpus}":
		return strconv.Itoa(cpus), true
	case "${min(cpus,4)}":
		return strconv.Itoa(min(cpus, 4)), true
	case "${min(cpus,32)}":
		return strconv.Itoa(min(cpus, 32)), true
	case "${8+cpus}":
		return strconv.Itoa(8 + cpus), true
	case "${8+2*cpus}":
		return strconv.Itoa(8 + 2*cpus), true
	case "${16+2*cpus}":
		return strconv.Itoa(16 + 2*cpus), true
	}
	return k.Default, !k.Null
}

func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// put checks one entry and remembers it.
func (p *parser) put(key, value string, line int) error {
	k := Lookup(key)
	p.lines[key] = line
	if k == nil {
		return p.putUnknown(key, value, line)
	}
	v, err := k.check(value)
	if err != nil {
		return p.errorf(key, "%w", err)
	}
	if k.ReadOnly {
		if v != k.Default {
			p.warn(line, "%s has no effect: it cannot be set in a file", key)
		}
		return nil
	}
	p.values[key], p.set[key] = v, true
	return nil
}

// putUnknown remembers a key that no class of a Java broker has.
func (p *parser) putUnknown(key, value string, line int) error {
	if whose, ok := foreign[key]; ok {
		return p.errorf(key, "%s=%s: %w of %s: give the broker its own", key, clip(value), ErrForeign, whose)
	}
	if guards(key) {
		return p.errorf(key, "%s=%s: %w: no key of this file guards connections: each port answers plain clients and, with a certificate of its own making, TLS; remove the key",
			clip(key), clip(value), ErrPromise)
	}
	if p.set[key] = true; value != "" {
		p.values[key] = value // Java remembers it for code 26 as well
	}
	p.warn(line, "unknown key %s is ignored", clip(key))
	return nil
}

// keepsPromises refuses what this broker would only print. All such keys are told
// at once.
func (p *parser) keepsPromises() error {
	var errs []error
	for i := range promises {
		key := promises[i].key
		v := p.values[key]
		if pr := promiseOf(key, v, p.value); pr != nil {
			errs = append(errs, p.errorf(key, "%w", pr.refuse(v)))
		}
	}
	return errors.Join(errs...)
}

func (p *parser) value(key string) string { return p.values[key] }

// listIdle warns of the keys that are set to something else than what this broker
// does, all in one line.
func (p *parser) listIdle(h Host) {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(p.set)) {
		k := Lookup(key)
		if k == nil || !idle(key) || key == "brokerConfigPath" || key == "rocketmqHome" {
			continue
		}
		usual := h.done(k)
		if port, err := strconv.Atoi(p.values["listenPort"]); key == "haListenPort" && err == nil {
			usual = strconv.Itoa(port + 1) // Java's choice, which it writes
		}
		if v := p.values[key]; v != usual && !(key == "bitMapLengthConsumeQueueExt" && v == "64") { // 64 is what Java begins with
			list = append(list, key+"="+shown(k, v))
		}
	}
	if len(list) > 0 {
		p.warn(0, "these keys have no effect here (docs/CONFIG.md says why): %s", strings.Join(list, ", "))
	}
}

// done is the value of an idle key that describes what this broker does, or
// Java's default when it describes nothing.
func (h Host) done(k *Key) string {
	if v, ok := does[k.Name]; ok {
		return v
	}
	v, _ := expand(k, h)
	return v
}

// withoutLicence drops the lines of an HTML comment at the beginning, which some
// of RocketMQ's own files have around their licence and which are keys to Java.
// Settings that Java knows stay, also between the marks.
func withoutLicence(es []javaprops.Entry) []javaprops.Entry {
	if len(es) == 0 || !strings.HasPrefix(es[0].Key, "<!--") {
		return es
	}
	out := make([]javaprops.Entry, 0, len(es))
	for i, e := range es {
		if Lookup(e.Key) != nil {
			out = append(out, e)
		}
		if strings.HasSuffix(e.Key, "-->") || strings.HasSuffix(e.Value, "-->") {
			return append(out, es[i+1:]...)
		}
	}
	return out
}

func shown(k *Key, v string) string {
	if k.Secret() {
		return "…"
	}
	return clip(v)
}

func (p *parser) warn(line int, format string, args ...any) {
	p.warnings = append(p.warnings, Warning{p.file, line, fmt.Sprintf(format, args...)})
}

func (p *parser) errorf(key, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if p.over[key] {
		return fmt.Errorf("the command line: %w", err)
	}
	if line := p.lines[key]; line > 0 {
		return fmt.Errorf("%s:%d: %w", p.file, line, err)
	}
	return fmt.Errorf("%s: %w", p.file, err)
}

// finish applies Java's start-up rules and fills the typed fields.
func (p *parser) finish() (*Config, error) {
	c := &Config{text: p.values, fromFile: p.set}
	if id := p.values["brokerId"]; id != "0" {
		p.warn(p.lines["brokerId"], "brokerId %s becomes 0, as a master always has", id)
		p.values["brokerId"] = "0"
	}
	port, _ := strconv.Atoi(p.values["listenPort"])
	if ha, _ := strconv.Atoi(p.values["haListenPort"]); ha <= 0 && port > 0 && port <= 65535 {
		p.values["haListenPort"] = strconv.Itoa(port + 1)
	}
	if root := p.values["storePathRootDir"]; root == "" {
		return nil, p.errorf("storePathRootDir", "storePathRootDir must not be empty")
	}
	for i := range table().rows {
		name := table().rows[i].Name
		f, acted := fields()[name]
		if !acted {
			continue
		}
		v, ok := p.values[name]
		if !ok && table().rows[i].Class == ownClass {
			continue // the zero value stands for the default
		}
		if err := f.assign(c, v); err != nil {
			return nil, p.errorf(name, "%w", err)
		}
	}
	return c, nil
}

func checkNameServers(addrs string) error {
	for _, a := range strings.Split(addrs, ";") {
		if a = strings.TrimSpace(a); a == "" {
			continue
		}
		_, port, err := net.SplitHostPort(a)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil {
			return fmt.Errorf("the name server address %q is not of the form \"127.0.0.1:9876;192.168.0.1:9876\"", clip(addrs))
		}
	}
	return nil
}

// field is a key with a place in Config.
type field struct {
	index    int
	name     string
	hot      bool
	min, max int64
	check    string
}

// fields finds the typed keys by name; it is built once from Config's tags.
var fields = sync.OnceValue(func() map[string]*field {
	out := map[string]*field{}
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		tag, ok := t.Field(i).Tag.Lookup("conf")
		if !ok {
			continue
		}
		name, hot, _ := strings.Cut(tag, ",")
		if Lookup(name) == nil {
			panic("config: keys.tsv has no " + name)
		}
		f := &field{index: i, name: name, hot: hot == "hot", min: -1 << 63, max: 1<<63 - 1, check: t.Field(i).Tag.Get("check")}
		f.bound(t.Field(i).Tag, "min", &f.min)
		f.bound(t.Field(i).Tag, "max", &f.max)
		out[name] = f
	}
	return out
})

func (f *field) bound(tag reflect.StructTag, name string, to *int64) {
	if v, ok := tag.Lookup(name); ok {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			panic("config: tag " + name + " of " + f.name)
		}
		*to = n
	}
}

// assign puts a value that Key.check has accepted into its field.
func (f *field) assign(c *Config, v string) error {
	dst := reflect.ValueOf(c).Elem().Field(f.index)
	switch dst.Kind() {
	case reflect.Bool:
		dst.SetBool(v == "true")
	case reflect.String:
		if err := checkText(f, v); err != nil {
			return err
		}
		dst.SetString(v)
	default:
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return fmt.Errorf("%s must be a whole number, not %q", f.name, clip(v))
		}
		if n < f.min || n > f.max {
			if f.max == 1<<63-1 {
				return fmt.Errorf("%s must be at least %d, not %d", f.name, f.min, n)
			}
			return fmt.Errorf("%s must be between %d and %d, not %d", f.name, max(f.min, -1<<31), f.max, n)
		}
		dst.SetInt(n)
	}
	return nil
}

func checkText(f *field, v string) error {
	switch f.check {
	case "name":
		if v == "" || len(v) > 127 {
			return fmt.Errorf("%s must have 1 to 127 bytes", f.name)
		}
		for _, r := range v {
			if r <= ' ' || r == 0x7f || strings.ContainsRune(";/\\\"", r) {
				return fmt.Errorf("%s must not contain %q", f.name, r)
			}
		}
	case "host":
		if v == "" || strings.ContainsAny(v, " ;,/") {
			return fmt.Errorf("%s must be an address, not %q", f.name, clip(v))
		}
	case "deleteWhen":
		for _, h := range strings.Split(v, ";") {
			if n, err := strconv.Atoi(strings.TrimSpace(h)); err != nil || n < 0 || n > 23 {
				return fmt.Errorf("%s must be hours between 00 and 23 separated by ;, not %q", f.name, clip(v))
			}
		}
	case "nameServers":
		return checkNameServers(v)
	case "delayLevels":
		_, err := parseDelayLevels(v)
		return err
	}
	return nil
}

// parseDelayLevels reads "1s 5s 10s 1m 2h 1d".
func parseDelayLevels(s string) ([]time.Duration, error) {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}
	levels := strings.Fields(s)
	if len(levels) == 0 || len(levels) > 1000 {
		return nil, fmt.Errorf("messageDelayLevel must have between 1 and 1000 levels")
	}
	out := make([]time.Duration, 0, len(levels))
	for _, l := range levels {
		unit, ok := units[l[len(l)-1]]
		n, err := strconv.ParseInt(l[:len(l)-1], 10, 32)
		if !ok || err != nil || n < 0 {
			return nil, fmt.Errorf("messageDelayLevel: %q is not a number followed by s, m, h or d", clip(l))
		}
		out = append(out, time.Duration(n)*unit)
	}
	return out, nil
}
