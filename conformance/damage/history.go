package damage

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"github.com/merlinmq/merlin/conformance/internal/storeclient"
	"github.com/merlinmq/merlin/protocol/message"
)

// Sent is an acknowledged message that was read before the damage.
type Sent struct {
	Queue  storeclient.Queue
	Offset int64
	Phy    int64
	Key    string
	Tag    string
	Raw    string // the record as it was served
}

// end is where its record ends in the log.
func (s *Sent) end() int64 { return s.Phy + int64(len(s.Raw)) }

// History is what was known of a broker before the damage.
type History struct {
	Messages []*Sent // by queue, then offset
	// End is where the log ended.
	End int64
	// Max is the offset that the next message of a queue would have got.
	Max map[storeclient.Queue]int64
	// Topics, Groups and Offsets are what the broker answered.
	Topics, Groups map[string]string // name → settings
	Offsets        map[string]int64  // queue → offset of the group
}

// used is how many bytes of a file are in use.
func (h *History) used(name string, size int64) int64 {
	dir, file := filepath.Split(name)
	switch {
	case strings.HasPrefix(name, "commitlog"):
		var base int64
		_, _ = fmt.Sscanf(file, "%d", &base)
		return min(max(h.End-base, 0), size)
	case strings.HasPrefix(name, "consumequeue"):
		var base int64
		var q storeclient.Queue
		_, _ = fmt.Sscanf(file, "%d", &base)
		parts := strings.Split(strings.Trim(dir, "/"), "/")
		q.Topic = parts[1]
		_, _ = fmt.Sscanf(parts[2], "%d", &q.ID)
		return min(max(20*h.Max[q]-base, 0), size)
	case name == "checkpoint":
		return min(128, size)
	}
	return size
}

// within says which byte of which record a place of a log file is.
func (h *History) within(name string, at int64) string {
	for _, s := range h.Messages {
		if n := at - s.Phy%segmentSize; logPath(s.Phy) == name && n >= 0 && n < int64(len(s.Raw)) {
			return fmt.Sprintf("byte %d of %s, %v at %d ", n, s.Key, s.Queue, s.Offset)
		}
	}
	return ""
}

// hit says which messages a damage touched: those whose record it reached, and for
// a consume queue those whose entry it reached. Without a list of topics none can be
// read. Before a checkpoint the log ends at the first record that is not whole.
func (h *History) hit(row Row, done Done) map[*Sent]bool {
	out := map[*Sent]bool{}
	for _, s := range h.Messages {
		out[s] = row.Kind == TopicsBoth
	}
	for _, t := range done.Touched {
		for _, s := range h.Messages {
			if s.touched(t) {
				out[s] = true
			}
		}
	}
	if row.Stop == Unsynced && row.Kind.log() {
		cut := int64(math.MaxInt64)
		for s, is := range out {
			if is {
				cut = min(cut, s.Phy)
			}
		}
		for _, s := range h.Messages {
			out[s] = out[s] || s.Phy >= cut
		}
	}
	return out
}

// covered says whether a damage touched bytes of the record that a checksum or
// another place of the store tells: of the head size, magic, checksum, queue, both
// offsets and length, then body and topic. Flag, times, hosts and properties are
// told by nothing.
func (s *Sent) covered(done Done) bool {
	var m message.Message
	if _, err := message.Decode([]byte(s.Raw), &m, false); err != nil {
		return true
	}
	properties := int64(len(s.Raw) - len(m.Properties))
	for _, part := range [][2]int64{{0, 16}, {20, 36}, {84, properties}} {
		for _, t := range done.Touched {
			if (&Sent{Queue: s.Queue, Offset: s.Offset, Phy: s.Phy + part[0], Raw: s.Raw[part[0]:part[1]]}).touched(t) {
				return true
			}
		}
	}
	return false
}

func (s *Sent) touched(t Touched) bool {
	from, to, name := s.Phy, s.end(), logPath(s.Phy)
	size := int64(segmentSize)
	if strings.HasPrefix(t.File, "consumequeue") {
		from, size = s.Offset*20, queueFileSize
		to = from + 20
		name = filepath.Join("consumequeue", s.Queue.Topic, fmt.Sprint(s.Queue.ID), fmt.Sprintf("%020d", from-from%size))
		if t.File == "consumequeue" {
			return true
		}
	}
	if t.File != name {
		return false
	}
	base := from - from%size
	return from < base+t.To && base+t.From < to
}
