package suite

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"

	"github.com/merlinmq/merlin/conformance/probe"
)

// quiet drops what the client logs: a cluster that is restarted under it makes
// it very talkative.
type quiet struct{}

func (quiet) Debug(string, map[string]interface{})   {}
func (quiet) Info(string, map[string]interface{})    {}
func (quiet) Warning(string, map[string]interface{}) {}
func (quiet) Error(string, map[string]interface{})   {}
func (quiet) Fatal(string, map[string]interface{})   {}
func (quiet) Level(string)                           {}
func (quiet) OutputPath(string) error                { return nil }

var quietOnce sync.Once

// quietClient turns the client's log off unless MERLIN_CLIENT_LOG names a level.
func quietClient() {
	quietOnce.Do(func() {
		if level := os.Getenv("MERLIN_CLIENT_LOG"); level != "" {
			rlog.SetLogLevel(level)
			return
		}
		rlog.SetLogger(quiet{})
	})
}

// Producer starts a producer of its own client instance and stops it after the
// case. It does not compress and does not retry, so that each answer is seen.
func (e *Env) Producer(opts ...producer.Option) rocketmq.Producer {
	all := append([]producer.Option{
		producer.WithNameServer(probe.NameServers(e.NameServer)),
		producer.WithGroupName(e.Name("p")),
		producer.WithInstanceName(e.Name("i")),
		producer.WithRetry(0),
		producer.WithCompressMsgBodyOverHowmuch(64 << 20),
	}, opts...)
	p, err := rocketmq.NewProducer(all...)
	e.NoError(err, "making a producer")
	e.NoError(p.Start(), "starting a producer")
	e.Cleanup(func() { _ = p.Shutdown() })
	return p
}

// Message makes a message whose body says which one it is.
func Message(topic string, i int) *primitive.Message {
	return primitive.NewMessage(topic, fmt.Appendf(nil, "message %d", i))
}

// SendAll sends n messages, one after the other, and returns their bodies. Each
// must be accepted.
func (e *Env) SendAll(ctx context.Context, p rocketmq.Producer, topic string, n int) []string {
	bodies := make([]string, n)
	for i := range n {
		m := Message(topic, i)
		e.Send(ctx, p, m)
		bodies[i] = string(m.Body)
	}
	return bodies
}

// Send sends one message that must be accepted.
func (e *Env) Send(ctx context.Context, p rocketmq.Producer, m *primitive.Message) *primitive.SendResult {
	res, err := p.SendSync(ctx, m)
	e.NoError(err, "sending %d bytes to %s", len(m.Body), m.Topic)
	e.Equal(primitive.SendOK, res.Status, "send status")
	return res
}

// Handler decides what becomes of one message.
type Handler func(ctx context.Context, m *primitive.MessageExt) consumer.ConsumeResult

// Accept is the Handler that takes everything.
func Accept(context.Context, *primitive.MessageExt) consumer.ConsumeResult {
	return consumer.ConsumeSuccess
}

// Inbox is what one consumer got, in order of arrival.
type Inbox struct {
	mu   sync.Mutex // guards all
	all  []*primitive.MessageExt
	stop func()
}

// Messages returns a copy of what arrived so far.
func (b *Inbox) Messages() []*primitive.MessageExt {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]*primitive.MessageExt(nil), b.all...)
}

// Bodies returns the bodies of what arrived so far.
func (b *Inbox) Bodies() []string {
	var out []string
	for _, m := range b.Messages() {
		out = append(out, string(m.Body))
	}
	return out
}

// Stop shuts the consumer down; it unregisters and commits its offsets.
func (b *Inbox) Stop() { b.stop() }

func (b *Inbox) add(ms ...*primitive.MessageExt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, ms...)
}

// All is the selector that takes every tag.
var All = consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}

// Push starts a push consumer that reads from the first message on and puts
// what it gets into the Inbox. On an empty queue a consumer that starts with
// the last offset asks for the end only after its first rebalance, and skips
// what was sent before; that race is the client's, so cases start at the first
// offset unless the start is what they are about.
func (e *Env) Push(group, topic string, sel consumer.MessageSelector, h Handler, opts ...consumer.Option) *Inbox {
	box, err := e.tryPush(group, topic, sel, h, opts...)
	e.NoError(err, "starting a consumer of %s", topic)
	return box
}

