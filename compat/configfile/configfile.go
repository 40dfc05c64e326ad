// Package configfile keeps the small text files of a server (config/*.json,
// kvConfig.json, properties): it replaces a file atomically, keeps the previous
// one as .bak as RocketMQ's ConfigManager does, and falls back to it when the
// newest cannot be read. It owns no goroutine; Memory has one lock, a leaf.
package configfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// ErrNone says that neither the file nor its backup exists.
var ErrNone = errors.New("configfile: no such file")

// Files reads and replaces whole files. Implementations may be used from any
// goroutine, but two Saves of the same path must not overlap.
type Files interface {
	// Load gives the newest content that check accepts, of the file or else of
	// its .bak. check may be nil; the content handed to it is also what Load
	// returns. ErrNone when there is neither; any other error names the file and
	// what is wrong with it.
	Load(path string, check func(data []byte) error) ([]byte, error)
	// Save replaces the file: after a crash at any moment the old or the new
	// content is there in full. The previous content becomes path.bak.
	Save(path string, data []byte) error
}

// OS keeps files on the machine's disk.
func OS() Files { return osFiles{} }

type osFiles struct{}

// Load implements Files.
func (osFiles) Load(path string, check func([]byte) error) ([]byte, error) {
	return load(path, check, os.ReadFile)
}

func load(path string, check func([]byte) error, read func(string) ([]byte, error)) ([]byte, error) {
	var first error
	for _, p := range []string{path, path + ".bak"} {
		data, err := read(p)
		if err == nil && len(data) == 0 {
			err = errors.New("the file is empty")
		}
		if err == nil && check != nil {
			err = check(data)
		}
		if err == nil {
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
func (osFiles) Save(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("configfile: save %s: %w", path, err)
	}
	tmp := path + ".tmp"
	if err := writeSynced(tmp, data); err != nil {
		return fmt.Errorf("configfile: save %s: %w", path, err)
	}
	if err := keepBackup(path); err != nil {
		return fmt.Errorf("configfile: save %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("configfile: save %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// keepBackup gives the present content a second name, so that the path itself
// is never without a complete file.
func keepBackup(path string) error {
	link := path + ".bak.tmp"
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(path, link); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the first save
		}
		// A file system without hard links: copy.
		data, rerr := os.ReadFile(path)
		if rerr != nil {
			return rerr
		}
		if werr := writeSynced(link, data); werr != nil {
			return werr
		}
	}
	return os.Rename(link, path+".bak")
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

// Memory keeps files in memory, for tests and for servers without a disk.
type Memory struct {
	mu    sync.Mutex
	files map[string][]byte
}

// NewMemory makes an empty set of files.
func NewMemory() *Memory { return &Memory{files: map[string][]byte{}} }

// Load implements Files.
func (m *Memory) Load(path string, check func([]byte) error) ([]byte, error) {
	return load(path, check, m.read)
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
