package suite

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"

	"github.com/merlinmq/merlin/conformance/probe"
)

func retryCases() []Case {
	return []Case{
		{Name: "retry", Area: Retry, Run: retry,
			Promise: "A message that a consumer could not process comes again after the delay it asked for, with a higher reconsume count and all its content."},
		{Name: "retry-dead-letter", Area: Retry, Run: retryDeadLetter,
			Promise: "A message that failed more often than allowed goes to the dead letter topic of the group with its content and is not delivered any more."},
		{Name: "retry-level", Area: Retry, Run: retryLevel, Limit: 2 * time.Minute,
			Promise: "Without a wish of the consumer the first retry comes after ten seconds."},
		{Name: "delay-level", Area: Delay, Run: delayLevel,
			Promise: "A message with a delay level is not seen before its delay is over, and soon after, with its content."},
		{Name: "delay-level-clamped", Area: Delay, Run: delayClamped,
			Promise: "A delay level beyond the table is accepted and the message is not delivered at once."},
	}
}

// later refuses a message and asks for it again at a delay level.
func later(ctx context.Context, level int) consumer.ConsumeResult {
	if cc, ok := primitive.GetConcurrentlyCtx(ctx); ok {
		cc.DelayLevelWhenNextConsume = level
	}
	return consumer.ConsumeRetryLater
}

func retry(ctx context.Context, e *Env) {
	topic, group, p := e.Topic(1), e.Group(), e.Producer()
	arrived := make(chan time.Time, 8)
	box := e.Push(group, topic, All, func(ctx context.Context, m *primitive.MessageExt) consumer.ConsumeResult {
		arrived <- time.Now()
		if m.ReconsumeTimes < 2 {
			return later(ctx, 1)
		}
		return consumer.ConsumeSuccess
	})
	m := Message(topic, 0).WithTag("t")
	m.WithKeys([]string{"k"})
	m.WithProperty("mine", "wert")
	res := e.Send(ctx, p, m)
	e.Eventually("three deliveries", func() (bool, string) {
		return len(box.Messages()) >= 3, fmt.Sprint(len(box.Messages()))
	})
	first, second, third := <-arrived, <-arrived, <-arrived
	for _, gap := range []time.Duration{second.Sub(first), third.Sub(second)} {
		// The consumer's 1 s starts when it sends the message back.
		e.True(gap > 900*time.Millisecond, "the retry came after %v, level 1 is one second", gap)
	}
	for i, got := range box.Messages()[:3] {
		e.sameMessage(m, got)
		e.Equal(int32(i), got.ReconsumeTimes, "reconsume count of delivery %d", i)
		if i > 0 {
			e.Equal(res.OffsetMsgID, got.GetProperty("ORIGIN_MESSAGE_ID"), "original message id of delivery %d", i)
			e.Equal(topic, got.GetProperty("RETRY_TOPIC"), "original topic of delivery %d", i)
		}
	}
	e.Steady(2*time.Second, "delivered again after success", func() (bool, string) {
		return len(box.Messages()) == 3, fmt.Sprint(len(box.Messages()))
	})
	e.AwaitCommitted(group, topic, 1, 1)
}

func retryDeadLetter(ctx context.Context, e *Env) {
	topic, group, p := e.Topic(1), e.Group(), e.Producer()
	box := e.Push(group, topic, All, func(ctx context.Context, m *primitive.MessageExt) consumer.ConsumeResult {
		return later(ctx, 1)
	}, consumer.WithMaxReconsumeTimes(1))
	m := Message(topic, 0).WithTag("t")
	m.WithKeys([]string{"k"})
	res := e.Send(ctx, p, m)
	dead := "%DLQ%" + group
	e.Eventually("a message in "+dead, func() (bool, string) {
		n, err := probe.End(ctx, e.Broker, dead, 0)
		return err == nil && n == 1, fmt.Sprintf("%d messages, error %v, %d deliveries", n, err, len(box.Messages()))
	})
	e.Equal(2, len(box.Messages()), "deliveries before the dead letter topic")
	e.AwaitRoute(dead, 1)
	c := e.Pull(e.Group(), dead, All)
	var r *primitive.PullResult
	e.Eventually("the dead letter", func() (bool, string) {
		var err error
		r, err = c.PullFrom(ctx, e.queueOf(dead, 0), 0, 1)
		return err == nil && len(r.GetMessageExts()) == 1, fmt.Sprint(err)
	})
	got := r.GetMessageExts()[0]
	e.Equal(string(m.Body), string(got.Body), "body of the dead letter")
	e.Equal("k", got.GetKeys(), "keys of the dead letter")
	e.Equal("t", got.GetTags(), "tag of the dead letter")
	e.Equal(res.OffsetMsgID, got.GetProperty("ORIGIN_MESSAGE_ID"), "original message id")
	e.Steady(2*time.Second, "delivered after it was given up", func() (bool, string) {
		return len(box.Messages()) == 2, fmt.Sprint(len(box.Messages()))
	})
}

