package crash

import (
	"cmp"
	"fmt"
	"slices"
)

// Kind is a way to break the promise.
type Kind string

// The kinds of violations.
const (
	Lost       Kind = "lost"         // acknowledged or received, and not there
	Duplicated Kind = "duplicated"   // there twice
	OutOfOrder Kind = "out of order" // before a message of the same producer that was sent earlier
	Phantom    Kind = "phantom"      // never sent
	Returned   Kind = "returned"     // it was not there before
	Reused     Kind = "reused"       // the offset belongs to another message
	Moved      Kind = "moved"        // there, at another offset than acknowledged
	Misplaced  Kind = "misplaced"    // in another queue than it was sent to
	Changed    Kind = "changed"      // with another body
	Hole       Kind = "hole"         // an offset without a message
	Unsteady   Kind = "unsteady"     // two reads do not agree
	Offset     Kind = "offset"       // a group's offset went back or was never committed
	Topic      Kind = "topic"        // a topic is gone
)

// Violation is one break of the promise.
type Violation struct {
	Kind  Kind
	Queue Queue
	Key   string
	Text  string
}

// String is one line.
func (v Violation) String() string {
	return fmt.Sprintf("%s: %s in %v: %s", v.Kind, v.Key, v.Queue, v.Text)
}

// strange looks at a message by itself: nil when it is what was sent.
func strange(m *message, q Queue, f Found) *Violation {
	switch {
	case m == nil:
		return &Violation{Phantom, q, f.Key, fmt.Sprintf("at offset %d, nobody sent it", f.Offset)}
	case m.Queue != q:
		return &Violation{Misplaced, q, f.Key, fmt.Sprintf("at offset %d, sent to %v", f.Offset, m.Queue)}
	case m.Sum != f.Sum:
		return &Violation{Changed, q, f.Key, fmt.Sprintf("at offset %d, the body has checksum %08x, sent with %08x", f.Offset, f.Sum, m.Sum)}
	case m.gone:
		return &Violation{Returned, q, f.Key, fmt.Sprintf("at offset %d, an earlier read did not find it", f.Offset)}
	}
	return nil
}

func moved(m *message, f Found) Violation {
	return Violation{Moved, m.Queue, m.Key, fmt.Sprintf("at offset %d, it was at %d", f.Offset, m.offset)}
}

// Check compares what was read of the whole broker, at rest, with what clients
// saw, and takes it over as the truth for the next time. It gives the number of
// acknowledged messages that it found, and what is wrong.
func (h *History) Check(r Read) (found int, out []Violation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	out, h.early = h.early, nil
	there := map[string]Found{}
	for _, q := range r.queues() {
		out = append(out, h.queueLocked(q, r[q], there)...)
	}
	lost := make([]*message, 0)
	for key, m := range h.messages {
		f, ok := there[key]
		switch {
		case ok:
			h.keepLocked(m, f)
			if m.acked {
				found++
			}
		case m.known():
			lost = append(lost, m)
		case !m.gone:
			if m.gone = true; m.acked {
				h.cut++
			}
		}
	}
	slices.SortFunc(lost, func(a, b *message) int { return cmp.Compare(a.phy, b.phy) })
	for _, m := range lost {
		what := "received"
		if m.acked {
			what = "acknowledged"
		}
		out = append(out, Violation{Lost, m.Queue, m.Key, fmt.Sprintf("%s at offset %d, log offset %d", what, m.offset, m.phy)})
	}
	return found, out
}

// keepLocked takes over what a read found of a message. REQUIRES: h.mu.
func (h *History) keepLocked(m *message, f Found) {
	m.seen, m.doubtful, m.offset, m.phy = true, false, f.Offset, f.Phy
	h.end = max(h.end, f.Phy+f.Size)
	if m.acked {
		h.taken[place{m.Queue, f.Offset}] = m.Key
	}
}

// queueLocked checks one queue and adds what lies in it to there. REQUIRES: h.mu.
func (h *History) queueLocked(q Queue, r QueueRead, there map[string]Found) []Violation {
	var out []Violation
	if r.Min != 0 {
		out = append(out, Violation{Hole, q, "", fmt.Sprintf("the queue begins at %d, nothing was deleted", r.Min)})
	}
	next := r.Min
	last := map[int]*message{} // by producer
	for _, f := range r.Found {
		if f.Offset != next {
			out = append(out, Violation{Hole, q, f.Key, fmt.Sprintf("offset %d follows %d", f.Offset, next-1)})
		}
		next = f.Offset + 1
		if other, ok := there[f.Key]; ok {
			out = append(out, Violation{Duplicated, q, f.Key, fmt.Sprintf("at offset %d and, log offset %d, at %d", f.Offset, other.Phy, other.Offset)})
			continue
		}
		there[f.Key] = f
		m := h.messages[f.Key]
		if v := strange(m, q, f); v != nil {
			out = append(out, *v)
			continue
		}
		if (m.acked || m.seen) && m.offset != f.Offset {
			out = append(out, moved(m, f))
		}
		if before := last[m.Producer]; before != nil && before.Seq > m.Seq {
			out = append(out, Violation{OutOfOrder, q, f.Key, fmt.Sprintf("at offset %d, behind %s which was sent later", f.Offset, before.Key)})
		}
		last[m.Producer] = m
	}
	if next != r.Max {
		out = append(out, Violation{Hole, q, "", fmt.Sprintf("the last message is at %d, the queue ends at %d", next-1, r.Max)})
	}
	return out
}

// queues gives the queues of a read in order.
func (r Read) queues() []Queue {
	qs := make([]Queue, 0, len(r))
	for q := range r {
		qs = append(qs, q)
	}
	slices.SortFunc(qs, func(a, b Queue) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.ID, b.ID))
	})
	return qs
}

// Compare says where two reads of the same broker at rest do not agree.
func Compare(a, b Read) []Violation {
	var out []Violation
	for _, q := range a.queues() {
		x, y := a[q], b[q]
		if x.Min != y.Min || x.Max != y.Max {
			out = append(out, Violation{Unsteady, q, "", fmt.Sprintf("first %d…%d, then %d…%d", x.Min, x.Max, y.Min, y.Max)})
		}
		for i := range max(len(x.Found), len(y.Found)) {
			switch {
			case i >= len(x.Found):
				out = append(out, Violation{Unsteady, q, y.Found[i].Key, "the first read did not find it"})
			case i >= len(y.Found):
				out = append(out, Violation{Unsteady, q, x.Found[i].Key, "the second read did not find it"})
			case x.Found[i] != y.Found[i]:
				out = append(out, Violation{Unsteady, q, x.Found[i].Key, fmt.Sprintf("first %+v, then %+v", x.Found[i], y.Found[i])})
			}
		}
	}
	return out
}
