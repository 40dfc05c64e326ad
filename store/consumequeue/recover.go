package consumequeue

import (
	"fmt"
	"io"
	"sort"
	"strconv"

	"github.com/merlinmq/merlin/store/vfs"
)

const (
	scanBlock = 64 << 10 / EntrySize * EntrySize
	// firstBlock is read first: most queues of a large number are short.
	firstBlock = 4 << 10 / EntrySize * EntrySize
)

// list finds the files of the queue: the last unbroken run of them.
func (q *Queue) list(es []vfs.Entry) error {
	size := q.set.o.FileSize
	run := int64(0)
	for _, e := range es {
		base, err := strconv.ParseInt(e.Name, 10, 64)
		if err != nil || e.Dir || base < 0 || len(e.Name) != 20 {
			q.set.o.Logger.Warn("consumequeue: not a file of a queue, ignored", "dir", q.dir, "file", e.Name)
			continue
		}
		if err := q.checkSize(base, e.Size); err != nil {
			return err
		}
		if run > 0 && base == q.endFile {
			q.endFile += size
			run++
			continue
		}
		if run > 0 {
			q.set.o.Logger.Error("consumequeue: files are missing, earlier ones are not read",
				"dir", q.dir, "from", q.firstFile, "to", base)
			if q.short < base {
				q.short = -1
			}
		}
		q.firstFile, q.endFile, run = base, base+size, 1
	}
	return nil
}

// recover finds the end of the queue: entries must point ever further into the log.
// After a clean stop the last file is looked at, otherwise the last three, and what
// stands behind the end is wiped. A queue with a short file ends there.
func (q *Queue) recover(clean bool, s *tailScan) error {
	size := q.set.o.FileSize
	if q.firstFile == q.endFile {
		return nil
	}
	clean = clean && q.short < 0
	s.q, s.maxPhy, s.odd = q, 0, false
	base := q.endFile - size
	if !clean {
		base = max(q.firstFile, q.endFile-3*size)
	}
	if q.short >= 0 {
		base = max(q.firstFile, min(base, q.short-size))
	}
	end := base / EntrySize
	for ; base < q.endFile; base += size {
		n, err := s.file(base)
		if err != nil {
			return err
		}
		end = base/EntrySize + n
		if n < size/EntrySize {
			break
		}
	}
	q.tailAt = end
	q.max.Store(end)
	q.min.Store(q.firstFile / EntrySize)
	q.maxPhy, q.odd = s.maxPhy, s.odd
	if s.maxPhy == 0 && end > q.firstFile/EntrySize {
		// Nothing but the file before says where the log is known to.
		e, ok, err := q.Get(end - 1)
		if err != nil {
			return err
		}
		if ok && !e.Filler() {
			q.maxPhy = e.PhyOffset + int64(e.Size)
		}
	}
	if clean {
		return nil
	}
	if end == q.firstFile/EntrySize {
		return q.removeFiles() // not one entry survived
	}
	return q.cut(end)
}

type tailScan struct {
	q      *Queue
	maxPhy int64
	odd    bool // the last file ended at what is no entry
	buf    [scanBlock]byte
}

// file counts the entries at the start of one file.
func (s *tailScan) file(base int64) (int64, error) {
	h, err := s.q.set.files.get(s.q, base, false)
	if err != nil {
		return 0, fmt.Errorf("consumequeue: %w", err)
	}
	defer s.q.set.files.put(h)
	block := int64(firstBlock)
	for at := int64(0); at < s.q.set.o.FileSize; block = scanBlock {
		n, err := h.file.ReadAt(s.buf[:min(block, s.q.set.o.FileSize-at)], at)
		if err != nil && err != io.EOF {
			return 0, fmt.Errorf("consumequeue: read %s: %w", s.q.path(base), err)
		}
		if at == 0 && base == s.q.firstFile && n >= EntrySize {
			s.q.head = Parse(s.buf[:])
		}
		for i := 0; i+EntrySize <= n; i += EntrySize {
			if e := Parse(s.buf[i:]); !s.take(e) {
				s.odd = e != Entry{}
				return (at + int64(i)) / EntrySize, nil
			}
		}
		if n < EntrySize { // a file shorter than it should be
			return at / EntrySize, nil
		}
		at += int64(n / EntrySize * EntrySize)
	}
	return s.q.set.perFile(), nil
}

