package client

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/budget"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/wire"
)

// fakePeer counts the notices it gets.
type fakePeer struct {
	mu      sync.Mutex
	notices int
	closed  bool
}

func (p *fakePeer) RemoteAddr() netip.AddrPort { return netip.MustParseAddrPort("127.0.0.1:1") }
func (p *fakePeer) Alive() bool                { p.mu.Lock(); defer p.mu.Unlock(); return !p.closed }
func (p *fakePeer) Close()                     { p.mu.Lock(); defer p.mu.Unlock(); p.closed = true }
func (p *fakePeer) Oneway(o *wire.Outgoing, _ []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if protocol.Code(o.Code) == protocol.NotifyConsumerIDsChanged.Code {
		p.notices++
	}
	return nil
}
func (p *fakePeer) Invoke(context.Context, *wire.Outgoing, []byte) (*wire.Command, error) {
	return nil, context.Canceled
}

func (p *fakePeer) taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.notices
	p.notices = 0
	return n
}

func sub(topic string, version int64) body.SubscriptionData {
	return body.SubscriptionData{Topic: topic, SubString: "*", SubVersion: version, ExpressionType: "TAG"}
}

func registration(p Peer, id string, subs ...body.SubscriptionData) Registration {
	return Registration{
		Group: "G", Channel: &Channel{Peer: p, ClientID: id}, ConsumeType: body.ConsumePassively, MessageModel: body.Clustering,
		Subscriptions: subs, Notify: true,
	}
}

// ConsumerManager, ConsumerGroupInfo: who is told of what.
func TestConsumers_NotifyOnChange(t *testing.T) {
	c := NewConsumers(ConsumerOptions{Clock: clock.NewManual(time.UnixMilli(0))})
	a, b := &fakePeer{}, &fakePeer{}
	c.Register(registration(a, "a", sub("T", 1)))
	require.Equal(t, 1, a.taken(), "a new member is told")
	c.Register(registration(a, "a", sub("T", 1)))
	require.Zero(t, a.taken(), "the same heartbeat again changes nothing")
	c.Register(registration(a, "a", sub("T", 2)))
	require.Zero(t, a.taken(), "a newer version of a subscription is no change of the group")
	c.Register(registration(b, "b", sub("T", 2)))
	require.Equal(t, 1, a.taken())
	require.Equal(t, 1, b.taken())
	require.Equal(t, []string{"a", "b"}, c.Find("G").ClientIDs())
	c.Closed(b)
	require.Equal(t, 1, a.taken(), "a closed connection is told to the others")
	c.Unregister("G", a, true)
	require.Nil(t, c.Find("G"), "the last one out takes the group with it")
}

func TestConsumers_BroadcastIsNotTold(t *testing.T) {
	c := NewConsumers(ConsumerOptions{Clock: clock.NewManual(time.UnixMilli(0))})
	a := &fakePeer{}
	r := registration(a, "a", sub("T", 1))
	r.MessageModel = body.Broadcasting
	c.Register(r)
	require.Zero(t, a.taken())
}

// ConsumerGroupInfo.updateSubscription.
func TestConsumers_NewestHeartbeatDecidesSubscriptions(t *testing.T) {
	c := NewConsumers(ConsumerOptions{Clock: clock.NewManual(time.UnixMilli(0))})
	a := &fakePeer{}
	c.Register(registration(a, "a", sub("T", 5), sub("U", 5)))
	c.Register(registration(a, "a", sub("T", 4)))
	v := c.Find("G").View()
	require.EqualValues(t, 5, v.Subscription("T").SubVersion, "an older version does not replace")
	require.Nil(t, v.Subscription("U"), "a topic that is not named is dropped")

	r := registration(a, "a")
	r.WithoutSub, r.Fingerprint = true, 7
	require.True(t, c.Register(r), "another fingerprint than before")
	require.NotNil(t, c.Find("G").View().Subscription("T"), "withoutSub leaves the subscriptions")
	require.False(t, c.Register(r))
}

