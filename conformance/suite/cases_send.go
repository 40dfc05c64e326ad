package suite

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"

	"github.com/merlinmq/merlin/conformance/probe"
)

func sendCases() []Case {
	return []Case{
		{Name: "send-sync", Area: Send, Run: sendSync,
			Promise: "A synchronous send is answered with message id, queue and the next offset of that queue, and is consumed once."},
		{Name: "send-async", Area: Send, Run: sendAsync,
			Promise: "An asynchronous send calls back once with the same result, and is consumed once."},
		{Name: "send-oneway", Area: Send, Run: sendOneway,
			Promise: "A one-way send on a healthy cluster is stored and consumed once."},
		{Name: "send-batch", Area: Send, Run: sendBatch,
			Promise: "A batch is stored as separate messages with consecutive offsets in one queue, each with its own id and properties."},
		{Name: "send-sizes", Area: Send, Run: sendSizes,
			Promise: "Bodies from 1 byte to 4 MiB arrive as they were sent."},
		{Name: "send-empty", Area: Errors, Run: sendEmpty,
			Promise: "A message without a body is refused and stores nothing."},
		{Name: "send-too-large", Area: Errors, Run: sendTooLarge,
			Promise: "A body of one byte over the broker's limit is refused as illegal and stores nothing."},
		{Name: "send-properties-too-large", Area: Errors, Run: sendPropertiesTooLarge,
			Promise: "Properties that encode to more than 32,767 bytes are refused and store nothing."},
		{Name: "send-compressed", Area: Send, Run: sendCompressed,
			Promise: "A body that the client compressed arrives uncompressed and whole."},
		{Name: "send-properties", Area: Send, Run: sendProperties,
			Promise: "Keys, tags and properties of any script, and binary bodies, arrive as they were sent."},
		{Name: "send-born", Area: Send, Run: sendBorn,
			Promise: "A message carries the time at which its producer made it and that producer's address, and the time and place of its storing."},
		{Name: "trace-topic", Area: Send, Run: traceTopic,
			Promise: "Producer and consumer with tracing leave the traces of a message in the topic that they name."},
		{Name: "send-auto-create", Area: Route, Run: sendAutoCreate,
			Promise: "A send to an unknown topic creates it with four queues and a route."},
		{Name: "send-queue-beyond", Area: Errors, Run: sendQueueBeyond,
			Promise: "A send to a queue that the topic does not have is refused and stores nothing."},
		{Name: "send-system-topic", Area: Errors, Run: sendSystemTopic,
			Promise: "A send to a topic reserved for the server is refused for lack of permission."},
		{Name: "send-concurrent", Area: Send, Run: sendConcurrent,
			Promise: "Concurrent producers get distinct offsets without holes, and every message is consumed once."},
	}
}

func sendSync(ctx context.Context, e *Env) {
	const queues, n = 4, 40
	topic, p := e.Topic(queues), e.Producer()
	next := map[int]int64{}
	ids := map[string]bool{}
	var bodies []string
	for i := range n {
		m := Message(topic, i)
		res := e.Send(ctx, p, m)
		bodies = append(bodies, string(m.Body))
		e.Equal(topic, res.MessageQueue.Topic, "topic of the answer")
		e.Equal(e.BrokerName, res.MessageQueue.BrokerName, "broker of the answer")
		q := res.MessageQueue.QueueId
		e.True(q >= 0 && q < queues, "queue %d of %d", q, queues)
		e.Equal(next[q], res.QueueOffset, "offset in queue %d", q)
		next[q]++
		e.Equal(32, len(res.OffsetMsgID), "length of the offset message id %q", res.OffsetMsgID)
		e.True(res.MsgID != "" && !ids[res.MsgID] && !ids[res.OffsetMsgID], "ids %q, %q were seen before", res.MsgID, res.OffsetMsgID)
		ids[res.MsgID], ids[res.OffsetMsgID] = true, true
		e.Equal(e.cluster.Setting("regionId", "DefaultRegion"), res.RegionID, "region")
	}
	e.Equal(queues, len(next), "queues that got messages")
	box := e.Push(e.Group(), topic, All, Accept)
	e.AwaitBodies(bodies, box)
	for _, m := range box.Messages() {
		e.True(ids[m.MsgId], "id %q of a consumed message was not in a send answer", m.MsgId)
		e.True(ids[m.OffsetMsgId], "offset id %q of a consumed message was not in a send answer", m.OffsetMsgId)
	}
}