func (e *Env) tryPush(group, topic string, sel consumer.MessageSelector, h Handler, opts ...consumer.Option) (*Inbox, error) {
	all := append([]consumer.Option{
		consumer.WithNameServer(probe.NameServers(e.NameServer)),
		consumer.WithGroupName(group),
		consumer.WithInstance(e.Name("i")),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	}, opts...)
	c, err := rocketmq.NewPushConsumer(all...)
	if err != nil {
		return nil, err
	}
	box := &Inbox{}
	err = c.Subscribe(topic, sel, func(ctx context.Context, ms ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		box.add(ms...)
		for _, m := range ms {
			if r := h(ctx, m); r != consumer.ConsumeSuccess {
				return r, nil
			}
		}
		return consumer.ConsumeSuccess, nil
	})
	if err != nil {
		return nil, err
	}
	var once sync.Once
	box.stop = func() { once.Do(func() { _ = c.Shutdown() }) }
	if err := c.Start(); err != nil {
		return nil, err
	}
	e.Cleanup(func() { dropLocalOffsets(group) }) // after the stop, which writes them
	e.Cleanup(box.stop)
	return box, nil
}

// dropLocalOffsets removes the offset files that broadcast consumers of this
// group left in the home directory.
func dropLocalOffsets(group string) {
	if home, err := os.UserHomeDir(); err == nil {
		_ = os.RemoveAll(filepath.Join(home, ".rocketmq_client_go", group))
	}
}

// AwaitBodies waits until the inboxes together hold exactly these bodies, in
// any order.
func (e *Env) AwaitBodies(expected []string, boxes ...*Inbox) {
	want := append([]string(nil), expected...)
	sort.Strings(want)
	e.Eventually(fmt.Sprintf("%d messages", len(want)), func() (bool, string) {
		got := bodiesOf(boxes)
		sort.Strings(got)
		if len(got) > len(want) {
			e.Fatalf("more than %d messages: %s", len(want), difference(want, got))
		}
		return equal(want, got), difference(want, got)
	})
}

// AwaitAtLeast waits until each of these bodies arrived, and ignores second
// deliveries: that is what at-least-once allows after a member went away.
func (e *Env) AwaitAtLeast(expected []string, boxes ...*Inbox) {
	e.Eventually(fmt.Sprintf("%d messages at least once", len(expected)), func() (bool, string) {
		got := map[string]bool{}
		for _, b := range bodiesOf(boxes) {
			got[b] = true
		}
		for _, b := range expected {
			if !got[b] {
				return false, difference(expected, bodiesOf(boxes))
			}
		}
		return true, ""
	})
}

func bodiesOf(boxes []*Inbox) []string {
	var all []string
	for _, b := range boxes {
		all = append(all, b.Bodies()...)
	}
	return all
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// difference tells which bodies are missing and which are more than expected.
func difference(want, got []string) string {
	count := map[string]int{}
	for _, w := range want {
		count[short(w)]++
	}
	for _, g := range got {
		count[short(g)]--
	}
	var missing, extra []string
	for body, n := range count {
		switch {
		case n > 0:
			missing = append(missing, body)
		case n < 0:
			extra = append(extra, fmt.Sprintf("%s (%d more)", body, -n))
		}
	}
	sort.Strings(missing)
	sort.Strings(extra)
	return fmt.Sprintf("%d arrived; missing: %s; not expected: %s", len(got), list(missing), list(extra))
}

func short(s string) string {
	if len(s) > 60 {
		return fmt.Sprintf("%.40q… of %d bytes", s, len(s))
	}
	return s
}

func list(s []string) string {
	if len(s) == 0 {
		return "none"
	}
	if len(s) > 12 {
		return strings.Join(s[:12], ", ") + fmt.Sprintf(" and %d more", len(s)-12)
	}
	return strings.Join(s, ", ")
}

// Pull starts a pull consumer that polls nothing by itself: PullFrom reads what
// it is told to.
func (e *Env) Pull(group, topic string, sel consumer.MessageSelector) rocketmq.PullConsumer {
	c, err := rocketmq.NewPullConsumer(
		consumer.WithNameServer(probe.NameServers(e.NameServer)),
		consumer.WithGroupName(group),
		consumer.WithInstance(e.Name("i")),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	)
	e.NoError(err, "making a pull consumer")
	e.NoError(c.Subscribe(topic, sel), "subscribing to %s", topic)
	e.NoError(c.Start(), "starting a pull consumer of %s", topic)
	e.Cleanup(func() { _ = c.Shutdown() })
	return c
}

// queueOf names one queue of a topic on the case's broker.
func (e *Env) queueOf(topic string, id int) *primitive.MessageQueue {
	return &primitive.MessageQueue{Topic: topic, BrokerName: e.BrokerName, QueueId: id}
}

// sameMessage compares what arrived with what was sent.
func (e *Env) sameMessage(sent *primitive.Message, got *primitive.MessageExt) {
	e.True(bytes.Equal(sent.Body, got.Body), "body of %d bytes arrived as %d bytes", len(sent.Body), len(got.Body))
	e.Equal(sent.Topic, got.Topic, "topic")
	e.Equal(sent.GetKeys(), got.GetKeys(), "keys")
	e.Equal(sent.GetTags(), got.GetTags(), "tags")
	for k, v := range sent.GetProperties() {
		e.Equal(v, got.GetProperty(k), "property %q", k)
	}
}
