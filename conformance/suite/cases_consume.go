package suite

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"

	"github.com/merlinmq/merlin/conformance/probe"
)

func consumeCases() []Case {
	return []Case{
		{Name: "consume-cluster", Area: Consume, Run: consumeCluster,
			Promise: "Two members of a group share the queues of a topic; each message goes to one of them, once."},
		{Name: "consume-member-leaves", Area: Consume, Run: consumeMemberLeaves,
			Promise: "When a member shuts down the other takes over its queues at its committed offsets: nothing is lost and nothing comes twice."},
		{Name: "consume-member-killed", Area: Consume, Run: consumeMemberKilled,
			Promise: "When a member is killed the broker notices the lost connection and the other member takes over its queues: nothing is lost."},
		{Name: "consume-member-joins", Area: Consume, Run: consumeMemberJoins,
			Promise: "When a member joins, the one that is there is told and hands over half of the queues at once, not at its next look at the group."},
		{Name: "consume-two-groups", Area: Consume, Run: consumeTwoGroups,
			Promise: "Two groups each get every message of a topic, and keep their own offsets."},
		{Name: "consume-pull", Area: Consume, Run: consumePull,
			Promise: "A pull at an offset answers the messages from there in order, and says no matched message or illegal offset with the next offset to ask for."},
		{Name: "consume-pull-end", Area: Consume, Run: consumePullEnd,
			Promise: "A pull at the end of a queue waits and then says no new message with the same offset to ask for."},
		{Name: "consume-poll", Area: Consume, Run: consumePoll,
			Promise: "A polling consumer gets each message once and commits what it acknowledged."},
		{Name: "consume-long-poll", Area: Consume, Run: consumeLongPoll,
			Promise: "A waiting consumer gets a new message at once, not at the end of its wait."},
		{Name: "tags", Area: Consume, Run: tags,
			Promise: "A consumer with a tag expression gets messages of these tags only, and its offset moves past the others."},
		{Name: "consume-unit-name", Area: Consume, Run: consumeUnitName,
			Promise: "Clients that name a unit are listed under ids that end with it, and share the queues of a topic as others do."},
		{Name: "consume-first", Area: Offset, Run: consumeFirst,
			Promise: "A group that starts for the first time from the first offset reads what was stored before."},
		{Name: "consume-last-young", Area: Offset, Run: consumeLastYoung,
			Promise: "A group that starts from the last offset on a topic whose first message is still there and in memory begins with that message: RocketMQ answers offset 0."},
		{Name: "broadcast", Area: Broadcast, Run: broadcast,
			Promise: "In broadcast mode every member of the group gets every message."},
	}
}

func tag(expression string) consumer.MessageSelector {
	return consumer.MessageSelector{Type: consumer.TAG, Expression: expression}
}

// spread sends to every queue of a topic in turn.
func (e *Env) spread(ctx context.Context, p rocketmq.Producer, topic, what string, n int) []string {
	var bodies []string
	for i := range n {
		m := primitive.NewMessage(topic, fmt.Appendf(nil, "%s %d", what, i))
		e.Send(ctx, p, m)
		bodies = append(bodies, string(m.Body))
	}
	return bodies
}

// queuesOf counts the distinct queues that messages came from.
func queuesOf(ms []*primitive.MessageExt) map[int]bool {
	ids := map[int]bool{}
	for _, m := range ms {
		ids[m.Queue.QueueId] = true
	}
	return ids
}

// awaitShared sends rounds of messages until both boxes got some from half of
// the queues each and none from the other's half, which is when the members
// have agreed; it returns the bodies of all rounds.
func (e *Env) awaitShared(ctx context.Context, p rocketmq.Producer, topic string, queues int, a, b *Inbox) []string {
	var all []string
	round := 0
	e.Eventually("both members with half of the queues each", func() (bool, string) {
		beforeA, beforeB := len(a.Messages()), len(b.Messages())
		sent := e.spread(ctx, p, topic, fmt.Sprintf("round %d,", round), 2*queues)
		round++
		all = append(all, sent...)
		e.AwaitAtLeast(all, a, b)
		qa, qb := queuesOf(a.Messages()[beforeA:]), queuesOf(b.Messages()[beforeB:])
		return len(qa) == queues/2 && len(qb) == queues/2, fmt.Sprintf("queues %v and %v", qa, qb)
	})
	return all
}