func sendAsync(ctx context.Context, e *Env) {
	const n = 30
	topic, p := e.Topic(2), e.Producer()
	type answer struct {
		res *primitive.SendResult
		err error
	}
	answers := make(chan answer, 2*n)
	var bodies []string
	for i := range n {
		m := Message(topic, i)
		bodies = append(bodies, string(m.Body))
		err := p.SendAsync(ctx, func(_ context.Context, res *primitive.SendResult, err error) { answers <- answer{res, err} }, m)
		e.NoError(err, "sending message %d", i)
	}
	offsets := map[string]bool{}
	for i := range n {
		select {
		case a := <-answers:
			e.NoError(a.err, "callback %d", i)
			e.Equal(primitive.SendOK, a.res.Status, "status")
			at := fmt.Sprintf("%d/%d", a.res.MessageQueue.QueueId, a.res.QueueOffset)
			e.True(!offsets[at], "queue/offset %s was given twice", at)
			offsets[at] = true
		case <-ctx.Done():
			e.Fatalf("%d of %d callbacks came", i, n)
		}
	}
	e.AwaitBodies(bodies, e.Push(e.Group(), topic, All, Accept))
	e.Equal(0, len(answers), "callbacks too many")
}

func sendOneway(ctx context.Context, e *Env) {
	const n = 20
	topic, p := e.Topic(2), e.Producer()
	box := e.Push(e.Group(), topic, All, Accept)
	var bodies []string
	for i := range n {
		m := Message(topic, i)
		bodies = append(bodies, string(m.Body))
		e.NoError(p.SendOneWay(ctx, m), "sending message %d", i)
	}
	e.AwaitBodies(bodies, box)
}

func sendBatch(ctx context.Context, e *Env) {
	const n = 10
	topic, p := e.Topic(2), e.Producer()
	e.SendAll(ctx, p, topic, 2) // so that the offsets of the batch are not the first
	var ms []*primitive.Message
	for i := range n {
		m := primitive.NewMessage(topic, fmt.Appendf(nil, "batched %d", i)).WithTag("even")
		if i%2 == 1 {
			m.WithTag("odd")
		}
		m.WithKeys([]string{fmt.Sprint("key", i)})
		m.WithProperty("position", fmt.Sprint(i))
		ms = append(ms, m)
	}
	res, err := p.SendSync(ctx, ms...)
	e.NoError(err, "sending the batch")
	e.Equal(primitive.SendOK, res.Status, "status")
	ids := strings.Split(res.OffsetMsgID, ",")
	e.Equal(n, len(ids), "offset message ids in %q", res.OffsetMsgID)

	box := e.Push(e.Group(), topic, All, Accept)
	e.Eventually("the batch and the two before it", func() (bool, string) {
		return len(box.Messages()) == n+2, difference(nil, box.Bodies())
	})
	got := map[string]*primitive.MessageExt{}
	for _, m := range box.Messages() {
		got[string(m.Body)] = m
	}
	for i, m := range ms {
		g := got[string(m.Body)]
		e.True(g != nil, "%q did not arrive", m.Body)
		e.sameMessage(m, g)
		e.Equal(res.QueueOffset+int64(i), g.QueueOffset, "offset of message %d of the batch", i)
		e.Equal(res.MessageQueue.QueueId, g.Queue.QueueId, "queue of message %d of the batch", i)
		e.Equal(ids[i], g.OffsetMsgId, "offset id of message %d of the batch", i)
	}
	odd := e.Push(e.Group(), topic, tag("odd"), Accept)
	e.Eventually("the odd half by its tag", func() (bool, string) {
		return len(odd.Messages()) == n/2, difference(nil, odd.Bodies())
	})
}

// noise returns bytes that do not compress.
func noise(n int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 7))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// largest is the default maxMessageSize of a broker.
const largest = 4 << 20

func sendSizes(ctx context.Context, e *Env) {
	topic, p := e.Topic(1), e.Producer()
	sizes := []int{1, 2, 255, 256, 1023, 4095, 4096, 4097, 65535, 65536, 1 << 20, largest}
	for i, size := range sizes {
		res := e.Send(ctx, p, primitive.NewMessage(topic, noise(size)))
		e.Equal(int64(i), res.QueueOffset, "offset of %d bytes", size)
	}
	box := e.Push(e.Group(), topic, All, Accept)
	e.Eventually("all sizes", func() (bool, string) {
		return len(box.Messages()) == len(sizes), fmt.Sprintf("%d of %d", len(box.Messages()), len(sizes))
	})
	for _, m := range box.Messages() {
		size := sizes[m.QueueOffset]
		e.True(bytes.Equal(noise(size), m.Body), "%d bytes arrived as %d other bytes", size, len(m.Body))
	}
}

