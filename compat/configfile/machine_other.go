//go:build !linux

package configfile

import "os"

// patchSynced implements disk.
func (machine) patchSynced(path string, size int64, pieces []Piece) error {
	return patch(path, size, pieces, true)
}

// patchLater implements laterDisk.
func (machine) patchLater(path string, size int64, pieces []Piece) error {
	return patch(path, size, pieces, false)
}

func patch(path string, size int64, pieces []Piece, sync bool) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err == nil && st.Size() != size {
		err = wrongSize(st.Size(), size)
	}
	for _, p := range pieces {
		if err == nil {
			_, err = f.WriteAt(p.Data, p.Off)
		}
	}
	if err == nil && sync {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
