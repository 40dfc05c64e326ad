package suite

import (
	"context"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

// NeedsRequestReply and NeedsTransactions are features that a server may lack.
const (
	NeedsRequestReply = "request-reply"
	NeedsTransactions = "transactions"
)

func requestCases() []Case {
	return []Case{
		{Name: "request-reply", Area: Send, Run: requestReply, Needs: NeedsRequestReply,
			Promise: "A request waits for the reply that a consumer sends to it, and gets its body."},
	}
}

func requestReply(ctx context.Context, e *Env) {
	topic, group := e.Topic(1), e.Group()
	replier := e.Producer()
	asker := e.Producer()
	e.Push(group, topic, All, func(ctx context.Context, m *primitive.MessageExt) consumer.ConsumeResult {
		reply, err := consumer.CreateReplyMessage(m, append([]byte("reply to "), m.Body...))
		if err != nil {
			e.Errorf("making a reply: %v", err)
			return consumer.ConsumeSuccess
		}
		if _, err := replier.SendSync(ctx, reply); err != nil {
			// The asker's first heartbeat may still be on its way: again.
			return later(ctx, 1)
		}
		return consumer.ConsumeSuccess
	})
	// The asker is known to the broker once its heartbeat is there, which a
	// first send and its route bring about.
	e.Send(ctx, asker, Message(topic, 0))
	got, err := asker.Request(ctx, 20*time.Second, primitive.NewMessage(topic, []byte("question")))
	e.NoError(err, "asking")
	e.Equal("reply to question", string(got.Body), "reply")
}
