package suite

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
)

// disturbingLimit leaves room for a Java broker, which needs twenty seconds to
// stop, and for the others that wait for the same disturbance.
const disturbingLimit = 4 * time.Minute

func disturbingCases() []Case {
	var cases []Case
	for _, d := range []struct {
		what Disturbance
		name string
	}{{BrokerRestart, "broker-restart"}, {BrokerKill, "broker-kill"}, {NameServerRestart, "nameserver-restart"}} {
		cases = append(cases,
			Case{Name: d.name + "-messages", Area: Send, Run: disturbedMessages, Disturbs: d.what, Limit: disturbingLimit,
				Promise: "Messages that were accepted before a " + string(d.what) + " are all there after it, at their offsets."},
			Case{Name: d.name + "-clients", Area: Consume, Run: disturbedClients, Disturbs: d.what, Limit: disturbingLimit,
				Promise: "Running producers and consumers go on after a " + string(d.what) + ", and lose nothing that was accepted."},
			Case{Name: d.name + "-offsets", Area: Offset, Run: disturbedOffsets, Disturbs: d.what, Limit: disturbingLimit,
				Promise: "Offsets that were committed, and on disk since, are kept over a " + string(d.what) + "."},
		)
		if d.what == NameServerRestart {
			continue // delays are the broker's alone
		}
		cases = append(cases,
			Case{Name: d.name + "-delay", Area: Delay, Run: disturbedDelay, Disturbs: d.what, Limit: disturbingLimit,
				Promise: "A delayed message is delivered after a " + string(d.what) + ", not before its time."},
		)
	}
	return cases
}

// sendEventually sends until it is accepted, for producers whose servers were
// just away.
func (e *Env) sendEventually(ctx context.Context, p rocketmq.Producer, m *primitive.Message) {
	e.Eventually("an accepted send", func() (bool, string) {
		res, err := p.SendSync(ctx, m)
		if err != nil {
			return false, err.Error()
		}
		return res.Status == primitive.SendOK, fmt.Sprint(res.Status)
	})
}

func disturbedMessages(ctx context.Context, e *Env) {
	const n = 60
	topic, p := e.Topic(1), e.Producer()
	sent := e.SendAll(ctx, p, topic, n)
	e.Disturb()
	e.AwaitRoute(topic, 1)
	e.Eventually("the end of the queue", func() (bool, string) {
		end := e.End(topic, 0)
		return end == n, fmt.Sprint(end)
	})
	c := e.Pull(e.Group(), topic, All)
	var got []string
	for len(got) < n {
		r, err := c.PullFrom(ctx, e.queueOf(topic, 0), int64(len(got)), 32)
		e.NoError(err, "pulling at %d", len(got))
		e.Equal(primitive.PullFound, r.Status, "status at %d", len(got))
		for _, m := range r.GetMessageExts() {
			e.Equal(int64(len(got)), m.QueueOffset, "offset")
			got = append(got, string(m.Body))
		}
	}
	e.Equal(sent, got, "messages in order")
	m := Message(topic, n)
	p2 := e.Producer()
	res := e.Send(ctx, p2, m)
	e.Equal(int64(n), res.QueueOffset, "offset of the first message after it")
}

func disturbedClients(ctx context.Context, e *Env) {
	topic, group, p := e.Topic(2), e.Group(), e.Producer()
	box := e.Push(group, topic, All, Accept)
	sent := e.spread(ctx, p, topic, "before", 10)
	e.AwaitBodies(sent, box)
	e.Disturb()
	for i := range 10 {
		m := primitive.NewMessage(topic, fmt.Appendf(nil, "after %d", i))
		e.sendEventually(ctx, p, m)
		sent = append(sent, string(m.Body))
	}
	e.AwaitAtLeast(sent, box)
}

func disturbedOffsets(ctx context.Context, e *Env) {
	const n = 20
	topic, group, p := e.Topic(1), e.Group(), e.Producer()
	sent := e.SendAll(ctx, p, topic, n)
	a := e.Push(group, topic, All, Accept)
	e.AwaitBodies(sent, a)
	e.AwaitCommitted(group, topic, 1, n) // Stop does not wait until a message is noted as done
	a.Stop()
	// A broker writes committed offsets every five seconds, and for the first
	// time ten seconds after its start; only a clean stop writes them at once.
	e.Steady(12*time.Second, "", func() (bool, string) { return true, "" })
	e.Disturb()
	e.AwaitRoute(topic, 1)
	e.AwaitCommitted(group, topic, 1, n)
	p2 := e.Producer()
	m := primitive.NewMessage(topic, []byte("after"))
	e.sendEventually(ctx, p2, m)
	b := e.Push(group, topic, All, Accept)
	e.AwaitBodies([]string{"after"}, b)
}

func disturbedDelay(ctx context.Context, e *Env) {
	topic, p := e.Topic(1), e.Producer()
	start := time.Now()
	e.Send(ctx, p, primitive.NewMessage(topic, []byte("late")).WithDelayTimeLevel(4)) // 30 s
	e.Disturb()
	e.AwaitRoute(topic, 1)
	at := make(chan time.Time, 4)
	box := e.Push(e.Group(), topic, All, func(context.Context, *primitive.MessageExt) consumer.ConsumeResult {
		at <- time.Now()
		return consumer.ConsumeSuccess
	})
	e.AwaitBodies([]string{"late"}, box)
	took := (<-at).Sub(start)
	e.True(took > 29900*time.Millisecond, "the message of thirty seconds came after %v", took)
}