func TestConsumers_SweepClosesTheSilent(t *testing.T) {
	clk := clock.NewManual(time.UnixMilli(0))
	c := NewConsumers(ConsumerOptions{Clock: clk})
	a := &fakePeer{}
	c.Register(registration(a, "a", sub("T", 1)))
	clk.Advance(120 * time.Second)
	c.Sweep()
	require.True(t, a.Alive())
	clk.Advance(time.Millisecond)
	c.Sweep()
	require.False(t, a.Alive())
	require.Nil(t, c.Find("G"))
}

func TestConsumers_PulledSubscriptionIsReused(t *testing.T) {
	clk := clock.NewManual(time.UnixMilli(1000))
	c := NewConsumers(ConsumerOptions{Clock: clk})
	s := sub("T", 1000)
	c.RememberPull("G", &s)
	require.Same(t, &s, c.Pulled("G", "T", "*", "TAG", 1000))
	require.Nil(t, c.Pulled("G", "T", "a", "TAG", 1000))
	require.Same(t, &s, c.Subscription("G", "T"))
	for range 3 { // in use, however old its version is
		clk.Advance(9 * time.Minute)
		require.Same(t, &s, c.Pulled("G", "T", "*", "TAG", 1000))
		c.Sweep()
		require.Same(t, &s, c.Subscription("G", "T"))
	}
	clk.Advance(10*time.Minute + time.Millisecond)
	c.Sweep()
	require.Nil(t, c.Subscription("G", "T"))
}

// A broker that started again knows nothing of a client whose heartbeats leave the
// subscriptions out: it asks for them.
func TestConsumers_WithoutSubAfterARestart(t *testing.T) {
	c := NewConsumers(ConsumerOptions{Clock: clock.NewManual(time.UnixMilli(0))})
	a, b := &fakePeer{}, &fakePeer{}
	short := func(p Peer, id string) Registration {
		r := registration(p, id)
		r.WithoutSub, r.Fingerprint = true, 7
		return r
	}
	full := registration(a, "a", sub("T", 1))
	full.Fingerprint = 7
	require.True(t, c.Register(short(a, "a")), "nobody has said the subscriptions")
	require.True(t, c.Register(short(b, "b")), "nor has another member")
	require.False(t, c.Register(full))
	require.NotNil(t, c.Find("G").View().Subscription("T"))
	require.False(t, c.Register(short(a, "a")))
	require.False(t, c.Register(short(b, "b")))
	require.NotNil(t, c.Find("G").View().Subscription("T"))
}

// A connection that closes costs what its own groups cost.
func TestConsumers_ClosedLeavesOtherGroupsAlone(t *testing.T) {
	c := NewConsumers(ConsumerOptions{Clock: clock.NewManual(time.UnixMilli(0))})
	in := func(group string, p Peer) {
		r := registration(p, "c", sub("T", 1))
		r.Group = group
		c.Register(r)
	}
	a, b, none := &fakePeer{}, &fakePeer{}, &fakePeer{}
	in("A", a)
	in("B", a)
	in("B", b)
	require.Len(t, c.peers[a], 2)
	c.Closed(none)
	c.Unregister("A", b, true)
	require.NotNil(t, c.Find("A"))
	c.Closed(a)
	require.Nil(t, c.Find("A"))
	require.True(t, c.Find("B").Has(b))
	require.False(t, c.Find("B").Has(a))
	require.Len(t, c.peers, 1)
	c.Closed(b)
	require.Empty(t, c.peers)
	require.Empty(t, c.All())
}

func BenchmarkConsumers_Closed(b *testing.B) {
	c := NewConsumers(ConsumerOptions{Clock: clock.NewManual(time.UnixMilli(0))})
	for i := range 10_000 {
		r := registration(&fakePeer{}, "c")
		r.Group = fmt.Sprint("G", i)
		c.Register(r)
	}
	for b.Loop() {
		c.Closed(&fakePeer{})
	}
}

