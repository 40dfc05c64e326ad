package suite

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"

	"github.com/merlinmq/merlin/conformance/probe"
)

func offsetCases() []Case {
	return []Case{
		{Name: "offset-client-restart", Area: Offset, Run: offsetClientRestart,
			Promise: "A group that comes back goes on after the last message that it was done with."},
		{Name: "offset-not-found", Area: Offset, Run: offsetNotFound,
			Promise: "A group without a committed offset is told so; what is committed is answered, also when it goes backwards."},
		{Name: "offset-by-time", Area: Offset, Run: offsetByTime,
			Promise: "The offset of a time is that of the first message stored then or later; the end of the queue for the future."},
		{Name: "consume-timestamp", Area: Offset, Run: consumeTimestamp,
			Promise: "A group whose committed offset was moved to that of a time starts with the messages of that time."},
		{Name: "offset-reset-back", Area: Offset, Run: offsetResetBack, Limit: 2 * time.Minute,
			Promise: "A running consumer whose group is reset to an earlier time gets the messages from that time on again, and no older ones."},
		{Name: "offset-reset-forward", Area: Offset, Run: offsetResetForward, Limit: 2 * time.Minute,
			Promise: "A running consumer that is behind and whose group is reset to the end leaves out what lies between and gets what comes after."},
	}
}

func offsetClientRestart(ctx context.Context, e *Env) {
	const queues = 2
	topic, group, p := e.Topic(queues), e.Group(), e.Producer()
	first := e.spread(ctx, p, topic, "first", 20)
	a := e.Push(group, topic, All, Accept)
	e.AwaitBodies(first, a)
	// The handler has them, but the client notes a message as done after that, and Stop
	// does not wait for it.
	e.AwaitCommitted(group, topic, queues, 20)
	a.Stop()
	e.AwaitMembers(group, 0)
	between := e.spread(ctx, p, topic, "between", 10)
	b := e.Push(group, topic, All, Accept)
	after := e.spread(ctx, p, topic, "after", 10)
	e.AwaitBodies(append(between, after...), b)
	e.Steady(500*time.Millisecond, "old messages came again", func() (bool, string) {
		return len(b.Messages()) == 20, fmt.Sprint(len(b.Messages()))
	})
	e.Equal(20, len(a.Messages()), "messages of the first consumer")
}

func offsetNotFound(ctx context.Context, e *Env) {
	topic, group := e.Topic(1), e.Group()
	n, err := probe.Offset(ctx, e.Broker, group, topic, 0)
	e.NoError(err, "asking for an offset")
	e.Equal(int64(-1), n, "offset of a new group")
	e.SendAll(ctx, e.Producer(), topic, 5)
	for _, to := range []int64{4, 2, 5, 0} {
		_, err := probe.Call(ctx, e.Broker, probe.UpdateConsumerOffset, map[string]string{"consumerGroup": group,
			"topic": topic, "queueId": "0", "commitOffset": strconv.FormatInt(to, 10)}, nil)
		e.NoError(err, "committing %d", to)
		n, err := probe.Offset(ctx, e.Broker, group, topic, 0)
		e.NoError(err, "asking for an offset")
		e.Equal(to, n, "offset after a commit")
	}
}

// stamps sends n messages at least 5 ms apart and returns their store times.
func (e *Env) stamps(ctx context.Context, topic string, n int) []int64 {
	p := e.Producer()
	for i := range n {
		e.Send(ctx, p, Message(topic, i))
		e.Steady(5*time.Millisecond, "", func() (bool, string) { return true, "" })
	}
	c := e.Pull(e.Group(), topic, All)
	var times []int64
	e.Eventually("the messages with their store times", func() (bool, string) {
		r, err := c.PullFrom(ctx, e.queueOf(topic, 0), int64(len(times)), 32)
		if err != nil {
			return false, err.Error()
		}
		for _, m := range r.GetMessageExts() {
			times = append(times, m.StoreTimestamp)
		}
		return len(times) == n, fmt.Sprint(len(times))
	})
	return times
}

func (e *Env) searchOffset(ctx context.Context, topic string, at int64) int64 {
	a, err := probe.Call(ctx, e.Broker, probe.SearchOffset, map[string]string{"topic": topic, "queueId": "0",
		"timestamp": strconv.FormatInt(at, 10)}, nil)
	e.NoError(err, "searching the offset of %d", at)
	n, err := strconv.ParseInt(a.Fields["offset"], 10, 64)
	e.NoError(err, "reading the offset")
	return n
}

