package commitlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/vfs"
)

// Cut makes end the end of the log: the rest of its segment becomes zeros, and
// writing goes on there. What stands in that rest is copied to the directory Aside, and
// later segments are moved there, unless nothing was ever written to them. REQUIRES:
// the appender, nobody reads.
func (l *Log) Cut(end int64) error {
	segs := *l.segs.Load()
	keep := slices.IndexFunc(segs, func(s *segment) bool { return s.base > end })
	if keep < 0 {
		keep = len(segs)
	}
	// One after the other from the end, so that a crash in between leaves no gap;
	// and for good before the segment is shortened: only the last one may ever be
	// found short.
	for i := len(segs) - 1; i >= keep; i-- {
		err := l.putAside(segs[i])
		if err == nil {
			err = l.o.FS.SyncDir(l.o.Dir)
		}
		if err != nil {
			return fmt.Errorf("commitlog: cut: %w", err)
		}
		segs[i].release()
	}
	kept := slices.Clone(segs[:keep])
	l.segs.Store(&kept)
	l.cur = nil
	if keep > 0 && end < kept[keep-1].base+l.o.SegmentSize {
		l.cur = kept[keep-1]
		f, err := l.cur.open()
		if err == nil {
			err = l.keepRest(f, end)
		}
		if err == nil {
			err = f.Truncate(end - l.cur.base)
		}
		if err == nil {
			err = f.Allocate(l.o.SegmentSize)
		}
		if err == nil {
			err = f.Sync()
		}
		if err != nil {
			return fmt.Errorf("commitlog: cut %s at %d: %w", l.cur.path, end, err)
		}
	}
	l.pos = end
	l.max.Store(end)
	l.flushed.Store(end)
	return nil
}

// putAside takes a segment out of the log's directory: one that holds something
// into Aside, under a name that no broker takes for a segment.
func (l *Log) putAside(s *segment) error {
	head := make([]byte, min(scanBuffer, s.size)) // nothing was written, or it begins here
	f, err := s.open()
	if err == nil {
		err = vfs.ReadFull(f, head, 0)
	}
	if err != nil {
		return err
	}
	if len(bytes.Trim(head, "\x00")) == 0 || l.o.Aside == "" {
		return l.o.FS.Remove(s.path)
	}
	to, err := l.asideName(FileName(s.base))
	if err != nil {
		return err
	}
	err = l.o.FS.Rename(s.path, to)
	if errors.Is(err, syscall.EXDEV) { // another disk
		if err = copyFile(l.o.FS, io.NewSectionReader(f, 0, s.size), to); err == nil {
			err = l.o.FS.Remove(s.path)
		}
	}
	if err == nil {
		err = l.o.FS.SyncDir(l.o.Aside)
	}
	if err != nil {
		return err
	}
	l.o.Logger.Warn("commitlog: a file behind the end of the log is put aside, it can be deleted",
		"file", s.path, "to", to, "offset", s.base, "size", s.size)
	return nil
}

// asideName is a name in Aside that nothing has yet.
func (l *Log) asideName(name string) (to string, err error) {
	if err := vfs.MkdirDurable(l.o.FS, l.o.Aside); err != nil {
		return "", err
	}
	for n := 1; to == "" || vfs.Exists(l.o.FS, to); n++ {
		to = filepath.Join(l.o.Aside, name+"."+strconv.Itoa(n))
	}
	return to, nil
}

