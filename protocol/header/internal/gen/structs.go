package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// inherited tells which fields come with the two embedded structs.
var inherited = map[string]string{"lo": "TopicRpc", "ns": "Rpc", "nsd": "Rpc", "bname": "Rpc", "oway": "Rpc"}

// types maps a Java type to its Go type, and the names of the functions that
// read and write it.
var types = map[string]struct{ goType, read, write string }{
	"String":       {"wire.OptString", "wire.ReadString(&%s, %s)", "w.OptString(%q, %s)"},
	"Integer":      {"wire.Opt[int32]", "wire.ReadInt32(&%s, %s)", "w.OptInt32(%q, %s)"},
	"Long":         {"wire.Opt[int64]", "wire.ReadInt64(&%s, %s)", "w.OptInt64(%q, %s)"},
	"Boolean":      {"wire.Opt[bool]", "wire.ReadBool(&%s, %s)", "w.OptBool(%q, %s)"},
	"int":          {"int32", "wire.ReadInt(&%s, %s)", "w.Int32(%q, %s)"},
	"long":         {"int64", "wire.ReadLong(&%s, %s)", "w.Int64(%q, %s)"},
	"boolean":      {"bool", "%s = wire.ParseBool(%s)", "w.Bool(%q, %s)"},
	"BoundaryType": {"wire.Opt[BoundaryType]", "readBoundary(&%s, %s)", "writeBoundary(w, %q, %s)"},
}

// strict are the readers of classes with a hand-written codec.
var strict = map[string]string{"Integer": "wire.MustInt32", "Long": "wire.MustInt64"}

// embeds names the embedded struct of a class, "" when there is none.
func embeds(c *class) string {
	switch {
	case c.find("lo") != nil:
		return "TopicRpc"
	case c.find("ns") != nil:
		return "Rpc"
	}
	return ""
}

func fieldName(f *field) string {
	if f.longName != "" {
		return goName(f.longName)
	}
	return goName(f.name)
}

// access is the expression of a field in a method of its class.
func access(f *field) string { return "h." + fieldName(f) }

func isPrimitive(f *field) bool {
	return f.javaType == "int" || f.javaType == "long" || f.javaType == "boolean"
}

func writeClass(b *bytes.Buffer, c *class) {
	writeStruct(b, c)
	writeReset(b, c)
	writeDecode(b, c)
	writeEncode(b, c)
}

func writeStruct(b *bytes.Buffer, c *class) {
	name := structName(c.name)
	fmt.Fprintf(b, "\n// %s is RocketMQ's %s", name, c.name)
	if c.codes != "" {
		fmt.Fprintf(b, ", of the codes %s", strings.ReplaceAll(c.codes, ",", ", "))
	}
	if c.fresh {
		fmt.Fprint(b, " (after 5.3.3)")
	}
	fmt.Fprintf(b, ".\ntype %s struct {\n", name)
	for _, f := range c.fields {
		if inherited[f.name] != "" {
			continue
		}
		fmt.Fprintf(b, "%s %s `wire:%q`%s\n", fieldName(f), types[f.javaType].goType, f.name, fieldNote(f))
	}
	if e := embeds(c); e != "" {
		fmt.Fprintln(b, e)
	}
	fmt.Fprintln(b, "}")
}

// fieldNote is the comment behind a field.
func fieldNote(f *field) string {
	var notes []string
	if f.nullable == "CFNotNull" && !isPrimitive(f) {
		notes = append(notes, "required")
	}
	if f.value == "now" {
		notes = append(notes, "ms; Java's default is the current time")
	} else if d := defaultOf(f); d != "" {
		notes = append(notes, "default "+strings.Trim(f.value, "'")+emptyNote(f))
	}
	if f.resource != "-" {
		notes = append(notes, "ACL resource "+f.resource)
	}
	if len(notes) == 0 {
		return ""
	}
	return " // " + strings.Join(notes, ", ")
}

func emptyNote(f *field) string {
	if f.value == "''" {
		return "empty"
	}
	return ""
}

// defaultOf is the Go expression of a field's default, "" for the zero value.
func defaultOf(f *field) string {
	if f.value == "null" || f.value == "now" {
		return ""
	}
	text := strings.Trim(f.value, "'")
	switch f.javaType {
	case "String":
		return fmt.Sprintf("wire.Some(%q)", text)
	case "Integer":
		return fmt.Sprintf("wire.Some(int32(%s))", text)
	case "Long":
		return fmt.Sprintf("wire.Some(int64(%s))", text)
	case "Boolean":
		return fmt.Sprintf("wire.Some(%s)", text)
	}
	if text == "0" || text == "false" {
		return ""
	}
	return text
}

func writeReset(b *bytes.Buffer, c *class) {
	name := structName(c.name)
	fmt.Fprintf(b, "\n// Reset gives the fields their defaults.\nfunc (h *%s) Reset() {\n*h = %s{", name, name)
	for _, f := range c.fields {
		if d := defaultOf(f); d != "" {
			fmt.Fprintf(b, "%s: %s,", fieldName(f), d)
		}
	}
	fmt.Fprint(b, "}\n}\n")
}