// refused sends a message that must be answered with an error and must not be
// stored; it returns the error's text.
func (e *Env) refused(ctx context.Context, topic string, m *primitive.Message, opts ...producer.Option) string {
	p := e.Producer(opts...)
	res, err := p.SendSync(ctx, m)
	if err == nil {
		e.Fatalf("accepted: %v", res)
	}
	e.Equal(int64(0), e.End(topic, 0), "messages in the queue after the refusal (%v)", err)
	e.Send(ctx, p, Message(topic, 1)) // the connection must have survived
	return err.Error()
}

func sendEmpty(ctx context.Context, e *Env) {
	topic := e.Topic(1)
	// Java 5.3.3 answers code 1 for a null pointer here, so the code is no promise.
	e.refused(ctx, topic, primitive.NewMessage(topic, nil))
}

func sendTooLarge(ctx context.Context, e *Env) {
	topic := e.Topic(1)
	text := e.refused(ctx, topic, primitive.NewMessage(topic, noise(largest+1)))
	e.True(strings.Contains(text, "CODE: 13"), "refused with %q, not as an illegal message", text)
}

func sendPropertiesTooLarge(ctx context.Context, e *Env) {
	topic := e.Topic(1)
	m := primitive.NewMessage(topic, []byte("x"))
	m.WithProperty("long", strings.Repeat("v", 32767))
	text := e.refused(ctx, topic, m)
	e.True(strings.Contains(text, "CODE: 13"), "refused with %q, not as an illegal message", text)
}

func sendCompressed(ctx context.Context, e *Env) {
	topic := e.Topic(1)
	p := e.Producer(producer.WithCompressMsgBodyOverHowmuch(100))
	body := bytes.Repeat([]byte("say it again "), 20000)
	e.Send(ctx, p, primitive.NewMessage(topic, body))
	box := e.Push(e.Group(), topic, All, Accept)
	e.Eventually("the message", func() (bool, string) { return len(box.Messages()) == 1, "nothing" })
	m := box.Messages()[0]
	e.True(bytes.Equal(body, m.Body), "%d bytes arrived as %d", len(body), len(m.Body))
	e.True(int(m.StoreSize) < len(body)/10, "stored in %d bytes, so it was not compressed", m.StoreSize)
}

func sendProperties(ctx context.Context, e *Env) {
	topic, p := e.Topic(1), e.Producer()
	m := primitive.NewMessage(topic, []byte{0, 1, 2, 0xff, 0xfe, '\n', '"', '\\', 0})
	m.WithTag("标签")
	m.WithKeys([]string{"ключ", "鍵", "🔑"})
	m.WithShardingKey("שלום")
	for k, v := range map[string]string{
		"plain": "value", "empty-ish": " ", "spaces": "  a  b  ", "json": `{"a":"b\"c","d":[1,2]}`,
		"emoji": "👩‍🚀🚀", "名字": "消息队列", "controls": "tab\tnewline\n", "percent": "%RETRY%x", "long": strings.Repeat("長", 5000),
	} {
		m.WithProperty(k, v)
	}
	m.Flag = 7
	e.Send(ctx, p, m)
	// The Go client hashes the bytes of a tag where brokers hash its UTF-16
	// units, so it cannot select by this tag.
	box := e.Push(e.Group(), topic, All, Accept)
	e.Eventually("the message", func() (bool, string) { return len(box.Messages()) == 1, "nothing" })
	got := box.Messages()[0]
	e.sameMessage(m, got)
	e.Equal(int32(7), got.Flag, "flag")
	e.True(time.Since(time.UnixMilli(got.BornTimestamp)).Abs() < time.Hour, "born at %d", got.BornTimestamp)
	e.True(got.StoreTimestamp > 0 && got.StoreHost != "" && got.BornHost != "", "store time %d, hosts %q %q",
		got.StoreTimestamp, got.StoreHost, got.BornHost)
}