// A client with two groups on one connection, and one with two connections: it is
// found by its id as long as it is there (replies go by that).
func TestProducers_ClientWithTwoGroups(t *testing.T) {
	p := NewProducers(clock.NewManual(time.UnixMilli(0)), nil)
	old, now := &fakePeer{}, &fakePeer{}
	beat := func(group string, peer Peer) { p.Register(group, &Channel{Peer: peer, ClientID: "c"}) }
	beat("A", old)
	beat("B", old)
	p.Unregister("B", old)
	require.NotNil(t, p.Client("c"), "group A is still there")
	beat("B", old)
	p.Unregister("A", old)
	require.NotNil(t, p.Client("c"), "group B is still there")
	beat("B", now)
	p.Closed(now)
	beat("B", old)
	require.Same(t, old, p.Client("c").Peer, "the older connection lives on")
	p.Closed(old)
	require.Nil(t, p.Client("c"))
	require.Empty(t, p.peers)
	require.Empty(t, p.groups)
}

func TestProducers_PickAndClient(t *testing.T) {
	p := NewProducers(clock.NewManual(time.UnixMilli(0)), nil)
	a, b := &fakePeer{}, &fakePeer{}
	p.Register("P", &Channel{Peer: a, ClientID: "a"})
	p.Register("P", &Channel{Peer: b, ClientID: "b"})
	seen := map[string]bool{}
	for range 4 {
		seen[p.Pick("P").ClientID] = true
	}
	require.Len(t, seen, 2, "round robin")
	b.Close()
	require.Equal(t, "a", p.Pick("P").ClientID, "a dead channel is passed over")
	require.Equal(t, "b", p.Client("b").ClientID)
	p.Closed(b)
	require.Nil(t, p.Client("b"))
	p.Unregister("P", a)
	require.Empty(t, p.Groups())
	require.Nil(t, p.Pick("P"))
}

// What pulls bring is remembered up to a bound, however many groups, topics and
// tags they name.
func TestConsumers_PulledIsBounded(t *testing.T) {
	c := NewConsumers(ConsumerOptions{Clock: clock.NewManual(time.UnixMilli(1000))})
	for i := range 2000 {
		s := body.SubscriptionData{Topic: fmt.Sprintf("T%d", i), SubString: strings.Repeat("x", 16<<10)}
		c.RememberPull(fmt.Sprintf("G%d", i%100), &s)
		require.LessOrEqual(t, c.pulledBytes, maxPulled)
		require.NotNil(t, c.Pulled(fmt.Sprintf("G%d", i%100), s.Topic, s.SubString, "", 0), "the newest is there")
	}
	require.Nil(t, c.Subscription("G0", "T0"), "the first are forgotten")
	huge := body.SubscriptionData{Topic: "T", SubString: strings.Repeat("x", 1<<20)}
	c.RememberPull("G", &huge)
	require.Nil(t, c.Subscription("G", "T"))
}

// A client that locks without bound gets its share, and when all places are taken
// the client with most of them loses them.
func TestLocks_AreBounded(t *testing.T) {
	l := NewLocks(clock.NewManual(time.UnixMilli(0)))
	queues := func(topic string, n int32) (qs []body.MessageQueue) {
		for i := range n {
			qs = append(qs, body.MessageQueue{Topic: topic, BrokerName: "b", QueueID: i})
		}
		return qs
	}
	require.Len(t, l.Lock("G", queues("T", 100_000), "hog"), maxOfClient)
	for _, id := range []string{"hog2", "hog3", "hog4"} {
		require.Len(t, l.Lock(id, queues("T", 100_000), id), maxOfClient)
	}
	require.Equal(t, maxLocks, l.Len())
	require.Len(t, l.Lock("H", queues("T", 8), "honest"), 8)
	require.Equal(t, maxLocks-maxOfClient+8, l.Len())
	require.Len(t, l.Lock("H", queues("T", 8), "honest"), 8, "renewing costs nothing")
	long := strings.Repeat("x", 300)
	require.Empty(t, l.Lock("H", queues(long, 1), "honest"))
	require.Empty(t, l.Lock(long, queues("T", 1), "honest"))
	l.Unlock("H", queues("T", 8), "honest")
	require.False(t, l.AnyLive("H"))
}

