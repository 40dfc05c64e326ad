package index

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/merlinmq/merlin/compat/javastr"
	"github.com/merlinmq/merlin/compat/offheap"
	"github.com/merlinmq/merlin/store/vfs"
)

// ErrSync says that entries could not be made durable. What the failed sync
// dropped may never be written.
var ErrSync = errors.New("index: sync failed")

// Options of Open.
type Options struct {
	FS      vfs.FS
	Dir     string
	Slots   int32 // maxHashSlotNum
	Entries int32 // maxIndexNum
	// Now names new files.
	Now    func() time.Time
	Logger *slog.Logger
	// Aside is a directory for files that are damaged or not of this store.
	Aside string
}

// Index is all the index files of a store.
type Index struct {
	o Options
	// key and seen belong to the dispatcher: scratch for the text that is
	// hashed, and the end of what was indexed before the store was opened.
	key  []byte
	seen int64
	// short says that Recover cut a file that had more entries.
	short bool

	mu    sync.RWMutex
	files []*file // oldest first
}

// Open lists the index files.
func Open(o Options) (*Index, error) {
	x := &Index{o: o}
	if o.Slots < 1 || o.Entries < 2 {
		return nil, fmt.Errorf("index: %d slots and %d entries make no file", o.Slots, o.Entries)
	}
	if err := o.FS.MkdirAll(o.Dir); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	es, err := o.FS.ReadDir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	for _, e := range es {
		name, err := strconv.ParseInt(e.Name, 10, 64)
		if err != nil || e.Dir || len(e.Name) != 17 {
			o.Logger.Warn("index: not an index file, ignored", "file", e.Name)
			continue
		}
		if e.Size != fileSize(o.Slots, o.Entries) {
			o.Logger.Warn("index: the size does not fit maxHashSlotNum and maxIndexNum, the file is not read",
				"file", e.Name, "size", e.Size)
			continue
		}
		f := &file{path: filepath.Join(o.Dir, e.Name), name: name, slotNum: o.Slots, limit: o.Entries}
		if f.f, err = o.FS.Open(f.path, vfs.ReadWrite); err == nil {
			err = f.readHeader()
		}
		if err != nil {
			return nil, fmt.Errorf("index: %w", err)
		}
		x.files = append(x.files, f)
	}
	return x, nil
}

// Recover makes the files consistent and gives the log offset of the last
// message that is indexed, -1 when there is none. After a clean stop the files
// are taken as they are. Otherwise those that are not full or hold anything as
// young as safe (ms, the index time of the checkpoint), and in any case the last
// one, are checked and cut at the first doubtful entry.
func (x *Index) Recover(clean bool, safe int64) (int64, error) {
	err := x.check(math.MaxInt64, func(f *file, last bool) bool {
		return clean || !last && f.full() && f.hdr.endTime < safe
	})
	return x.seen, err
}

// Short says that Recover cut a file at an entry that its header counts: what follows
// is in the log, behind what Recover gave, and not before a replay of that in the index.
func (x *Index) Short() bool { return x.short }

// Truncate removes what points to the end of the log or beyond.
func (x *Index) Truncate(logEnd int64) error {
	return x.check(logEnd, func(f *file, _ bool) bool { return f.hdr.endPhy < logEnd })
}

// check verifies the files that trust does not spare.
func (x *Index) check(logEnd int64, trust func(f *file, last bool) bool) error {
	for i := 0; i < len(x.files); i++ {
		f, last := x.files[i], i == len(x.files)-1
		if trust(f, last) {
			continue
		}
		had := f.hdr.count
		if err := f.verify(logEnd); err != nil {
			return err
		}
		if f.hdr.count < had && logEnd == math.MaxInt64 {
			x.short = true
			x.o.Logger.Warn("index: an entry that the header counts cannot be right, the keys from it on are made again from the log",
				"file", f.path, "entry", f.hdr.count, "entries", had-1)
		}
		if f.hdr.count > 1 && (last || f.full()) {
			continue
		}
		// What follows a shortened file would leave a hole.
		keep := i + 1
		if f.hdr.count <= 1 {
			keep = i
		}
		if err := x.remove(x.files[keep:]); err != nil {
			return err
		}
		x.files = x.files[:keep]
	}
	x.seen = -1
	if n := len(x.files); n > 0 {
		x.seen = x.files[n-1].hdr.endPhy
	}
	return nil
}

