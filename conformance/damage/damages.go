package damage

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/merlinmq/merlin/protocol/message"
)

// Damage is what is done to a file.
type Damage string

// The kinds of damage.
const (
	Truncate       Damage = "truncated"
	FlipHead       Damage = "byte flipped in a head"
	FlipBody       Damage = "byte flipped in a body"
	FlipProperties Damage = "byte flipped in properties"
	ZeroBlock      Damage = "block zeroed"
	ZeroAll        Damage = "zeroed"
	Delete         Damage = "deleted"
	Foreign        Damage = "from another broker"
	LargerSize     Damage = "size setting doubled"
	SmallerSize    Damage = "size setting halved"
	Appear         Damage = "put there"
)

// Damages are all kinds.
func Damages() []Damage {
	return []Damage{Truncate, FlipHead, FlipBody, FlipProperties, ZeroBlock, ZeroAll, Delete, Foreign, LargerSize, SmallerSize, Appear}
}

// fits says whether a damage makes sense for a kind of file.
func (d Damage) fits(k Kind) bool {
	switch {
	case d == Appear:
		return k == Abort
	case k == Abort:
		return d == Delete
	case k == Lock:
		return d == Delete || d == Foreign || d == Truncate
	case k.all():
		return d == Delete || d == ZeroAll || d == Foreign
	case d == LargerSize || d == SmallerSize:
		return k == LogFirst || k == QueueFirst || k == IndexFirst
	case d == FlipProperties:
		return k.log()
	}
	return true
}

// sizeSettings are what a size setting of a kind of file is called.
func sizeSettings(k Kind) map[string]int {
	switch {
	case k.log():
		return map[string]int{"mappedFileSizeCommitLog": segmentSize}
	case k.queue():
		return map[string]int{"mappedFileSizeConsumeQueue": queueFileSize}
	}
	return map[string]int{"maxHashSlotNum": indexSlots, "maxIndexNum": indexEntries}
}

// Touched is a part of a file that is not what it was.
type Touched struct {
	File     string // relative to the store
	From, To int64  // bytes
}

// Done is what was done to a store.
type Done struct {
	Touched []Touched
	Conf    map[string]string // settings that changed
	Text    string            // in a few words, for the reader of a failure
	Whole   bool              // a JSON file can still be read as one: no check can find the damage
}

var errNothing = errors.New("damage: the store has no such file")

// apply does d to the files of kind k in dir; other is the store of another broker.
func (d Damage) apply(dir, other string, k Kind, h *History, r *rand.Rand) (Done, error) {
	if d == LargerSize || d == SmallerSize {
		done := Done{Conf: map[string]string{}}
		for name, n := range sizeSettings(k) {
			if d == LargerSize {
				n *= 2
			} else {
				n /= 2
			}
			done.Conf[name] = fmt.Sprint(n)
		}
		done.Text = fmt.Sprint(done.Conf)
		return done, nil
	}
	if d == Appear {
		return Done{Text: "made"}, os.WriteFile(filepath.Join(dir, string(k)), nil, 0o644)
	}
	paths, err := k.paths(dir, h)
	if err != nil {
		return Done{}, err
	}
	if len(paths) == 0 {
		return Done{}, errNothing
	}
	if k.all() {
		return d.folder(dir, other, paths[0])
	}
	done := Done{Whole: k.json()}
	for _, p := range paths {
		t, err := d.file(dir, other, p, k, h, r)
		if err != nil {
			return Done{}, err
		}
		done.Touched = append(done.Touched, t)
		done.Text += fmt.Sprintf("%s [%d, %d) ", p, t.From, t.To)
		if k.log() {
			done.Text += h.within(p, t.From)
		}
		done.Whole = done.Whole && readable(filepath.Join(dir, p))
	}
	return done, nil
}

// readable says whether a file holds JSON.
func readable(path string) bool {
	b, err := os.ReadFile(path)
	return err == nil && json.Valid(b)
}

// folder does d to all files below a folder.
func (d Damage) folder(dir, other, name string) (Done, error) {
	done := Done{Text: name, Touched: []Touched{{File: name, To: 1 << 62}}}
	path := filepath.Join(dir, name)
	switch d {
	case Delete:
		return done, os.RemoveAll(path)
	case Foreign:
		if err := os.RemoveAll(path); err != nil {
			return done, err
		}
		return done, os.CopyFS(path, os.DirFS(filepath.Join(other, name)))
	}
	return done, filepath.WalkDir(path, func(p string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(p, make([]byte, fi.Size()), 0o644)
	})
}

// file does d to one file.
func (d Damage) file(dir, other, name string, k Kind, h *History, r *rand.Rand) (Touched, error) {
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if err != nil {
		return Touched{}, err
	}
	size := int64(len(b))
	t := Touched{name, 0, size}
	used := max(h.used(name, size), 1)
	switch d {
	case Delete:
		return t, os.Remove(path)
	case Truncate:
		t.From = r.Int64N(used)
		return t, os.Truncate(path, t.From)
	case ZeroAll:
		clear(b)
	case ZeroBlock:
		n := min(512<<r.IntN(4), max(used/2, 1))
		t.From = r.Int64N(max(used-n, 1))
		t.To = t.From + n
		clear(b[t.From:t.To])
	case Foreign:
		p, err := k.paths(other, h)
		if err != nil || len(p) == 0 {
			return t, errors.Join(errNothing, err)
		}
		if b, err = os.ReadFile(filepath.Join(other, p[0])); errors.Is(err, os.ErrNotExist) {
			return t, errNothing // its log has not come so far
		} else if err != nil {
			return t, err
		}
	default:
		if k.log() {
			t.From, err = d.record(name, b, h, r)
		} else {
			t.From = d.place(used, k, r)
		}
		if err != nil {
			return t, err
		}
		t.To = t.From + 1
		b[t.From] ^= 1 << r.IntN(8)
	}
	return t, os.WriteFile(path, b, 0o644)
}

// record chooses the byte of a record that is flipped.
func (d Damage) record(name string, b []byte, h *History, r *rand.Rand) (int64, error) {
	var in []*Sent
	for _, s := range h.Messages {
		if logPath(s.Phy) == name {
			in = append(in, s)
		}
	}
	at := in[r.IntN(len(in))].Phy % segmentSize
	var m message.Message
	if _, err := message.Decode(b[at:], &m, false); err != nil {
		return 0, err
	}
	size, properties := int64(m.StoreSize), int64(len(m.Properties))
	switch d {
	case FlipHead:
		return at + r.Int64N(88), nil
	case FlipProperties:
		return at + size - properties + r.Int64N(properties), nil
	}
	return at + 88 + r.Int64N(int64(len(m.Body))), nil
}

// place chooses the byte of another file that is flipped.
func (d Damage) place(used int64, k Kind, r *rand.Rand) int64 {
	switch {
	case k.queue(): // an entry: where and how long the record is, or its tags code
		entry := 20 * r.Int64N(used/20)
		if d == FlipHead {
			return entry + r.Int64N(12)
		}
		return entry + 12 + r.Int64N(8)
	case k.index() && d == FlipHead:
		return r.Int64N(40)
	case k.index():
		return 40 + r.Int64N(used-40)
	case d == FlipHead:
		return 0
	}
	return r.Int64N(used)
}
