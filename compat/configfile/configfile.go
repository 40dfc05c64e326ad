// Package configfile keeps the small text files of a server (config/*.json,
// kvConfig.json, properties): it replaces a file atomically, keeps the previous
// one as .bak as RocketMQ's ConfigManager does, and falls back to it when the
// newest cannot be read; a Saver lets changes that come together share one write.
// It owns no goroutine. Memory has one lock, a leaf; Saver has two, in docs/LOCKS.md.
package configfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/merlinmq/merlin/compat/fastjson"
)

// ErrNone says that neither the file nor its backup exists.
var ErrNone = errors.New("configfile: no such file")

// Files reads and replaces whole files. Implementations may be used from any
// goroutine, but two Saves of the same path must not overlap.
type Files interface {
	// Load gives the newest content that check accepts, of the file or else of
	// its .bak. check may be nil; the content handed to it is also what Load
	// returns. ErrNone when there is neither; any other error names the file and
	// what is wrong with it. instead, which may be nil, is told why the file itself is
	// not used when its .bak is what Load returns.
	Load(path string, check func(data []byte) error, instead func(why error)) ([]byte, error)
	// Save replaces the file: after a crash at any moment the old or the new
	// content is there in full. The previous content becomes path.bak.
	Save(path string, data []byte) error
}

// Mirrorer is a Files that can keep path.bak the same as a file that is changed in
// place: otherwise all that came in place would be in one copy only.
type Mirrorer interface {
	// Mirror makes path.bak a second file with the content of path, which was saved.
	Mirror(path string, data []byte) error
	// MirrorPatch makes the change of a Patch in path.bak, too. It does not wait until
	// that is durable: the file itself is.
	MirrorPatch(path string, size int64, pieces []Piece) error
}

// Told gives a function for Load that says in the log which file is not used and why,
// and what is used instead. Without a log it gives nil.
func Told(log *slog.Logger, path string) func(why error) {
	if log == nil {
		return nil
	}
	return func(why error) {
		log.Error("a file is damaged or gone, its older copy is used: what was changed last may be lost",
			"file", path, "instead", path+".bak", "reason", why)
	}
}

// SaveJSON replaces a file with v as fastjson prints it for people, which is the
// form of RocketMQ's config/*.json. Errors name the file.
func SaveJSON(f Files, path string, v any) error {
	data, err := fastjson.Append(nil, v, fastjson.Pretty)
	if err != nil {
		return fmt.Errorf("configfile: encode %s: %w", path, err)
	}
	return f.Save(path, data)
}

// OS keeps files on the machine's disk.
func OS() Files { return onDisk{machine{}} }

// onDisk keeps files on a disk.
type onDisk struct{ disk disk }

// disk is what Save and Load do to a disk: the seam at which tests let it fail
// and crash. Errors of absent files are fs.ErrNotExist.
type disk interface {
	exists(path string) bool
	readFile(path string) ([]byte, error)
	mkdir(path string) error // the parent exists; fs.ErrExist is no error
	writeSynced(path string, data []byte) error
	remove(path string) error
	link(from, to string) error
	rename(from, to string) error
	syncDir(path string) error
	patchSynced(path string, size int64, pieces []Piece) error
}

// Load implements Files.
func (f onDisk) Load(path string, check func([]byte) error, instead func(error)) ([]byte, error) {
	return load(path, check, instead, f.disk.readFile)
}