// keepRest copies what stands behind end in its segment f to Aside: it was not written
// whole, or rotted, but others may make something of it. Whether anything was written
// there is looked for in the first MiB only, because the rest of a segment is long and
// blank as a rule. Where nothing can be put aside, for want of room or of permission, the
// log is cut all the same: a start is not refused for what was torn.
func (l *Log) keepRest(f io.ReaderAt, end int64) error {
	base := l.SegmentOf(end)
	b := make([]byte, min(scanBuffer, base+l.o.SegmentSize-end))
	n, err := f.ReadAt(b, end-base)
	if err != nil && err != io.EOF { // a short file is completed
		return err
	}
	if l.o.Aside == "" || len(bytes.Trim(b[:n], "\x00")) == 0 {
		return nil
	}
	size := int64(0)
	for at := end - base; at < l.o.SegmentSize && err == nil; at += int64(n) {
		n, err = f.ReadAt(b[:min(int64(len(b)), l.o.SegmentSize-at)], at)
		if k := len(bytes.TrimRight(b[:n], "\x00")); k > 0 {
			size = at + int64(k) - (end - base)
		}
	}
	if err != nil && err != io.EOF {
		return err
	}
	path := filepath.Join(l.o.Dir, FileName(base))
	to, err := l.asideName(FileName(base) + "-" + strconv.FormatInt(end-base, 10))
	if err == nil {
		if err = copyFile(l.o.FS, io.NewSectionReader(f, end-base, size), to); err == nil {
			err = l.o.FS.SyncDir(l.o.Aside)
		}
	}
	if cannotKeep(err) {
		l.o.Logger.Error("commitlog: what stands behind the end of the log is deleted, because it cannot be put aside",
			"dir", l.o.Aside, "file", path, "at", end-base, "offset", end, "size", size, "err", err)
		if to == "" {
			return nil
		}
		if err = l.o.FS.Remove(to); errors.Is(err, fs.ErrNotExist) || cannotKeep(err) {
			err = nil
		}
		return err
	}
	if err == nil {
		l.o.Logger.Warn("commitlog: what stands behind the end of the log is put aside, it can be deleted",
			"file", path, "at", end-base, "offset", end, "size", size, "to", to)
	}
	return err
}