// Again prepares for messages that come a second time: what is indexed by now is
// not added again. REQUIRES: the dispatcher.
func (x *Index) Again() {
	if n := len(x.files); n > 0 {
		x.seen = x.files[n-1].hdr.endPhy
	}
}

func (x *Index) remove(files []*file) error {
	var errs []error
	for _, f := range files {
		_ = f.f.Close() // on its way out
		f.dropSlots()
		if err := x.o.FS.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("index: delete: %w", err))
		}
	}
	return errors.Join(errs...)
}

// HashKey is the key hash of a topic's key: the absolute value of Java's hash of
// "topic#key", 0 for the one number that has none. buf is scratch.
func HashKey(buf []byte, topic, key string) (int32, []byte) {
	buf = append(append(append(buf[:0], topic...), '#'), key...)
	h := javastr.HashBytes(buf)
	if h < 0 {
		h = -h
	}
	return max(h, 0), buf
}

// Put indexes the record at phy under one key. Records come in the order of the
// log; what was indexed before the store was opened is not added again. After an
// error nothing has changed and Put may be called again. REQUIRES: the dispatcher.
func (x *Index) Put(topic, key string, phy, storeTime int64) error {
	if phy < x.seen {
		return nil
	}
	var hash int32
	hash, x.key = HashKey(x.key, topic, key)
	if phy == x.seen { // some of its keys may be there, the oldest in the file before
		for _, f := range x.files[max(len(x.files)-2, 0):] {
			if there, err := f.has(hash, phy); there || err != nil {
				return err
			}
		}
	}
	f, err := x.current()
	if err != nil {
		return err
	}
	f.put(hash, phy, storeTime)
	return nil
}

// current gives the file to write, a new one when the last is full.
func (x *Index) current() (*file, error) {
	var last *file
	if n := len(x.files); n > 0 {
		last = x.files[n-1]
		if !last.full() {
			if last.slots == nil {
				return last, last.loadSlots()
			}
			return last, nil
		}
		if err := errors.Join(last.writeEntries(), last.writeSlots()); err != nil {
			return nil, err
		}
	}
	f, err := x.create(last)
	if err != nil {
		return nil, err
	}
	if last != nil {
		last.dropSlots()
	}
	x.mu.Lock()
	x.files = append(slices.Clone(x.files), f)
	x.mu.Unlock()
	return f, nil
}

func (x *Index) create(last *file) (*file, error) {
	name, err := strconv.ParseInt(timeName(x.o.Now()), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("index: the clock makes no file name: %w", err)
	}
	f := &file{slotNum: x.o.Slots, limit: x.o.Entries}
	f.hdr.count, f.bufAt = 1, 1
	if last != nil {
		name = max(name, last.name+1)
		f.hdr.beginPhy, f.hdr.endPhy = last.hdr.endPhy, last.hdr.endPhy
		f.hdr.beginTime, f.hdr.endTime = last.hdr.endTime, last.hdr.endTime
	}
	f.name = name
	f.path = filepath.Join(x.o.Dir, fmt.Sprintf("%017d", name))
	if f.f, err = x.o.FS.Open(f.path, vfs.Create); err == nil {
		err = f.f.Truncate(f.size())
		if err == nil {
			err = f.f.Sync()
		}
		if err == nil {
			// A later file must not survive without this one.
			err = x.o.FS.SyncDir(x.o.Dir)
		}
		if err != nil {
			_ = f.f.Close() // the error that counts is the first
		}
	}
	if err != nil {
		return nil, fmt.Errorf("index: create: %w", err)
	}
	f.setSlots(offheap.Int32s(int(f.slotNum)))
	return f, nil
}