func load(path string, check func([]byte) error, instead func(error), read func(string) ([]byte, error)) ([]byte, error) {
	var first error
	for _, p := range []string{path, path + ".bak"} {
		data, err := read(p)
		if err == nil && len(data) == 0 {
			err = errors.New("the file is empty")
		}
		if at := bytes.IndexByte(data, 0); err == nil && check != nil && at >= 0 {
			// fastjson reads it as part of a string; nobody writes it so.
			err = fmt.Errorf("a zero byte at %d: the file is damaged", at)
		}
		if err == nil && check != nil {
			err = check(data)
		}
		if err == nil {
			if p != path && instead != nil {
				if first == nil {
					first = fmt.Errorf("configfile: read %s: %w", path, fs.ErrNotExist)
				}
				instead(first)
			}
			return data, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && first == nil {
			first = fmt.Errorf("configfile: read %s: %w", p, err)
		}
	}
	if first == nil {
		return nil, ErrNone
	}
	return nil, first
}

// Save implements Files: write path.tmp and sync it, link the previous content
// as path.bak, rename, sync the directory.
func (f onDisk) Save(path string, data []byte) error {
	err := f.mkdirDurable(filepath.Dir(path))
	if err == nil {
		err = f.gone(path + ".tmp") // it may be another name of the file
	}
	if err == nil {
		err = f.disk.writeSynced(path+".tmp", data)
	}
	if err == nil {
		err = f.keepBackup(path)
	}
	if err == nil {
		err = f.disk.rename(path+".tmp", path)
	}
	if err == nil {
		err = f.disk.syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("configfile: save %s: %w", path, err)
	}
	return nil
}

// Patch implements Patcher.
func (f onDisk) Patch(path string, size int64, pieces []Piece) error {
	if err := f.disk.patchSynced(path, size, pieces); err != nil {
		return fmt.Errorf("configfile: change %s: %w", path, err)
	}
	return nil
}

// laterDisk is a disk that can change a file and leave it to the system when the
// change becomes durable.
type laterDisk interface {
	patchLater(path string, size int64, pieces []Piece) error
}

// Mirror implements Mirrorer.
func (f onDisk) Mirror(path string, data []byte) error {
	if _, ok := f.disk.(laterDisk); !ok {
		return errors.ErrUnsupported
	}
	next := path + ".bak.tmp"
	err := f.gone(next) // it may be another name of the file
	if err == nil {
		err = f.disk.writeSynced(next, data)
	}
	if err == nil {
		err = f.disk.rename(next, path+".bak")
	}
	if err != nil {
		return fmt.Errorf("configfile: save %s.bak: %w", path, err)
	}
	return nil
}

// MirrorPatch implements Mirrorer.
func (f onDisk) MirrorPatch(path string, size int64, pieces []Piece) error {
	d, ok := f.disk.(laterDisk)
	if !ok {
		return errors.ErrUnsupported
	}
	if err := d.patchLater(path+".bak", size, pieces); err != nil {
		return fmt.Errorf("configfile: change %s.bak: %w", path, err)
	}
	return nil
}

// mkdirDurable makes a directory and its parents, with names that survive a power
// failure.
func (f onDisk) mkdirDurable(dir string) error {
	up := filepath.Dir(dir)
	if up == dir || f.disk.exists(dir) {
		return nil
	}
	err := f.mkdirDurable(up)
	if err == nil {
		err = f.disk.mkdir(dir)
	}
	if err == nil {
		err = f.disk.syncDir(up)
	}
	return err
}

// gone removes a file that may be there.
func (f onDisk) gone(path string) error {
	if err := f.disk.remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// keepBackup gives the present content a second name, so that the path itself
// is never without a complete file.
func (f onDisk) keepBackup(path string) error {
	link := path + ".bak.tmp"
	if err := f.gone(link); err != nil {
		return err
	}
	if err := f.disk.link(path, link); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the first save
		}
		// A file system without hard links: copy.
		data, rerr := f.disk.readFile(path)
		if rerr != nil {
			return rerr
		}
		if werr := f.disk.writeSynced(link, data); werr != nil {
			return werr
		}
	}
	return f.disk.rename(link, path+".bak")
}

// Memory keeps files in memory, for tests and for servers without a disk.
type Memory struct {
	mu    sync.Mutex
	files map[string][]byte
}

// NewMemory makes an empty set of files.
func NewMemory() *Memory { return &Memory{files: map[string][]byte{}} }

// Load implements Files.
func (m *Memory) Load(path string, check func([]byte) error, instead func(error)) ([]byte, error) {
	return load(path, check, instead, m.read)
}

func (m *Memory) read(path string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.files[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return append([]byte(nil), data...), nil
}

// Save implements Files.
func (m *Memory) Save(path string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.files[path]; ok {
		m.files[path+".bak"] = old
	}
	m.files[path] = append([]byte(nil), data...)
	return nil
}

// Patch implements Patcher.
func (m *Memory) Patch(path string, size int64, pieces []Piece) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	data := m.files[path] // nobody else has it: Save and read copy
	if int64(len(data)) != size {
		return fmt.Errorf("configfile: change %s: it has %d bytes, not %d", path, len(data), size)
	}
	for _, p := range pieces {
		copy(data[p.Off:], p.Data)
	}
	return nil
}
