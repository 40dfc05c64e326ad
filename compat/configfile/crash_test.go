package configfile

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// inode is a file: what is written and what is durable.
type inode struct{ now, durable []byte }

// crashDisk is a disk in memory. names are what programs see; durable is what a
// power failure leaves at least, by directory.
type crashDisk struct {
	names, durable map[string]*inode // directories are nil inodes
	before         func()            // is called before each operation
	fail           func(op string) error
	lie            string // this operation says that it worked and does nothing
	ops            int
}

func newCrashDisk() *crashDisk {
	root := map[string]*inode{"/": nil}
	return &crashDisk{names: root, durable: maps.Clone(root)}
}

// errTorn makes a write do half of its work.
var errTorn = fmt.Errorf("torn: %w", syscall.ENOSPC)

func (d *crashDisk) op(name string) error {
	d.ops++
	if d.before != nil {
		d.before()
	}
	if d.fail != nil {
		return d.fail(name)
	}
	return nil
}

func (d *crashDisk) exists(path string) bool { _, ok := d.names[path]; return ok }

func (d *crashDisk) readFile(path string) ([]byte, error) {
	n, ok := d.names[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(n.now), nil
}

func (d *crashDisk) mkdir(path string) error {
	if err := d.op("mkdir"); err != nil {
		return err
	}
	d.names[path] = nil
	return nil
}

func (d *crashDisk) writeSynced(path string, data []byte) error {
	if err := d.op("create"); err != nil {
		return err
	}
	if !d.exists(filepath.Dir(path)) {
		return fs.ErrNotExist
	}
	n := d.names[path]
	if n == nil {
		n = &inode{}
		d.names[path] = n
	}
	n.now = nil
	if err := d.op("write"); err != nil {
		if errors.Is(err, errTorn) {
			n.now = slices.Clone(data[:len(data)/2])
		}
		return err
	}
	n.now = slices.Clone(data)
	if err := d.op("fsync"); err != nil {
		return err
	}
	if d.lie != "fsync" {
		n.durable = n.now
	}
	return nil
}

// patchSynced changes a file in place: sectors become durable in any order.
func (d *crashDisk) patchSynced(path string, size int64, pieces []Piece) error {
	n := d.names[path]
	if n == nil || int64(len(n.now)) != size {
		return fs.ErrInvalid
	}
	n.now = slices.Clone(n.now)
	for _, p := range pieces {
		if err := d.op("patch"); err != nil {
			if errors.Is(err, errTorn) {
				half := (p.Off + int64(len(p.Data)/2)) / Sector * Sector
				copy(n.now[p.Off:], p.Data[:max(0, half-p.Off)])
			}
			return err
		}
		copy(n.now[p.Off:], p.Data)
	}
	if err := d.op("fdatasync"); err != nil {
		return err
	}
	if d.lie != "fdatasync" {
		n.durable = n.now
	}
	return nil
}

func (d *crashDisk) remove(path string) error {
	if err := d.op("remove"); err != nil {
		return err
	}
	if !d.exists(path) {
		return fs.ErrNotExist
	}
	delete(d.names, path)
	return nil
}

func (d *crashDisk) link(from, to string) error {
	if err := d.op("link"); err != nil {
		return err
	}
	if !d.exists(from) {
		return fs.ErrNotExist
	}
	d.names[to] = d.names[from]
	return nil
}

func (d *crashDisk) rename(from, to string) error {
	if err := d.op("rename"); err != nil {
		return err
	}
	if !d.exists(from) {
		return fs.ErrNotExist
	}
	d.names[to] = d.names[from]
	delete(d.names, from)
	return nil
}

func (d *crashDisk) syncDir(path string) error {
	if err := d.op("syncdir"); err != nil {
		return err
	}
	if d.lie == "syncdir" {
		return nil
	}
	within := func(p string, _ *inode) bool { return p != "/" && filepath.Dir(p) == path }
	maps.DeleteFunc(d.durable, within)
	for p, n := range d.names {
		if within(p, n) {
			d.durable[p] = n
		}
	}
	return nil
}

// crash is the disk after a power failure: each name and each content that is not
// durable is old or new, as the dice say; nothing is new without dice.
func (d *crashDisk) crash(r *rand.Rand) *crashDisk {
	made := map[*inode]*inode{}
	keep := func(n *inode) *inode {
		if n == nil {
			return nil
		}
		if made[n] == nil {
			data := n.durable
			if r != nil && r.IntN(2) == 0 && !slices.Equal(n.now, n.durable) {
				data = n.now[:r.IntN(len(n.now)+1)]
				if len(n.now) == len(n.durable) { // it was changed in place
					data = slices.Clone(n.durable)
					for at := 0; at < len(data); at += Sector {
						if r.IntN(2) == 0 {
							copy(data[at:min(at+Sector, len(data))], n.now[at:])
						}
					}
				}
			}
			made[n] = &inode{now: slices.Clone(data), durable: slices.Clone(data)}
		}
		return made[n]
	}
	out := map[string]*inode{}
	paths := slices.Sorted(maps.Keys(d.names))
	for p := range d.durable {
		if !d.exists(p) {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	for _, p := range paths {
		from := d.durable
		if r != nil && r.IntN(2) == 0 {
			from = d.names
		}
		if n, ok := from[p]; ok {
			out[p] = keep(n)
		}
	}
	for p := range out { // what lies in a directory that is gone is gone
		if p != "/" {
			for up := filepath.Dir(p); ; up = filepath.Dir(up) {
				if _, ok := out[up]; !ok {
					delete(out, p)
				}
				if up == "/" {
					break
				}
			}
		}
	}
	return &crashDisk{names: out, durable: maps.Clone(out)}
}

const (
	file  = "/store/config/topics.json"
	saves = 5
)

func content(i int) string { return fmt.Sprintf("content %d %s", i, strings.Repeat("x", 20)) }

// whole accepts content that was saved, and nothing torn.
func whole(data []byte) error {
	var n int
	if _, err := fmt.Sscanf(string(data), "content %d", &n); err != nil || content(n) != string(data) {
		return fmt.Errorf("torn: %q", data)
	}
	return nil
}

// verify loads what a crash left: saved is the number of the last Save that was
// done, begun that of the last that was begun.
func verify(d *crashDisk, saved, begun int) error {
	data, err := onDisk{d}.Load(file, whole, nil)
	if errors.Is(err, ErrNone) && saved == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if got := string(data); got != content(saved) && got != content(begun) {
		return fmt.Errorf("saved %d, begun %d, there is %q", saved, begun, got)
	}
	if saved < 2 || saved != begun {
		return nil
	}
	back, err := d.readFile(file + ".bak")
	if err != nil || string(back) != content(saved-1) {
		return fmt.Errorf("saved %d, the backup is %q (%v)", saved, back, err)
	}
	return nil
}

// images saves several times and verifies crashes before every operation and
// after every Save.
func images(lie string) (n int, bad error) {
	d := newCrashDisk()
	d.lie = lie
	r := rand.New(rand.NewPCG(1, 1))
	saved, begun := 0, 0
	look := func() {
		for k := range 20 {
			dice := r
			if k == 0 {
				dice = nil
			}
			if n++; bad == nil {
				bad = verify(d.crash(dice), saved, begun)
			}
		}
	}
	d.before = look
	for i := 1; i <= saves; i++ {
		begun = i
		if err := (onDisk{d}).Save(file, []byte(content(i))); err != nil {
			return n, err
		}
		saved = i
		look()
	}
	return n, bad
}

func TestCrash_OldOrNewContentInFull(t *testing.T) {
	n, bad := images("")
	require.NoError(t, bad)
	t.Logf("%d crash images, 0 violations", n)
}

// A sync that does nothing must show in the same test.
func TestCrash_EverySyncCounts(t *testing.T) {
	for _, lie := range []string{"fsync", "syncdir"} {
		n, bad := images(lie)
		require.Error(t, bad, lie)
		t.Logf("%s: a violation in %d images: %v", lie, n, bad)
	}
}

// renameFirst is a disk on which a new content gets its name before it is
// written.
type renameFirst struct{ *crashDisk }

func (d renameFirst) rename(from, to string) error {
	if err := d.crashDisk.rename(from, to); err != nil || to != file {
		return err
	}
	n := *d.names[to]
	data := n.now
	d.names[to] = &inode{}
	if err := d.syncDir(filepath.Dir(to)); err != nil {
		return err
	}
	return d.writeSynced(to, data)
}

func TestCrash_TheOrderOfTheRenameCounts(t *testing.T) {
	d := newCrashDisk()
	f := onDisk{renameFirst{d}}
	require.NoError(t, f.Save(file, []byte(content(1))))
	require.NoError(t, f.Save(file, []byte(content(2))))
	var bad error
	d.before = func() {
		got, err := d.crash(nil).readFile(file)
		if err == nil {
			err = whole(got)
		}
		bad = errors.Join(bad, err)
	}
	require.NoError(t, f.Save(file, []byte(content(3))))
	require.Error(t, bad, "the file itself is torn, only the backup is whole")

	d = newCrashDisk()
	require.NoError(t, onDisk{d}.Save(file, []byte(content(1))))
	d.before = func() {
		got, err := d.crash(nil).readFile(file)
		require.NoError(t, err)
		require.NoError(t, whole(got))
	}
	require.NoError(t, onDisk{d}.Save(file, []byte(content(2))))
}

// TestFault_EveryOperation: whichever operation of a Save fails, however, the Save
// says so, the old or the new content is there in full, also after a crash, and
// the next Save works.
func TestFault_EveryOperation(t *testing.T) {
	covered := 0
	for _, fault := range []error{syscall.EIO, syscall.ENOSPC, errTorn} {
		for at := 1; ; at++ {
			d := newCrashDisk()
			require.NoError(t, onDisk{d}.Save(file, []byte(content(1))))
			require.NoError(t, onDisk{d}.Save(file, []byte(content(2))))
			first := d.ops
			failed := ""
			d.fail = func(op string) error {
				if d.ops == first+at {
					failed = op
					return fault
				}
				return nil
			}
			err := onDisk{d}.Save(file, []byte(content(3)))
			if failed == "" {
				require.NoError(t, err)
				break
			}
			if failed != "link" { // a disk without links gets a copy
				require.ErrorIs(t, err, fault, failed)
			}
			saved := 2
			if err == nil {
				saved = 3
			}
			r := rand.New(rand.NewPCG(uint64(at), 1))
			for range 20 {
				data, err := onDisk{d.crash(r)}.Load(file, whole, nil)
				require.NoError(t, err, failed)
				require.Contains(t, []string{content(saved), content(3)}, string(data), failed)
			}
			require.NoError(t, onDisk{d}.Save(file, []byte(content(4))))
			require.NoError(t, verify(d.crash(nil), 4, 4+1), failed)
			covered++
		}
	}
	t.Logf("%d failures, 0 violations", covered)
}