func offsetByTime(ctx context.Context, e *Env) {
	topic := e.Topic(1)
	times := e.stamps(ctx, topic, 10)
	for i, at := range times {
		e.Equal(int64(i), e.searchOffset(ctx, topic, at), "offset of the store time of message %d", i)
		if i > 0 && times[i-1] < at-1 {
			e.Equal(int64(i), e.searchOffset(ctx, topic, at-1), "offset of the millisecond before message %d", i)
		}
	}
	e.Equal(int64(0), e.searchOffset(ctx, topic, times[0]-time.Hour.Milliseconds()), "offset of an hour before")
	e.Equal(int64(10), e.searchOffset(ctx, topic, times[9]+time.Hour.Milliseconds()), "offset of an hour after")
}

func consumeTimestamp(ctx context.Context, e *Env) {
	topic, group := e.Topic(1), e.Group()
	times := e.stamps(ctx, topic, 10)
	at := e.searchOffset(ctx, topic, times[6])
	_, err := probe.Call(ctx, e.Broker, probe.UpdateConsumerOffset, map[string]string{"consumerGroup": group,
		"topic": topic, "queueId": "0", "commitOffset": strconv.FormatInt(at, 10)}, nil)
	e.NoError(err, "committing %d", at)
	box := e.Push(group, topic, All, func(_ context.Context, m *primitive.MessageExt) consumer.ConsumeResult {
		return consumer.ConsumeSuccess
	})
	e.AwaitBodies([]string{"message 6", "message 7", "message 8", "message 9"}, box)
}

// resetOffset resets a group on a topic to a time in ms, -1 for the end, while
// its consumers run. The Go client stores the new offset ten seconds after it
// was told, and what it has every five; a broker that takes both at the same
// moment may keep the old one. The callers have just seen offsets arrive, so
// half of five seconds is the farthest from that.
func (e *Env) resetOffset(ctx context.Context, group, topic string, at int64) {
	e.Steady(2500*time.Millisecond, "", func() (bool, string) { return true, "" })
	_, err := probe.Call(ctx, e.Broker, probe.ResetOffset, map[string]string{"topic": topic, "group": group,
		"timestamp": strconv.FormatInt(at, 10), "isForce": "true"}, nil)
	e.NoError(err, "resetting the offsets of the group to %d", at)
}

func offsetResetBack(ctx context.Context, e *Env) {
	topic, group := e.Topic(1), e.Group()
	times := e.stamps(ctx, topic, 10)
	box := e.Push(group, topic, All, Accept)
	e.Eventually("ten messages", func() (bool, string) { return len(box.Messages()) == 10, fmt.Sprint(len(box.Messages())) })
	e.AwaitCommitted(group, topic, 1, 10)
	e.AwaitMembers(group, 1) // only known members are told
	e.resetOffset(ctx, group, topic, times[6])
	want := []string{"message 6", "message 7", "message 8", "message 9"}
	e.Eventually("the last four messages again", func() (bool, string) {
		return len(box.Messages()) >= 14, difference(want, box.Bodies()[10:])
	})
	e.Steady(time.Second, "more than the last four", func() (bool, string) {
		return len(box.Messages()) == 14, difference(want, box.Bodies()[10:])
	})
	again := box.Bodies()[10:]
	sort.Strings(again)
	e.Equal(want, again, "messages that came again")
	e.AwaitCommitted(group, topic, 1, 10)
}

func offsetResetForward(ctx context.Context, e *Env) {
	const n = 300
	topic, group, p := e.Topic(1), e.Group(), e.Producer()
	e.SendAll(ctx, p, topic, n)
	tick := time.NewTicker(250 * time.Millisecond)
	e.Cleanup(tick.Stop)
	box := e.Push(group, topic, All, func(ctx context.Context, m *primitive.MessageExt) consumer.ConsumeResult {
		if m.QueueOffset < n {
			select { // 75 s for all of them
			case <-tick.C:
			case <-ctx.Done():
			}
		}
		return consumer.ConsumeSuccess
	}, consumer.WithPullBatchSize(1), consumer.WithPullThresholdForQueue(2), consumer.WithConsumeGoroutineNums(1))
	// A broker that leaves the reset to its clients refuses it for a group
	// without offsets, and clients store them every five seconds.
	e.Eventually("a first offset", func() (bool, string) {
		n, err := e.Committed(group, topic, 1)
		return err == nil && n > 0, fmt.Sprint(n, err)
	})
	e.AwaitMembers(group, 1)
	e.resetOffset(ctx, group, topic, -1)
	e.Send(ctx, p, primitive.NewMessage(topic, []byte("after")))
	e.Eventually("the message after it", func() (bool, string) {
		return contains(box.Bodies(), "after"), fmt.Sprint(len(box.Messages()), " others")
	})
	e.True(len(box.Messages()) < n, "all %d messages came before", n)
	e.AwaitCommitted(group, topic, 1, n+1)
}
