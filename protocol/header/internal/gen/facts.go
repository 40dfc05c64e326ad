package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
)

// field is one field of a header class.
type field struct {
	name     string // on the wire
	javaType string
	nullable string // CFNotNull, CFNullable or unmarked
	owner    string // declaring class
	resource string // ACL resource, or -
	value    string // default: null, now or a quoted text
	longName string // of the one-letter fields
}

// class is one header class.
type class struct {
	name    string
	fast    bool     // has a hand-written codec
	aclCode string   // code of the annotation, or ""
	aclRes  string   // resource of the annotation
	actions []string // actions of the annotation
	puts    []*field // in the order Java puts them into extFields
	fields  []*field // in the order of declaration
	binary  []string // keys in the order of the hand-written codec
	codes   string   // codes that use the class
	fresh   bool     // known to RocketMQ after 5.3.3 only
}

func (c *class) find(name string) *field {
	for _, f := range c.puts {
		if f.name == name {
			return f
		}
	}
	return nil
}

// readLines calls f with the columns of each line of a tab separated file.
func readLines(path string, f func(col []string)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for s := bufio.NewScanner(file); ; {
		if !s.Scan() {
			return s.Err()
		}
		f(strings.Split(s.Text(), "\t"))
	}
}

// readClasses joins what the Java classes say by reflection with the list of
// fields, which has their order and further notes.
func readClasses(facts, list string) ([]*class, error) {
	all := map[string]*class{}
	err := readLines(facts, func(col []string) {
		switch col[0] {
		case "header":
			c := &class{name: col[1], fast: col[2] == "fast"}
			if len(col) > 5 {
				c.aclCode, c.aclRes, c.actions = col[3], col[4], strings.Split(col[5], ",")
			}
			all[c.name] = c
		case "field":
			all[col[1]].puts = append(all[col[1]].puts, &field{name: col[2], javaType: col[3],
				nullable: col[4], owner: col[5], resource: col[6], value: col[7]})
		case "binary":
			all[col[1]].binary = strings.Split(col[2], ",")
		}
	})
	if err != nil {
		return nil, err
	}
	if err := readLines(list, func(col []string) { addListed(all, col) }); err != nil {
		return nil, err
	}
	var classes []*class
	for _, c := range all {
		for _, f := range c.puts {
			if !slices.Contains(c.fields, f) {
				c.fields = append(c.fields, f)
			}
		}
		classes = append(classes, c)
	}
	slices.SortFunc(classes, func(a, b *class) int { return strings.Compare(a.name, b.name) })
	return classes, nil
}

// addListed takes over one line of the list of fields.
func addListed(all map[string]*class, col []string) {
	if col[0] == "class" {
		return
	}
	c := all[col[0]]
	if c == nil {
		c = &class{name: col[0], fresh: true}
		all[c.name] = c
	}
	if _, codes, ok := strings.Cut(col[5], "used by codes "); ok {
		c.codes = codes
	}
	if col[1] == "-" {
		return
	}
	f := c.find(col[1])
	if f == nil { // not in the jars that the facts come from
		f = &field{name: col[1], javaType: col[2], nullable: col[3], owner: c.name, resource: "-", value: "null"}
		c.puts = append(c.puts, f)
	}
	if _, long, ok := strings.Cut(col[5], "long name "); ok {
		f.longName, _, _ = strings.Cut(long, ";")
	}
	c.fields = append(c.fields, f)
}

// javaHash is String.hashCode for the ASCII names of fields, spread as HashMap
// spreads it.
func javaHash(s string) uint32 {
	var h uint32
	for _, b := range []byte(s) {
		h = 31*h + uint32(b)
	}
	return h ^ h>>16
}

// mapOrder is the order in which a HashMap of the given capacity hands out the
// fields that were put into it.
func mapOrder(puts []*field, capacity uint32) []*field {
	order := slices.Clone(puts)
	slices.SortStableFunc(order, func(a, b *field) int {
		return int(javaHash(a.name)&(capacity-1)) - int(javaHash(b.name)&(capacity-1))
	})
	return order
}

// goName is the Go spelling of a Java field name.
func goName(java string) string {
	out := strings.ToUpper(java[:1]) + java[1:]
	for _, suffix := range []string{"Id", "Ids"} {
		if base, ok := strings.CutSuffix(out, suffix); ok {
			out = base + "ID" + suffix[2:]
		}
	}
	for _, r := range [][2]string{{"IdToClean", "IDToClean"}, {"IdsToClean", "IDsToClean"}, {"IdIdentity", "IDIdentity"}, {"Json", "JSON"}, {"Crc32", "CRC32"}} {
		out = strings.ReplaceAll(out, r[0], r[1])
	}
	return out
}

// structName is the Go name of a header class.
func structName(java string) string {
	return strings.Replace(java, "Header", "", 1)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}
