package main

import (
	"context"
	"fmt"
	"io"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

const (
	demoTopic    = "MerlinDemo"
	demoGroup    = "MerlinDemoConsumer"
	demoMessages = 10
	demoTimeout  = 60 * time.Second
)

// demo sends messages to a cluster and reads them back, both through the official
// Go client, and writes what it sees to out. An error says what did not happen.
func demo(ctx context.Context, out io.Writer, nameServer string) error {
	rlog.SetLogLevel("fatal") // the client tells its own failures through errors
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	resolver := primitive.NewPassthroughResolver([]string{nameServer})

	sent, err := demoSend(ctx, out, resolver)
	if err != nil {
		return err
	}
	return demoRead(ctx, out, resolver, sent)
}

func demoSend(ctx context.Context, out io.Writer, resolver primitive.NsResolver) (map[string]bool, error) {
	p, err := rocketmq.NewProducer(producer.WithNsResolver(resolver), producer.WithGroupName("MerlinDemoProducer"))
	if err != nil {
		return nil, fmt.Errorf("make a producer: %w", err)
	}
	if err := p.Start(); err != nil {
		return nil, fmt.Errorf("start the producer: %w", err)
	}
	defer p.Shutdown()
	fmt.Fprintf(out, "\nSending %d messages to topic %s with rocketmq-client-go:\n", demoMessages, demoTopic)
	sent := map[string]bool{}
	for i := 1; i <= demoMessages; i++ {
		text := fmt.Sprintf("Hello from message %d", i)
		m := primitive.NewMessage(demoTopic, []byte(text)).WithTag("demo").WithKeys([]string{fmt.Sprintf("key-%d", i)})
		res, err := p.SendSync(ctx, m)
		if err != nil {
			return nil, fmt.Errorf("send message %d: %w", i, err)
		}
		if res.Status != primitive.SendOK {
			return nil, fmt.Errorf("send message %d: status %d", i, res.Status)
		}
		fmt.Fprintf(out, "  sent      %-24q queue %d offset %-3d id %s\n", text, res.MessageQueue.QueueId, res.QueueOffset, res.MsgID)
		sent[text] = true
	}
	return sent, nil
}

func demoRead(ctx context.Context, out io.Writer, resolver primitive.NsResolver, want map[string]bool) error {
	c, err := rocketmq.NewPushConsumer(consumer.WithNsResolver(resolver), consumer.WithGroupName(demoGroup),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
	if err != nil {
		return fmt.Errorf("make a consumer: %w", err)
	}
	got := make(chan *primitive.MessageExt, demoMessages)
	err = c.Subscribe(demoTopic, consumer.MessageSelector{Type: consumer.TAG, Expression: "demo"},
		func(_ context.Context, ms ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
			for _, m := range ms {
				select {
				case got <- m:
				case <-ctx.Done():
				}
			}
			return consumer.ConsumeSuccess, nil
		})
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	fmt.Fprintf(out, "\nReading them back as group %s (in the order they come: order holds within a queue, and each queue counts its own offsets):\n", demoGroup)
	if err := c.Start(); err != nil {
		return fmt.Errorf("start the consumer: %w", err)
	}
	defer c.Shutdown()
	for n := 0; len(want) > 0; {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d messages were not read in time", len(want), demoMessages)
		case m := <-got:
			text := string(m.Body)
			if !want[text] {
				continue // of an earlier demo on the same store
			}
			delete(want, text)
			n++
			fmt.Fprintf(out, "  received  %-24q queue %d offset %-3d keys %s\n", text, m.Queue.QueueId, m.QueueOffset, m.GetKeys())
		}
	}
	fmt.Fprintf(out, "\nAll %d messages were sent and read.\n", demoMessages)
	return nil
}
