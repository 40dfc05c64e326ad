package crash

import (
	"fmt"
	"sync"
)

// Queue names one queue of the broker.
type Queue struct {
	Topic string
	ID    int32
}

// String is topic-queue.
func (q Queue) String() string { return fmt.Sprintf("%s-%d", q.Topic, q.ID) }

// Sent is what a producer is about to send. Key is unique in the whole history;
// a producer sends one request after the other, so Seq rises with them.
type Sent struct {
	Key      string
	Queue    Queue
	Producer int
	Seq      int64
	Sum      uint32 // CRC-32 of the body
}

// Found is a message as it was read.
type Found struct {
	Key    string
	Offset int64 // in its queue
	Phy    int64 // in the commit log
	Size   int64 // bytes in the commit log
	Sum    uint32
}

// QueueRead is one queue, read from Min to Max.
type QueueRead struct {
	Min, Max int64
	Found    []Found
}

// Read is all queues.
type Read map[Queue]QueueRead

// message is what is known about one message.
type message struct {
	Sent
	acked    bool  // a producer was told that it is stored, at offset
	seen     bool  // somebody received it, at offset
	offset   int64 // valid with acked or seen
	phy      int64 // valid with acked or seen
	doubtful bool  // it lay behind a cut: it may be gone, or not
	gone     bool  // it was not there when it might have been: it must not come back
}

// known says that the message has to be there.
func (m *message) known() bool { return (m.acked || m.seen) && !m.doubtful && !m.gone }

// place is where one message lies.
type place struct {
	q      Queue
	offset int64
}

// History is what the clients of one broker saw. Its methods may be called from
// any goroutine, Check when no client is at work.
type History struct {
	mu       sync.Mutex // guards what follows
	messages map[string]*message
	taken    map[place]string // by acknowledged messages
	early    []Violation      // found while the load ran
	end      int64            // of the last record that a client knows of
	acked    int
	cut      int // acknowledged, then destroyed on purpose
}

// NewHistory is an empty history.
func NewHistory() *History {
	return &History{messages: map[string]*message{}, taken: map[place]string{}}
}

// Send notes a message before its request leaves.
func (h *History) Send(s Sent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.messages[s.Key] != nil {
		panic("crash: key " + s.Key + " is sent a second time")
	}
	h.messages[s.Key] = &message{Sent: s}
}

// Ack notes that the broker promised to keep a message. It was sent before.
func (h *History) Ack(key string, offset, phy int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.messages[key]
	if m.seen && m.offset != offset { // a consumer was faster
		h.early = append(h.early, moved(m, Found{Offset: offset}))
	}
	m.acked, m.offset, m.phy = true, offset, phy
	h.acked++
	at := place{m.Queue, offset}
	if other, ok := h.taken[at]; ok {
		h.early = append(h.early, Violation{Reused, m.Queue, key,
			fmt.Sprintf("acknowledged at offset %d, as %s was", offset, other)})
	}
	h.taken[at] = key
}

// Receive notes what a consumer got under load.
func (h *History) Receive(q Queue, f Found) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end = max(h.end, f.Phy+f.Size)
	m := h.messages[f.Key]
	if v := strange(m, q, f); v != nil {
		h.early = append(h.early, *v)
		return
	}
	if m.acked && m.offset != f.Offset {
		h.early = append(h.early, moved(m, f))
		return
	}
	m.seen, m.offset, m.phy = true, f.Offset, f.Phy
}

// End is where the last record ends that a client received.
func (h *History) End() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.end
}

// LastAcked is where the last acknowledged record begins in the log, -1 for none.
func (h *History) LastAcked() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := int64(-1)
	for _, m := range h.messages {
		if m.acked && !m.gone {
			last = max(last, m.phy)
		}
	}
	return last
}

// Cut notes that the log was destroyed from phy on: what lies there may be gone
// after the next start, what comes before may not.
func (h *History) Cut(phy int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end = min(h.end, phy)
	for _, m := range h.messages {
		if m.known() && m.phy >= phy {
			m.doubtful = true
			delete(h.taken, place{m.Queue, m.offset})
		}
	}
}

// Acked is the number of messages acknowledged, and how many of these were
// destroyed on purpose since.
func (h *History) Acked() (all, destroyed int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.acked, h.cut
}
