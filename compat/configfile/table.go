package configfile

import (
	"bytes"
	"errors"
	"iter"
)

// Sector is how many bytes, on a multiple of themselves, a disk writes in one
// piece: after a power failure all of them are new or none.
const Sector = 512

// Piece is bytes at a place of a file.
type Piece struct {
	Off  int64
	Data []byte
}

// Patcher is a Files that can change bytes inside a file.
type Patcher interface {
	// Patch overwrites pieces of a file of exactly this size and makes them durable.
	// After a crash each sector of it is old or new. Patches of a path must not
	// overlap with each other or with a Save.
	Patch(path string, size int64, pieces []Piece) error
}

// ErrNoRoom says that entries cannot be changed in a table where it stands: it has
// to be replaced.
var ErrNoRoom = errors.New("configfile: no room in the table")

// Entry is a named member of a table.
type Entry struct {
	Name string
	Text []byte // name and value as they stand in the file, without a comma
}

// Table keeps a JSON file whose last member is an object of named entries, as
// RocketMQ's config/*.json are, so that a new entry or one that goes costs one small
// durable write and not one of the whole file:
//
//	{
//		HEAD,<blanks>
//		FIXED,
//		"FIELD":{
//			"name":{…},
//			<blanks where an entry was>,
//			"name":{…}<blanks>
//		}
//	}
//
// Replace leaves blanks behind the head and behind the last entry, and Change writes
// over them, and blanks over what goes. What stands in the file is valid JSON at any
// moment: neither the head nor an entry that is written or erased in place crosses a
// sector, so a crash leaves it old or new. A Java server that takes the file over
// finds everything in it, as does jq. When a name is added again the file has it
// twice, and the last one counts for Java's parser as for ours, until the next
// Replace.
//
// The .bak of a file with room is a second copy, which is changed along with it; that
// of any other is, as Java's, what was there before.
//
// A Table is used by one goroutine at a time.
type Table struct {
	files       Files
	path, field string
	size        int64 // of the file as Replace wrote it; 0 = nothing can be changed
	headEnd     int64 // end of the head's room
	at, end     int64 // where the next entry goes; end of the room
	places      map[string]place
	// mirrored says that the .bak has the same content.
	mirrored bool
}

// place is where an entry stands, with the comma before it.
type place struct {
	from, to int64
	fixed    bool // it cannot be erased alone: it has no comma, crosses a sector, or has an older copy
}

// headAt is where the head begins.
const headAt = int64(len("{\n\t"))

// headRoom is how much a head may grow in place.
const headRoom = 64

// between stands before each entry but the first.
const between = ",\n\t\t"

// NewTable makes a Table of the file at path. Nothing is read: what is there is
// loaded with Files.Load, and the first change is a Replace.
func NewTable(files Files, path, field string) *Table {
	return &Table{files: files, path: path, field: field}
}

// Fits reports whether an entry can be written and erased in place.
func Fits(text []byte) bool { return len(text)+len(between) <= Sector }

// Replace writes the whole file, atomically as Files.Save does. head are the
// members before the table of which Change writes new ones, fixed those that stay
// (nil when there are none), entries the members of the table, each name once, the
// first of them one that hardly ever goes: all in the form of the file, without a
// comma behind. room is how many bytes may be added later; with 0 the file is what
// fastjson would write.
func (t *Table) Replace(head, fixed []byte, entries iter.Seq[Entry], room int) error {
	var b bytes.Buffer
	b.WriteString("{\n\t")
	b.Write(head)
	b.WriteByte(',')
	if room > 0 {
		blanks(&b, headRoom)
	}
	t.size, t.headEnd = 0, int64(b.Len())
	if len(fixed) > 0 {
		b.WriteString("\n\t")
		b.Write(fixed)
		b.WriteByte(',')
	}
	b.WriteString("\n\t\"" + t.field + "\":{")
	places := map[string]place{}
	for e := range entries {
		p := place{fixed: len(places) == 0 || !Fits(e.Text)}
		sep := between
		if len(places) == 0 {
			sep = between[1:]
		}
		if room > 0 && !p.fixed {
			align(&b, 0, len(sep)+len(e.Text))
		}
		p.from = int64(b.Len())
		b.WriteString(sep)
		b.Write(e.Text)
		p.to = int64(b.Len())
		places[e.Name] = p
	}
	at := int64(b.Len())
	blanks(&b, room)
	end := int64(b.Len())
	b.WriteString("\n\t}\n}")
	t.mirrored = false
	if err := t.files.Save(t.path, b.Bytes()); err != nil {
		return err
	}
	if m, ok := t.files.(Mirrorer); ok && room > 0 {
		t.mirrored = m.Mirror(t.path, b.Bytes()) == nil // else it is what was there before
	}
	if len(places) > 0 && room > 0 { // the first entry of a table has no comma before it
		t.size, t.at, t.end, t.places = int64(b.Len()), at, end, places
	}
	return nil
}

// Change makes a new head durable, entries that are added, and that those of some
// names are not there any more; a name must not be in both. ErrNoRoom when it cannot
// be done in place or the file is not one that Replace left room in; after any other
// error, too, the file is whole, and Replace must come next.
func (t *Table) Change(head []byte, added []Entry, gone []string) error {
	p, ok := t.files.(Patcher)
	if !ok || t.size == 0 || headAt+int64(len(head))+1 > t.headEnd || t.headEnd > Sector {
		return ErrNoRoom
	}
	var h, tail bytes.Buffer
	h.Write(head)
	h.WriteByte(',')
	blanks(&h, int(t.headEnd-headAt)-h.Len())
	pieces := []Piece{{headAt, h.Bytes()}, {}}
	for _, name := range gone {
		at, there := t.places[name]
		if !there {
			continue // it came and went between two writes
		}
		if at.fixed {
			return ErrNoRoom
		}
		pieces = append(pieces, Piece{at.from, bytes.Repeat([]byte{' '}, int(at.to-at.from))})
	}
	places := make([]place, len(added))
	for i, e := range added {
		if !Fits(e.Text) {
			return ErrNoRoom
		}
		align(&tail, t.at, len(between)+len(e.Text))
		_, again := t.places[e.Name]
		places[i] = place{from: t.at + int64(tail.Len()), fixed: again}
		tail.WriteString(between)
		tail.Write(e.Text)
		places[i].to = t.at + int64(tail.Len())
	}
	if t.at+int64(tail.Len()) > t.end {
		return ErrNoRoom
	}
	if pieces[1] = (Piece{t.at, tail.Bytes()}); tail.Len() == 0 {
		pieces = append(pieces[:1], pieces[2:]...)
	}
	size := t.size
	t.size = 0 // whatever fails now, a part of it may be in the file
	if err := p.Patch(t.path, size, pieces); err != nil {
		return err
	}
	if m, ok := t.files.(Mirrorer); ok && t.mirrored {
		t.mirrored = m.MirrorPatch(t.path, size, pieces) == nil
	}
	t.size, t.at = size, t.at+int64(tail.Len())
	for _, name := range gone {
		delete(t.places, name)
	}
	for i, e := range added {
		t.places[e.Name] = places[i]
	}
	return nil
}

// align fills b, which begins at a place of the file, up to the next sector when n
// more bytes would cross into it.
func align(b *bytes.Buffer, from int64, n int) {
	if left := Sector - int((from+int64(b.Len()))%Sector); left < n {
		blanks(b, left)
	}
}

func blanks(b *bytes.Buffer, n int) {
	for ; n > 0; n-- {
		b.WriteByte(' ')
	}
}
