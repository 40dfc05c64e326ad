package suite

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/primitive"

	"github.com/merlinmq/merlin/conformance/probe"
)

func routeCases() []Case {
	return []Case{
		{Name: "route-more-queues", Area: Route, Run: routeMoreQueues, Limit: 3 * time.Minute,
			Promise: "When a topic gets more queues, running producers send to them and running consumers read them."},
		{Name: "route-at-once", Area: Route, Run: routeAtOnce,
			Promise: "Who has made a topic finds its route at the name server at once, and who has joined a new group that of its retry topic."},
		{Name: "route-unknown", Area: Route, Run: routeUnknown,
			Promise: "A consumer of a topic that does not exist is told that there is no route."},
		{Name: "route-delete", Area: Route, Run: routeDelete,
			Promise: "A topic that is deleted on broker and name server has no route, and its queues begin at 0 when it is made again."},
		{Name: "admin-go", Area: Admin, Run: adminGo,
			Promise: "The admin client of rocketmq-client-go creates and deletes topics and lists topics and groups."},
	}
}

func routeMoreQueues(ctx context.Context, e *Env) {
	topic, p := e.Topic(2), e.Producer()
	box := e.Push(e.Group(), topic, All, Accept)
	sent := e.spread(ctx, p, topic, "before", 8)
	e.AwaitBodies(sent, box)
	e.NoError(probe.PutTopic(ctx, e.Broker, topic, 5), "adding queues")
	e.AwaitRoute(topic, 5)
	round := 0
	// Clients look at the routes every 30 s and rebalance every 20 s.
	e.Eventually("messages in all five queues at the consumer", func() (bool, string) {
		sent = append(sent, e.spread(ctx, p, topic, fmt.Sprintf("round %d,", round), 5)...)
		round++
		e.Steady(500*time.Millisecond, "", func() (bool, string) { return true, "" })
		return len(queuesOf(box.Messages())) == 5, fmt.Sprint(queuesOf(box.Messages()))
	})
	e.AwaitAtLeast(sent, box)
}

// routeAtOnce: the broker answers who makes a topic when the name server knows it.
func routeAtOnce(ctx context.Context, e *Env) {
	var missed []string
	for i := range 25 {
		topic, group := e.Name(fmt.Sprint("at-once-", i)), e.Name(fmt.Sprint("group-", i))
		retry := "%RETRY%" + group
		e.dropLater(topic)
		e.dropLater(retry)
		e.Cleanup(func() {
			ctx, cancel := uninterrupted(ctx)
			defer cancel()
			if err := probe.DropGroup(ctx, e.Broker, group); err != nil {
				e.Logf("removing group %s: %v", group, err)
			}
		})
		e.NoError(probe.PutTopic(ctx, e.Broker, topic, 2), "creating a topic")
		e.NoError(probe.PutGroup(ctx, e.Broker, group, 1, 16), "creating a group")
		beat := fmt.Sprintf(`{"clientID":"%s","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY",`+
			`"groupName":"%s","messageModel":"CLUSTERING","subscriptionDataSet":[],"unitMode":false}],"producerDataSet":[]}`, group, group)
		if _, err := probe.RouteOf(ctx, e.NameServer, topic); err != nil {
			missed = append(missed, fmt.Sprint(topic, ": ", err))
		}
		_, err := probe.Call(ctx, e.Broker, probe.Heartbeat, nil, []byte(beat))
		e.NoError(err, "a heartbeat")
		if _, err := probe.RouteOf(ctx, e.NameServer, retry); err != nil {
			missed = append(missed, fmt.Sprint(retry, ": ", err))
		}
	}
	e.True(len(missed) == 0, "%d of 50 routes were missed: %v", len(missed), missed)
}

func routeUnknown(_ context.Context, e *Env) {
	_, err := e.tryPush(e.Group(), e.Name("nowhere"), All, Accept)
	e.True(err != nil && strings.Contains(err.Error(), "route info not found"), "starting the consumer gave %v", err)
}

func routeDelete(ctx context.Context, e *Env) {
	topic := e.Topic(2)
	e.spread(ctx, e.Producer(), topic, "old", 6)
	// A message that a Java broker has stored but not put into its queue yet would
	// bring the queue back.
	e.Eventually("the messages in their queues", func() (bool, string) {
		n := e.End(topic, 0) + e.End(topic, 1)
		return n == 6, fmt.Sprint(n)
	})
	e.NoError(probe.DropTopic(ctx, e.NameServer, e.Broker, topic), "deleting the topic")
	e.Eventually("no route", func() (bool, string) {
		r, err := probe.RouteOf(ctx, e.NameServer, topic)
		return probe.CodeOf(err) == probe.TopicNotExist, fmt.Sprint(r, err)
	})
	e.NoError(probe.PutTopic(ctx, e.Broker, topic, 2), "making it again")
	e.AwaitRoute(topic, 2)
	e.Eventually("empty queues", func() (bool, string) {
		n, err := probe.End(ctx, e.Broker, topic, 0)
		return err == nil && n == 0, fmt.Sprint(n, err)
	})
	sent := e.spread(ctx, e.Producer(), topic, "new", 4)
	e.AwaitBodies(sent, e.Push(e.Group(), topic, All, Accept))
}

func adminGo(ctx context.Context, e *Env) {
	a, err := admin.NewAdmin(admin.WithResolver(primitive.NewPassthroughResolver(probe.NameServers(e.NameServer))))
	e.NoError(err, "making an admin client")
	defer func() { _ = a.Close() }()
	topic := e.Name("admin")
	e.NoError(a.CreateTopic(ctx, admin.WithTopicCreate(topic), admin.WithBrokerAddrCreate(e.Broker),
		admin.WithReadQueueNums(3), admin.WithWriteQueueNums(3)), "creating a topic")
	e.dropLater(topic)
	e.AwaitRoute(topic, 3)
	mqs, err := a.FetchPublishMessageQueues(ctx, topic)
	e.NoError(err, "fetching queues")
	e.Equal(3, len(mqs), "queues")
	topics, err := a.FetchAllTopicList(ctx)
	e.NoError(err, "listing topics")
	e.True(contains(topics.TopicList, topic), "the topic is not in the list of %d topics", len(topics.TopicList))

	group := e.Group()
	groups, err := a.GetAllSubscriptionGroup(ctx, e.Broker, 5*time.Second)
	e.NoError(err, "listing groups")
	_, ok := groups.SubscriptionGroupTable[group]
	e.True(ok, "the group is not in the list of %d groups", len(groups.SubscriptionGroupTable))

	e.NoError(a.DeleteTopic(ctx, admin.WithTopicDelete(topic), admin.WithBrokerAddrDelete(e.Broker),
		admin.WithNameSrvAddr(probe.NameServers(e.NameServer))), "deleting the topic")
	e.Eventually("no route", func() (bool, string) {
		_, err := probe.RouteOf(ctx, e.NameServer, topic)
		return probe.CodeOf(err) == probe.TopicNotExist, fmt.Sprint(err)
	})
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
