package index

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"

	"github.com/merlinmq/merlin/compat/offheap"
	"github.com/merlinmq/merlin/store/vfs"
)

const (
	headerSize  = 40
	slotSize    = 4
	entrySize   = 20
	pageSlots   = 1024 // slots of one page of 4 KiB
	bufferBytes = 64 << 10 / entrySize * entrySize
	// maxWalk bounds the entries one query looks at in one file.
	maxWalk = 1 << 20
)

type header struct {
	beginTime, endTime int64
	beginPhy, endPhy   int64
	usedSlots, count   int32
}

func (h *header) decode(b []byte) {
	be := binary.BigEndian
	h.beginTime, h.endTime = int64(be.Uint64(b)), int64(be.Uint64(b[8:]))
	h.beginPhy, h.endPhy = int64(be.Uint64(b[16:])), int64(be.Uint64(b[24:]))
	h.usedSlots, h.count = int32(be.Uint32(b[32:])), int32(be.Uint32(b[36:]))
}

func (h *header) encode() []byte {
	be := binary.BigEndian
	b := make([]byte, 0, headerSize)
	b = be.AppendUint64(be.AppendUint64(b, uint64(h.beginTime)), uint64(h.endTime))
	b = be.AppendUint64(be.AppendUint64(b, uint64(h.beginPhy)), uint64(h.endPhy))
	return be.AppendUint32(be.AppendUint32(b, uint32(h.usedSlots)), uint32(h.count))
}

type entry struct {
	hash int32
	phy  int64
	diff int32 // seconds
	prev int32
}

func parseEntry(b []byte) entry {
	be := binary.BigEndian
	return entry{int32(be.Uint32(b)), int64(be.Uint64(b[4:])), int32(be.Uint32(b[12:])), int32(be.Uint32(b[16:]))}
}

func (e entry) append(b []byte) []byte {
	be := binary.BigEndian
	b = be.AppendUint64(be.AppendUint32(b, uint32(e.hash)), uint64(e.phy))
	return be.AppendUint32(be.AppendUint32(b, uint32(e.diff)), uint32(e.prev))
}

// file is one index file.
type file struct {
	path           string
	name           int64
	f              vfs.File
	slotNum, limit int32

	mu  sync.RWMutex
	hdr header
	// slots is the slot table while the file is written, nil otherwise; pages
	// marks what of it differs from the disk. The table is memory of offheap.
	slots []int32
	pages []bool
	// buf holds the entries from bufAt on, which are not in the file yet.
	buf   []byte
	bufAt int32
	// committed is the count of the header on the disk.
	committed atomic.Int32
	// odd says why the header cannot be right, empty when it can; until check.
	odd string
	// told says that a query has met damage in the file and reported it.
	told atomic.Bool
}

func (f *file) size() int64 { return fileSize(f.slotNum, f.limit) }

func fileSize(slots, entries int32) int64 {
	return headerSize + int64(slots)*slotSize + int64(entries)*entrySize
}

func (f *file) entryPos(n int32) int64 {
	return headerSize + int64(f.slotNum)*slotSize + int64(n)*entrySize
}

func (f *file) readHeader() error {
	var b [headerSize]byte
	if err := vfs.ReadFull(f.f, b[:], 0); err != nil {
		return fmt.Errorf("index: header of %s: %w", f.path, err)
	}
	f.hdr.decode(b[:])
	if h := &f.hdr; h.beginTime < 0 || h.endTime < 0 || h.beginPhy < 0 || h.endPhy < h.beginPhy || h.count < 0 || h.count > f.limit {
		f.odd = fmt.Sprintf("its header cannot be right: %+v", *h)
		*h = header{} // damaged: the file counts as empty
	}
	f.hdr.count = min(max(f.hdr.count, 1), f.limit)
	f.bufAt = f.hdr.count
	f.committed.Store(f.hdr.count)
	return nil
}

// full says that no further entry fits.
func (f *file) full() bool { return f.hdr.count >= f.limit }

