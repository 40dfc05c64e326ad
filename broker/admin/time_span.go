package admin

import (
	"time"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/remoting"
)

// QueryConsumeTimeSpan is QUERY_CONSUME_TIME_SPAN (303): per write queue of a
// topic the store times in ms of the oldest and the newest message and of the last
// one that the group consumed, and how old the next one to consume is. -1 is an
// unknown time.
func (h *Handler) QueryConsumeTimeSpan(_ *remoting.Request, q *header.QueryConsumeTimeSpanRequest) (*remoting.Answer, error) {
	if !q.Topic.Set {
		return nil, missing("topic")
	}
	name := q.Topic.V
	c := h.Topics.Find(name)
	if c == nil {
		return refuse(protocol.TopicNotExist, "topic[%s] not exist", name)
	}
	now := h.Clock.NowMillis()
	b := body.QueryConsumeTimeSpanBody{ConsumeTimeSpanSet: []body.QueueTimeSpan{}}
	for id := range c.WriteQueueNums {
		maxOffset := h.Store.MaxOffset(name, id)
		at := h.Offsets.Query(name, q.Group.V, id)
		mq := h.queue(name, id)
		s := body.QueueTimeSpan{MessageQueue: &mq}
		earliest, err := h.Store.EarliestStoreTime(name, id)
		stored := func(offset int64) (ms int64) {
			if err == nil {
				ms, err = h.Store.StoreTimeAt(name, id, offset)
			}
			return ms
		}
		s.MinTimeStamp, s.MaxTimeStamp = earliest, stored(maxOffset-1)
		s.ConsumeTimeStamp = s.MinTimeStamp
		if at > 0 {
			s.ConsumeTimeStamp = stored(at - 1)
		}
		if at < maxOffset {
			s.DelayTime = now - stored(at)
		}
		if err != nil {
			return nil, err
		}
		s.MinTimeStampStr, s.MaxTimeStampStr = human(s.MinTimeStamp), human(s.MaxTimeStamp)
		s.ConsumeTimeStampStr = human(s.ConsumeTimeStamp)
		b.ConsumeTimeSpanSet = append(b.ConsumeTimeSpanSet, s)
	}
	return reply(&b)
}

// human is a time in ms as Java prints it for people, in local time
// (UtilAll.formatDate with YYYY_MM_DD_HH_MM_SS_SSS).
func human(ms int64) string {
	t := time.UnixMilli(ms).Format("2006-01-02#15:04:05.000")
	return t[:19] + ":" + t[20:]
}
