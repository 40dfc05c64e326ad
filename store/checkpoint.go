package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/merlinmq/merlin/store/vfs"
)

// checkpointSize is the size of the checkpoint file, one page.
const checkpointSize = 4096

// checkpoint is the content of <root>/checkpoint: up to which store times (ms)
// the parts of the store are durable. docs/format/checkpoint.md.
type checkpoint struct {
	physical, logics, index int64
	masterFlushed, confirm  int64 // kept as read: replication owns them
}

// minTime is the store time up to which commit log and consume queues are safe,
// with Java's 3 s of doubt.
func (c checkpoint) minTime() int64 { return max(min(c.physical, c.logics)-3000, 0) }

func loadCheckpoint(f vfs.FS, path string) (checkpoint, error) {
	var c checkpoint
	b, err := vfs.ReadFile(f, path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("store: checkpoint: %w", err)
	}
	if len(b) < 40 {
		return c, nil // made, but never written
	}
	for i, v := range []*int64{&c.physical, &c.logics, &c.index, &c.masterFlushed, &c.confirm} {
		*v = max(int64(binary.BigEndian.Uint64(b[8*i:])), 0)
	}
	return c, nil
}

// save writes the 40 bytes that count in one piece, which a disk does not tear.
func (c checkpoint) save(f vfs.FS, path string) error {
	made := !vfs.Exists(f, path)
	h, err := f.Open(path, vfs.Create)
	if err != nil {
		return fmt.Errorf("store: checkpoint: %w", err)
	}
	var b []byte
	for _, v := range []int64{c.physical, c.logics, c.index, c.masterFlushed, c.confirm} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	err = h.Allocate(checkpointSize)
	if err == nil {
		_, err = h.WriteAt(b, 0)
	}
	if err == nil {
		err = h.Sync()
	}
	err = errors.Join(err, h.Close())
	if err == nil && made {
		err = f.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("store: checkpoint: %w", err)
	}
	return nil
}
