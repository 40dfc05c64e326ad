package crash

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	qa = Queue{"T", 0}
	qb = Queue{"T", 1}
)

// told is a history of n acknowledged messages in each of two queues, of one
// producer each, and what a broker that kept its word would answer.
func told(n int) (*History, Read) {
	h, r := NewHistory(), Read{}
	phy := int64(0)
	for i, q := range []Queue{qa, qb} {
		qr := QueueRead{}
		for k := range n {
			key := fmt.Sprint("k", i, "-", k)
			h.Send(Sent{Key: key, Queue: q, Producer: i, Seq: int64(k), Sum: uint32(k)})
			h.Ack(key, int64(k), phy)
			qr.Found = append(qr.Found, Found{Key: key, Offset: int64(k), Phy: phy, Size: 100, Sum: uint32(k)})
			phy += 100
			qr.Max++
		}
		r[q] = qr
	}
	return h, r
}

// edit changes the read of one queue.
func edit(r Read, q Queue, change func(*QueueRead)) {
	qr := r[q]
	qr.Found = append([]Found(nil), qr.Found...)
	change(&qr)
	r[q] = qr
}

func TestCheck_AcceptsWhatWasKept(t *testing.T) {
	h, r := told(5)
	for range 2 {
		found, bad := h.Check(r)
		require.Empty(t, bad)
		require.Equal(t, 10, found)
	}
	require.Empty(t, Compare(r, r))
	require.EqualValues(t, 900, h.LastAcked())
	require.EqualValues(t, 1000, h.End())
}

func TestCheck_SentButNotAcknowledgedMayBeThereOrNot(t *testing.T) {
	h, r := told(2)
	h.Send(Sent{Key: "maybe", Queue: qa, Seq: 2})
	h.Send(Sent{Key: "not", Queue: qa, Seq: 3})
	edit(r, qa, func(q *QueueRead) {
		q.Found = append(q.Found, Found{Key: "maybe", Offset: 2, Phy: 400, Size: 100})
		q.Max++
	})
	found, bad := h.Check(r)
	require.Empty(t, bad)
	require.Equal(t, 4, found)
}

// Every kind of violation is made up once, and found as what it is.
func TestCheck_FindsEveryViolation(t *testing.T) {
	for _, c := range []struct {
		name  string
		kinds []Kind
		seed  func(h *History, r Read)
	}{
		{"the last message is lost", []Kind{Lost}, func(_ *History, r Read) {
			edit(r, qa, func(q *QueueRead) { q.Found, q.Max = q.Found[:4], 4 })
		}},
		{"a message in the middle is lost, the others move up", []Kind{Moved, Moved, Lost}, func(_ *History, r Read) {
			edit(r, qa, func(q *QueueRead) {
				q.Found = append(q.Found[:2], q.Found[3:]...)
				q.Found[2].Offset, q.Found[3].Offset, q.Max = 2, 3, 4
			})
		}},
		{"a message in the middle is lost, its offset stays empty", []Kind{Hole, Lost}, func(_ *History, r Read) {
			edit(r, qb, func(q *QueueRead) { q.Found = append(q.Found[:2], q.Found[3:]...) })
		}},
		{"a received message is lost", []Kind{Lost}, func(h *History, _ Read) {
			h.Send(Sent{Key: "r", Queue: qa, Seq: 9})
			h.Receive(qa, Found{Key: "r", Offset: 5, Phy: 1000, Size: 10})
		}},
		{"a message is there twice", []Kind{Duplicated}, func(_ *History, r Read) {
			edit(r, qa, func(q *QueueRead) {
				f := q.Found[4]
				f.Offset, f.Phy = 5, 2000
				q.Found, q.Max = append(q.Found, f), 6
			})
		}},
		{"a message is in two queues", []Kind{Duplicated}, func(_ *History, r Read) {
			f := r[qa].Found[1]
			f.Offset = 5
			edit(r, qb, func(q *QueueRead) { q.Found, q.Max = append(q.Found, f), 6 })
		}},
		{"messages that were not acknowledged lie in the wrong order", []Kind{OutOfOrder}, func(h *History, r Read) {
			h.Send(Sent{Key: "x", Queue: qa, Seq: 10})
			h.Send(Sent{Key: "y", Queue: qa, Seq: 11})
			edit(r, qa, func(q *QueueRead) {
				q.Found, q.Max = append(q.Found, Found{Key: "y", Offset: 5}, Found{Key: "x", Offset: 6}), 7
			})
		}},
		{"a message nobody sent", []Kind{Phantom}, func(_ *History, r Read) {
			edit(r, qa, func(q *QueueRead) { q.Found, q.Max = append(q.Found, Found{Key: "who", Offset: 5}), 6 })
		}},
		{"a consumer gets a message nobody sent", []Kind{Phantom}, func(h *History, _ Read) {
			h.Receive(qa, Found{Key: "who", Offset: 5})
		}},
		{"one offset is given out twice", []Kind{Reused, Lost}, func(h *History, _ Read) {
			h.Send(Sent{Key: "x", Queue: qa, Seq: 10})
			h.Ack("x", 4, 5000)
		}},
		{"a message is at another offset than acknowledged", []Kind{Moved, Moved, OutOfOrder}, func(_ *History, r Read) {
			edit(r, qa, func(q *QueueRead) {
				q.Found[1], q.Found[2] = q.Found[2], q.Found[1]
				q.Found[1].Offset, q.Found[2].Offset = 1, 2
			})
		}},
		{"a consumer sees another offset than was acknowledged", []Kind{Moved}, func(h *History, r Read) {
			f := r[qa].Found[3]
			f.Offset = 4
			h.Receive(qa, f)
		}},
		{"a message is in the wrong queue", []Kind{Misplaced, Lost}, func(h *History, r Read) {
			h.Send(Sent{Key: "x", Queue: qa, Seq: 10})
			h.Ack("x", 5, 5000)
			edit(r, qa, func(q *QueueRead) { q.Found, q.Max = q.Found[:4], 4 })
			edit(r, qb, func(q *QueueRead) { q.Found, q.Max = append(q.Found, Found{Key: "x", Offset: 5}), 6 })
		}},
		{"a body changed", []Kind{Changed}, func(_ *History, r Read) {
			edit(r, qa, func(q *QueueRead) { q.Found[2].Sum++ })
		}},
		{"the queue begins late", []Kind{Hole, Lost}, func(_ *History, r Read) {
			edit(r, qa, func(q *QueueRead) { q.Found, q.Min = q.Found[1:], 1 })
		}},
		{"the queue says that it is longer than it is", []Kind{Hole}, func(_ *History, r Read) {
			edit(r, qa, func(q *QueueRead) { q.Max++ })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, r := told(5)
			c.seed(h, r)
			_, bad := h.Check(r)
			var kinds []Kind
			for _, v := range bad {
				kinds = append(kinds, v.Kind)
			}
			for _, k := range c.kinds {
				require.Contains(t, kinds, k, "%v", bad)
			}
		})
	}
}

