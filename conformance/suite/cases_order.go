package suite

import (
	"context"
	"fmt"
	"sync"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

func orderCases() []Case {
	return []Case{
		{Name: "order-selector", Area: Order, Run: orderSelector,
			Promise: "Messages of one key go to one queue and are consumed in the order in which they were sent."},
		{Name: "order-suspend", Area: Order, Run: orderSuspend,
			Promise: "An ordered consumer that is not done with a message gets it again, and nothing that came after it, first."},
		{Name: "order-two-members", Area: Order, Run: orderTwoMembers,
			Promise: "Two ordered members lock their queues: each queue is consumed by one of them, in order, also when one leaves."},
	}
}

// sendKeyed sends n messages for each key and returns the bodies by key.
func (e *Env) sendKeyed(ctx context.Context, topic string, keys, n int, what string) map[string][]string {
	p := e.Producer(producer.WithQueueSelector(producer.NewHashQueueSelector()))
	sent := map[string][]string{}
	for i := range n {
		for k := range keys {
			key := fmt.Sprintf("key-%d", k)
			m := primitive.NewMessage(topic, fmt.Appendf(nil, "%s %d of %s", what, i, key))
			m.WithShardingKey(key)
			e.Send(ctx, p, m)
			sent[key] = append(sent[key], string(m.Body))
		}
	}
	return sent
}

func byKey(ms []*primitive.MessageExt) map[string][]string {
	got := map[string][]string{}
	for _, m := range ms {
		got[m.GetShardingKey()] = append(got[m.GetShardingKey()], string(m.Body))
	}
	return got
}

func orderSelector(ctx context.Context, e *Env) {
	topic := e.Topic(4)
	sent := e.sendKeyed(ctx, topic, 6, 20, "message")
	box := e.Push(e.Group(), topic, All, Accept, consumer.WithConsumerOrder(true))
	e.Eventually("120 messages", func() (bool, string) {
		return len(box.Messages()) == 120, fmt.Sprint(len(box.Messages()))
	})
	got := byKey(box.Messages())
	queue := map[string]int{}
	for _, m := range box.Messages() {
		k := m.GetShardingKey()
		if q, ok := queue[k]; ok {
			e.Equal(q, m.Queue.QueueId, "queue of %s", k)
		}
		queue[k] = m.Queue.QueueId
	}
	for k, want := range sent {
		e.Equal(want, got[k], "messages of %s in order", k)
	}
}

func orderSuspend(ctx context.Context, e *Env) {
	topic := e.Topic(1)
	sent := e.sendKeyed(ctx, topic, 1, 10, "message")["key-0"]
	var mu sync.Mutex
	refused := 0
	box := e.Push(e.Group(), topic, All, func(ctx context.Context, m *primitive.MessageExt) consumer.ConsumeResult {
		mu.Lock()
		defer mu.Unlock()
		if string(m.Body) == sent[4] && refused < 2 {
			refused++
			if oc, ok := primitive.GetOrderlyCtx(ctx); ok {
				oc.SuspendCurrentQueueTimeMillis = 100
			}
			return consumer.SuspendCurrentQueueAMoment
		}
		return consumer.ConsumeSuccess
	}, consumer.WithConsumerOrder(true))
	want := append([]string{}, sent[:5]...)
	want = append(want, sent[4], sent[4])
	want = append(want, sent[5:]...)
	e.Eventually("all messages", func() (bool, string) {
		return len(box.Messages()) >= len(want), difference(want, box.Bodies())
	})
	e.Equal(want, box.Bodies(), "messages in order, the fifth three times")
}

func orderTwoMembers(ctx context.Context, e *Env) {
	const queues = 4
	topic, group := e.Topic(queues), e.Group()
	a := e.Push(group, topic, All, Accept, consumer.WithConsumerOrder(true))
	b := e.Push(group, topic, All, Accept, consumer.WithConsumerOrder(true))
	first := e.sendKeyed(ctx, topic, 8, 5, "first")
	e.Eventually("40 messages at both", func() (bool, string) {
		return len(a.Messages())+len(b.Messages()) >= 40, fmt.Sprint(len(a.Messages()), " and ", len(b.Messages()))
	})
	b.Stop()
	e.AwaitMembers(group, 1)
	before := len(a.Messages())
	second := e.sendKeyed(ctx, topic, 8, 5, "second")
	e.Eventually("40 more at the one that stayed", func() (bool, string) {
		return len(a.Messages()) >= before+40, fmt.Sprint(len(a.Messages()) - before)
	})
	got := byKey(append(append([]*primitive.MessageExt{}, b.Messages()...), a.Messages()...))
	for key := range first {
		want := append(append([]string{}, first[key]...), second[key]...)
		if !subsequence(want, got[key]) {
			e.Fatalf("messages of %s: expected in order %v, saw %v", key, want, got[key])
		}
	}
}

// subsequence says whether want stands in got in this order, maybe with second
// deliveries in between.
func subsequence(want, got []string) bool {
	i := 0
	for _, g := range got {
		if i < len(want) && g == want[i] {
			i++
		}
	}
	return i == len(want)
}
