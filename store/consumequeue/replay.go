package consumequeue

// maxGap is how many files of entries may be missing before a message whose successor
// confirms its offset.
const maxGap = 16

// Replay is Put for a message that is read again from the log, some bytes of which may
// not be what was written: an offset that does not follow counts only when the next
// message of the queue confirms it. Until then the message waits, and Settle ends that.
// That goes for 0, too: a queue begins again without a mark when a Java broker deleted it,
// or when the disk did not take the mark.
func (q *Queue) Replay(e Entry) (bool, error) {
	if e.PhyOffset+int64(e.Size) <= q.maxPhy {
		return false, nil
	}
	d, waits := q.doubt, q.doubts
	if !waits && q.follows(e) {
		return q.Put(e)
	}
	if !waits {
		q.wait(e)
		return false, nil
	}
	q.doubts = false
	at := q.Max()
	switch {
	case q.set.Marked && at == 1 && d.QueueOffset == 0 && e.QueueOffset == at:
		// Two that follow each other, and the second follows the entry that is there,
		// too, which was confirmed before.
		q.refuted(d)
		return q.Put(e)
	case e.QueueOffset == d.QueueOffset+1: // two that follow each other are right
		if ok, err := q.goOnAt(d); ok || err != nil {
			if err == nil {
				ok, err = q.Put(e)
			}
			return ok, err
		}
	case at > 0 && e.QueueOffset == at: // it was none of this queue
		q.refuted(d)
		return q.Put(e)
	case at > 0 && e.QueueOffset == at+1: // it is the one before, whatever it says
		d.QueueOffset = at
		ok, err := q.Put(d)
		if ok && err == nil {
			ok, err = q.Put(e)
		}
		return ok, err
	case at <= d.QueueOffset && d.QueueOffset < e.QueueOffset && e.QueueOffset-d.QueueOffset <= maxGap*q.set.perFile() &&
		(at == 0 || d.QueueOffset-at <= q.set.perFile()):
		// Both may be right, with others missing between them.
		if ok, err := q.goOnAt(d); ok || err != nil {
			if err == nil {
				return q.Replay(e)
			}
			return false, err
		}
	}
	q.refuted(d)
	q.wait(e)
	return false, nil
}

// follows says whether a message is the next one. One that begins a queue at 0 needs
// nobody to confirm it.
func (q *Queue) follows(e Entry) bool { return e.QueueOffset == q.Max() }

func (q *Queue) wait(e Entry) {
	if q.doubt, q.doubts = e, true; !q.listed {
		q.listed = true
		q.set.doubting = append(q.set.doubting, q)
	}
}

func (q *Queue) refuted(e Entry) {
	q.set.o.Logger.Error("consumequeue: the queue offset of a message is damaged, it is left out",
		"topic", q.Topic, "queue", q.ID, "end", q.Max(), "offset", e.QueueOffset, "log", e.PhyOffset)
}

// goOnAt puts a message whose offset is confirmed.
func (q *Queue) goOnAt(e Entry) (bool, error) {
	at := q.Max()
	if e.QueueOffset == at-1 && at > 1 { // the last one was none of this queue
		err := q.WriteTail()
		if err == nil {
			err = q.cut(at - 1)
		}
		if err != nil {
			return false, err
		}
		return q.Put(e)
	}
	if gap := e.QueueOffset - at; at > 0 && gap > q.set.perFile() && gap <= maxGap*q.set.perFile() {
		q.set.o.Logger.Error("consumequeue: entries are missing", "topic", q.Topic, "queue", q.ID, "end", at, "offset", e.QueueOffset)
		if err := q.fillGap(at, e.QueueOffset); err != nil {
			return false, err
		}
	}
	return q.Put(e)
}

// Settle ends the wait of all messages whose offsets nothing has confirmed; believe
// says of each whether it is put nevertheless. REQUIRES: the dispatcher.
func (s *Set) Settle(believe func(q *Queue, e Entry) bool) error {
	for _, q := range s.doubting {
		q.listed = false
		if !q.doubts {
			continue
		}
		q.doubts = false
		if !believe(q, q.doubt) {
			q.refuted(q.doubt)
			continue
		}
		if _, err := q.goOnAt(q.doubt); err != nil {
			return err
		}
	}
	s.doubting = nil
	return nil
}