func TestCheck_WhatWasFoundMustStay(t *testing.T) {
	h, r := told(2)
	h.Send(Sent{Key: "maybe", Queue: qa, Seq: 2})
	before := r[qa]
	edit(r, qa, func(q *QueueRead) {
		q.Found, q.Max = append(q.Found, Found{Key: "maybe", Offset: 2, Phy: 400, Size: 100}), 3
	})
	_, bad := h.Check(r)
	require.Empty(t, bad)
	r[qa] = before
	_, bad = h.Check(r)
	require.Len(t, bad, 1)
	require.Equal(t, Lost, bad[0].Kind)
}

func TestCheck_WhatWasNotThereMustNotReturn(t *testing.T) {
	h, r := told(2)
	h.Send(Sent{Key: "maybe", Queue: qa, Seq: 2})
	_, bad := h.Check(r)
	require.Empty(t, bad)
	edit(r, qa, func(q *QueueRead) {
		q.Found, q.Max = append(q.Found, Found{Key: "maybe", Offset: 2, Phy: 400, Size: 100}), 3
	})
	_, bad = h.Check(r)
	require.Len(t, bad, 1)
	require.Equal(t, Returned, bad[0].Kind)
}

// Behind a cut messages may be lost and their offsets given out again; before it
// they may not.
func TestCheck_ACutExcusesWhatLiesBehindIt(t *testing.T) {
	h, r := told(3) // qb has log offsets 300, 400, 500
	h.Cut(400)
	edit(r, qb, func(q *QueueRead) { q.Found, q.Max = q.Found[:1], 1 })
	_, bad := h.Check(r)
	require.Empty(t, bad)
	all, destroyed := h.Acked()
	require.Equal(t, []int{6, 2}, []int{all, destroyed})
	require.EqualValues(t, 300, h.LastAcked())

	h.Send(Sent{Key: "next", Queue: qb, Producer: 1, Seq: 9})
	h.Ack("next", 1, 400)
	edit(r, qb, func(q *QueueRead) {
		q.Found, q.Max = append(q.Found, Found{Key: "next", Offset: 1, Phy: 400, Size: 100}), 2
	})
	_, bad = h.Check(r)
	require.Empty(t, bad)

	h.Cut(100)
	edit(r, qa, func(q *QueueRead) { q.Found, q.Max = nil, 0 })
	_, bad = h.Check(r)
	require.Len(t, bad, 1, "the first message of qa lies before the cut")
	require.Equal(t, "k0-0", bad[0].Key)
	require.Equal(t, Lost, bad[0].Kind)
}

func TestCompare_FindsEveryDifference(t *testing.T) {
	for name, change := range map[string]func(q *QueueRead){
		"shorter":   func(q *QueueRead) { q.Found = q.Found[:4] },
		"longer":    func(q *QueueRead) { q.Found = append(q.Found, Found{Key: "x"}) },
		"different": func(q *QueueRead) { q.Found[2].Phy++ },
		"end":       func(q *QueueRead) { q.Max++ },
	} {
		t.Run(name, func(t *testing.T) {
			_, a := told(5)
			_, b := told(5)
			edit(b, qb, change)
			bad := Compare(a, b)
			require.Len(t, bad, 1)
			require.Equal(t, Unsteady, bad[0].Kind)
			require.Equal(t, qb, bad[0].Queue)
		})
	}
}
