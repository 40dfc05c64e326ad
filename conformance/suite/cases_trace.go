package suite

import (
	"context"
	"fmt"
	"strings"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"

	"github.com/merlinmq/merlin/conformance/probe"
)

// systemTraceTopic is there when the broker has traceTopicEnable.
const systemTraceTopic = "RMQ_SYS_TRACE_TOPIC"

func traceTopic(ctx context.Context, e *Env) { trace(ctx, e, e.Topic(1)) }

func traceSystemTopic(ctx context.Context, e *Env) {
	_, err := probe.RouteOf(ctx, e.NameServer, systemTraceTopic)
	e.NoError(err, "looking for the trace topic")
	trace(ctx, e, systemTraceTopic)
}

// trace has a child send and consume one message with tracing: the client keeps
// one connection for all traces of a process, to the first name server that it
// heard of.
func trace(ctx context.Context, e *Env, traces string) {
	topic, group := e.Topic(1), e.Group()
	from := e.End(traces, 0)
	k := e.Child("trace", group, topic+" "+traces)
	e.Eventually("the message at the child", func() (bool, string) {
		got, _ := k.seen()
		return len(got) == 1, fmt.Sprint(got)
	})
	id, _ := k.seen()
	c := e.Pull(e.Group(), traces, All)
	kinds, offset := map[string]int{}, from
	e.Eventually("three traces of message "+id[0], func() (bool, string) {
		if offset == e.End(traces, 0) {
			return false, fmt.Sprint(kinds)
		}
		r, err := c.PullFrom(ctx, e.queueOf(traces, 0), offset, 32)
		if err != nil {
			return false, err.Error()
		}
		offset = r.NextBeginOffset
		for _, m := range r.GetMessageExts() {
			for record := range strings.SplitSeq(string(m.Body), "\x02") {
				if strings.Contains(record, id[0]) {
					kinds[strings.SplitN(record, "\x01", 2)[0]]++
					e.True(strings.Contains(" "+m.GetKeys()+" ", " "+id[0]+" "), "keys %q of the traces lack %s", m.GetKeys(), id[0])
				}
			}
		}
		return kinds["Pub"] == 1 && kinds["SubBefore"] == 1 && kinds["SubAfter"] == 1, fmt.Sprint(kinds)
	})
}

// trace sends one message and prints its id when it has consumed it. Topic is
// the topic and that of the traces.
func (s childSpec) trace() error {
	topic, traces, _ := strings.Cut(s.Topic, " ")
	cfg := &primitive.TraceConfig{TraceTopic: traces, GroupName: s.Group + "-trace", Access: primitive.Local,
		NamesrvAddrs: probe.NameServers(s.NameServer)}
	p, err := rocketmq.NewProducer(producer.WithNameServer(probe.NameServers(s.NameServer)), producer.WithGroupName(s.Group+"-p"),
		producer.WithInstanceName(s.Instance), producer.WithTrace(cfg))
	if err != nil {
		return err
	}
	if err := p.Start(); err != nil {
		return err
	}
	c, err := rocketmq.NewPushConsumer(consumer.WithNameServer(probe.NameServers(s.NameServer)), consumer.WithGroupName(s.Group),
		consumer.WithInstance(s.Instance), consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset), consumer.WithTrace(cfg))
	if err != nil {
		return err
	}
	err = c.Subscribe(topic, All, func(_ context.Context, ms ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, m := range ms {
			fmt.Printf("%d %s\n", m.Queue.QueueId, m.MsgId)
		}
		return consumer.ConsumeSuccess, nil
	})
	if err == nil {
		err = c.Start()
	}
	if err == nil {
		_, err = p.SendSync(context.Background(), primitive.NewMessage(topic, []byte("traced")))
	}
	return err
}
