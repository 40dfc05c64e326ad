package config

import (
	"strings"

	"github.com/merlinmq/merlin/compat/javaprops"
)

// change is one key with its new value.
type change struct{ key, value string }

// edit gives a .conf file with the changes applied: an entry that is there keeps
// its place and its spelling up to the value, a new one goes to the end, and
// everything else (comments, order, line ends, other keys) stays byte for byte.
// When a key stands several times, the last one counts in Java, so that one
// changes.
func edit(data []byte, changes []change) ([]byte, error) {
	entries, err := javaprops.Parse(data, "")
	if err != nil {
		return nil, err
	}
	lines := splitLines(string(data))
	eol := "\n"
	if strings.Contains(string(data), "\r\n") {
		eol = "\r\n"
	}
	at := map[string]int{}
	for _, e := range entries {
		at[e.Key] = e.Line - 1
	}
	var added strings.Builder
	for _, c := range changes {
		if i, ok := at[c.key]; ok {
			replace(lines, i, c)
		} else {
			added.WriteString(c.key + "=" + escape(c.value) + eol)
		}
	}
	text := strings.Join(lines, "")
	if added.Len() > 0 && text != "" {
		if trimEOL(text) == text {
			text += eol
		}
		if continues(trimEOL(text)) {
			// Or the first new key would continue that line.
			if strings.HasSuffix(text, "\r") {
				text += eol // which ends the same line
			}
			text += eol
		}
	}
	return []byte(text + added.String()), nil
}

// replace gives the entry that begins at lines[i] a new value; the lines that
// continue it become empty.
func replace(lines []string, i int, c change) {
	line := lines[i]
	end := line[len(trimEOL(line)):]
	at := i
	lines[at] = keyPart(trimEOL(line)) + escape(c.value)
	if e, err := javaprops.Parse([]byte(lines[at]), ""); err != nil || len(e) != 1 || e[0].Key != c.key {
		lines[at] = c.key + "=" + escape(c.value) // the key was spread over lines
	}
	for continues(trimEOL(line)) && i+1 < len(lines) {
		i++
		line = lines[i]
		end = line[len(trimEOL(line)):]
		lines[i] = ""
	}
	lines[at] += end
}

// splitLines cuts text after each \n, \r or \r\n.
func splitLines(text string) []string {
	var out []string
	for text != "" {
		n := len(text)
		if i := strings.IndexAny(text, "\r\n"); i >= 0 {
			n = i + 1
			if strings.HasPrefix(text[i:], "\r\n") {
				n++
			}
		}
		out = append(out, text[:n])
		text = text[n:]
	}
	return out
}

func trimEOL(line string) string { return strings.TrimRight(line, "\r\n") }

// continues says whether a line ends in an odd number of backslashes.
func continues(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// escape writes a value so that it is read back the same.
func escape(value string) string {
	return strings.TrimSuffix(strings.TrimPrefix(javaprops.Write(map[string]string{"k": value}), "k="), "\n")
}

const blanks = " \t\f"

// keyPart is the beginning of a line up to where its value starts.
func keyPart(raw string) string {
	i := len(raw) - len(strings.TrimLeft(raw, blanks))
	for i < len(raw) && !strings.ContainsRune(blanks+"=:", rune(raw[i])) {
		if raw[i] == '\\' {
			i++
		}
		i++
	}
	i = min(i, len(raw))
	key, rest := raw[:i], raw[i:]
	value := strings.TrimLeft(rest, blanks)
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = strings.TrimLeft(value[1:], blanks)
	}
	// A value that begins in the next line leaves only a backslash here.
	between := rest[:len(rest)-len(value)]
	if between == "" {
		between = "="
	}
	return strings.TrimSuffix(key, `\`) + between
}
