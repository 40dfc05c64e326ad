package store

import (
	"log/slog"
	"slices"
	"strings"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/consumequeue"
)

// lmqPrefix begins the names of light queues, whose messages name the topic that they
// were sent to (MixAll.LMQ_PREFIX).
const lmqPrefix = "%LMQ%"

// foreignRecord is why a message is left out that names another queue.
const foreignRecord = "the entry of the queue leads to a message of another queue or offset"

// named says whether a record names the queue and the offset of its entry.
func (g *getter) named(e consumequeue.Entry, rec []byte) bool {
	topic, _, _ := message.Place(rec)
	return g.numbered(e, rec) && (string(topic) == g.r.Topic || strings.HasPrefix(g.r.Topic, lmqPrefix))
}

// numbered is named without the topic: it looks at bytes at fixed places only.
func (g *getter) numbered(e consumequeue.Entry, rec []byte) bool {
	id, offset := message.Numbers(rec)
	return id == g.r.QueueID && offset == e.QueueOffset || strings.HasPrefix(g.r.Topic, lmqPrefix)
}

// misplaced looks at a whole record that does not name the queue or the offset under
// which it was found. When nothing but one number is wrong, and no queue leads to the
// record under what it names, a byte of the record rotted: it is given with the right
// number, because a client that believed the wrong one would commit it. Everything else is
// a message of somebody else, which is left out here.
func (g *getter) misplaced(e consumequeue.Entry, rec []byte) []byte {
	topic, id, offset := message.Place(rec)
	if string(topic) != g.r.Topic || id != g.r.QueueID && offset != e.QueueOffset {
		g.damaged(e, foreignRecord)
		return nil
	}
	if q := g.s.queues.Find(g.r.Topic, id); q != nil && offset >= q.Min() && offset < q.Max() {
		other, ok, err := q.Get(offset)
		if err != nil {
			g.err = g.s.unread(err, "topic", q.Topic, "queue", q.ID, "queueOffset", offset)
			return nil
		}
		if ok && other.PhyOffset == e.PhyOffset {
			g.damaged(e, foreignRecord)
			return nil
		}
	}
	rec = slices.Clone(rec)
	message.SetPlace(rec, g.r.QueueID, e.QueueOffset)
	if body, _ := message.Shape(rec); !g.s.intact(rec, body) {
		g.damaged(e, foreignRecord)
		return nil
	}
	n := g.s.faults.misplaced.Add(1)
	g.s.damageLines.write(g.s.log, g.now, slog.LevelError, "store: a message names a wrong queue or offset, it is served with the right one",
		"topic", g.r.Topic, "queue", g.r.QueueID, "queueOffset", e.QueueOffset, "named queue", id, "named offset", offset,
		"file", g.s.clog.Path(e.PhyOffset), "offset", e.PhyOffset, "so far", n)
	return rec
}
