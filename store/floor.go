package store

import "github.com/merlinmq/merlin/store/commitlog"

// checkFloor forgets a floor that does not fit the log. A checkpoint of another store
// must not make a recovery cut the log or leave room in it. What is damaged at the floor
// contradicts nothing. REQUIRES: s.ends was loaded.
func (s *Store) checkFloor(known int64) error {
	if !s.cp.known || len(s.clog.Segments()) == 0 {
		return nil
	}
	fit, err := s.clog.Fit(s.cp.last, s.cp.floor, known)
	if err != nil {
		return err
	}
	believed := fit == commitlog.Fits || fit == commitlog.Unclear
	if fit == commitlog.Nothing {
		if believed, err = s.endsFit(); err != nil {
			return err
		}
	}
	if s.hurt = believed && fit != commitlog.Fits; s.hurt {
		s.log.Error("store: the log is damaged before its floor", "file", s.clog.Path(s.cp.last),
			"at", s.cp.last-s.clog.SegmentOf(s.cp.last), "offset", s.cp.last)
	}
	if believed {
		s.dispatch.last = s.cp.last
		return nil
	}
	s.log.Error("store: the floor of the checkpoint does not fit the log, it is not believed",
		"file", s.path("checkpoint"), "floor", s.cp.floor, "last", s.cp.last)
	s.cp.known, s.ends = false, nil
	return nil
}

// endsFit says whether some queue ends as it did at the floor: with the last record
// before it, or with another that is in the log, or while what was written there ends at
// the floor. Then the log is the floor's, though nothing is left of its last record.
func (s *Store) endsFit() (fits bool, err error) {
	if s.ends == nil {
		return false, nil
	}
	entry := false
	_, err = s.ends.eachQueue(s.clog.Min(), func(e queueEnd) error {
		if fits || e.phy <= s.clog.Min() || e.phy > s.cp.floor || e.max <= 0 {
			return nil
		}
		q := s.queues.Find(e.topic, e.id)
		if q == nil {
			return nil
		}
		last, ok, err := q.Get(e.max - 1)
		if err == nil && ok && last.PhyOffset+int64(last.Size) == e.phy {
			if entry, fits = true, last.PhyOffset == s.cp.last; !fits {
				fits, err = s.wholeAt(q, e.max-1)
			}
		}
		return err
	})
	if err == nil && entry && !fits {
		return s.clog.WrittenTo(s.cp.floor)
	}
	return fits, err
}
