package txn

import (
	"math"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/put"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/remoting"
)

// End handles END_TRANSACTION (37), usually one way: the message of a committed
// transaction is stored under its real topic, then a removal entry tells that the
// half message is done with; a rolled back one gets the removal entry only. An
// unknown outcome (0) is taken and changes nothing: the check will ask. Java does
// not answer that one, which only one-way senders do not mind.
//
// A transaction that has ended stays as it is: ending it again succeeds and does
// nothing. An answer for a half message that was put again by the check counts
// for its newest copy.
func (s *Service) End(r *remoting.Request, q *header.EndTransactionRequest) (*remoting.Answer, error) {
	if err := s.end(q); err != nil {
		s.Logger.Warn("transaction not ended", "group", q.ProducerGroup.V, "offset", q.CommitLogOffset.V, "addr", r.Peer.RemoteAddr(), "err", err)
		return nil, err
	}
	if q.CommitOrRollback.V == message.SysFlagRollback {
		// Java's success of a rollback has this remark.
		return &remoting.Answer{Remark: "not set any response code", HasRemark: true}, nil
	}
	return &remoting.Answer{}, nil
}

func (s *Service) end(q *header.EndTransactionRequest) error {
	cfg := s.Config.Get()
	if err := required(q); err != nil {
		return err
	}
	commit := q.CommitOrRollback.V == message.SysFlagCommit
	switch q.CommitOrRollback.V {
	case message.SysFlagCommit, message.SysFlagRollback:
	case 0:
		return nil
	default:
		return protocol.Errorf(protocol.SystemError, "commitOrRollback field wrong")
	}
	m, err := s.prepared(cfg, q)
	if err != nil {
		return err
	}
	if s.ops.full() {
		s.ops.wakeUp()
		return protocol.Errorf(protocol.ServiceNotAvailable, "Service not available now.")
	}
	at, ok := s.table.claim(m.QueueOffset, identity(m))
	if !ok {
		return nil
	}
	if commit {
		if err := s.deliver(cfg, m); err != nil {
			s.table.release(at)
			return err
		}
	}
	s.ops.add(at, cfg.TransactionOpMsgMaxSize)
	s.table.end(at, s.Clock.NowMillis())
	return nil
}

// required checks the fields that must be there.
func required(q *header.EndTransactionRequest) error {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"producerGroup", q.ProducerGroup.Set}, {"tranStateTableOffset", q.TranStateTableOffset.Set},
		{"commitLogOffset", q.CommitLogOffset.Set}, {"commitOrRollback", q.CommitOrRollback.Set}, {"msgId", q.MsgID.Set},
	} {
		if !f.set {
			return protocol.Errorf(protocol.SystemError, "the custom field <%s> is null", f.name)
		}
	}
	return nil
}

// prepared gives the half message that q means, in the order of Java's checks.
// Beside them it must be a half message: Java would store any message again.
func (s *Service) prepared(cfg *config.Config, q *header.EndTransactionRequest) (*message.Message, error) {
	m, err := s.read(q.CommitLogOffset.V)
	if err != nil && !isGone(err) {
		return nil, err // the check asks again
	}
	if err != nil || m.Topic != topic.TransHalf || m.QueueID != 0 {
		return nil, protocol.Errorf(protocol.SystemError, "Find prepared transaction message failed")
	}
	if immunity := property(m, message.PropertyCheckImmunityTimeInSeconds); immunity != "" && !q.FromTransactionCheck.V {
		// The producer set a time to end it in; from then on only the check counts.
		limit := max(number(m, message.PropertyCheckImmunityTimeInSeconds)*1000, cfg.TransactionTimeOut.Duration().Milliseconds())
		if s.Clock.NowMillis()-m.BornTimestamp > limit {
			return nil, &protocol.Error{Code: protocol.IllegalOperation}
		}
	}
	switch {
	case property(m, message.PropertyProducerGroup) != q.ProducerGroup.V:
		return nil, protocol.Errorf(protocol.SystemError, "The producer group wrong")
	case m.QueueOffset != q.TranStateTableOffset.V:
		return nil, protocol.Errorf(protocol.SystemError, "The transaction state table offset wrong")
	}
	return m, nil
}

// deliver stores the message of a half message. As in Java the properties still
// have TRAN_MSG, REAL_TOPIC and REAL_QID. A delay level counts from now on.
func (s *Service) deliver(cfg *config.Config, half *message.Message) error {
	d := again(half)
	if !d.Real() {
		return protocol.Errorf(protocol.SystemError, "the half message has no real topic and queue")
	}
	if c := s.Topics.Find(d.Msg.Topic); c != nil {
		if why := topic.Unserved(c); why != "" {
			return protocol.Errorf(protocol.SystemError, "%s", why)
		}
	}
	d.Msg.SysFlag = message.WithTransactionType(half.SysFlag, message.SysFlagCommit)
	d.Msg.PreparedTransactionOffset = half.PhyOffset
	d.Delay = int(max(0, min(number(half, message.PropertyDelayLevel), math.MaxInt32)))
	d.Counts = put.AsPut(d.Msg.Topic)
	if res := s.Put.Put(d); !put.Stored(res.Status) {
		v := put.EndVerdict(cfg, res.Status)
		return &protocol.Error{Code: v.Code, Remark: v.Remark}
	}
	return nil
}

// Resume handles RESUME_CHECK_HALF_MESSAGE (323): a message of
// TRANS_CHECK_MAX_TIME_TOPIC, named by its offset message id, becomes a half
// message again that was never checked.
func (s *Service) Resume(_ *remoting.Request, q *header.ResumeCheckHalfMessageRequest) (*remoting.Answer, error) {
	bad := protocol.Errorf(protocol.SystemError, "Exception was thrown when putting message back to RMQ_SYS_TRANS_HALF_TOPIC.")
	_, phy, err := message.ParseOffsetMessageID(q.MsgID.V)
	if err != nil {
		return nil, bad
	}
	m, err := s.read(phy)
	if err != nil || property(m, message.PropertyRealTopic) == "" || property(m, message.PropertyProducerGroup) == "" {
		return nil, bad
	}
	half := again(m, message.PropertyTransactionCheckTimes, "0")
	half.Props.Delete(message.PropertyTransactionPreparedQueueOffset)
	half.Msg.Topic, half.Msg.QueueID = topic.TransHalf, 0
	res := s.Put.Put(half)
	if !put.Stored(res.Status) {
		return nil, protocol.Errorf(protocol.SystemError, "Put message back to RMQ_SYS_TRANS_HALF_TOPIC failed.")
	}
	s.table.copied(identity(m), res.QueueOffset)
	return &remoting.Answer{}, nil
}
