package crash

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	record "github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/commitlog"
)

// Damage is something that is done to the directory between a kill and a start.
type Damage string

// The kinds of damage. The first three touch only what the promise of the flush
// mode leaves open: the log behind everything that a client was told of
// (SYNC_FLUSH), or behind what the checkpoint or an earlier start says is durable
// (ASYNC_FLUSH).
const (
	Torn         Damage = "torn"          // each sector of the tail was written or was not
	Garbled      Damage = "garbled"       // the tail is random bytes
	Truncated    Damage = "truncated"     // the file ends there, later ones are gone
	NoAbort      Damage = "no abort"      // the abort file is gone
	NoCheckpoint Damage = "no checkpoint" // the checkpoint is gone
	NoQueues     Damage = "no queues"     // the consume queues are gone
	NoIndex      Damage = "no index"      // the index is gone
	Unmade       Damage = "unmade"        // the next log file was about to be made
)

// Damages are all kinds.
func Damages() []Damage {
	return []Damage{Torn, Garbled, Truncated, NoAbort, NoCheckpoint, NoQueues, NoIndex, Unmade}
}

// cuts says whether the log loses its tail.
func (d Damage) cuts() bool { return d == Torn || d == Garbled || d == Truncated }

const sector = 512

// storeDir is the directory of a store at rest.
type storeDir struct {
	path    string
	segment int64 // size of a log file
}

func (s storeDir) log(offset int64) string {
	return filepath.Join(s.path, "commitlog", commitlog.FileName(offset-offset%s.segment))
}

// apply does d to the directory; cut is where the log may be touched.
func (s storeDir) apply(d Damage, cut int64, r *rand.Rand) error {
	switch d {
	case Torn:
		return s.overwrite(cut, func(b []byte) {
			if r.IntN(2) == 0 {
				clear(b)
			}
		})
	case Garbled:
		return s.overwrite(cut, func(b []byte) {
			for i := range b {
				b[i] = byte(r.Uint32())
			}
		})
	case Truncated:
		return s.truncate(cut)
	case NoAbort:
		return gone(os.Remove(filepath.Join(s.path, "abort")))
	case NoCheckpoint:
		return gone(os.Remove(filepath.Join(s.path, "checkpoint")))
	case NoQueues:
		return os.RemoveAll(filepath.Join(s.path, "consumequeue"))
	case NoIndex:
		return os.RemoveAll(filepath.Join(s.path, "index"))
	case Unmade:
		return s.unmade()
	}
	return fmt.Errorf("crash: damage %q is not known", d)
}

func gone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// overwrite hands each sector of the log from cut on to change, the first one
// from cut.
func (s storeDir) overwrite(cut int64, change func(b []byte)) error {
	for base := cut - cut%s.segment; ; base += s.segment {
		f, err := os.OpenFile(s.log(base), os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		from := max(cut-base, 0)
		b := make([]byte, s.segment-from)
		n, err := f.ReadAt(b, from)
		if err != nil && err != io.EOF {
			return errors.Join(err, f.Close())
		}
		b = b[:n]
		for at := 0; at < len(b); {
			end := min(len(b), at+sector-int((from+int64(at))%sector))
			change(b[at:end])
			at = end
		}
		_, err = f.WriteAt(b, from)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
}

// truncate ends the log at cut.
func (s storeDir) truncate(cut int64) error {
	for base := cut - cut%s.segment + s.segment; ; base += s.segment {
		err := os.Remove(s.log(base))
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		if err != nil {
			return err
		}
	}
	return gone(os.Truncate(s.log(cut), cut%s.segment))
}

// unmade leaves an empty file where the next one would be.
func (s storeDir) unmade() error {
	bases, err := s.bases()
	if err != nil || len(bases) == 0 {
		return err
	}
	f, err := os.Create(s.log(bases[len(bases)-1] + s.segment))
	if err != nil {
		return err
	}
	return f.Close()
}

func (s storeDir) bases() ([]int64, error) {
	es, err := os.ReadDir(filepath.Join(s.path, "commitlog"))
	if err != nil {
		return nil, err
	}
	var out []int64
	for _, e := range es {
		if n, ok := commitlog.ParseFileName(e.Name()); ok {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

// recordEnd is where the record at phy ends.
func (s storeDir) recordEnd(phy int64) (int64, error) {
	f, err := os.Open(s.log(phy))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var b [8]byte
	if _, err := f.ReadAt(b[:], phy%s.segment); err != nil {
		return 0, err
	}
	size, magic := int64(binary.BigEndian.Uint32(b[:])), binary.BigEndian.Uint32(b[4:])
	if magic != record.MagicV1 && magic != record.MagicV2 {
		return 0, fmt.Errorf("crash: an acknowledged message lay at %d, and there is no record there", phy)
	}
	return phy + size, nil
}

// flushedTime is the store time up to which the checkpoint says that the log is
// durable, 0 without one.
func (s storeDir) flushedTime() (int64, error) {
	b, err := os.ReadFile(filepath.Join(s.path, "checkpoint"))
	if errors.Is(err, os.ErrNotExist) || err == nil && len(b) < 8 {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

// floor is the durable floor of the checkpoint, 0 without one
// (docs/format/checkpoint.md).
func (s storeDir) floor() (int64, error) {
	b, err := os.ReadFile(filepath.Join(s.path, "checkpoint"))
	if errors.Is(err, os.ErrNotExist) || err == nil && (len(b) < 296 || string(b[256:260]) != "MLFL") {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(b[288:])), nil
}

// after gives the place of the first record from an offset on (the start of a
// record) that is younger than ms, or the end of the log.
func (s storeDir) after(from, ms int64) (int64, error) {
	for at := from; ; {
		b, err := os.ReadFile(s.log(at))
		if errors.Is(err, os.ErrNotExist) {
			return at, nil
		}
		if err != nil {
			return 0, err
		}
		in := at % s.segment
		for ; in+commitlog.HeadSize <= int64(len(b)); in += int64(binary.BigEndian.Uint32(b[in:])) {
			magic := binary.BigEndian.Uint32(b[in+4:])
			if magic == record.MagicBlank {
				break
			}
			if magic != record.MagicV1 && magic != record.MagicV2 || commitlog.StoreTimeOf(b[in:]) > ms {
				return at - at%s.segment + in, nil
			}
		}
		at += s.segment - at%s.segment
	}
}
