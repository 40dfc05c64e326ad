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
	commits []commit // a ring
	next    int
}

// commit is a committed message: the place of its half message in the log, and
// its identity. Retries and delayed messages of it keep the flag and have place 0.
type commit struct {
	half int64
	id   string
}

// Note takes a message of the log (store.Options.Recovered).
func (r *Recovered) Note(m *message.Message) {
	if message.TransactionType(m.SysFlag) != message.SysFlagCommit {
		return
	}
	c := commit{m.PreparedTransactionOffset, identity(m)}
	if len(r.commits) < recoveredLimit {
		r.commits = append(r.commits, c)
		return
	}
	r.commits[r.next] = c
	r.next = (r.next + 1) % recoveredLimit
}

// loadRecovered ends the transactions whose messages were found committed and
// whose removal entries were not.
func (s *Service) loadRecovered() error {
	if s.Recovered == nil {
		return nil
	}
	limit, now, n := s.Config.Get().TransactionOpMsgMaxSize, s.Clock.NowMillis(), 0
	for _, c := range s.Recovered.commits {
		m, err := s.read(c.half)
		if err != nil && !isGone(err) {
			return err
		}
		if err != nil || m.Topic != topic.TransHalf || m.QueueID != 0 || identity(m) != c.id {
			continue // it expired, or it never was one, or another message's
		}
		at, open := s.table.claim(m.QueueOffset, c.id)
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
	return nil
}