// loadSlots brings the slot table into memory, from the disk.
func (f *file) loadSlots() error {
	slots := offheap.Int32s(int(f.slotNum))
	b := make([]byte, pageSlots*slotSize*16)
	for at := int32(0); at < f.slotNum; {
		n := min(int32(len(b)/slotSize), f.slotNum-at)
		if err := vfs.ReadFull(f.f, b[:n*slotSize], headerSize+int64(at)*slotSize); err != nil {
			offheap.FreeInt32s(slots)
			return fmt.Errorf("index: slots of %s: %w", f.path, err)
		}
		for i := range n {
			if v := int32(binary.BigEndian.Uint32(b[i*slotSize:])); v > 0 && v < f.hdr.count {
				slots[at+i] = v
			}
		}
		at += n
	}
	f.setSlots(slots)
	return nil
}

// setSlots takes over a slot table; that of before goes.
func (f *file) setSlots(slots []int32) {
	f.mu.Lock()
	old := f.slots
	f.slots = slots
	f.pages = make([]bool, (f.slotNum+pageSlots-1)/pageSlots)
	f.mu.Unlock()
	offheap.FreeInt32s(old)
}

// dropSlots forgets what only a file that is written needs.
func (f *file) dropSlots() {
	f.mu.Lock()
	old := f.slots
	f.slots, f.pages, f.buf = nil, nil, nil
	f.mu.Unlock()
	offheap.FreeInt32s(old) // readers look at it under the lock only
}

// put adds an entry in memory. REQUIRES: the dispatcher, slots loaded, not full.
func (f *file) put(hash int32, phy, storeTime int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := &f.hdr
	slot := hash % f.slotNum
	e := entry{hash: hash, phy: phy, diff: h.seconds(storeTime), prev: f.slots[slot]}
	if f.buf == nil {
		f.buf = make([]byte, 0, bufferBytes)
	}
	f.buf = e.append(f.buf)
	f.slots[slot] = h.count
	f.pages[slot/pageSlots] = true
	if h.count <= 1 {
		h.beginPhy, h.beginTime = phy, storeTime
	}
	if e.prev == 0 {
		h.usedSlots++
	}
	h.count++
	h.endPhy, h.endTime = phy, storeTime
}

// seconds is the time field of an entry. The first entry of a file measures from
// what the file began with, as in Java.
func (h *header) seconds(storeTime int64) int32 {
	if h.beginTime <= 0 {
		return 0
	}
	return int32(min(max((storeTime-h.beginTime)/1000, 0), math.MaxInt32))
}

// writeEntries writes the entries that wait. REQUIRES: the dispatcher.
func (f *file) writeEntries() error {
	b, at := f.buf, f.bufAt
	if len(b) == 0 {
		return nil
	}
	if _, err := f.f.WriteAt(b, f.entryPos(at)); err != nil {
		return fmt.Errorf("index: write %s: %w", f.path, err)
	}
	f.mu.Lock()
	f.bufAt = at + int32(len(b)/entrySize)
	f.buf = f.buf[:0]
	f.mu.Unlock()
	return nil
}

// writeSlots writes the pages of the slot table that changed. REQUIRES: the
// dispatcher, which alone changes slots and pages.
func (f *file) writeSlots() error {
	if f.slots == nil {
		return nil
	}
	b := make([]byte, 0, 64*pageSlots*slotSize)
	for p := 0; p < len(f.pages); {
		if !f.pages[p] {
			p++
			continue
		}
		first := p
		b = b[:0]
		for ; p < len(f.pages) && f.pages[p] && len(b) < cap(b); p++ {
			for _, v := range f.slots[p*pageSlots : min((p+1)*pageSlots, len(f.slots))] {
				b = binary.BigEndian.AppendUint32(b, uint32(v))
			}
		}
		if _, err := f.f.WriteAt(b, headerSize+int64(first)*pageSlots*slotSize); err != nil {
			return fmt.Errorf("index: write %s: %w", f.path, err)
		}
		f.mu.Lock()
		clear(f.pages[first:p])
		f.mu.Unlock()
	}
	return nil
}

// slot gives the newest entry of a hash and the header of that moment.
func (f *file) slot(hash int32) (int32, header, error) {
	f.mu.RLock()
	h := f.hdr
	if f.slots != nil {
		v := f.slots[hash%f.slotNum]
		f.mu.RUnlock()
		return v, h, nil
	}
	f.mu.RUnlock()
	var b [slotSize]byte
	if err := vfs.ReadFull(f.f, b[:], headerSize+int64(hash%f.slotNum)*slotSize); err != nil {
		return 0, h, fmt.Errorf("index: slot of %s: %w", f.path, err)
	}
	return int32(binary.BigEndian.Uint32(b[:])), h, nil
}