// RebalanceLockManager.
func TestLocks(t *testing.T) {
	clk := clock.NewManual(time.UnixMilli(0))
	l := NewLocks(clk)
	q0, q1 := body.MessageQueue{Topic: "T", BrokerName: "b", QueueID: 0}, body.MessageQueue{Topic: "T", BrokerName: "b", QueueID: 1}
	require.Equal(t, []body.MessageQueue{q0, q1}, l.Lock("G", []body.MessageQueue{q0, q1}, "a"))
	require.Empty(t, l.Lock("G", []body.MessageQueue{q0}, "b"))
	require.True(t, l.AnyLive("G"))
	require.False(t, l.AnyLive("H"))
	l.Unlock("G", []body.MessageQueue{q0}, "b")
	require.Empty(t, l.Lock("G", []body.MessageQueue{q0}, "b"), "only the holder can unlock")
	clk.Advance(LockLife)
	require.Empty(t, l.Lock("G", []body.MessageQueue{q0}, "b"), "60 s are not over")
	clk.Advance(time.Millisecond)
	require.Equal(t, []body.MessageQueue{q0}, l.Lock("G", []body.MessageQueue{q0}, "b"), "an expired lock is free")
	l.Unlock("G", []body.MessageQueue{q0}, "b")
	l.Sweep()
	require.False(t, l.AnyLive("G"))
}

// payer is a connection with an account.
type payer struct {
	fakePeer
	account *budget.Account
}

func (p *payer) Account() *budget.Account { return p.account }

// A connection is charged with all that the tables keep for it, whatever clients
// and groups its heartbeats name, one after the other, and for nothing it left.
func TestTables_AreCharged(t *testing.T) {
	b := budget.New(1<<30, 1<<30)
	p := &payer{account: b.Open(func(error) {})}
	tables := func() int64 { return p.account.Of(budget.Tables) }
	c := NewConsumers(ConsumerOptions{})
	consumer := func(group, id string, text int) Registration {
		r := registration(p, id, body.SubscriptionData{Topic: "T", SubString: strings.Repeat("x", text)})
		r.Group = group
		return r
	}
	c.Register(consumer("A", "one", 100_000))
	first := tables()
	require.Greater(t, first, int64(200_000))
	c.Register(consumer("A", "one", 100_000))
	require.Equal(t, first, tables(), "the same heartbeat again takes nothing")
	c.Register(consumer("B", "two", 100_000))
	require.Equal(t, 2*first, tables(), "another client of the connection is charged, too")
	short := consumer("B", "two", 0)
	short.Subscriptions, short.WithoutSub = nil, true
	c.Register(short)
	require.Equal(t, 2*first, tables(), "what is left out is still kept")
	c.Register(consumer("B", "two", 0))
	require.Less(t, tables(), first+2*entryCost+100)
	c.Unregister("B", p, false)
	require.Equal(t, first, tables())
	ps := NewProducers(nil, nil)
	for i := range 100 {
		for range 2 {
			ps.Register(fmt.Sprint("P", i), &Channel{Peer: p, ClientID: "one"})
		}
	}
	require.Greater(t, tables(), first+100*entryCost)
	require.Less(t, tables(), first+110*entryCost)
	ps.Unregister("P7", p)
	ps.Closed(p)
	require.Equal(t, first, tables())
	c.Closed(p)
	require.Zero(t, tables())
}