func (s *tailScan) take(e Entry) bool {
	if e.Filler() {
		return true
	}
	if e.Size <= 0 || e.PhyOffset < 0 || e.PhyOffset+int64(e.Size) < 0 || e.PhyOffset < s.maxPhy {
		return false
	}
	s.maxPhy = e.PhyOffset + int64(e.Size)
	return true
}

// cut makes end the end of the queue: what follows becomes zeros, later files go.
// REQUIRES: the tail is empty.
func (q *Queue) cut(end int64) error {
	defer q.rewrites.Add(1)
	size := q.set.o.FileSize
	keep := q.baseOf(end)
	if keep == end*EntrySize && keep > q.firstFile {
		keep -= size // the file before is full, an empty one behind it is not needed
	}
	for base := q.endFile - size; base > keep && base >= q.firstFile; base -= size {
		if err := q.removeFile(base); err != nil {
			return err
		}
		q.mu.Lock()
		q.endFile = base
		q.mu.Unlock()
	}
	if keep < q.endFile {
		h, err := q.set.files.get(q, keep, false)
		if err == nil {
			if err = h.file.Truncate(end*EntrySize - keep); err == nil {
				err = h.file.Truncate(size)
			}
			q.set.files.put(h)
		}
		if err != nil {
			return fmt.Errorf("consumequeue: cut %s: %w", q.path(keep), err)
		}
	}
	q.mu.Lock()
	q.tailAt = end
	q.tail = q.tail[:0]
	q.mu.Unlock()
	q.max.Store(end)
	return nil
}

// truncate removes the entries of records that end behind the end of the log.
func (q *Queue) truncate(logEnd int64) error {
	if q.maxPhy <= logEnd {
		return nil
	}
	end := q.Max()
	first := q.firstFile / EntrySize
	q.maxPhy = 0
	for end > first {
		e, ok, err := q.Get(end - 1)
		if err != nil {
			return err
		}
		if ok && e.Filler() {
			break
		}
		if ok && e.PhyOffset+int64(e.Size) <= logEnd {
			q.maxPhy = e.PhyOffset + int64(e.Size)
			break
		}
		end--
	}
	q.set.o.Logger.Warn("consumequeue: entries beyond the end of the log are removed",
		"topic", q.Topic, "queue", q.ID, "from", end, "to", q.Max())
	if end == first {
		return q.removeFiles()
	}
	return q.cut(end)
}

// correctMin moves Min to the first entry whose record begins at minPhy or later
// and deletes the files that lie wholly before it, but never the last one.
func (q *Queue) correctMin(minPhy int64) error {
	q.mu.Lock()
	first := q.firstFile / EntrySize
	q.mu.Unlock()
	from, to := max(q.Min(), first), q.Max()
	if from == first && from < to && q.head.Size > 0 && !q.head.Filler() && q.head.PhyOffset >= minPhy {
		q.min.Store(from)
		return nil // known since recovery
	}
	q.head = Entry{}
	if e, ok, err := q.Get(from); err != nil || ok && !e.Filler() && e.PhyOffset >= minPhy {
		q.min.Store(from)
		return err
	}
	var failed error
	n := sort.Search(int(to-from), func(i int) bool {
		e, ok, err := q.real(from + int64(i))
		if err != nil {
			failed = err
		}
		return ok && e.PhyOffset >= minPhy
	})
	if failed != nil {
		return failed
	}
	low := to
	if e, ok, err := q.real(from + int64(n)); err != nil {
		return err
	} else if ok {
		low = e.QueueOffset
	}
	q.min.Store(low)
	size := q.set.o.FileSize
	for {
		q.mu.Lock()
		base := q.firstFile
		del := base+size < q.endFile && base+size <= low*EntrySize && base+size <= q.tailAt*EntrySize
		if del {
			q.firstFile += size
		}
		q.mu.Unlock()
		if !del {
			return nil
		}
		if err := q.removeFile(base); err != nil {
			return err
		}
	}
}

// real gives the first entry at or behind an offset that stands for a message.
func (q *Queue) real(offset int64) (Entry, bool, error) {
	var raw [nextEntries * EntrySize]byte
	for n := 1; ; n = nextEntries { // as a rule it is the first one
		k, err := q.Read(raw[:n*EntrySize], offset)
		if err != nil || k == 0 {
			return Entry{}, false, err
		}
		for i := range k {
			if e := Parse(raw[i*EntrySize:]); !e.Filler() {
				e.QueueOffset = offset + int64(i)
				return e, true, nil
			}
		}
		offset += int64(k)
	}
}

// nextEntries is how many entries are read at a time where fillers stand.
const nextEntries = 256