func writeDecode(b *bytes.Buffer, c *class) {
	name := structName(c.name)
	if len(c.fields) == 0 {
		fmt.Fprintf(b, "\n// DecodeFields reads nothing: the class has no fields.\nfunc (h *%s) DecodeFields(*wire.Command) error { return nil }\n", name)
		return
	}
	fmt.Fprintf(b, "\n// DecodeFields reads the extFields of a command.\nfunc (h *%s) DecodeFields(c *wire.Command) error {\nh.Reset()\nfor i := range c.Ext {\nv := c.Ext[i].Value\nswitch c.Ext[i].Key {\n", name)
	for _, f := range c.fields {
		if inherited[f.name] != "" {
			continue
		}
		fmt.Fprintf(b, "case %q:\n", f.name)
		if s := strict[f.javaType]; c.fast && s != "" {
			fmt.Fprintf(b, "if err := %s(&%s, v); err != nil {\nreturn err\n}\n", s, access(f))
		} else {
			fmt.Fprintf(b, types[f.javaType].read+"\n", access(f), "v")
		}
	}
	if e := embeds(c); e != "" {
		fmt.Fprintf(b, "default:\nh.%s.read(c.Ext[i].Key, v)\n", e)
	}
	fmt.Fprint(b, "}\n}\nreturn nil\n}\n")
}

func writeEncode(b *bytes.Buffer, c *class) {
	name := structName(c.name)
	if len(c.fields) == 0 {
		fmt.Fprintf(b, "\n// EncodeFields writes nothing: the class has no fields.\nfunc (h *%s) EncodeFields(*wire.FieldWriter) {}\n", name)
		return
	}
	small, large := mapOrder(c.puts, 16), mapOrder(c.puts, 32)
	split := len(c.puts) > 12 && !slices.Equal(small, large)
	fmt.Fprintf(b, "\n// EncodeFields writes the fields that are not absent, in Java's order.\nfunc (h *%s) EncodeFields(w *wire.FieldWriter) {\n", name)
	if c.fast {
		fmt.Fprintf(b, "if w.Encoding() == wire.Binary {\nh.encodeBinary(w)\nreturn\n}\n")
	}
	if split {
		fmt.Fprintf(b, "if h.present() > 12 { // Java's map has grown\nh.encodeGrown(w)\nreturn\n}\n")
	}
	writePuts(b, small)
	fmt.Fprint(b, "}\n")
	if split {
		fmt.Fprintf(b, "\n// encodeGrown writes the fields in the order of a map of 32 places.\nfunc (h *%s) encodeGrown(w *wire.FieldWriter) {\n", name)
		writePuts(b, large)
		fmt.Fprint(b, "}\n")
		writePresent(b, c)
	}
	if c.fast {
		fmt.Fprintf(b, "\n// encodeBinary writes the fields in the order of the hand-written codec.\nfunc (h *%s) encodeBinary(w *wire.FieldWriter) {\n", name)
		var order []*field
		for _, key := range c.binary {
			order = append(order, c.find(key))
		}
		writePuts(b, order)
		fmt.Fprint(b, "}\n")
	}
}

func writePuts(b *bytes.Buffer, order []*field) {
	for _, f := range order {
		fmt.Fprintf(b, types[f.javaType].write+"\n", f.name, access(f))
	}
}

// writePresent writes the method that counts the fields that will be written.
func writePresent(b *bytes.Buffer, c *class) {
	fixed := 0
	var opts []string
	for _, f := range c.puts {
		if isPrimitive(f) {
			fixed++
		} else {
			opts = append(opts, access(f)+".Set")
		}
	}
	fmt.Fprintf(b, "\n// present counts the fields that are not absent.\nfunc (h *%s) present() int {\nn := %d\nfor _, set := range [...]bool{%s} {\nif set {\nn++\n}\n}\nreturn n\n}\n",
		structName(c.name), fixed, strings.Join(opts, ", "))
}

func writeBase(b *bytes.Buffer) {
	fmt.Fprint(b, `
// Rpc are the fields that all forwarded requests share (RpcRequestHeader).
type Rpc struct {
	Ns    wire.OptString  `+"`wire:\"ns\"`"+` // namespace
	Nsd   wire.Opt[bool]  `+"`wire:\"nsd\"`"+` // the namespace is part of the names already
	Bname wire.OptString  `+"`wire:\"bname\"`"+` // broker name
	Oway  wire.Opt[bool]  `+"`wire:\"oway\"`"+` // one-way
}

// TopicRpc adds the field of requests about a topic (TopicRequestHeader).
type TopicRpc struct {
	Lo wire.Opt[bool] `+"`wire:\"lo\"`"+` // the queue is a logical one of a static topic
	Rpc
}

func (h *Rpc) read(key, v string) {
	switch key {
	case "ns":
		wire.ReadString(&h.Ns, v)
	case "nsd":
		wire.ReadBool(&h.Nsd, v)
	case "bname":
		wire.ReadString(&h.Bname, v)
	case "oway":
		wire.ReadBool(&h.Oway, v)
	}
}

func (h *TopicRpc) read(key, v string) {
	if key == "lo" {
		wire.ReadBool(&h.Lo, v)
		return
	}
	h.Rpc.read(key, v)
}
`)
}
