package configfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// machine is the disk of the operating system.
type machine struct{}

func (machine) exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (machine) readFile(path string) ([]byte, error) { return os.ReadFile(path) }

func (machine) mkdir(path string) error {
	if err := os.Mkdir(path, 0o755); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (machine) writeSynced(path string, data []byte) error {
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

// wrongSize says that a file is not the one that was written last.
func wrongSize(is, want int64) error {
	return fmt.Errorf("it has %d bytes, not %d: somebody else has changed it", is, want)
}

func (machine) remove(path string) error     { return os.Remove(path) }
func (machine) link(from, to string) error   { return os.Link(from, to) }
func (machine) rename(from, to string) error { return os.Rename(from, to) }

func (machine) syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
