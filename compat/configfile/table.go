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

// ErrNoRoom says that entries cannot be added to a table where it stands: it has to
// be replaced.
var ErrNoRoom = errors.New("configfile: no room in the table")

// Table keeps a JSON file whose last member is an object of named entries, as
// RocketMQ's config/*.json are, so that a new entry costs one small durable write
// and not one of the whole file:
//
//	{
//		HEAD,<blanks>
//		"FIELD":{
//			"name":{…},
//			"name":{…}<blanks>
//		}
//	}
//
// Replace leaves blanks behind the head and behind the last entry, and Add writes
// over them. What stands in the file is valid JSON at any moment: neither the head
// nor an entry that is added crosses a sector, so a crash leaves it old or new. A
// Java server that takes the file over finds everything in it, as does jq. When a
// name is added again the file has it twice, and the last one counts for Java's
// parser as for ours, until the next Replace.
//
// A Table is used by one goroutine at a time.
type Table struct {
	files       Files
	path, field string
	size        int64 // of the file as Replace wrote it; 0 = nothing can be added
	headEnd     int64 // end of the head's room
	at, end     int64 // where the next entry goes; end of the room
}

// headAt is where the head begins.
const headAt = int64(len("{\n\t"))

// headRoom is how much a head may grow in place.
const headRoom = 64

// NewTable makes a Table of the file at path. Nothing is read: what is there is
// loaded with Files.Load, and the first change is a Replace.
func NewTable(files Files, path, field string) *Table {
	return &Table{files: files, path: path, field: field}
}

// Replace writes the whole file, atomically as Files.Save does. head are the
// members before the table, entries members of the table, each in the form of the
// file, without a comma. room is how many bytes may be added later; with 0 the file
// is what fastjson would write.
func (t *Table) Replace(head []byte, entries iter.Seq[[]byte], room int) error {
	var b bytes.Buffer
	b.WriteString("{\n\t")
	b.Write(head)
	b.WriteByte(',')
	if room > 0 {
		blanks(&b, headRoom)
	}
	t.size, t.headEnd = 0, int64(b.Len())
	b.WriteString("\n\t\"" + t.field + "\":{")
	comma := false
	for e := range entries {
		if comma {
			b.WriteByte(',')
		}
		b.WriteString("\n\t\t")
		b.Write(e)
		comma = true
	}
	at := int64(b.Len())
	blanks(&b, room)
	end := int64(b.Len())
	b.WriteString("\n\t}\n}")
	if err := t.files.Save(t.path, b.Bytes()); err != nil {
		return err
	}
	if comma && room > 0 { // the first entry of a table has no comma before it
		t.size, t.at, t.end = int64(b.Len()), at, end
	}
	return nil
}

// Add makes a new head and more entries durable. ErrNoRoom when they do not fit or
// the file is not one that Replace left room in; after any other error, too, the
// file is whole, and Replace must come next.
func (t *Table) Add(head []byte, entries [][]byte) error {
	p, ok := t.files.(Patcher)
	if !ok || t.size == 0 || headAt+int64(len(head))+1 > t.headEnd || t.headEnd > Sector {
		return ErrNoRoom
	}
	var h, tail bytes.Buffer
	h.Write(head)
	h.WriteByte(',')
	blanks(&h, int(t.headEnd-headAt)-h.Len())
	for _, e := range entries {
		n := int64(len(e) + len(",\n\t\t"))
		at := t.at + int64(tail.Len())
		if skip := Sector - at%Sector; skip < n {
			if n > Sector {
				return ErrNoRoom
			}
			blanks(&tail, int(skip))
		}
		tail.WriteString(",\n\t\t")
		tail.Write(e)
	}
	if t.at+int64(tail.Len()) > t.end {
		return ErrNoRoom
	}
	size := t.size
	t.size = 0 // whatever fails now, a part of it may be in the file
	if err := p.Patch(t.path, size, []Piece{{headAt, h.Bytes()}, {t.at, tail.Bytes()}}); err != nil {
		return err
	}
	t.size, t.at = size, t.at+int64(tail.Len())
	return nil
}

func blanks(b *bytes.Buffer, n int) {
	for ; n > 0; n-- {
		b.WriteByte(' ')
	}
}