func retryLevel(ctx context.Context, e *Env) {
	topic, p := e.Topic(1), e.Producer()
	times := make(chan time.Time, 8)
	box := e.Push(e.Group(), topic, All, func(_ context.Context, m *primitive.MessageExt) consumer.ConsumeResult {
		times <- time.Now()
		if m.ReconsumeTimes == 0 {
			return consumer.ConsumeRetryLater
		}
		return consumer.ConsumeSuccess
	})
	e.Send(ctx, p, Message(topic, 0))
	e.Eventually("the retry", func() (bool, string) { return len(box.Messages()) == 2, fmt.Sprint(len(box.Messages())) })
	first, second := <-times, <-times
	gap := second.Sub(first)
	e.True(gap > 9900*time.Millisecond && gap < 20*time.Second, "the first retry came after %v", gap)
	e.Equal("3", box.Messages()[1].GetProperty("DELAY"), "delay level of the first retry")
}

func delayLevel(ctx context.Context, e *Env) {
	topic, p := e.Topic(1), e.Producer()
	levels := []struct {
		level int
		delay time.Duration
	}{{1, time.Second}, {2, 5 * time.Second}, {3, 10 * time.Second}}
	arrived := map[string]chan time.Time{}
	for _, l := range levels {
		arrived[fmt.Sprint("level ", l.level)] = make(chan time.Time, 2)
	}
	box := e.Push(e.Group(), topic, tag("late"), func(_ context.Context, m *primitive.MessageExt) consumer.ConsumeResult {
		arrived[string(m.Body)] <- time.Now()
		return consumer.ConsumeSuccess
	})
	start := map[string]time.Time{}
	var sent []*primitive.Message
	for _, l := range levels {
		m := primitive.NewMessage(topic, fmt.Appendf(nil, "level %d", l.level)).WithTag("late").WithDelayTimeLevel(l.level)
		m.WithProperty("mine", "wert")
		start[string(m.Body)] = time.Now()
		e.Send(ctx, p, m)
		sent = append(sent, m)
	}
	for i, l := range levels {
		body := fmt.Sprint("level ", l.level)
		select {
		case at := <-arrived[body]:
			took := at.Sub(start[body])
			e.True(took >= l.delay-50*time.Millisecond && took < l.delay+5*time.Second, "%s arrived after %v", body, took)
		case <-ctx.Done():
			e.Fatalf("%s never arrived", body)
		}
		var got *primitive.MessageExt // the inbox has it before the channel
		for _, m := range box.Messages() {
			if string(m.Body) == body {
				got = m
			}
		}
		e.Equal("wert", got.GetProperty("mine"), "property of %s", body)
		e.Equal(sent[i].GetProperty("UNIQ_KEY"), got.GetProperty("UNIQ_KEY"), "unique key of %s", body)
		e.Equal(int64(i), got.QueueOffset, "queue offset of %s", body)
	}
}

func delayClamped(ctx context.Context, e *Env) {
	topic, p := e.Topic(1), e.Producer()
	e.Send(ctx, p, Message(topic, 0).WithDelayTimeLevel(99))
	e.Steady(3*time.Second, "delivered before its time", func() (bool, string) {
		n := e.End(topic, 0)
		return n == 0, fmt.Sprint(n, " messages in the queue")
	})
}