func consumeCluster(ctx context.Context, e *Env) {
	const queues = 4
	topic, group, p := e.Topic(queues), e.Group(), e.Producer()
	a := e.Push(group, topic, All, Accept)
	b := e.Push(group, topic, All, Accept)
	e.AwaitMembers(group, 2)
	e.awaitShared(ctx, p, topic, queues, a, b)
	beforeA, beforeB := len(a.Messages()), len(b.Messages())
	want := e.spread(ctx, p, topic, "shared", 40)
	tail := func() []string { return append(a.Bodies()[beforeA:], b.Bodies()[beforeB:]...) }
	e.Eventually("40 messages", func() (bool, string) { return len(tail()) >= 40, difference(want, tail()) })
	e.Steady(500*time.Millisecond, "a message came twice", func() (bool, string) {
		return len(tail()) == 40, difference(want, tail())
	})
	qa, qb := queuesOf(a.Messages()[beforeA:]), queuesOf(b.Messages()[beforeB:])
	for q := range qa {
		e.True(!qb[q], "queue %d went to both members", q)
	}
	e.Equal(queues, len(qa)+len(qb), "queues of both members")
}

func consumeMemberLeaves(ctx context.Context, e *Env) {
	const queues = 4
	topic, group, p := e.Topic(queues), e.Group(), e.Producer()
	a := e.Push(group, topic, All, Accept)
	b := e.Push(group, topic, All, Accept)
	sent := e.awaitShared(ctx, p, topic, queues, a, b)
	b.Stop()
	e.AwaitMembers(group, 1)
	before := len(a.Messages())
	more := e.spread(ctx, p, topic, "after", 20)
	e.Eventually("the rest at the one that stayed", func() (bool, string) {
		got := a.Bodies()[before:]
		return len(got) >= len(more), difference(more, got)
	})
	e.Equal(queues, len(queuesOf(a.Messages()[before:])), "queues of the one that stayed")
	e.AwaitAtLeast(append(sent, more...), a, b)
	e.AwaitCommitted(group, topic, queues, int64(len(sent)+len(more)))
}

func consumeMemberKilled(ctx context.Context, e *Env) {
	const queues = 4
	topic, group, p := e.Topic(queues), e.Group(), e.Producer()
	a := e.Push(group, topic, All, Accept)
	k := e.Child("consume", group, topic)
	e.AwaitMembers(group, 2)
	var sent []string
	round := 0
	e.Eventually("the child with half of the queues", func() (bool, string) {
		sent = append(sent, e.spread(ctx, p, topic, fmt.Sprintf("round %d,", round), 2*queues)...)
		round++
		_, n := k.seen()
		return n == queues/2, fmt.Sprintf("it has %d queues", n)
	})
	k.kill()
	e.AwaitMembers(group, 1)
	before := len(a.Messages())
	more := e.spread(ctx, p, topic, "after", 20)
	e.Eventually("every message somewhere", func() (bool, string) {
		bodies, _ := k.seen()
		got := append(bodies, a.Bodies()...)
		have := map[string]bool{}
		for _, g := range got {
			have[g] = true
		}
		for _, s := range append(sent, more...) {
			if !have[s] {
				return false, difference(append(sent, more...), got)
			}
		}
		return true, ""
	})
	e.Equal(queues, len(queuesOf(a.Messages()[before:])), "queues of the one that lives")
}

func consumeMemberJoins(ctx context.Context, e *Env) {
	const queues = 4
	topic, group, p := e.Topic(queues), e.Group(), e.Producer()
	// A client looks at its group by itself 20 s after its start.
	start := time.Now()
	a := e.Push(group, topic, All, Accept)
	e.AwaitBodies(e.spread(ctx, p, topic, "alone", queues), a)
	b := e.Push(group, topic, All, Accept)
	e.awaitShared(ctx, p, topic, queues, a, b)
	took := time.Since(start)
	e.True(took < 15*time.Second, "the first member handed over %v after its start", took)
}

