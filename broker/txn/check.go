package txn

import (
	"strconv"
	"time"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/put"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/store"
)

// roundLimit bounds one round of checks (MAX_PROCESS_TIME_LIMIT).
const roundLimit = time.Minute

// check is the goroutine that checks. Its first round comes an interval after
// the start, when producers are connected again.
func (s *Service) check() {
	defer s.done.Done()
	interval := func() time.Duration { return s.Config.Get().TransactionCheckInterval.Duration() }
	t := s.Clock.NewTimer(interval())
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C():
		}
		s.round()
		t.Reset(interval())
	}
}

func (s *Service) stopped() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// round looks at the half messages from the progress on, until one must wait.
func (s *Service) round() {
	s.publishFlushed()
	cfg, start := s.Config.Get(), s.Clock.NowMillis()
	if low := s.Store.MinOffset(topic.TransHalf, 0); low > s.half {
		s.Logger.Error("half messages were removed before they were done with", "from", s.half, "to", low)
		s.half = low
	}
	for more := true; more; {
		entries, err := s.Store.Entries(topic.TransHalf, 0, s.half, readAhead)
		if err != nil {
			s.Logger.Error("half messages cannot be read, their check waits", "queueOffset", s.half, "err", err)
		}
		more = err == nil && len(entries) > 0
		for _, e := range entries {
			if s.stopped() || s.Clock.NowMillis()-start > roundLimit.Milliseconds() || !s.look(cfg, start, e) {
				more = false
				break
			}
			s.half = e.QueueOffset + 1
		}
	}
	s.table.pass(s.half, s.Clock.NowMillis())
	s.note()
	s.publishFlushed()
}

// look decides about one half message and reports whether it is done with, here
// or as a copy further on.
func (s *Service) look(cfg *config.Config, start int64, e store.QueueEntry) bool {
	if e.Filler() || s.table.isEnded(e.QueueOffset) {
		return true
	}
	m, err := s.read(e.PhyOffset)
	if err != nil {
		gone := isGone(err)
		s.Logger.Error("a half message is unreadable", "queueOffset", e.QueueOffset, "gone", gone, "err", err)
		return gone
	}
	s.Stats.Got(topic.TransHalf, group, 1, int64(m.StoreSize)) // TransactionalMessageBridge.getMessage
	id := identity(m)
	claimed, superseded := s.table.tryClaim(e.QueueOffset, number(m, message.PropertyTransactionPreparedQueueOffset), id)
	if !claimed {
		return superseded
	}
	next, done := s.judge(cfg, start, m)
	if next >= 0 {
		s.table.moved(e.QueueOffset, next, id)
	} else {
		s.table.release(e.QueueOffset)
	}
	return done
}

// judge acts on an open half message. next is the offset of its copy, or -1.
func (s *Service) judge(cfg *config.Config, start int64, m *message.Message) (next int64, done bool) {
	times := number(m, message.PropertyTransactionCheckTimes)
	age := s.Clock.NowMillis() - m.BornTimestamp
	if times >= int64(cfg.TransactionCheckMax) || age > clock.Span(int64(cfg.FileReservedTime), time.Hour).Milliseconds() {
		return -1, s.discard(m)
	}
	if m.StoreTimestamp >= start {
		return -1, false // stored since the round began, also the copies it made
	}
	timeout := cfg.TransactionTimeOut.Duration().Milliseconds()
	if property(m, message.PropertyCheckImmunityTimeInSeconds) != "" {
		if own := number(m, message.PropertyCheckImmunityTimeInSeconds); own >= 0 {
			timeout = own * 1000
		}
		if age < timeout {
			return s.postpone(m)
		}
	} else if 0 <= age && age < timeout {
		return -1, false // those behind it are younger
	}
	return s.ask(cfg, m, max(times, 0)+1)
}

// postpone puts a half message again that may not be checked for long, so that
// those behind it can be. (Java counts this as a check and may discard the
// message before it ever asked.)
func (s *Service) postpone(m *message.Message) (next int64, done bool) {
	first := m.QueueOffset
	if n := number(m, message.PropertyTransactionPreparedQueueOffset); n >= 0 {
		first = n
	}
	c := again(m, message.PropertyTransactionPreparedQueueOffset, strconv.FormatInt(first, 10))
	next, res := s.putAgain(c)
	if next < 0 && put.ForGood(res) {
		return -1, s.discard(m)
	}
	return next, next >= 0
}

