package store

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/merlinmq/merlin/store/vfs"
)

// abortText begins the abort file of a running Merlin. A Java broker writes its
// process id there, or nothing.
const abortText = "merlin "

// lastOwner is what the abort file says about who had the store last.
type lastOwner struct {
	// closed: there is no abort file.
	closed bool
	// merlin: a Merlin ran, and ended without closing the store.
	merlin bool
	// since is where the log ended when that Merlin started: what lies before was
	// durable then, with its consume queues, and what lies behind is Merlin's.
	since int64
}

// loadOwner reads the abort file.
func loadOwner(f vfs.FS, path string) (lastOwner, error) {
	b, err := vfs.ReadFile(f, path)
	if errors.Is(err, fs.ErrNotExist) {
		return lastOwner{closed: true}, nil
	}
	if err != nil {
		return lastOwner{}, fmt.Errorf("store: abort file: %w", err)
	}
	var o lastOwner
	if rest, ok := strings.CutPrefix(string(b), abortText); ok {
		line, _, whole := strings.Cut(rest, "\n")
		o.since, err = strconv.ParseInt(line, 10, 64)
		o.merlin = whole && err == nil && o.since >= 0
	}
	return o, nil
}

// markAbort leaves the file that says that the store was not closed. What is in it
// stays: until the recovery is done it tells who wrote the end of the log.
func (s *Store) markAbort() error {
	f, err := s.fs.Open(s.path("abort"), vfs.Create)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close(), s.fs.SyncDir(s.o.StorePathRootDir))
	}
	if err != nil {
		return fmt.Errorf("store: abort file: %w", err)
	}
	return nil
}

// signAbort says that the log is Merlin's from an offset on, and durable up to
// there.
func (s *Store) signAbort(since int64) error {
	text := abortText + strconv.FormatInt(since, 10) + "\n"
	f, err := s.fs.Open(s.path("abort"), vfs.Create)
	if err == nil {
		// A file that a crash leaves half changed names no owner.
		if err = f.Truncate(0); err == nil {
			_, err = f.WriteAt([]byte(text), 0)
		}
		if err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("store: abort file: %w", err)
	}
	return nil
}
