package consumequeue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/merlinmq/merlin/store/vfs"
)

// EntrySize is the size of one entry in bytes.
const EntrySize = 20

const (
	tailEntries = 64
	// fillerSize marks an entry that stands for no message.
	fillerSize = math.MaxInt32
)

// Entry is one entry of a queue.
type Entry struct {
	PhyOffset   int64
	Size        int32
	TagsCode    int64
	QueueOffset int64
}

// Filler says that the entry stands for no message.
func (e Entry) Filler() bool { return e.Size == fillerSize && e.PhyOffset == 0 }

// Parse reads the entry at the start of b.
func Parse(b []byte) Entry {
	return Entry{
		PhyOffset: int64(binary.BigEndian.Uint64(b)),
		Size:      int32(binary.BigEndian.Uint32(b[8:])),
		TagsCode:  int64(binary.BigEndian.Uint64(b[12:])),
	}
}

// Append appends the bytes of e to dst.
func (e Entry) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.PhyOffset))
	dst = binary.BigEndian.AppendUint32(dst, uint32(e.Size))
	return binary.BigEndian.AppendUint64(dst, uint64(e.TagsCode))
}

// Queue is one consume queue.
type Queue struct {
	Topic string
	ID    int32
	// Next is the queue offset of the next message that is appended to the log.
	// It belongs to the store, which guards it with its append lock.
	Next int64

	set    *Set
	dir    string
	serial uint32 // tells queues of the set apart
	// rewrites counts the changes of entries that were in a file already.
	rewrites atomic.Int64

	min     atomic.Int64 // first offset whose message is in the log
	max     atomic.Int64 // one after the last entry
	gone    atomic.Bool  // the topic was deleted
	maxPhy  int64        // end in the log of the last entry's record; dispatcher
	isDirty bool         // on the set's list of tails to write; dispatcher
	head    Entry        // of the first file, as recovery saw it; dispatcher
	// short is the first file that is not as long as it should be, -1 without one;
	// Open and Recover.
	short int64
	// odd says that the queue ended at something that is no entry and not blank
	// either; Recover.
	odd bool
	// doubt is a message that waits for the one behind it, when doubts says so; listed
	// says that the set knows. Replay.
	doubt          Entry
	doubts, listed bool

	mu sync.Mutex
	// tail holds the entries from tailAt on, which are not in the file yet. They
	// do not change until they are removed.
	tail   []byte
	tailAt int64
	// The files that exist start at firstFile, firstFile+size … below endFile.
	firstFile, endFile int64
}

// Min is the first offset that can be read.
func (q *Queue) Min() int64 { return q.min.Load() }

// Max is the offset that the next entry gets.
func (q *Queue) Max() int64 { return q.max.Load() }

// MaxPhy is where the record of the last entry ends in the log, 0 without one.
// REQUIRES: the dispatcher.
func (q *Queue) MaxPhy() int64 { return q.maxPhy }

// perFile is the number of entries of one file.
func (s *Set) perFile() int64 { return s.o.FileSize / EntrySize }

// NextFile is the first offset of the file after the one that offset lies in.
func (q *Queue) NextFile(offset int64) int64 {
	n := q.set.perFile()
	return offset - offset%n + n
}

// Files gives the first offset of each file that the queue has or, as far as
// entries wait in memory, will have.
func (q *Queue) Files() []int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	size := q.set.o.FileSize
	end := max(q.endFile, q.max.Load()*EntrySize)
	var out []int64
	for base := q.firstFile; base < end; base += size {
		out = append(out, base/EntrySize)
	}
	return out
}

func (q *Queue) path(base int64) string {
	return filepath.Join(q.dir, fmt.Sprintf("%020d", base))
}

func (q *Queue) baseOf(offset int64) int64 {
	b := offset * EntrySize
	return b - b%q.set.o.FileSize
}

