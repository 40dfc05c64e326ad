package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"

	"github.com/merlinmq/merlin/store/vfs"
)

const (
	// checkpointSize is the size of the checkpoint file, one page.
	checkpointSize = 4096
	// sectorSize is what a disk writes as a whole. All that a checkpoint says
	// stands in the first sector of its file.
	sectorSize = 512
	// javaTimes is the length of the three times that every Java broker writes.
	javaTimes = 24
)

// The durable floor stands in the checkpoint's first sector, far behind what Java
// brokers use of it.
const (
	floorAt      = 256
	floorMagic   = 0x4D4C464C // "MLFL"
	floorVersion = 1
	floorLength  = 4 + 4 + javaTimes + 5*8 // magic, version, times, five numbers
)

// checkpoint is the content of <root>/checkpoint: up to which store times (ms)
// the parts of the store are durable, as Java writes it, and the durable floor.
// docs/format/checkpoint.md.
type checkpoint struct {
	physical, logics, index int64
	masterFlushed, confirm  int64 // kept as read: replication owns them

	// known says that the rest was written together with the times: no other
	// broker has written a checkpoint since.
	known bool
	// rewritten says that another broker has.
	rewritten bool
	// floor is the end of that part of the log which is durable, dispatched, and
	// whose consume queues and index are durable. It is the start of a record.
	floor int64
	// replay is where an unclean start begins to read: some seconds before floor,
	// for those who want to see what was stored last (Options.Recovered).
	replay int64
	// last is where the last record before floor begins, -1 without one: a floor that
	// does not fit the log is of another store.
	last int64
	// The sizes of files that the store was written with.
	logFile, queueFile int64

	raw []byte // the first sector as read; what is not ours in it stays
}

// minTime is the store time up to which commit log and consume queues are safe,
// with Java's 3 s of doubt.
func (c *checkpoint) minTime() int64 { return max(min(c.physical, c.logics)-3000, 0) }

func (c *checkpoint) times() []*int64 {
	return []*int64{&c.physical, &c.logics, &c.index, &c.masterFlushed, &c.confirm}
}

func (c *checkpoint) numbers() []*int64 {
	return []*int64{&c.floor, &c.replay, &c.last, &c.logFile, &c.queueFile}
}

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
	for i, v := range c.times() {
		*v = max(int64(binary.BigEndian.Uint64(b[8*i:])), 0)
	}
	c.raw = b[:min(len(b), sectorSize)]
	c.loadFloor()
	return c, nil
}

// loadFloor reads the floor, which counts when it is whole and belongs to the
// times.
func (c *checkpoint) loadFloor() {
	if len(c.raw) < sectorSize {
		return
	}
	be, b := binary.BigEndian, c.raw[floorAt:]
	if be.Uint32(b) != floorMagic || be.Uint32(b[4:]) != floorVersion ||
		be.Uint32(b[floorLength:]) != crc32.ChecksumIEEE(b[:floorLength]) {
		return
	}
	if c.rewritten = string(b[8:8+javaTimes]) != string(c.raw[:javaTimes]); c.rewritten {
		return
	}
	for i, v := range c.numbers() {
		*v = int64(be.Uint64(b[8+javaTimes+8*i:]))
	}
	c.known = c.floor >= 0 && c.replay >= 0 && c.replay <= c.floor
}

// sector is the first sector of the file.
func (c *checkpoint) sector() []byte {
	be, b := binary.BigEndian, make([]byte, sectorSize)
	copy(b, c.raw)
	for i, v := range c.times() {
		be.PutUint64(b[8*i:], uint64(*v))
	}
	f := b[floorAt:floorAt]
	f = be.AppendUint32(be.AppendUint32(f, floorMagic), floorVersion)
	f = append(f, b[:javaTimes]...)
	for _, v := range c.numbers() {
		f = be.AppendUint64(f, uint64(*v))
	}
	be.AppendUint32(f, crc32.ChecksumIEEE(f))
	return b
}

// save writes the sector that counts in one piece, which a disk does not tear.
func (c *checkpoint) save(f vfs.FS, path string) error {
	made := !vfs.Exists(f, path)
	h, err := f.Open(path, vfs.Create)
	if err != nil {
		return fmt.Errorf("store: checkpoint: %w", err)
	}
	err = h.Allocate(checkpointSize)
	if err == nil {
		_, err = h.WriteAt(c.sector(), 0)
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
