package store

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"time"

	"github.com/merlinmq/merlin/store/vfs"
)

// The files of Java's timer messages: the wheel has slots of 32 bytes, timercheck
// begins with the time up to which slots were delivered (ms), the flushed position of
// the timer log, and the queue offset up to which the queue was read into the wheel.
const (
	timerTopic     = "rmq_sys_wheel_timer"
	timerSlot      = 32
	timerPrecision = 1000 // ms, timerPrecisionMs
	timerReadSlots = 32 << 10
)

// PendingTimers is what a Java broker left of timer messages.
type PendingTimers struct {
	// Wheel is the number of messages that wait in slots of its wheel.
	Wheel int64
	// Unread is the number of messages that it has not put there yet.
	Unread int64
	// First and Last are the times of delivery (ms) of those in the wheel, 0 when
	// there are none.
	First, Last int64
}

// pendingTimers counts the timer messages that nobody delivers.
func (s *Store) pendingTimers() (PendingTimers, error) {
	var p PendingTimers
	low, high := s.MinOffset(timerTopic, 0), s.MaxOffset(timerTopic, 0)
	if low == high {
		return p, nil
	}
	check, err := vfs.ReadFile(s.fs, s.path("config/timercheck"))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(check) < 24 {
		p.Unread = high - low
		return p, nil
	}
	if err != nil {
		return p, err
	}
	delivered := int64(binary.BigEndian.Uint64(check))
	p.Unread = high - min(max(int64(binary.BigEndian.Uint64(check[16:])), low), high)
	return p, s.readWheel(&p, delivered)
}

func (s *Store) readWheel(p *PendingTimers, delivered int64) error {
	f, err := s.fs.Open(s.path("timerwheel"), vfs.ReadOnly)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, timerReadSlots*timerSlot)
	for at := int64(0); ; at += int64(len(b)) {
		n, err := f.ReadAt(b, at)
		for slot := b[:n-n%timerSlot]; len(slot) > 0; slot = slot[timerSlot:] {
			p.add(slot, delivered)
		}
		if err == io.EOF || err == nil && n == 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// add counts a slot whose time has not come.
func (p *PendingTimers) add(slot []byte, delivered int64) {
	at := int64(binary.BigEndian.Uint64(slot)) * timerPrecision
	n := int32(binary.BigEndian.Uint32(slot[24:]))
	if at < delivered || at <= 0 || n <= 0 {
		return
	}
	p.Wheel += int64(n)
	if p.First == 0 || at < p.First {
		p.First = at
	}
	p.Last = max(p.Last, at)
}

// tellTimers says what lies in the queue of timer messages: there is nobody here who
// delivers them.
func (s *Store) tellTimers() {
	p, err := s.pendingTimers()
	if err != nil {
		s.log.Warn("store: timer messages of a Java broker cannot be counted", "err", err)
		return
	}
	if p.Wheel+p.Unread == 0 {
		return
	}
	text := func(ms int64) string {
		if ms == 0 {
			return "-"
		}
		return time.UnixMilli(ms).UTC().Format(time.RFC3339)
	}
	s.log.Warn("store: timer messages of a Java broker wait here, and this broker does not deliver them; they stay in the files, "+
		"and a Java broker that is started again delivers them", "topic", timerTopic, "messages", p.Wheel+p.Unread,
		"inWheel", p.Wheel, "inQueue", p.Unread, "first", text(p.First), "last", text(p.Last))
}