func consumeUnitName(ctx context.Context, e *Env) {
	const queues = 4
	topic, group := e.Topic(queues), e.Group()
	p := e.Producer(producer.WithUnitName("north"))
	a := e.Push(group, topic, All, Accept, consumer.WithUnitName("north"))
	b := e.Push(group, topic, All, Accept, consumer.WithUnitName("south"))
	e.awaitShared(ctx, p, topic, queues, a, b)
	ids, err := probe.Members(ctx, e.Broker, group)
	e.NoError(err, "asking for the members")
	sort.Slice(ids, func(i, j int) bool {
		return ids[i][strings.LastIndex(ids[i], "@"):] < ids[j][strings.LastIndex(ids[j], "@"):]
	})
	e.Equal(2, len(ids), "members")
	e.True(strings.HasSuffix(ids[0], "@north") && strings.HasSuffix(ids[1], "@south"), "members are %v", ids)
}

func consumeTwoGroups(ctx context.Context, e *Env) {
	topic, p := e.Topic(2), e.Producer()
	g1, g2 := e.Group(), e.Group()
	sent := e.SendAll(ctx, p, topic, 10)
	a := e.Push(g1, topic, All, Accept)
	e.AwaitBodies(sent, a)
	b := e.Push(g2, topic, All, Accept)
	e.AwaitBodies(sent, b)
	e.AwaitCommitted(g1, topic, 2, 10)
	b.Stop()
	e.AwaitCommitted(g2, topic, 2, 10)
}

func consumePull(ctx context.Context, e *Env) {
	topic, p := e.Topic(1), e.Producer()
	var sent []string
	for i := range 10 {
		m := Message(topic, i).WithTag([]string{"x", "y"}[i%2])
		e.Send(ctx, p, m)
		sent = append(sent, string(m.Body))
	}
	c := e.Pull(e.Group(), topic, All)
	q := func() *primitive.MessageQueue { return e.queueOf(topic, 0) }
	pull := func(c rocketmq.PullConsumer, offset int64, max int) *primitive.PullResult {
		r, err := c.PullFrom(ctx, q(), offset, max)
		e.NoError(err, "pulling %d at %d", max, offset)
		return r
	}
	r := pull(c, 3, 4)
	e.Equal(primitive.PullFound, r.Status, "status in the middle")
	e.Equal(int64(7), r.NextBeginOffset, "next offset")
	e.Equal(int64(0), r.MinOffset, "minimum offset")
	e.Equal(int64(10), r.MaxOffset, "maximum offset")
	var got []string
	for i, m := range r.GetMessageExts() {
		got = append(got, string(m.Body))
		e.Equal(int64(3+i), m.QueueOffset, "queue offset")
	}
	e.Equal(sent[3:7], got, "bodies in order")

	e.Equal(int64(10), pull(c, 9, 32).NextBeginOffset, "next offset after the last message")
	r = pull(c, 11, 4)
	e.Equal(primitive.PullOffsetIllegal, r.Status, "status beyond the end")
	e.Equal(int64(10), r.NextBeginOffset, "next offset beyond the end")

	none := e.Pull(e.Group(), topic, tag("nobody-has-this"))
	r = pull(none, 0, 32)
	e.Equal(primitive.PullNoMsgMatched, r.Status, "status of a tag that no message has")
	e.Equal(int64(10), r.NextBeginOffset, "next offset past what did not match")
}

func consumePullEnd(ctx context.Context, e *Env) {
	topic, p := e.Topic(1), e.Producer()
	e.SendAll(ctx, p, topic, 3)
	c := e.Pull(e.Group(), topic, All)
	r, err := c.PullFrom(ctx, e.queueOf(topic, 0), 3, 4)
	e.NoError(err, "pulling at the end")
	e.Equal(primitive.PullNoNewMsg, r.Status, "status")
	e.Equal(int64(3), r.NextBeginOffset, "next offset")
}

