package store

import (
	"fmt"
	"math"
	"time"
)

// Quorum says how far the copies of the log are that other brokers hold
// (haService, inSyncReplicas, the confirm offset). A store without one waits for
// nobody. Its methods are called from many goroutines, some of them for every batch of
// messages: they take no lock that is held for long. When what they answer moves
// forward the store wants to hear of it, by QuorumMoved.
type Quorum interface {
	// Admit is asked before messages are appended: PutOK, or the result of all of
	// them, InSyncReplicasNotEnough when too few copies are there.
	Admit() PutStatus
	// Replicated is the end of that part of the log which enough copies hold:
	// messages up to there are answered. It is AllCopies when nobody has to be waited
	// for, and never goes back for a message that was answered.
	Replicated() int64
	// Confirmed is the end of what consumers may see (confirmOffset), AllCopies when
	// that does not depend on the copies.
	Confirmed() int64
	// Timeout is how long a message waits for the copies (slaveTimeout) before it is
	// answered with FlushSlaveTimeout; it is stored then, and copied when that works.
	Timeout() time.Duration
}

// AllCopies is what a Quorum answers that bounds nothing.
const AllCopies = math.MaxInt64

// QuorumMoved lets the store look at its Quorum again: messages that waited are
// answered, and consumers see more. It may be called from any goroutine and never
// blocks.
func (s *Store) QuorumMoved() {
	wake(s.committer.wake)
	wake(s.wake)
}

// wake leaves a word in a channel with room for one.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// replicated is the end of what the quorum holds.
func (s *Store) replicated() int64 {
	if s.o.Quorum == nil {
		return AllCopies
	}
	return s.o.Quorum.Replicated()
}

// FinalOffset is the end of the log that is as safe as it is promised to be: flushed
// with SyncFlush, and on enough copies. It never goes beyond the end of the log.
func (s *Store) FinalOffset() int64 {
	end := s.clog.Max()
	if s.o.FlushDiskType == SyncFlush {
		end = s.clog.Flushed()
	}
	return min(end, s.replicated())
}

// ConfirmOffset is the end of the log that consumers see once it is dispatched
// (getConfirmOffset): what is flushed with SyncFlush, and what the quorum confirms.
func (s *Store) ConfirmOffset() int64 {
	end := s.clog.Max()
	if s.o.FlushDiskType == SyncFlush {
		end = s.clog.Flushed() // consumers see only what is durable
	}
	if s.o.Quorum != nil {
		end = min(end, s.o.Quorum.Confirmed())
	}
	return end
}

// late gives the result of a Put that has waited too long at a moment (ms), false
// while it has not.
func (s *Store) late(p *Put, now int64) (PutResult, bool) {
	waited := time.Duration(now-p.begin) * time.Millisecond
	q := s.o.Quorum
	if flush := s.tune().SyncFlushTimeout; (s.o.FlushDiskType == SyncFlush || q == nil) && waited >= flush && p.end > s.clog.Flushed() {
		return timeout(p, FlushDiskTimeout, "not flushed", flush), true
	}
	if q != nil {
		if copies := q.Timeout(); waited >= copies && p.end > q.Replicated() {
			return timeout(p, FlushSlaveTimeout, "not on enough copies", copies), true
		}
	}
	return PutResult{}, false
}

func timeout(p *Put, status PutStatus, what string, limit time.Duration) PutResult {
	r := p.Result
	r.Status, r.Err = status, fmt.Errorf("store: %s within %d ms", what, limit.Milliseconds())
	return r
}
