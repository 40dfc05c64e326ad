package suite

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"

	"github.com/merlinmq/merlin/conformance/probe"
)

func orderCases() []Case {
	return []Case{
		{Name: "order-selector", Area: Order, Run: orderSelector,
			Promise: "Messages of one key go to one queue and are consumed in the order in which they were sent."},
		{Name: "order-suspend", Area: Order, Run: orderSuspend,
			Promise: "An ordered consumer that is not done with a message gets it again, and nothing that came after it, first."},
		{Name: "order-locked", Area: Order, Run: orderLocked,
			Promise: "An ordered consumer gets nothing from a queue that another member has locked, and goes on in order when that member unlocks it."},
		{Name: "order-take-over", Area: Order, Run: orderTakeOver, Limit: 55 * time.Second,
			Promise: "An ordered member that leaves unlocks its queues, and the next one goes on in order before the locks would have expired."},
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

func orderLocked(ctx context.Context, e *Env) {
	topic, group := e.Topic(1), e.Group()
	sent := e.sendKeyed(ctx, topic, 1, 10, "message")["key-0"]
	body := fmt.Appendf(nil, `{"consumerGroup":%q,"clientId":"another","mqSet":[{"topic":%q,"brokerName":%q,"queueId":0}]}`,
		group, topic, e.BrokerName)
	a, err := probe.Call(ctx, e.Broker, probe.LockQueues, nil, body)
	e.NoError(err, "locking as another member")
	var granted struct {
		OK []map[string]any `json:"lockOKMQSet"`
	}
	e.NoError(probe.Unmarshal(a.Body, &granted), "reading %q", a.Body)
	e.Equal(1, len(granted.OK), "queues that the other member got")
	box := e.Push(group, topic, All, Accept, consumer.WithConsumerOrder(true))
	e.AwaitMembers(group, 1)
	e.Steady(4*time.Second, "consumed from a locked queue", func() (bool, string) {
		return len(box.Messages()) == 0, fmt.Sprint(box.Bodies())
	})
	_, err = probe.Call(ctx, e.Broker, probe.UnlockQueues, nil, body)
	e.NoError(err, "unlocking")
	// The client asks again every 20 s.
	e.Eventually("all messages", func() (bool, string) {
		return len(box.Messages()) >= len(sent), difference(sent, box.Bodies())
	})
	e.Equal(sent, box.Bodies(), "messages in order")
}

func orderTakeOver(ctx context.Context, e *Env) {
	const queues = 4
	topic, group := e.Topic(queues), e.Group()
	ordered := consumer.WithConsumerOrder(true)
	a := e.Push(group, topic, All, Accept, ordered)
	first := e.sendKeyed(ctx, topic, 8, 5, "first")
	e.Eventually("40 messages", func() (bool, string) { return len(a.Messages()) >= 40, fmt.Sprint(len(a.Messages())) })
	// The members do not overlap: the Go client keeps the lock of a queue that it
	// hands over while it runs, until the lock is a minute old. What is not committed
	// comes again, and would be counted below.
	e.AwaitCommitted(group, topic, queues, 40)
	a.Stop()
	e.AwaitMembers(group, 0)
	second := e.sendKeyed(ctx, topic, 8, 5, "second")
	b := e.Push(group, topic, All, Accept, ordered)
	e.Eventually("40 more at the next member", func() (bool, string) {
		return len(b.Messages()) >= 40, fmt.Sprint(len(b.Messages()))
	})
	got := byKey(append(append([]*primitive.MessageExt{}, a.Messages()...), b.Messages()...))
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