func consumePoll(ctx context.Context, e *Env) {
	const n = 30
	topic, group, p := e.Topic(3), e.Group(), e.Producer()
	sent := e.SendAll(ctx, p, topic, n)
	c := e.Pull(group, topic, All)
	var got []string
	e.Eventually("all messages by polling", func() (bool, string) {
		cr, err := c.Poll(ctx, time.Second)
		if consumer.IsNoNewMsgError(err) {
			return len(got) >= n, difference(sent, got)
		}
		e.NoError(err, "polling")
		for _, m := range cr.GetMsgList() {
			got = append(got, string(m.Body))
		}
		c.ACK(ctx, cr, consumer.ConsumeSuccess)
		return len(got) >= n, difference(sent, got)
	})
	e.Equal("30 arrived; missing: none; not expected: none", difference(sent, got), "polled messages")
	e.AwaitCommitted(group, topic, 3, n)
}

func consumeLongPoll(ctx context.Context, e *Env) {
	topic, p := e.Topic(1), e.Producer()
	box := e.Push(e.Group(), topic, All, Accept)
	e.Send(ctx, p, Message(topic, 0))
	e.AwaitBodies([]string{"message 0"}, box)
	worst := time.Duration(0)
	for i := 1; i <= 5; i++ {
		// The consumer must be waiting at the broker when the message comes, so
		// that this is about waking it: give its next pull time to arrive.
		e.Steady(300*time.Millisecond, "a message too many", func() (bool, string) {
			return len(box.Messages()) == i, fmt.Sprint(len(box.Messages()))
		})
		start := time.Now()
		e.Send(ctx, p, Message(topic, i))
		e.Eventually("the message", func() (bool, string) { return len(box.Messages()) == i+1, "nothing" })
		worst = max(worst, time.Since(start))
	}
	e.True(worst < 3*time.Second, "the slowest of five messages took %v to a waiting consumer", worst)
}

func tags(ctx context.Context, e *Env) {
	topic, group, p := e.Topic(2), e.Group(), e.Producer()
	var want, all []string
	// "AaAa" and "BBBB" have one hash code in Java: a broker that compares only
	// hash codes sends both, and the client must sort them out.
	for i, t := range []string{"red", "green", "blue", "AaAa", "BBBB", "", "red", "green", "blue", "reddish"} {
		m := Message(topic, i)
		if t != "" {
			m.WithTag(t)
		}
		e.Send(ctx, p, m)
		all = append(all, string(m.Body))
		if t == "red" || t == "blue" || t == "AaAa" {
			want = append(want, string(m.Body))
		}
	}
	some := e.Push(group, topic, tag("red || blue||AaAa"), Accept)
	every := e.Push(e.Group(), topic, All, Accept)
	e.AwaitBodies(all, every)
	e.AwaitBodies(want, some)
	e.AwaitCommitted(group, topic, 2, int64(len(all)))
	e.AwaitBodies(want, some)
}

func consumeFirst(ctx context.Context, e *Env) {
	topic, p := e.Topic(2), e.Producer()
	sent := e.SendAll(ctx, p, topic, 10)
	box := e.Push(e.Group(), topic, All, Accept, consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
	e.AwaitBodies(sent, box)
}

func consumeLastYoung(ctx context.Context, e *Env) {
	topic, p := e.Topic(1), e.Producer()
	sent := e.SendAll(ctx, p, topic, 10)
	last := e.Push(e.Group(), topic, All, Accept, consumer.WithConsumeFromWhere(consumer.ConsumeFromLastOffset))
	stamp := e.Push(e.Group(), topic, All, Accept, consumer.WithConsumeFromWhere(consumer.ConsumeFromTimestamp),
		consumer.WithConsumeTimestamp(time.Now().Add(time.Hour).Format("20060102150405")))
	e.AwaitBodies(sent, last)
	e.AwaitBodies(sent, stamp)
}

func broadcast(ctx context.Context, e *Env) {
	topic, group, p := e.Topic(4), e.Group(), e.Producer()
	model := consumer.WithConsumerModel(consumer.BroadCasting)
	a := e.Push(group, topic, All, Accept, model)
	b := e.Push(group, topic, All, Accept, model)
	sent := e.SendAll(ctx, p, topic, 20)
	e.AwaitBodies(sent, a)
	e.AwaitBodies(sent, b)
	e.Equal(4, len(queuesOf(a.Messages())), "queues of one member")
	sum, err := e.Committed(group, topic, 4)
	e.NoError(err, "asking for offsets")
	e.Equal(int64(0), sum, "offsets that a broadcast group committed to the broker")
}
