package configfile

import (
	"fmt"
	"path/filepath"
)

// Writable says whether Save could make or replace a file, without changing it: it
// makes and removes a file beside it, or, when its directory is not there yet, in
// the nearest one that is. Files that are not on a disk always can be written.
func Writable(f Files, path string) error {
	d, ok := f.(onDisk)
	if !ok {
		return nil
	}
	dir := filepath.Dir(path)
	for up := filepath.Dir(dir); up != dir && !d.disk.exists(dir); up = filepath.Dir(dir) {
		dir = up
	}
	probe := filepath.Join(dir, filepath.Base(path)+".tmp")
	err := d.gone(probe)
	if err == nil {
		err = d.disk.writeSynced(probe, nil)
	}
	if err == nil {
		err = d.gone(probe)
	}
	if err != nil {
		return fmt.Errorf("configfile: %s cannot be written: %w", path, err)
	}
	return nil
}
