package admin

import (
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/remoting"
)

// CleanExpiredConsumeQueue is CLEAN_EXPIRED_CONSUMEQUEUE (306): it deletes the
// consume queues all of whose messages are gone from the commit log. The queues of
// the delay levels stay, as in Java.
func (h *Handler) CleanExpiredConsumeQueue(r *remoting.Request, _ *header.None) (*remoting.Answer, error) {
	h.Logger.Info("expired consume queues are cleaned", from(r))
	keep := func(name string) bool { return name == topic.Schedule }
	if err := h.Store.CleanExpiredQueues(keep); err != nil {
		return nil, err
	}
	return done()
}

// DeleteExpiredCommitLog is DELETE_EXPIRED_COMMITLOG (329): it runs the clean-up
// of deleteWhen now.
func (h *Handler) DeleteExpiredCommitLog(r *remoting.Request, _ *header.None) (*remoting.Answer, error) {
	h.Logger.Info("expired commit log files are deleted", from(r))
	if err := h.Store.CleanNow(); err != nil {
		return nil, err
	}
	return done()
}

// CleanUnusedTopic is CLEAN_UNUSED_TOPIC (316): it deletes the queues of topics
// that have no settings any more.
func (h *Handler) CleanUnusedTopic(r *remoting.Request, _ *header.None) (*remoting.Answer, error) {
	h.changing.Lock()
	defer h.changing.Unlock()
	for _, name := range h.Store.Topics() {
		if h.Topics.Find(name) != nil || h.Topics.IsSystem(name) {
			continue
		}
		h.Logger.Info("queues of an unused topic are deleted", "topic", name, from(r))
		if err := h.Store.DeleteTopic(name); err != nil {
			return nil, err
		}
		h.Stats.TopicDeleted(name)
	}
	return done()
}
