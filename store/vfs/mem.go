package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand"
	"path/filepath"
	"sort"
	"strings"
	"sync"
)

const pageSize = 4096

// sector is what a disk writes as a whole.
const sector = 512

type page [pageSize]byte

// Mem is a file system in memory. It keeps, beside what is written, what a disk
// would keep after a power failure: contents up to the last Sync, names up to
// the last SyncDir.
type Mem struct {
	mu    sync.Mutex
	root  *node
	usage Usage
}

// node is a file or a directory. Guarded by Mem.mu.
type node struct {
	dir            bool
	names, durable map[string]*node // of a directory

	size, syncedSize int64
	pages            map[int64]*page // current content, absent pages are zero
	synced           map[int64]*page // durable content
	dirty            map[int64]struct{}
	locked           bool
}

// NewMem makes an empty file system of 1 TiB.
func NewMem() *Mem {
	return &Mem{root: newDir(), usage: Usage{Total: 1 << 40, Free: 1 << 40, Size: 1 << 40, Unused: 1 << 40}}
}

func newDir() *node {
	return &node{dir: true, names: map[string]*node{}, durable: map[string]*node{}}
}

func newFile() *node {
	return &node{pages: map[int64]*page{}, synced: map[int64]*page{}, dirty: map[int64]struct{}{}}
}

// SetUsage sets what Usage answers.
func (m *Mem) SetUsage(u Usage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.usage = u
}

func split(path string) []string {
	p := strings.Trim(filepath.ToSlash(filepath.Clean(path)), "/")
	if p == "" || p == "." {
		return nil
	}
	return strings.Split(p, "/")
}

func (m *Mem) findLocked(path string) *node {
	n := m.root
	for _, s := range split(path) {
		if n == nil || !n.dir {
			return nil
		}
		n = n.names[s]
	}
	return n
}

func (m *Mem) parentLocked(path string) (*node, string, error) {
	parts := split(path)
	if len(parts) == 0 {
		return nil, "", &fs.PathError{Op: "open", Path: path, Err: fs.ErrInvalid}
	}
	p := m.findLocked(strings.Join(parts[:len(parts)-1], "/"))
	if p == nil || !p.dir {
		return nil, "", &fs.PathError{Op: "open", Path: path, Err: errNotExist}
	}
	return p, parts[len(parts)-1], nil
}

// Open implements FS.
func (m *Mem) Open(path string, mode Mode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, name, err := m.parentLocked(path)
	if err != nil {
		return nil, err
	}
	n := p.names[name]
	if n == nil {
		if mode != Create {
			return nil, &fs.PathError{Op: "open", Path: path, Err: errNotExist}
		}
		n = newFile()
		p.names[name] = n
	}
	if n.dir {
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("is a directory")}
	}
	return &memFile{m: m, n: n, path: path, write: mode != ReadOnly}, nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.root
	for _, s := range split(path) {
		c := n.names[s]
		if c == nil {
			c = newDir()
			n.names[s] = c
		}
		if !c.dir {
			return &fs.PathError{Op: "mkdir", Path: path, Err: fs.ErrExist}
		}
		n = c
	}
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, name, err := m.parentLocked(path)
	if err != nil {
		return err
	}
	n := p.names[name]
	if n == nil {
		return &fs.PathError{Op: "remove", Path: path, Err: errNotExist}
	}
	if n.dir && len(n.names) > 0 {
		return &fs.PathError{Op: "remove", Path: path, Err: errors.New("directory not empty")}
	}
	delete(p.names, name)
	return nil
}

// RemoveAll implements FS.
func (m *Mem) RemoveAll(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, name, err := m.parentLocked(path)
	if err != nil {
		return nil
	}
	delete(p.names, name)
	return nil
}

// Rename implements FS.
func (m *Mem) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, name, err := m.parentLocked(from)
	if err != nil {
		return err
	}
	q, toName, err := m.parentLocked(to)
	if err != nil {
		return err
	}
	n := p.names[name]
	if n == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: errNotExist}
	}
	delete(p.names, name)
	q.names[toName] = n
	return nil
}

