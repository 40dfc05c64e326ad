package consumequeue

import "fmt"

// SizeError says that a file of a queue was written with another file size than the
// one that is set. Reading it in steps of the wrong size would hide entries and give
// queue offsets out twice.
type SizeError struct {
	File string
	Size int64 // bytes
	Want int64 // bytes, the setting
}

// Error implements error.
func (e *SizeError) Error() string {
	return fmt.Sprintf("consumequeue: %s has %d bytes and mappedFileSizeConsumeQueue is %d: set it to the value that the store was "+
		"written with; if the file was damaged, delete the directory consumequeue, which is built again from the commit log",
		e.File, e.Size, e.Want)
}

// checkSize looks at the name and the size of a file. A file that is too short is
// noted: it may be a damaged one, which checkShort decides.
func (q *Queue) checkSize(base, size int64) error {
	want := q.set.o.FileSize
	if base%want == 0 && size == want {
		q.set.whole++
		return nil
	}
	written := q.set.o.WrittenSize
	if base%want != 0 || size > want || written != 0 && written != want {
		return &SizeError{q.path(base), size, want}
	}
	if q.short < 0 {
		q.short = base
	}
	if size > 0 && q.set.odd == nil {
		q.set.odd = &SizeError{q.path(base), size, want}
	}
	return nil
}

// checkShort decides what short files mean. When the setting is known to be that of
// the files, or other files have its size, they are damaged; an empty one is what a
// crash leaves. Otherwise the setting is wrong.
func (s *Set) checkShort() error {
	if s.odd != nil && s.whole == 0 && s.o.WrittenSize != s.o.FileSize {
		return s.odd
	}
	return nil
}

// Short lists the queues of which a file is shorter than it should be. They lack
// entries from there on, which the log has. They are listed once Recover has run.
func (s *Set) Short() []*Queue {
	var out []*Queue
	for _, q := range s.Queues() {
		if q.short >= 0 {
			out = append(out, q)
		}
	}
	return out
}

// ShortFile is the path of the first short file, empty without one.
func (q *Queue) ShortFile() string {
	if q.short < 0 {
		return ""
	}
	return q.path(q.short)
}

// Odd says that the queue ended at something that is no entry and not blank either.
// It is known once Recover has run.
func (q *Queue) Odd() bool { return q.odd }

// Bury removes the entries of records that lie before a place of the log: they are
// of a life of the queue that was deleted. It gives the number of entries that went.
// REQUIRES: the dispatcher, before anything is put.
func (s *Set) Bury(q *Queue, before int64) (int64, error) {
	from, to := q.firstFile/EntrySize, q.Max()
	n, lives := from, false
	for ; n < to; n++ { // the entries of the newest life come first, then what is left
		e, ok, err := q.Get(n)
		if err != nil {
			return 0, err
		}
		if !ok || !e.Filler() && e.PhyOffset < before {
			break
		}
		lives = lives || !e.Filler()
		if n == from && !e.Filler() {
			last, ok, err := q.Get(to - 1)
			if err != nil {
				return 0, err
			}
			if ok && !last.Filler() && last.PhyOffset >= before {
				return 0, nil
			}
		}
	}
	if n == to {
		return 0, nil
	}
	if !lives {
		n = from // what stands before the first message of a life is part of it
	}
	return to - n, s.Rewind(q, n)
}

// Rewind takes off the entries from a queue offset on, so that they are put again; a
// queue that ends before loses nothing. REQUIRES: the dispatcher, before anything is
// put.
func (s *Set) Rewind(q *Queue, end int64) error {
	if end = min(end, q.Max()); end <= q.firstFile/EntrySize {
		return q.removeFiles()
	}
	q.maxPhy = 0
	e, ok, err := q.Get(end - 1)
	if err != nil {
		return err
	}
	if ok && !e.Filler() {
		q.maxPhy = e.PhyOffset + int64(e.Size)
	}
	return q.cut(end)
}