func sendBorn(ctx context.Context, e *Env) {
	topic := e.Topic(1)
	start := time.Now().UnixMilli()
	one, two := e.Producer(), e.Producer()
	for _, p := range []rocketmq.Producer{one, two, one} {
		e.SendAll(ctx, p, topic, 1)
	}
	end := time.Now().UnixMilli()
	box := e.Push(e.Group(), topic, All, Accept)
	e.Eventually("three messages", func() (bool, string) { return len(box.Messages()) == 3, fmt.Sprint(len(box.Messages())) })
	ms := box.Messages()
	slices.SortFunc(ms, func(a, b *primitive.MessageExt) int { return int(a.QueueOffset - b.QueueOffset) })
	for _, m := range ms {
		e.True(start <= m.BornTimestamp && m.BornTimestamp <= end, "born at %d, sent between %d and %d", m.BornTimestamp, start, end)
		// The broker's clock may be another one's.
		e.True(time.Since(time.UnixMilli(m.StoreTimestamp)).Abs() < time.Hour, "stored at %d, born at %d", m.StoreTimestamp, m.BornTimestamp)
		_, err := netip.ParseAddrPort(m.BornHost)
		e.NoError(err, "reading the address of the producer")
		_, err = netip.ParseAddrPort(m.StoreHost)
		e.NoError(err, "reading the address of the broker")
		e.Equal(ms[0].StoreHost, m.StoreHost, "address of the broker")
	}
	e.Equal(ms[0].BornHost, ms[2].BornHost, "address of one producer")
	e.True(ms[0].BornHost != ms[1].BornHost, "two producers have the address %s", ms[0].BornHost)
}

func sendAutoCreate(ctx context.Context, e *Env) {
	if _, err := probe.RouteOf(ctx, e.NameServer, "TBW102"); err != nil {
		e.Skipf("this cluster does not create topics by itself: %v", err)
	}
	topic := e.Name("auto")
	p := e.Producer()
	res, err := p.SendSync(ctx, Message(topic, 0))
	e.NoError(err, "sending to a topic that does not exist")
	e.dropLater(topic)
	e.True(res.MessageQueue.QueueId < 4, "queue %d", res.MessageQueue.QueueId)
	e.Eventually("a route with four queues", func() (bool, string) { // on the broker that the producer chose
		r, err := probe.RouteOf(ctx, e.NameServer, topic)
		if err != nil {
			return false, err.Error()
		}
		return len(r.Queues) == 1 && r.Queues[0].Write == 4 && r.Queues[0].Read == 4, fmt.Sprintf("%+v", r.Queues)
	})
	e.AwaitBodies([]string{"message 0"}, e.Push(e.Group(), topic, All, Accept))
}

func sendQueueBeyond(ctx context.Context, e *Env) {
	topic := e.Topic(2)
	p := e.Producer(producer.WithQueueSelector(producer.NewManualQueueSelector()))
	m := Message(topic, 0)
	m.Queue = e.queueOf(topic, 2)
	_, err := p.SendSync(ctx, m)
	e.True(err != nil, "queue 2 of a topic with queues 0 and 1 was accepted")
	e.True(strings.Contains(err.Error(), "queueId[2] is illegal"), "refused with %q", err)
	for q := range 2 {
		e.Equal(int64(0), e.End(topic, q), "messages in queue %d", q)
		m := Message(topic, q)
		m.Queue = e.queueOf(topic, q)
		e.Equal(q, e.Send(ctx, p, m).MessageQueue.QueueId, "queue that was asked for")
	}
}

func sendSystemTopic(ctx context.Context, e *Env) {
	p := e.Producer(producer.WithQueueSelector(producer.NewManualQueueSelector()))
	m := primitive.NewMessage("SELF_TEST_TOPIC", []byte("x"))
	m.Queue = e.queueOf("SELF_TEST_TOPIC", 0)
	_, err := p.SendSync(ctx, m)
	e.True(err != nil, "a send to SELF_TEST_TOPIC was accepted")
	e.True(strings.Contains(err.Error(), "CODE: 16"), "refused with %q, not for lack of permission", err)
}

func sendConcurrent(ctx context.Context, e *Env) {
	const producers, each = 4, 50
	topic := e.Topic(1)
	var mu sync.Mutex
	offsets := map[int64]bool{}
	var bodies []string
	var wg sync.WaitGroup
	for i := range producers {
		p := e.Producer()
		wg.Go(func() {
			for j := range each {
				m := primitive.NewMessage(topic, fmt.Appendf(nil, "%d from %d", j, i))
				res, err := p.SendSync(ctx, m)
				if err != nil {
					e.Errorf("sending: %v", err)
					return
				}
				mu.Lock()
				offsets[res.QueueOffset] = true
				bodies = append(bodies, string(m.Body))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	e.Equal(producers*each, len(offsets), "distinct offsets")
	for i := range int64(producers * each) {
		e.True(offsets[i], "nobody got offset %d", i)
	}
	e.AwaitBodies(bodies, e.Push(e.Group(), topic, All, Accept))
}