// ReadDir implements FS.
func (m *Mem) ReadDir(path string) ([]Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.findLocked(path)
	if n == nil || !n.dir {
		return nil, &fs.PathError{Op: "readdir", Path: path, Err: errNotExist}
	}
	out := make([]Entry, 0, len(n.names))
	for name, c := range n.names {
		out = append(out, Entry{Name: name, Dir: c.dir, Size: c.size})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

// Stat implements FS.
func (m *Mem) Stat(path string) (Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.findLocked(path)
	if n == nil {
		return Entry{}, &fs.PathError{Op: "stat", Path: path, Err: errNotExist}
	}
	return Entry{Name: filepath.Base(path), Dir: n.dir, Size: n.size}, nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.findLocked(path)
	if n == nil || !n.dir {
		return &fs.PathError{Op: "syncdir", Path: path, Err: errNotExist}
	}
	n.syncDir()
	return nil
}

// SyncFS implements FS.
func (m *Mem) SyncFS(string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.root.syncAll()
	return nil
}

// OpenDisk implements FS.
func (m *Mem) OpenDisk(string) (Disk, error) { return memDisk{m}, nil }

type memDisk struct{ m *Mem }

func (d memDisk) Sync() error  { return d.m.SyncFS("/") }
func (d memDisk) Close() error { return nil }

func (n *node) syncDir() {
	n.durable = make(map[string]*node, len(n.names))
	for k, v := range n.names {
		n.durable[k] = v
	}
}

func (n *node) syncAll() {
	if !n.dir {
		n.syncFile()
		return
	}
	n.syncDir()
	for _, c := range n.names {
		c.syncAll()
	}
}

func (n *node) syncFile() {
	for i := range n.dirty {
		if p := n.pages[i]; p != nil {
			c := *p
			n.synced[i] = &c
		} else {
			delete(n.synced, i)
		}
	}
	clear(n.dirty)
	n.syncedSize = n.size
}

// Lock implements FS.
func (m *Mem) Lock(path string) (io.Closer, error) {
	f, err := m.Open(path, Create)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := f.(*memFile).n
	if n.locked {
		return nil, fmt.Errorf("vfs: %s is locked by another store", path)
	}
	n.locked = true
	return &memLock{m, n}, nil
}

type memLock struct {
	m *Mem
	n *node
}

func (l *memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.n.locked = false
	return nil
}

// Usage implements FS.
func (m *Mem) Usage(string) (Usage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.usage, nil
}

// CrashClone is the disk as a power failure at this moment may leave it. What
// was synced is there. With a source of randomness, each sector that was written
// since may be there or not (writes reach a disk torn and in any order), and so
// may each name and each size; without one, nothing unsynced is left.
func (m *Mem) CrashClone(r *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Mem{root: m.root.crash(r), usage: m.usage}
}

func (n *node) crash(r *rand.Rand) *node {
	if !n.dir {
		return n.crashFile(r)
	}
	c := newDir()
	for _, k := range sortedKeys(n.durable) {
		kept := n.durable[k]
		if now := n.names[k]; now != kept && r != nil && r.Intn(2) == 0 {
			kept = now
		}
		if kept != nil {
			c.names[k] = kept.crash(r)
		}
	}
	for _, k := range sortedKeys(n.names) {
		if _, known := n.durable[k]; !known && r != nil && r.Intn(2) == 0 {
			c.names[k] = n.names[k].crash(r)
		}
	}
	c.syncDir()
	return c
}

func sortedKeys(m map[string]*node) []string {
	ks := make([]string, 0, len(m))
	for k := range m {
		ks = append(ks, k)
	}
	sort.Strings(ks)
	return ks
}

func (n *node) crashFile(r *rand.Rand) *node {
	c := newFile()
	c.size = n.syncedSize
	for i, p := range n.synced {
		v := *p
		c.pages[i] = &v
	}
	if r != nil {
		if n.size != n.syncedSize && r.Intn(2) == 0 {
			c.size = n.size
		}
		idx := make([]int64, 0, len(n.dirty))
		for i := range n.dirty {
			idx = append(idx, i)
		}
		sort.Slice(idx, func(a, b int) bool { return idx[a] < idx[b] })
		for _, i := range idx {
			c.tear(i, n.pages[i], r)
		}
	}
	c.cut(c.size)
	for i := range c.pages {
		c.dirty[i] = struct{}{}
	}
	c.syncFile()
	return c
}

// tear takes over a random choice of the sectors of a page that was not synced.
func (n *node) tear(i int64, now *page, r *rand.Rand) {
	p := n.pages[i]
	if p == nil {
		p = &page{}
		n.pages[i] = p
	}
	if now == nil {
		now = &page{}
	}
	bits := r.Uint32()
	if r.Intn(3) == 0 {
		bits = 0xFF // the whole page made it
	}
	for s := 0; s < pageSize/sector; s++ {
		if bits>>s&1 == 1 {
			copy(p[s*sector:(s+1)*sector], now[s*sector:])
		}
	}
}

// cut forgets what lies at size and after.
func (n *node) cut(size int64) {
	for i, p := range n.pages {
		switch {
		case i*pageSize >= size:
			delete(n.pages, i)
			n.dirty[i] = struct{}{}
		case (i+1)*pageSize > size:
			clear(p[size-i*pageSize:])
			n.dirty[i] = struct{}{}
		}
	}
}

type memFile struct {
	m     *Mem
	n     *node
	path  string
	write bool
	// closed is guarded by m.mu.
	closed bool
}

func (f *memFile) checkLocked(op string, write bool) error {
	if f.closed {
		return &fs.PathError{Op: op, Path: f.path, Err: fs.ErrClosed}
	}
	if write && !f.write {
		return &fs.PathError{Op: op, Path: f.path, Err: fs.ErrPermission}
	}
	return nil
}

func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.checkLocked("read", false); err != nil {
		return 0, err
	}
	if off >= f.n.size {
		return 0, io.EOF
	}
	var err error
	if rest := f.n.size - off; int64(len(b)) > rest {
		b, err = b[:rest], io.EOF
	}
	for done := 0; done < len(b); {
		i, in := (off+int64(done))/pageSize, (off+int64(done))%pageSize
		n := min(len(b)-done, int(pageSize-in))
		if p := f.n.pages[i]; p != nil {
			copy(b[done:done+n], p[in:])
		} else {
			clear(b[done : done+n])
		}
		done += n
	}
	return len(b), err
}

func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.checkLocked("write", true); err != nil {
		return 0, err
	}
	for done := 0; done < len(b); {
		i, in := (off+int64(done))/pageSize, (off+int64(done))%pageSize
		p := f.n.pages[i]
		if p == nil {
			p = &page{}
			f.n.pages[i] = p
		}
		f.n.dirty[i] = struct{}{}
		done += copy(p[in:], b[done:])
	}
	f.n.size = max(f.n.size, off+int64(len(b)))
	return len(b), nil
}