func timeName(t time.Time) string {
	return t.Format("20060102150405") + fmt.Sprintf("%03d", t.Nanosecond()/int(time.Millisecond))
}

// Full says that it is time for Write. REQUIRES: the dispatcher.
func (x *Index) Full() bool {
	n := len(x.files)
	return n > 0 && len(x.files[n-1].buf) >= bufferBytes-entrySize
}

// Write writes the entries that wait in memory. REQUIRES: the dispatcher.
func (x *Index) Write() error {
	if n := len(x.files); n > 0 {
		return x.files[n-1].writeEntries()
	}
	return nil
}

// Pending is what Prepare leaves to Commit.
type Pending struct {
	f   *file
	hdr header
}

// Prepare writes what is in memory only and gives the headers to commit.
// REQUIRES: the dispatcher, between two messages.
func (x *Index) Prepare() ([]Pending, error) {
	var out []Pending
	for _, f := range x.files {
		if err := errors.Join(f.writeEntries(), f.writeSlots()); err != nil {
			return nil, err
		}
		if f.hdr.count != f.committed.Load() {
			out = append(out, Pending{f, f.hdr})
		}
	}
	return out, nil
}

// Commit makes what Prepare wrote durable and then writes the headers. The
// headers themselves become durable with the next sync.
func (x *Index) Commit(ps []Pending) error {
	for _, p := range ps {
		err := p.f.f.Sync()
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrSync, err)
		} else {
			_, err = p.f.f.WriteAt(p.hdr.encode(), 0)
		}
		if err != nil {
			if !x.holds(p.f) {
				continue // deleted by retention meanwhile
			}
			return fmt.Errorf("index: commit %s: %w", p.f.path, err)
		}
		p.f.committed.Store(p.hdr.count)
	}
	return nil
}

func (x *Index) holds(f *file) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Contains(x.files, f)
}

// Query gives the log offsets of the messages with a key inside [begin, end] ms,
// newest first, at most limit, and the time and offset of the newest entry of
// all. Other keys with the same hash are among them.
func (x *Index) Query(topic, key string, limit int, begin, end int64) (phys []int64, lastTime, lastPhy int64, err error) {
	hash, _ := HashKey(nil, topic, key)
	x.mu.RLock()
	files := x.files
	x.mu.RUnlock()
	for i := len(files) - 1; i >= 0; i-- {
		f := files[i]
		f.mu.RLock()
		h := f.hdr
		f.mu.RUnlock()
		if i == len(files)-1 {
			lastTime, lastPhy = h.endTime, h.endPhy
		}
		if h.matches(begin, end) {
			if phys, err = f.query(x.o.Logger, phys, hash, limit, begin, end); err != nil {
				if !x.holds(f) {
					err = nil // deleted by retention, and so are the older ones
				}
				return phys, lastTime, lastPhy, err
			}
		}
		if h.beginTime < begin || len(phys) >= limit {
			break
		}
	}
	return phys, lastTime, lastPhy, nil
}

// Clean deletes the files whose messages all lie before minPhy, never the last.
// REQUIRES: the dispatcher.
func (x *Index) Clean(minPhy int64) error {
	n := 0
	for n < len(x.files)-1 && x.files[n].hdr.endPhy < minPhy {
		n++
	}
	if n == 0 {
		return nil
	}
	old := x.files[:n]
	x.mu.Lock()
	x.files = slices.Clone(x.files[n:])
	x.mu.Unlock()
	return x.remove(old)
}

// Close closes the files. It writes nothing.
func (x *Index) Close() {
	for _, f := range x.files {
		_ = f.f.Close() // what counts was synced by Commit
		f.dropSlots()
	}
}