// create makes a file in its full size, as a hole.
func (q *Queue) create(base int64) (vfs.File, error) {
	if err := q.set.o.FS.MkdirAll(q.dir); err != nil {
		return nil, err
	}
	f, err := q.set.o.FS.Open(q.path(base), vfs.Create)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(q.set.o.FileSize); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Read fills dst with whole entries from offset on, up to Max, and gives their
// number. An offset below the first file or beyond Max gives 0. An error means that
// the queue has more entries than could be read: a file cannot be read now, is
// missing, or is shorter than it should be.
func (q *Queue) Read(dst []byte, offset int64) (int, error) {
	want := int64(len(dst) / EntrySize)
	want = min(want, q.Max()-offset)
	done := int64(0)
	for done < want {
		n, err := q.readSome(dst[done*EntrySize:want*EntrySize], offset+done)
		if err != nil || n == 0 {
			return int(done), err
		}
		done += n
	}
	return int(max(done, 0)), nil
}

// readSome reads from the tail, or else from one file.
func (q *Queue) readSome(dst []byte, offset int64) (int64, error) {
	rewrites := q.rewrites.Load() // before the bounds, which a rewrite changes first
	q.mu.Lock()
	if offset >= q.tailAt {
		n := 0
		if in := (offset - q.tailAt) * EntrySize; in < int64(len(q.tail)) {
			n = copy(dst, q.tail[in:])
		}
		q.mu.Unlock()
		return int64(n) / EntrySize, nil
	}
	base := q.baseOf(offset)
	ok := base >= q.firstFile && base < q.endFile
	n := min(int64(len(dst)), (q.tailAt-offset)*EntrySize, base+q.set.o.FileSize-offset*EntrySize)
	r := blockRead{q: q, at: offset * EntrySize, base: base, end: q.tailAt * EntrySize, rewrites: rewrites}
	q.mu.Unlock()
	if !ok {
		return 0, nil
	}
	got, ok, err := q.set.blocks.read(r, dst[:n])
	if !ok && err == nil {
		got, err = q.readFile(dst[:n], base, r.at-base)
	}
	return int64(got) / EntrySize, err
}

// readFile fills dst from one file, or gives 0 when the file has left the queue
// meanwhile. What is asked for was written, so a missing or short file is an error.
func (q *Queue) readFile(dst []byte, base, at int64) (int, error) {
	h, err := q.set.files.get(q, base, false)
	if err == nil {
		err = vfs.ReadFull(h.file, dst, at)
		q.set.files.put(h)
	}
	switch {
	case err == nil:
		return len(dst), nil
	case !q.holds(base):
		return 0, nil
	}
	return 0, fmt.Errorf("consumequeue: read %d bytes of %s at %d: %w", len(dst), q.path(base), at, err)
}

// holds says whether the file that starts at base belongs to the queue still. A file
// is taken out of the bounds before it is deleted.
func (q *Queue) holds(base int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return base >= q.firstFile && base < q.endFile
}

// Get reads one entry; ok is false when there is none.
func (q *Queue) Get(offset int64) (e Entry, ok bool, err error) {
	var b [EntrySize]byte
	if offset < 0 {
		return e, false, nil
	}
	n, err := q.Read(b[:], offset)
	if n == 0 || err != nil {
		return e, false, err
	}
	e = Parse(b[:])
	e.QueueOffset = offset
	return e, true, nil
}

// MaxOffset bounds queue offsets; larger ones come from damaged records.
const MaxOffset = 1 << 56

// Put adds the entry of a message and says whether it is new. An entry whose
// record lies before the end of the last one is there already. When the offset
// does not follow, the log is right where it can be: offset 0 means that the
// topic was deleted and began again, an empty queue may begin anywhere, and a
// few missing entries leave a gap. Any other offset is a damaged one, and the
// message gets no entry. After an error nothing has changed and Put may be called
// again.
func (q *Queue) Put(e Entry) (bool, error) {
	if e.PhyOffset+int64(e.Size) <= q.maxPhy {
		return false, nil
	}
	if m := q.Max(); e.QueueOffset != m {
		if ok, err := q.jump(e, m); !ok || err != nil {
			return false, err
		}
	}
	q.mu.Lock()
	if q.tail == nil {
		q.tail = make([]byte, 0, 8*EntrySize) // grows to the full tail in busy queues only
	}
	q.tail = e.Append(q.tail)
	q.mu.Unlock()
	q.maxPhy = e.PhyOffset + int64(e.Size)
	q.max.Store(e.QueueOffset + 1)
	if !q.isDirty {
		q.isDirty = true
		q.set.dirty = append(q.set.dirty, q)
	}
	return true, nil
}

// Repair overwrites an entry that is in the queue. REQUIRES: the dispatcher.
func (q *Queue) Repair(e Entry) error {
	if err := q.WriteTail(); err != nil {
		return err
	}
	defer q.rewrites.Add(1)
	return q.write(e.Append(nil), e.QueueOffset)
}

// TailFull says that it is time for WriteTail. REQUIRES: the dispatcher.
func (q *Queue) TailFull() bool { return len(q.tail) >= tailEntries*EntrySize }

// jump makes the queue ready for an entry that does not follow; false refuses it.
func (q *Queue) jump(e Entry, at int64) (bool, error) {
	log := q.set.o.Logger.With("topic", q.Topic, "queue", q.ID, "end", at, "offset", e.QueueOffset, "log", e.PhyOffset)
	switch {
	case e.QueueOffset < 0 || e.QueueOffset > MaxOffset:
		log.Error("consumequeue: impossible queue offset, the message is left out")
		return false, nil
	case at == 0:
		return true, q.startAt(e.QueueOffset)
	case e.QueueOffset == 0:
		log.Warn("consumequeue: the queue starts again")
		if err := q.removeFiles(); err != nil {
			return false, err
		}
		return true, q.startAt(0)
	case e.QueueOffset > at && e.QueueOffset-at <= q.set.perFile():
		log.Error("consumequeue: entries are missing")
		return true, q.fillGap(at, e.QueueOffset)
	}
	log.Error("consumequeue: the queue offset does not follow, the message is left out")
	return false, nil
}

// Pad lets a queue go on at an offset, with entries that stand for no message in place
// of those that it lacks; phy is where the record of the last of them ended in the log.
// A queue that has come so far stays as it is. REQUIRES: the dispatcher.
func (q *Queue) Pad(to, phy int64) error {
	at := q.Max()
	if at >= to || to > MaxOffset {
		return nil
	}
	var err error
	if at == 0 {
		err = q.startBehind(to)
	} else {
		err = q.fillGap(at, to)
	}
	if err == nil {
		q.maxPhy = max(q.maxPhy, phy)
	}
	return err
}

// startBehind begins an empty queue at offset, with an entry before it in a file: an
// offset that nothing on the disk tells is given out again.
func (q *Queue) startBehind(offset int64) error {
	if q.baseOf(offset) == offset*EntrySize { // the file before is full
		if err := q.startAt(offset - 1); err != nil {
			return err
		}
		return q.fillGap(offset-1, offset)
	}
	return q.startAt(offset)
}

// fillGap writes filler entries into a queue that has entries before them.
func (q *Queue) fillGap(from, to int64) error {
	if err := q.WriteTail(); err != nil {
		return err
	}
	if err := q.writeFillers(from, to); err != nil {
		return err
	}
	q.mu.Lock()
	q.tailAt = to
	q.mu.Unlock()
	q.max.Store(to)
	return nil
}

// startAt begins an empty queue at offset.
func (q *Queue) startAt(offset int64) error {
	base := q.baseOf(offset)
	q.mu.Lock()
	q.firstFile, q.endFile, q.tailAt = base, base, offset
	q.tail = q.tail[:0]
	q.mu.Unlock()
	if err := q.writeFillers(base/EntrySize, offset); err != nil {
		return err
	}
	q.min.Store(offset)
	q.max.Store(offset)
	return nil
}

func (q *Queue) writeFillers(from, to int64) error {
	if from == to {
		return nil
	}
	const atOnce = 4096
	b := make([]byte, 0, min(to-from, atOnce)*EntrySize)
	for from < to {
		b = b[:0]
		for i := from; i < to && i-from < atOnce; i++ {
			b = Entry{Size: fillerSize}.Append(b)
		}
		if err := q.write(b, from); err != nil {
			return err
		}
		from += int64(len(b) / EntrySize)
	}
	return nil
}

// WriteTail writes the entries that wait in memory. After an error they still
// wait. REQUIRES: the dispatcher.
func (q *Queue) WriteTail() error {
	q.mu.Lock()
	b, at := q.tail, q.tailAt
	q.mu.Unlock()
	if len(b) == 0 {
		return nil
	}
	if !q.gone.Load() {
		if err := q.write(b, at); err != nil {
			return err
		}
	}
	q.mu.Lock()
	q.tail = q.tail[:0]
	q.tailAt = at + int64(len(b)/EntrySize)
	q.mu.Unlock()
	return nil
}

// write puts entries into the files from offset on.
func (q *Queue) write(b []byte, offset int64) error {
	for len(b) > 0 {
		base := q.baseOf(offset)
		in := offset*EntrySize - base
		n := min(int64(len(b)), q.set.o.FileSize-in)
		h, err := q.set.files.get(q, base, true)
		if err == nil {
			_, err = h.file.WriteAt(b[:n], in)
			q.set.files.put(h)
		}
		if err != nil {
			return fmt.Errorf("consumequeue: write %s: %w", q.path(base), err)
		}
		q.mu.Lock()
		q.endFile = max(q.endFile, base+q.set.o.FileSize)
		q.mu.Unlock()
		b = b[n:]
		offset += n / EntrySize
	}
	return nil
}

// removeFiles deletes what the queue has on disk and in memory.
func (q *Queue) removeFiles() error {
	defer q.rewrites.Add(1)
	q.mu.Lock()
	first, end := q.firstFile, q.endFile
	q.firstFile, q.endFile, q.tailAt = 0, 0, 0
	q.tail = q.tail[:0]
	q.mu.Unlock()
	q.min.Store(0)
	q.max.Store(0)
	q.maxPhy, q.head = 0, Entry{}
	for base := first; base < end; base += q.set.o.FileSize {
		if err := q.removeFile(base); err != nil {
			return err
		}
	}
	return nil
}

func (q *Queue) removeFile(base int64) error {
	q.set.files.forget(q, base)
	if err := q.set.o.FS.Remove(q.path(base)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("consumequeue: delete: %w", err)
	}
	return nil
}
