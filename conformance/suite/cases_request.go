package suite

import (
	"context"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

func requestCases() []Case {
	return []Case{
		{Name: "request-reply", Area: Send, Run: requestReply,
			Promise: "A request waits for the reply that a consumer sends to it, and gets its body."},
	}
}

func requestReply(ctx context.Context, e *Env) {
	topic, group := e.Topic(1), e.Group()
	replier := e.Producer()
	asker := e.Producer()
	e.Push(group, topic, All, func(ctx context.Context, m *primitive.MessageExt) consumer.ConsumeResult {
		reply, err := consumer.CreateReplyMessage(m, nil)
		if err != nil {
			e.Errorf("making a reply: %v", err)
			return consumer.ConsumeSuccess
		}
		// Version 2.1.2 takes the body for properties; set it here.
		reply.Body = append([]byte("reply to "), m.Body...)
		if _, err := replier.SendSync(ctx, reply); err != nil {
			e.Logf("reply: %v", err)
			return later(ctx, 1)
		}
		return consumer.ConsumeSuccess
	})
	got, err := asker.Request(ctx, 20*time.Second, primitive.NewMessage(topic, []byte("question")))
	e.NoError(err, "asking")
	e.Equal("reply to question", string(got.Body), "reply")
}
