package brokertest

import (
	"context"
	"fmt"
	"time"

	"github.com/merlinmq/merlin/broker/local"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// Client sends and pulls inside the process, without a connection. All methods may be
// called from any goroutine; they end with ctx.
type Client struct {
	// Client makes any other request (local.Call).
	*local.Client
	group string
}

// Client makes a client of the running broker. group is the group that it sends and
// pulls as. It ends with the broker; another one is needed after RestartBroker.
func (c *Cluster) Client(group string) (*Client, error) {
	if c.broker == nil {
		return nil, fmt.Errorf("brokertest: the broker does not run")
	}
	l, err := c.broker.Connect(remoting.LocalConnOptions{})
	if err != nil {
		return nil, err
	}
	return &Client{l, group}, nil
}

// Send stores a message in queue 0 of a topic, which is made when it is not there, with
// properties given as pairs of name and value (TAGS, KEYS, DELAY), and gives its queue
// offset.
func (c *Client) Send(ctx context.Context, topic, body string, properties ...string) (offset int64, err error) {
	var text []byte
	for i := 0; i+1 < len(properties); i += 2 {
		text = message.AppendProperty(text, properties[i], properties[i+1])
	}
	s, err := c.Client.Send(ctx, &header.SendMessageRequestV2{
		ProducerGroup: wire.Some(c.group), Topic: wire.Some(topic), DefaultTopic: wire.Some("TBW102"),
		DefaultTopicQueueNums: wire.Some(int32(1)), QueueID: wire.Some(int32(0)), SysFlag: wire.Some(int32(0)),
		BornTimestamp: wire.Some(clock.Real().NowMillis()), Flag: wire.Some(int32(0)), Properties: wire.Some(string(text)),
	}, []byte(body))
	return s.QueueOffset.V, err
}

// Message is one that was pulled. It is the caller's own.
type Message struct {
	Topic      string
	Offset     int64 // in its queue
	Body       string
	Properties map[string]string
}

// Pull gives up to 32 messages of queue 0 of a topic from an offset on. When there are
// none it waits for one until ctx ends, up to 15 s, and then gives none.
func (c *Client) Pull(ctx context.Context, topic string, offset int64) ([]Message, error) {
	const suspendAndSubscription = 2 | 4
	q := &header.PullMessageRequest{
		ConsumerGroup: wire.Some(c.group), QueueID: wire.Some(int32(0)), QueueOffset: wire.Some(offset),
		MaxMsgNums: wire.Some(int32(32)), SysFlag: wire.Some(int32(suspendAndSubscription)),
		SuspendTimeoutMillis: wire.Some((15 * time.Second).Milliseconds()),
		Subscription:         wire.Some("*"), ExpressionType: wire.Some("TAG"),
	}
	q.Topic = wire.Some(topic)
	p, err := c.Client.Pull(ctx, q)
	if err != nil {
		return nil, err
	}
	defer p.Release()
	if p.Code == protocol.PullOffsetMoved {
		return nil, fmt.Errorf("brokertest: topic %s has the offsets from %d to %d, not %d", topic, p.MinOffset.V, p.MaxOffset.V, offset)
	}
	var out []Message
	for i := range p.Messages {
		m := &p.Messages[i]
		own := Message{Topic: string([]byte(m.Topic)), Offset: m.QueueOffset, Body: string(m.Body), Properties: map[string]string{}}
		for name, value := range message.Each(m.Properties) {
			own.Properties[string(name)] = string(value)
		}
		out = append(out, own)
	}
	return out, nil
}