func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.checkLocked("sync", false); err != nil {
		return err
	}
	f.n.syncFile()
	return nil
}

func (f *memFile) Allocate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.checkLocked("allocate", true); err != nil {
		return err
	}
	f.n.size = max(f.n.size, size)
	return nil
}

func (f *memFile) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.checkLocked("truncate", true); err != nil {
		return err
	}
	if size < f.n.size {
		f.n.cut(size)
	}
	f.n.size = size
	return nil
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.checkLocked("size", false); err != nil {
		return 0, err
	}
	return f.n.size, nil
}

// Map implements Mapper.
func (f *memFile) Map(size int64) (Mapping, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.checkLocked("map", false); err != nil {
		return nil, err
	}
	return &memMapping{memFile{m: f.m, n: f.n, path: f.path}, size}, nil
}

// memMapping is a file that nobody closes; all of it counts as in memory.
type memMapping struct {
	f    memFile
	size int64
}

// ReadAt implements Mapping.
func (m *memMapping) ReadAt(p []byte, off int64) error {
	if off < 0 || off+int64(len(p)) > m.size || ReadFull(&m.f, p, off) != nil {
		return ErrFault
	}
	return nil
}

// Resident implements Mapping.
func (m *memMapping) Resident(from, to int64) bool {
	return from >= 0 && to <= m.size && to-from <= MaxResident
}

// Close implements Mapping.
func (m *memMapping) Close() error { return nil }

// Close implements File.
func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.checkLocked("close", false); err != nil {
		return err
	}
	f.closed = true
	return nil
}
