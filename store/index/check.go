package index

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/merlinmq/merlin/store/vfs"
)

// samples is how many entries of a file are compared with the log.
const samples = 8

// End is how far an index file was at a moment.
type End struct {
	// Name is the file's name, a time as a number.
	Name int64
	// Count is what the header on the disk has at least: one more than its entries.
	Count int32
	// EndPhy is where the last message of the file lies in the log.
	EndPhy int64
}

// Ends are the files of this moment, with the headers that ps will have written and
// otherwise those of the disk. REQUIRES: the dispatcher.
func (x *Index) Ends(ps []Pending) []End {
	out := make([]End, 0, len(x.files))
	for _, f := range x.files {
		e := End{f.name, f.committed.Load(), f.hdr.endPhy}
		for _, p := range ps {
			if p.f == f {
				e.Count, e.EndPhy = p.hdr.count, p.hdr.endPhy
			}
		}
		out = append(out, e)
	}
	return out
}

// Checks say what Check compares the files with.
type Checks struct {
	// Ends are the files that were there, nil when that is not known.
	Ends []End
	// First is where the log begins, Sure the place up to which entries must lead to
	// records of the log.
	First, Sure int64
	// Holds says whether a record with a key of the hash lies at a place of the log.
	Holds func(phy int64, hash int32) (bool, error)
}

// Check finds the files whose headers cannot be right, that are shorter than they were,
// that lead to none of the log's messages, or that are gone. It says so, and moves those
// that are there to Aside: what is found in them would be wrong. Their keys are not
// found any more. REQUIRES: nobody reads yet, before Recover.
func (x *Index) Check(c Checks) error {
	for _, e := range c.Ends {
		i, there := slices.BinarySearchFunc(x.files, e.Name, func(f *file, name int64) int { return cmp.Compare(f.name, name) })
		switch {
		case !there && e.EndPhy >= c.First && e.Count > 1:
			x.o.Logger.Error("index: a file is gone, its keys are not found unless their messages are read again now", "file", filepath.Join(x.o.Dir, fmt.Sprintf("%017d", e.Name)),
				"keys", e.Count-1, "to", e.EndPhy)
		case there && x.files[i].odd == "" && x.files[i].hdr.count < e.Count:
			x.files[i].odd = fmt.Sprintf("it has %d keys, and had %d", max(x.files[i].hdr.count-1, 0), e.Count-1)
		}
	}
	var good []*file
	for _, f := range x.files {
		if f.odd == "" {
			ours, err := f.sample(c)
			if err != nil {
				return err
			}
			if !ours {
				f.odd = "it leads to no message of this log"
			}
		}
		if f.odd == "" {
			good = append(good, f)
			continue
		}
		if err := x.putAside(f); err != nil {
			return err
		}
	}
	x.files = good
	return nil
}

// sample says whether one of some entries leads to a record of the log that has its
// key. Entries of which that cannot be known count for the file.
func (f *file) sample(c Checks) (bool, error) {
	n, asked := int64(f.hdr.count-1), false
	for i := range int64(samples) {
		e, err := f.entry(1 + int32(i*max(n-1, 0)/(samples-1)))
		if err != nil || n <= 0 {
			return true, err
		}
		if e.phy >= 0 && (e.phy < c.First || e.phy >= c.Sure) {
			continue
		}
		asked = true
		if ok, err := c.Holds(e.phy, e.hash); err != nil || ok {
			return true, err
		}
	}
	return !asked, nil
}

// putAside moves a file out of the index.
func (x *Index) putAside(f *file) error {
	_ = f.f.Close() // nothing was written
	f.dropSlots()
	if err := vfs.MkdirDurable(x.o.FS, x.o.Aside); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	to := ""
	for n := 1; to == "" || vfs.Exists(x.o.FS, to); n++ {
		to = filepath.Join(x.o.Aside, "index-"+filepath.Base(f.path)+"."+strconv.Itoa(n))
	}
	err := x.o.FS.Rename(f.path, to)
	if err == nil {
		err = x.o.FS.SyncDir(x.o.Dir)
	}
	if err != nil {
		return fmt.Errorf("index: put aside: %w", err)
	}
	x.o.Logger.Error("index: a file is damaged or not of this store, it is put aside and its keys are not found",
		"file", f.path, "to", to, "reason", f.odd, "begins", f.hdr.beginPhy, "ends", f.hdr.endPhy)
	return nil
}