// cannotKeep says of an error that a directory takes no file, now or ever.
func cannotKeep(err error) bool {
	for _, e := range [...]error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, fs.ErrPermission} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func copyFile(fs vfs.FS, from *io.SectionReader, to string) error {
	f, err := fs.Open(to, vfs.Create)
	if err != nil {
		return err
	}
	b := make([]byte, scanBuffer)
	for at := int64(0); at < from.Size() && err == nil; at += int64(len(b)) {
		b = b[:min(int64(len(b)), from.Size()-at)]
		if err = vfs.ReadFull(from, b, at); err == nil {
			_, err = f.WriteAt(b, at)
		}
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Fitting is what the log says about a floor.
type Fitting uint8

// Fittings.
const (
	// Fits: a whole record ends at the floor.
	Fits Fitting = iota
	// Contradicts: something whole stands there that does not end at the floor, which is
	// another log's.
	Contradicts
	// Nothing: nothing that looks like a record stands there.
	Nothing
	// Unclear: what should end at the floor is damaged.
	Unclear
)

// Fit says whether the log can be one in which the record before floor begins at
// last (-1: there is none), and of which something else knows up to known.
func (l *Log) Fit(last, floor, known int64) (Fitting, error) {
	first := l.Min()
	if floor <= first {
		return Fits, nil // of what expired nothing is known
	}
	s := scanner{l: l, crc: true, ours: math.MaxInt64, buf: make([]byte, 4096)}
	if base := floor - l.o.SegmentSize; base >= 0 && l.SegmentOf(base) == base && !l.absent(base) {
		_, _, err := s.at(base)
		if err != nil {
			return Unclear, err
		}
		if s.blank {
			return Fits, nil // a file that was missing and made again
		}
	}
	if last < first || last >= floor {
		return Contradicts, nil
	}
	if l.absent(l.SegmentOf(last)) {
		if known > l.SegmentOf(last) {
			return Fits, nil // the files of the end are missing
		}
		return Nothing, nil
	}
	n, _, err := s.at(last)
	if err != nil {
		return Unclear, err
	}
	if n == 0 || s.blank {
		return s.unclear(last, floor)
	}
	end := last + int64(n)
	if end == floor {
		return Fits, nil
	}
	if l.SegmentOf(end)+l.o.SegmentSize != floor {
		return Contradicts, nil
	}
	if _, _, err = s.at(end); err != nil || s.blank {
		return Fits, err
	}
	return Unclear, nil // the blank record may be damaged
}

// WrittenTo says whether what was written before an offset ends there, as far as bytes
// tell that are no record: something is there before, nothing behind.
func (l *Log) WrittenTo(end int64) (bool, error) {
	var before, behind [BlankSize]byte
	if end < l.Min()+BlankSize || l.absent(end-BlankSize) {
		return false, nil
	}
	if err := l.read(before[:min(BlankSize, end-l.SegmentOf(end-1))], max(end-BlankSize, l.SegmentOf(end-1))); err != nil {
		return false, err
	}
	if !l.absent(end) {
		if err := l.read(behind[:], end); err != nil {
			return false, err
		}
	}
	return before != [BlankSize]byte{} && behind == [BlankSize]byte{}, nil
}

// unclear looks at a place at which no whole record begins. One may have stood there
// when a part of its head says so, or when one begins at the floor.
func (s *scanner) unclear(last, floor int64) (Fitting, error) {
	end := s.l.SegmentOf(last) + s.l.o.SegmentSize
	if s.blank || end-last < MinRecord {
		return Nothing, nil
	}
	head, err := s.bytes(last, MinRecord, end)
	if err != nil {
		return Unclear, err
	}
	size := int64(binary.BigEndian.Uint32(head))
	if isRecord(head) || PhyOffsetOf(head) == last && last > 0 || size == floor-last {
		return Unclear, nil
	}
	if s.l.absent(floor) {
		return Nothing, nil
	}
	if n, _, err := s.at(floor); err != nil || n > 0 && !s.blank {
		return Unclear, err
	}
	return Nothing, nil
}

// Restore makes the segments that are missing up to end, which the log had. Each
// holds nothing but a blank record: readers find nothing there, and the offsets are
// not given out again. It gives end, or what lies behind it when it falls into a
// segment that was restored. REQUIRES: the appender, before Scan.
func (l *Log) Restore(end int64) (int64, error) {
	segs := slices.Clone(*l.segs.Load())
	for n := len(segs); n > 0 && segs[n-1].base+l.o.SegmentSize < end; n++ {
		if segs[n-1].base+maxMissing*l.o.SegmentSize < end {
			return end, &CorruptError{File: segs[n-1].path, Offset: segs[n-1].base, Reason: fmt.Sprintf(
				"it is the last file, and the log went up to %d", end)}
		}
		s, err := l.restore(segs[n-1].base + l.o.SegmentSize)
		if err != nil {
			return end, err
		}
		segs = append(segs, s)
	}
	l.segs.Store(&segs)
	// An earlier start may have been interrupted behind this.
	s := scanner{l: l, ours: math.MaxInt64, buf: make([]byte, BlankSize)}
	base := l.SegmentOf(end)
	if l.absent(base) {
		return end, nil
	}
	if _, _, err := s.at(base); err != nil {
		return end, err
	}
	if s.blank {
		return base + l.o.SegmentSize, nil
	}
	return end, nil
}

// restore makes the segment at base, with one blank record.
func (l *Log) restore(base int64) (*segment, error) {
	s := newSegment(l.o.FS, l.o.Dir, base, l.o.SegmentSize)
	f, err := l.o.FS.Open(s.path, vfs.Create)
	if err == nil {
		var blank [BlankSize]byte
		binary.BigEndian.PutUint32(blank[:], uint32(s.size))
		binary.BigEndian.PutUint32(blank[4:], message.MagicBlank)
		s.setLocked(f)
		if _, err = f.WriteAt(blank[:], 0); err == nil {
			err = f.Truncate(s.size) // a hole: it takes no room
		}
		if err == nil {
			err = f.Sync()
		}
		if err == nil {
			err = l.o.FS.SyncDir(l.o.Dir)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("commitlog: restore %s: %w", s.path, err)
	}
	l.o.Logger.Error("commitlog: a file of the log is missing, its messages are lost; it is made again without them",
		"file", s.path, "offset", s.base, "bytes", s.size)
	return s, nil
}