// ask puts a half message again, with the number of its check, and asks a
// producer of its group about the transaction. One that can never be put again is
// asked about this once and then set aside: those behind it must not wait for it.
func (s *Service) ask(cfg *config.Config, m *message.Message, times int64) (next int64, done bool) {
	c := again(m, message.PropertyTransactionCheckTimes, strconv.FormatInt(times, 10))
	next, res := s.putAgain(c)
	switch {
	case next >= 0:
		s.send(cfg, &c.Msg)
		return next, true
	case put.ForGood(res):
		s.send(cfg, m)
		return -1, s.discard(m)
	}
	return -1, false
}

// putAgain stores c in the half queue and sets its offsets. next is -1 when the store
// refused it.
func (s *Service) putAgain(c *put.Draft) (next int64, status store.PutStatus) {
	c.Counts = put.AsPut(topic.TransHalf)
	res := s.Put.Put(c)
	if !put.Stored(res.Status) {
		s.Logger.Error("a half message was not put again: the store refused it", "queueOffset", c.Msg.QueueOffset, "status", res.Status, "err", res.Err)
		return -1, res.Status
	}
	c.Msg.QueueOffset, c.Msg.PhyOffset = res.QueueOffset, res.PhyOffset
	return res.QueueOffset, res.Status
}

// send sends CHECK_TRANSACTION_STATE (39), one way, to any live producer of the
// group. The body is the record with the real topic and queue, and WAIT=false.
func (s *Service) send(cfg *config.Config, m *message.Message) {
	name := property(m, message.PropertyProducerGroup)
	ch := s.Producers.Pick(name)
	if ch == nil {
		s.Logger.Warn("nobody to ask about a transaction", "group", name, "queueOffset", m.QueueOffset)
		return
	}
	id := property(m, message.PropertyUniqKey)
	h := &header.CheckTransactionStateRequest{
		Topic: wire.Some(topic.TransHalf), TranStateTableOffset: wire.Some(m.QueueOffset), CommitLogOffset: wire.Some(m.PhyOffset),
		MsgID: wire.Some(id), TransactionID: wire.Some(id), OffsetMsgID: wire.Some(message.OffsetMessageID(m.StoreHost, m.PhyOffset)),
	}
	h.Bname = wire.Some(cfg.BrokerName)
	text, err := shown(m, message.PropertyWait, "false") // Java's record says so, whatever the stored one says
	if err != nil {
		text, err = shown(m) // there is no room to say so
	}
	if err == nil {
		err = ch.Peer.Oneway(&wire.Outgoing{Code: int32(protocol.CheckTransactionState.Code), Header: h}, text)
	}
	if err != nil {
		s.Logger.Warn("a producer was not asked about a transaction", "group", name, "client", ch.ClientID, "err", err)
	}
}

// shown is the record of a half message as its producer sees it, with changed
// properties.
func shown(m *message.Message, set ...string) ([]byte, error) {
	d := again(m, set...)
	d.Encode()
	d.Msg.Topic = property(m, message.PropertyRealTopic)
	d.Msg.QueueID = int32(max(number(m, message.PropertyRealQueueID), 0))
	return message.Append(nil, &d.Msg)
}

// discard moves a half message that was checked too often or is too old to
// TRANS_CHECK_MAX_TIME_TOPIC. Until the store takes it, it stays; one that the store
// will never take is passed over. (Java drops it then.)
func (s *Service) discard(m *message.Message) bool {
	tc, _ := s.Topics.CreateForGroup(topic.TransCheckMaxTime, 1, topic.PermRead|topic.PermWrite, 0, false)
	d := again(m)
	d.Msg.Topic, d.Msg.QueueID = tc.TopicName, 0
	res := s.Put.Put(d)
	if !put.Stored(res.Status) {
		s.Logger.Error("a half message was not discarded: the store refused it", "topic", property(m, message.PropertyRealTopic),
			"queueOffset", m.QueueOffset, "offset", m.PhyOffset, "status", res.Status, "err", res.Err)
		return put.ForGood(res.Status)
	}
	s.Logger.Warn("a half message is not checked any more", "topic", property(m, message.PropertyRealTopic), "queueOffset", m.QueueOffset)
	return true
}