func (f *file) entry(n int32) (entry, error) {
	f.mu.RLock()
	if n >= f.bufAt {
		defer f.mu.RUnlock()
		if in := int(n-f.bufAt) * entrySize; in+entrySize <= len(f.buf) {
			return parseEntry(f.buf[in:]), nil
		}
		return entry{}, nil
	}
	f.mu.RUnlock()
	var b [entrySize]byte
	if err := vfs.ReadFull(f.f, b[:], f.entryPos(n)); err != nil {
		return entry{}, fmt.Errorf("index: entry %d of %s: %w", n, f.path, err)
	}
	return parseEntry(b[:]), nil
}

// matches says whether the file may hold messages of the time window.
func (h *header) matches(begin, end int64) bool {
	return begin < h.beginTime && end > h.endTime ||
		begin >= h.beginTime && begin <= h.endTime ||
		end >= h.beginTime && end <= h.endTime
}

// query appends the log offsets of a hash inside the window, newest first.
func (f *file) query(log *slog.Logger, out []int64, hash int32, limit int, begin, end int64) ([]int64, error) {
	n, h, err := f.slot(hash)
	if err != nil {
		return out, err
	}
	for walked := 0; n > 0 && n < h.count && len(out) < limit && walked < maxWalk; walked++ {
		e, err := f.entry(n)
		if err != nil {
			return out, err
		}
		if e.diff < 0 || e.hash%f.slotNum != hash%f.slotNum || e.prev < 0 || e.phy < 0 {
			f.damaged(log, n)
			break
		}
		at := h.beginTime + int64(e.diff)*1000
		if e.hash == hash && at >= begin && at <= end {
			out = append(out, e.phy)
		}
		if e.prev >= n || at < begin {
			break
		}
		n = e.prev
	}
	return out, nil
}

// damaged reports an entry that cannot be right, once.
func (f *file) damaged(log *slog.Logger, n int32) {
	if !f.told.Swap(true) {
		log.Error("index: the file is damaged, keys in it are not found", "file", f.path, "entry", n)
	}
}

// has says whether the record at phy is indexed under hash, looking only at the
// newest entries of the slot.
func (f *file) has(hash int32, phy int64) (bool, error) {
	n, h, err := f.slot(hash)
	for err == nil && n > 0 && n < h.count {
		var e entry
		if e, err = f.entry(n); err != nil {
			break
		}
		if e.phy < phy || e.prev >= n {
			return e.phy == phy && e.hash == hash, nil
		}
		if e.hash == hash && e.phy == phy {
			return true, nil
		}
		n = e.prev
	}
	return false, err
}

// verify reads the entries that the header counts, cuts them off at the first
// one that cannot be right, and makes the slot table from the rest.
func (f *file) verify(logEnd int64) error {
	slots := offheap.Int32s(int(f.slotNum))
	b := make([]byte, bufferBytes)
	h := f.hdr
	h.usedSlots, h.endPhy = 0, 0
	n, last := int32(1), entry{}
scan:
	for n < h.count {
		k := min(int32(bufferBytes/entrySize), h.count-n)
		if err := vfs.ReadFull(f.f, b[:k*entrySize], f.entryPos(n)); err != nil {
			offheap.FreeInt32s(slots)
			return fmt.Errorf("index: entries of %s: %w", f.path, err)
		}
		for i := range k {
			e := parseEntry(b[i*entrySize:])
			if e.hash < 0 || e.diff < 0 || e.phy < last.phy || e.phy >= logEnd || e.prev != slots[e.hash%f.slotNum] ||
				e == (entry{}) && n+i > 1 {
				n += i
				break scan
			}
			if e.prev == 0 {
				h.usedSlots++
			}
			slots[e.hash%f.slotNum] = n + i
			last = e
		}
		n += k
	}
	h.endPhy = last.phy
	if n < h.count {
		h.endTime = h.beginTime + int64(last.diff)*1000 + 999
	}
	h.count = n
	f.setSlots(slots)
	for i := range f.pages {
		f.pages[i] = true
	}
	f.hdr, f.bufAt = h, n
	return nil
}
