package configfile

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"maps"

	"github.com/merlinmq/merlin/compat/fastjson"
)

// Damaged is what LoadTable found of a file that it could not read as a whole.
type Damaged[V any] struct {
	Left map[string]V // the entries of it that can be read
	Lost int          // places of it that cannot be read; one may have been several entries
}

// LoadTable loads a file as Files.Load does, with the .bak when the file itself is
// damaged. Then it reads what is left of the file, entry by entry: entries that came
// in place (Table) are in no other. The caller, who has what whole took from the
// .bak, puts them on top of that and writes the file anew. It is nil when the file was
// read, and when it is gone altogether. The damaged content is kept as path.damaged,
// because the next write makes it the .bak; what happened is logged. ok reports whether
// an entry is one of the table: its value has the name, too.
//
// The work is linear in the bytes of the file, whatever they are.
func LoadTable[V any](files Files, path, field string, log *slog.Logger, whole func(data []byte) error, ok func(name string, v *V) bool) (*Damaged[V], error) {
	var reason error
	_, err := files.Load(path, whole, func(why error) { reason = why })
	if err != nil || reason == nil {
		return nil, err
	}
	if errors.Is(reason, fs.ErrNotExist) {
		Told(log, path)(reason)
		return nil, nil
	}
	data, err := files.Load(path, nil, nil)
	if err != nil { // it is empty, or cannot be read
		Told(log, path)(reason)
		return nil, nil
	}
	left, lost := salvage(data, field, ok)
	log.Error("a file is damaged: its older copy is used, and on top of it what can still be read of the file; what was changed last may be lost, what was deleted last may be back",
		"file", path, "instead", path+".bak", "reason", reason, "kept", path+".damaged", "read", len(left), "unreadable", lost)
	if err := files.Save(path+".damaged", data); err != nil {
		log.Warn("a damaged file is not kept", "file", path, "err", err)
	}
	return &Damaged[V]{left, lost}, nil
}

// On puts what is left of the file on top of what its older copy has, which may be
// nil, and gives that.
func (d *Damaged[V]) On(older map[string]V) map[string]V {
	if older == nil {
		older = map[string]V{}
	}
	maps.Copy(older, d.Left)
	return older
}

// salvage takes the entries of a table out of a damaged document. It cuts the
// document where entries begin in the form of the file, on a line of their own two
// deep, and reads each piece alone.
func salvage[V any](data []byte, field string, ok func(string, *V) bool) (left map[string]V, lost int) {
	left = map[string]V{}
	begin := []byte("\n\t\t\"")
	if at := bytes.Index(data, []byte(`"`+field+`"`)); at >= 0 {
		data = data[at+len(field)+2:]
		begin = indent(data, begin)
	}
	for {
		at := bytes.Index(data, begin)
		if at < 0 {
			return left, lost
		}
		data = data[at+len(begin)-1:]
		end := bytes.Index(data, begin)
		if end < 0 {
			end = len(data)
		}
		if !salvagePiece(data[:end], left, ok) {
			lost++
		}
		data = data[end:]
	}
}

// indent is what stands before the quote of an entry, as the first one shows it: the
// file may have been formatted by a person's tool.
func indent(data, usual []byte) []byte {
	open := bytes.IndexByte(data, '{')
	if open < 0 || open > 16 {
		return usual
	}
	quote := bytes.IndexByte(data, '"')
	if quote < open || quote > 64 {
		return usual
	}
	space := data[open+1 : quote]
	if line := bytes.LastIndexByte(space, '\n'); line >= 0 && len(bytes.TrimSpace(space)) == 0 {
		return data[open+1+line : quote+1]
	}
	return usual
}

// salvagePiece reads a piece that should be one entry, and what may follow the last
// one. When the bytes between two entries are damaged, it is two. It reports whether
// all of it could be read.
func salvagePiece[V any](piece []byte, left map[string]V, ok func(string, *V) bool) (whole bool) {
	for whole = true; ; whole = false {
		end := objectEnd(piece)
		if end == 0 || !readEntry(piece[:end], left, ok) {
			return false
		}
		piece = bytes.TrimLeft(piece[end:], " \t\r\n,")
		if len(piece) == 0 || piece[0] == '}' {
			return whole
		}
		next := bytes.IndexByte(piece[:min(len(piece), len("x,\n\t\t\""))], '"')
		if next < 0 {
			return false
		}
		piece = piece[next:]
	}
}

// readEntry reads one name and value.
func readEntry[V any](text []byte, left map[string]V, ok func(string, *V) bool) bool {
	var one map[string]V
	object := append(append([]byte{'{'}, text...), '}')
	if bytes.IndexByte(object, 0) >= 0 || fastjson.Unmarshal(object, &one) != nil || len(one) != 1 {
		return false
	}
	for name, v := range one {
		if !ok(name, &v) {
			return false
		}
		left[name] = v
	}
	return true
}

// objectEnd is where the first object of a text ends, 0 when it does not.
func objectEnd(text []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth <= 0 {
				return i + 1
			}
		}
	}
	return 0
}
