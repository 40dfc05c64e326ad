package config

import (
	_ "embed" // the recorded table of keys
	"fmt"
	"strconv"
	"strings"
	"sync"
)

//go:embed keys.tsv
var keysTSV string

// ownClass stands in the table for the keys that this broker has and Java has
// not. Code 26 lists them when the file sets them.
const ownClass = "Merlin"

// Kind is the type of a key's value.
type Kind uint8

// Kinds of values, by the Java type of the setter.
const (
	String Kind = iota
	Int         // 32 bits
	Long        // 64 bits
	Bool
	Double
	Enum // one of Key.Choices
)

// Key is one row of the table of known keys.
type Key struct {
	Name      string
	Class     string   // Java class that declares it
	Kind      Kind     // type of the value
	Choices   []string // of an Enum
	Important bool     // printed by -m
	ReadOnly  bool     // has no setter: a file cannot change it
	Null      bool     // null in a fresh object: absent from code 26 unless set
	Default   string   // with ${…} where it depends on the machine
}

// Secret says that the value must never leave the process: the user names and
// passwords of initAuthenticationUser and innerClientAuthenticationCredentials.
func (k *Key) Secret() bool {
	return k.Name == "initAuthenticationUser" || k.Name == "innerClientAuthenticationCredentials"
}

// auth says that the key is one of AuthConfig, which code 26 does not list
// unless the file sets it.
func (k *Key) auth() bool { return k.Class == "AuthConfig" }

type keyTable struct {
	rows   []Key // sorted by name
	byName map[string]*Key
}

// table is read once and never changes.
var table = sync.OnceValue(func() *keyTable {
	t := &keyTable{byName: map[string]*Key{}}
	for n, line := range strings.Split(strings.TrimSpace(keysTSV), "\n") {
		if n == 0 {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 5 {
			panic(fmt.Sprintf("config: keys.tsv line %d: %d columns", n+1, len(f)))
		}
		kind, choices := kindOf(f[2])
		t.rows = append(t.rows, Key{
			Name: f[0], Class: f[1], Kind: kind, Choices: choices, Default: f[4],
			Important: strings.Contains(f[3], "i"),
			ReadOnly:  strings.Contains(f[3], "r"),
			Null:      strings.Contains(f[3], "n"),
		})
	}
	for i := range t.rows {
		t.byName[t.rows[i].Name] = &t.rows[i]
	}
	return t
})

func kindOf(javaType string) (Kind, []string) {
	switch javaType {
	case "String":
		return String, nil
	case "int":
		return Int, nil
	case "long":
		return Long, nil
	case "boolean":
		return Bool, nil
	case "double":
		return Double, nil
	case "BrokerRole":
		return Enum, []string{"ASYNC_MASTER", "SYNC_MASTER", "SLAVE"}
	case "FlushDiskType":
		return Enum, []string{"SYNC_FLUSH", "ASYNC_FLUSH"}
	case "MetricsExporterType":
		return Enum, []string{"DISABLE", "OTLP_GRPC", "PROM", "LOG"}
	}
	panic("config: keys.tsv: type " + javaType)
}

// Keys is every key that a 5.3.3 broker knows, sorted by name. The caller must
// not change it.
func Keys() []Key { return table().rows }

// Lookup finds a known key, nil when there is none.
func Lookup(name string) *Key { return table().byName[name] }

// check parses a value as the key's type and gives it in the form that code 26
// prints. Blanks around it are ignored; unlike Java, which keeps the default
// silently, anything that does not parse is an error.
func (k *Key) check(value string) (string, error) {
	v := strings.TrimSpace(value)
	switch k.Kind {
	case Int:
		n, err := strconv.ParseInt(v, 10, 32)
		if err != nil {
			return "", fmt.Errorf("%s must be a whole number between -2147483648 and 2147483647, not %q", k.Name, clip(v))
		}
		return strconv.FormatInt(n, 10), nil
	case Long:
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return "", fmt.Errorf("%s must be a whole number, not %q", k.Name, clip(v))
		}
		return strconv.FormatInt(n, 10), nil
	case Bool:
		switch {
		case strings.EqualFold(v, "true"):
			return "true", nil
		case strings.EqualFold(v, "false"):
			return "false", nil
		}
		return "", fmt.Errorf("%s must be true or false, not %q", k.Name, clip(v))
	case Double:
		if _, err := strconv.ParseFloat(v, 64); err != nil {
			return "", fmt.Errorf("%s must be a number, not %q", k.Name, clip(v))
		}
		return v, nil
	case Enum:
		for _, c := range k.Choices {
			if v == c {
				return v, nil
			}
		}
		return "", fmt.Errorf("%s must be one of %s, not %q", k.Name, strings.Join(k.Choices, ", "), clip(v))
	}
	if strings.ContainsAny(v, "\r\n\x00") {
		return "", fmt.Errorf("%s must be one line of text", k.Name)
	}
	return v, nil
}

// clip keeps error texts short whatever a file or a peer sends.
func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "?") + "…"
	}
	return s
}
