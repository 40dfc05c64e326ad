// Package javaprops reads and writes Java .properties text, the format of
// broker.conf, namesrv.conf and of the configuration requests (UPDATE_…_CONFIG):
// one key and value a line, separated by '=', ':' or blanks, comments behind '#'
// and '!', lines continued with a backslash, and escapes.
//
// It differs from java.util.Properties in one point: text is UTF-8, where Java
// takes each byte for one Latin-1 character. The package holds no state.
package javaprops

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// ErrSyntax is wrapped by the errors of Parse, which tell file and line.
var ErrSyntax = errors.New("javaprops: bad properties")

// Entry is one key with its value and the place where it begins.
type Entry struct {
	Key, Value string
	File       string
	Line       int // from 1
}

// Pos is the place of the entry for messages, "file:line".
func (e Entry) Pos() string { return fmt.Sprintf("%s:%d", e.File, e.Line) }

// Parse reads a text; file is only named in entries and errors. Entries come in
// the order of the text, also when a key comes twice: in Java the last one counts.
// The only error is an escape \u without four hexadecimal digits.
func Parse(data []byte, file string) ([]Entry, error) {
	p := parser{text: string(data), file: file}
	var entries []Entry
	for {
		line, at, ok := p.logicalLine()
		if !ok {
			return entries, nil
		}
		key, value := split(line)
		e := Entry{File: file, Line: at}
		var err error
		if e.Key, err = unescape(key); err == nil {
			e.Value, err = unescape(value)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrSyntax, e.Pos(), err)
		}
		entries = append(entries, e)
	}
}

// Map is the table that Java has of the entries.
func Map(entries []Entry) map[string]string {
	m := make(map[string]string, len(entries))
	for _, e := range entries {
		m[e.Key] = e.Value
	}
	return m
}

// parser hands out the lines of a text.
type parser struct {
	text string
	file string
	line int // lines read
}

// naturalLine cuts one line off the text; "\n", "\r" and "\r\n" end it.
func (p *parser) naturalLine() (string, bool) {
	if p.text == "" {
		return "", false
	}
	p.line++
	end := strings.IndexAny(p.text, "\r\n")
	if end < 0 {
		line := p.text
		p.text = ""
		return line, true
	}
	line, rest := p.text[:end], p.text[end+1:]
	if p.text[end] == '\r' {
		rest = strings.TrimPrefix(rest, "\n")
	}
	p.text = rest
	return line, true
}

// logicalLine returns the next line that is neither blank nor a comment, joined
// with those that continue it, and the number of its first line.
func (p *parser) logicalLine() (string, int, bool) {
	for {
		line, ok := p.naturalLine()
		if !ok {
			return "", 0, false
		}
		line = strings.TrimLeft(line, blanks)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		at := p.line
		for continues(line) {
			next, ok := p.naturalLine()
			line = line[:len(line)-1] + strings.TrimLeft(next, blanks)
			if !ok {
				return line, at, true
			}
		}
		if line == "" {
			continue // a lone backslash and an empty line
		}
		return line, at, true
	}
}

// blanks are Java's blanks inside a line.
const blanks = " \t\f"

// continues reports whether a line ends with an odd number of backslashes.
func continues(line string) bool {
	n := len(line) - len(strings.TrimRight(line, `\`))
	return n%2 == 1
}

// split cuts a line into key and value.
func split(line string) (key, value string) {
	end := len(line)
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' {
			i++ // whatever follows belongs to the key
			continue
		}
		if strings.IndexByte("=: \t\f", line[i]) >= 0 {
			end = i
			break
		}
	}
	value = strings.TrimLeft(line[end:], blanks)
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = strings.TrimLeft(value[1:], blanks)
	}
	return line[:end], value
}

// unescape replaces the escapes. A backslash before any other character is
// dropped.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		if i++; i == len(s) {
			break
		}
		switch s[i] {
		case 't':
			out = append(out, '\t')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 'f':
			out = append(out, '\f')
		case 'u':
			r, n, err := unicodeEscape(s[i+1:])
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
			i += n
		default:
			out = append(out, s[i])
		}
	}
	return string(out), nil
}

// unicodeEscape reads the digits behind \u, and the second half of a pair.
func unicodeEscape(s string) (r rune, n int, err error) {
	r, err = hex4(s)
	if err != nil {
		return 0, 0, err
	}
	if r >= 0xD800 && r < 0xDC00 && strings.HasPrefix(s[4:], `\u`) {
		if low, err := hex4(s[6:]); err == nil && low >= 0xDC00 && low < 0xE000 {
			return 0x10000 + (r-0xD800)<<10 + (low - 0xDC00), 10, nil
		}
	}
	return r, 4, nil // half a pair becomes U+FFFD
}

func hex4(s string) (rune, error) {
	if len(s) < 4 {
		return 0, fmt.Errorf(`\u%s needs four hexadecimal digits`, s)
	}
	var r rune
	for _, c := range []byte(s[:4]) {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, fmt.Errorf(`\u%.4q needs four hexadecimal digits`, s)
		}
	}
	return r, nil
}

// Format writes a table as the configuration answers do (MixAll.properties2String):
// "key=value" lines, sorted by key, without escapes. Values with backslashes or
// line ends do not survive it; Write is for those.
func Format(table map[string]string) string {
	var b strings.Builder
	for _, k := range sortedKeys(table) {
		b.WriteString(k + "=" + table[k] + "\n")
	}
	return b.String()
}

// Write writes a table, sorted by key, with the escapes that Parse needs to read
// the same again.
func Write(table map[string]string) string {
	var b strings.Builder
	for _, k := range sortedKeys(table) {
		b.WriteString(escape(k, true) + "=" + escape(table[k], false) + "\n")
	}
	return b.String()
}

func sortedKeys(table map[string]string) []string {
	keys := make([]string, 0, len(table))
	for k := range table {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// escape writes a key, or a value, where only leading blanks matter.
func escape(s string, key bool) string {
	var b strings.Builder
	for i, c := range []byte(s) {
		switch c {
		case '\t':
			b.WriteString(`\t`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\f':
			b.WriteString(`\f`)
		case '\\':
			b.WriteString(`\\`)
		case ' ':
			if key || i == 0 {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
		case '=', ':', '#', '!':
			if key || i == 0 {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
