package txn

import (
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/protocol/message"
)

// recoveredLimit is the most commits whose removal entries can have been lost
// with a process: those that waited, and a few that were under way.
const recoveredLimit = opsLimit + 1000

// Recovered remembers the newest committed messages that a recovery of the store
// has read. The process may have died before the removal entries of their half
// messages were stored, which New makes up for then. The zero value is empty; it
// belongs to one goroutine.
type Recovered struct {
	halves []int64 // places of half messages in the log; a ring
	next   int
}

// Note takes a message of the log (store.Options.Recovered).
func (r *Recovered) Note(m *message.Message) {
	if message.TransactionType(m.SysFlag) != message.SysFlagCommit {
		return
	}
	if len(r.halves) < recoveredLimit {
		r.halves = append(r.halves, m.PreparedTransactionOffset)
		return
	}
	r.halves[r.next] = m.PreparedTransactionOffset
	r.next = (r.next + 1) % recoveredLimit
}

// loadRecovered ends the transactions whose messages were found committed and
// whose removal entries were not.
func (s *Service) loadRecovered() {
	if s.Recovered == nil {
		return
	}
	limit, now, n := s.Config.Get().TransactionOpMsgMaxSize, s.Clock.NowMillis(), 0
	for _, phy := range s.Recovered.halves {
		m, err := s.read(phy)
		if err != nil || m.Topic != topic.TransHalf || m.QueueID != 0 {
			continue // it expired, or it never was one
		}
		at, open := s.table.claim(m.QueueOffset, identity(m))
		if !open {
			continue
		}
		if at < s.half {
			s.table.release(at) // the check has passed it
			continue
		}
		s.ops.add(at, limit)
		s.table.end(at, now)
		n++
	}
	if n > 0 {
		s.Logger.Info("transactions were committed and their removal entries lost: the entries are written again", "transactions", n)
		s.flushOps(true)
	}
}
