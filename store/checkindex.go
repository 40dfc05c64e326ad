package store

import (
	"strings"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/index"
)

// checkIndex compares the index files with the log, before they are used.
func (s *Store) checkIndex(clean bool) error {
	c := index.Checks{First: s.clog.Min(), Holds: s.hasKey}
	switch segs := s.clog.Segments(); {
	case len(segs) == 0:
		return nil // the recovery removes them
	case s.cp.known:
		c.Sure = s.cp.floor
	case clean:
		c.Sure = segs[len(segs)-1] + s.clog.SegmentSize()
	default:
		c.Sure = segs[len(segs)-1] // what is before is whole, but for what a crash tore
	}
	if s.ends != nil {
		c.Ends = s.ends.files
	}
	return s.idx.Check(c)
}

// hasKey says whether a record stands at phy one of whose keys has the hash.
func (s *Store) hasKey(phy int64, hash int32) (bool, error) {
	rec, whole, err := s.clog.Whole(phy)
	if err != nil || !whole {
		return false, err
	}
	var m message.Message
	if _, err := message.Decode(rec, &m, false); err != nil {
		return false, nil
	}
	var buf []byte
	for name, value := range message.Each(m.Properties) {
		if string(name) != message.PropertyUniqKey && string(name) != message.PropertyKeys {
			continue
		}
		keys := []string{string(value)}
		if string(name) == message.PropertyKeys {
			keys = strings.Split(keys[0], " ")
		}
		for _, key := range keys {
			var h int32
			if h, buf = index.HashKey(buf, m.Topic, key); h == hash {
				return true, nil
			}
		}
	}
	return false, nil
}
