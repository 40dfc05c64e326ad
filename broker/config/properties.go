package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// property is one entry of a .conf file in the syntax of java.util.Properties.
type property struct {
	key, value string
	line       int // of its first natural line, from 1
	start, end int // bytes of the whole logical line, without its line end
}

// parseProperties reads the syntax of java.util.Properties: # and ! comments, =,
// : or blanks after the key, a backslash at the line end continues, \t \n \r \f
// and \uXXXX. Unlike Java the bytes are taken as UTF-8. Errors name file and line.
func parseProperties(data []byte, file string) ([]property, error) {
	var out []property
	line := 1
	for pos := 0; pos < len(data); {
		p := property{line: line, start: pos}
		logical, next, lines := logicalLine(data, pos)
		line += lines
		pos, p.end = next, trimEOL(data, p.start, next)
		if logical == "" {
			continue
		}
		var err error
		if p.key, p.value, err = splitProperty(logical); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, p.line, err)
		}
		out = append(out, p)
	}
	return out, nil
}

// logicalLine joins the natural lines of one entry; "" for blanks and comments.
// lines is the number of natural lines it took.
func logicalLine(data []byte, pos int) (text string, next, lines int) {
	var b strings.Builder
	for {
		end := pos
		for end < len(data) && data[end] != '\n' && data[end] != '\r' {
			end++
		}
		next = end
		if next < len(data) {
			next++
			if data[end] == '\r' && next < len(data) && data[next] == '\n' {
				next++
			}
		}
		lines++
		natural := strings.TrimLeft(string(data[pos:end]), " \t\f")
		if lines == 1 && (natural == "" || natural[0] == '#' || natural[0] == '!') {
			return "", next, lines
		}
		if !endsInOpenBackslash(natural) || next >= len(data) {
			if endsInOpenBackslash(natural) {
				natural = natural[:len(natural)-1]
			}
			b.WriteString(natural)
			return b.String(), next, lines
		}
		b.WriteString(natural[:len(natural)-1])
		pos = next
	}
}

func endsInOpenBackslash(s string) bool {
	n := len(s) - len(strings.TrimRight(s, `\`))
	return n%2 == 1
}

func trimEOL(data []byte, start, end int) int {
	for end > start && (data[end-1] == '\n' || data[end-1] == '\r') {
		end--
	}
	return end
}

func splitProperty(s string) (key, value string, err error) {
	i := 0
	for i < len(s) && !strings.ContainsRune(" \t\f=:", rune(s[i])) {
		if s[i] == '\\' {
			i++
		}
		i++
	}
	i = min(i, len(s))
	rest := strings.TrimLeft(s[i:], " \t\f")
	if rest != "" && (rest[0] == '=' || rest[0] == ':') {
		rest = strings.TrimLeft(rest[1:], " \t\f")
	}
	if key, err = unescape(s[:i]); err != nil {
		return "", "", err
	}
	value, err = unescape(rest)
	return key, value, err
}

func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	var units []uint16 // \u escapes wait here, so that surrogate pairs join
	flush := func() {
		b.WriteString(string(utf16.Decode(units)))
		units = units[:0]
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			flush()
			if s[i] != '\\' {
				b.WriteByte(s[i])
			}
			continue
		}
		i++
		if s[i] == 'u' {
			if i+5 > len(s) {
				return "", fmt.Errorf(`malformed \uxxxx`)
			}
			n, err := strconv.ParseUint(s[i+1:i+5], 16, 16)
			if err != nil {
				return "", fmt.Errorf(`malformed \uxxxx`)
			}
			units = append(units, uint16(n))
			i += 4
			continue
		}
		flush()
		switch s[i] {
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 'f':
			b.WriteByte('\f')
		default:
			b.WriteByte(s[i])
		}
	}
	flush()
	return b.String(), nil
}

// escapeValue writes a value so that parseProperties (and Java) reads it back.
func escapeValue(v string) string {
	var b strings.Builder
	for i, r := range v {
		switch r {
		case '\\':
			b.WriteString(`\\`)
		case '\t':
			b.WriteString(`\t`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\f':
			b.WriteString(`\f`)
		case ' ':
			if i == 0 {
				b.WriteByte('\\')
			}
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// edit gives the file with the changes applied: an entry that is there keeps its
// place and its spelling up to the value, a new one goes to the end, and
// everything else (comments, order, line ends, other keys) stays byte for byte.
// When a key stands several times, the last one counts in Java, so that one
// changes.
func edit(data []byte, changes []change) ([]byte, error) {
	props, err := parseProperties(data, "")
	if err != nil {
		return nil, err
	}
	eol := "\n"
	if strings.Contains(string(data), "\r\n") {
		eol = "\r\n"
	}
	last := map[string]int{}
	for i, p := range props {
		last[p.key] = i
	}
	replace := map[int]string{}
	var added strings.Builder
	for _, c := range changes {
		if i, ok := last[c.key]; ok {
			replace[i] = c.value
			continue
		}
		added.WriteString(c.key + "=" + escapeValue(c.value) + eol)
	}
	var out strings.Builder
	pos := 0
	for i, p := range props {
		v, ok := replace[i]
		if !ok {
			continue
		}
		out.Write(data[pos:p.start])
		out.WriteString(keyPart(string(data[p.start:p.end])) + escapeValue(v))
		pos = p.end
	}
	out.Write(data[pos:])
	if added.Len() > 0 {
		if s := out.String(); s != "" && !strings.HasSuffix(s, "\n") && !strings.HasSuffix(s, "\r") {
			out.WriteString(eol)
		}
		if endsInOpenBackslash(strings.TrimRight(out.String(), "\r\n")) {
			out.WriteString(eol) // or the first new key would continue that line
		}
		out.WriteString(added.String())
	}
	return []byte(out.String()), nil
}

// change is one key with its new value.
type change struct{ key, value string }

// keyPart is the beginning of a raw entry up to where its value starts.
func keyPart(raw string) string {
	i := len(raw) - len(strings.TrimLeft(raw, " \t\f"))
	for i < len(raw) && !strings.ContainsRune(" \t\f=:", rune(raw[i])) {
		if raw[i] == '\\' {
			i++
		}
		i++
	}
	i = min(i, len(raw))
	end := i
	for end < len(raw) && strings.ContainsRune(" \t\f", rune(raw[end])) {
		end++
	}
	if end < len(raw) && (raw[end] == '=' || raw[end] == ':') {
		end++
		for end < len(raw) && strings.ContainsRune(" \t\f", rune(raw[end])) {
			end++
		}
		return raw[:end]
	}
	if end == i { // a key alone
		return raw + "="
	}
	return raw[:end]
}
