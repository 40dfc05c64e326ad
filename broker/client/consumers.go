package client

import (
	"log/slog"
	"maps"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/merlinmq/merlin/broker/filter"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
)

// ConsumerOptions configure Consumers.
type ConsumerOptions struct {
	Clock  clock.Clock
	Logger *slog.Logger
	// Expiry is how long a silent channel stays (channelExpiredTimeout), 0 means
	// 120 s.
	Expiry time.Duration
	// SubscriptionExpiry is how long a subscription that came with a pull is
	// remembered (subscriptionExpiredTimeout), 0 means 10 min.
	SubscriptionExpiry time.Duration
	// Notify says whether members are told of changes
	// (notifyConsumerIdsChangedEnable); nil means yes.
	Notify func() bool
}

// Consumers are the live consumer groups (ConsumerManager).
type Consumers struct {
	opts ConsumerOptions

	mu     sync.RWMutex // guards the maps
	groups map[string]*Group
	peers  map[Peer]map[string]*Group    // the groups of a connection, by name
	pulled map[string]map[string]*pulled // what came with pulls, by group and topic

	pulledBytes int // what pulled takes
}

// Group is one consumer group with at least one channel.
type Group struct {
	Name string
	view atomic.Pointer[View]

	mu       sync.Mutex // guards channels and the making of a new view
	channels map[Peer]*Channel
}

// View is what a group consumes, an immutable snapshot.
type View struct {
	ConsumeType      body.ConsumeType
	MessageModel     body.MessageModel
	ConsumeFromWhere body.ConsumeFromWhere
	Subscriptions    map[string]*body.SubscriptionData // by topic
	Fingerprint      int32                             // of the last heartbeat
	Told             bool                              // a heartbeat has said what the group subscribes to
}

// NewConsumers makes an empty registry.
func NewConsumers(opts ConsumerOptions) *Consumers {
	opts.Clock = clock.Or(opts.Clock)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Expiry == 0 {
		opts.Expiry = 120 * time.Second
	}
	if opts.SubscriptionExpiry == 0 {
		opts.SubscriptionExpiry = 10 * time.Minute
	}
	return &Consumers{opts: opts, groups: map[string]*Group{}, peers: map[Peer]map[string]*Group{}, pulled: map[string]map[string]*pulled{}}
}

// Find gives a live group or nil. The name may alias a frame.
func (c *Consumers) Find(group string) *Group {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.groups[group]
}

// View is the group's present snapshot.
func (g *Group) View() *View { return g.view.Load() }

// Subscription gives what the group wants of a topic, or nil.
func (v *View) Subscription(topic string) *body.SubscriptionData { return v.Subscriptions[topic] }

// Channels gives the group's channels, sorted by client id.
func (g *Group) Channels() []*Channel {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.channelsLocked()
}

// channelsLocked REQUIRES: g.mu.
func (g *Group) channelsLocked() []*Channel {
	out := make([]*Channel, 0, len(g.channels))
	for _, ch := range g.channels {
		out = append(out, ch)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ClientID < out[j].ClientID })
	return out
}

// ClientIDs lists the ids of the members.
func (g *Group) ClientIDs() []string {
	chs := g.Channels()
	ids := make([]string, len(chs))
	for i, ch := range chs {
		ids[i] = ch.ClientID
	}
	return ids
}

// Channel finds the member with this client id, or nil.
func (g *Group) Channel(clientID string) *Channel {
	for _, ch := range g.Channels() {
		if ch.ClientID == clientID {
			return ch
		}
	}
	return nil
}

// Has reports whether the connection is a member.
func (g *Group) Has(peer Peer) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.channels[peer]
	return ok
}

// Registration is one consumer entry of a heartbeat. All strings are the
// registry's to keep.
type Registration struct {
	Group            string
	Channel          *Channel // a new one; used only when the connection is new
	ConsumeType      body.ConsumeType
	MessageModel     body.MessageModel
	ConsumeFromWhere body.ConsumeFromWhere
	Subscriptions    []body.SubscriptionData
	WithoutSub       bool // leave the subscriptions as they are
	Fingerprint      int32
	Notify           bool // notifyConsumerIdsChangedEnable of the group
}

// Register takes a heartbeat's entry in, and tells the members when the group
// changed. It reports whether the client has to say its subscriptions again
// (IS_SUB_CHANGE of a V2 heartbeat): the group's last heartbeat had another
// fingerprint, or this one leaves the subscriptions out and nobody has said them
// since the broker started. (Java misses the second, and refuses the pulls of such
// a group until its clients start again.)
func (c *Consumers) Register(r Registration) (fingerprintChanged bool) {
	now := c.opts.Clock.NowMillis()
	r.Channel.seen.Store(now)

	c.mu.Lock()
	g := c.groups[r.Group]
	if g == nil {
		g = &Group{Name: r.Group, channels: map[Peer]*Channel{}}
		g.view.Store(&View{})
		c.groups[r.Group] = g
	}
	if c.peers[r.Channel.Peer] == nil {
		c.peers[r.Channel.Peer] = map[string]*Group{}
	}
	c.peers[r.Channel.Peer][g.Name] = g
	g.mu.Lock()
	c.mu.Unlock()
	old := g.View()
	fresh := len(g.channels) == 0
	fingerprintChanged = !fresh && old.Fingerprint != r.Fingerprint || r.WithoutSub && !old.Told
	changed := g.joinLocked(&r, now)
	subs, subsChanged := old.Subscriptions, false
	if !r.WithoutSub {
		subs, subsChanged = merge(old.Subscriptions, r.Subscriptions)
	}
	if subs == nil {
		subs = map[string]*body.SubscriptionData{}
	}
	g.view.Store(&View{
		ConsumeType: r.ConsumeType, MessageModel: r.MessageModel, ConsumeFromWhere: r.ConsumeFromWhere,
		Subscriptions: subs, Fingerprint: r.Fingerprint, Told: old.Told || !r.WithoutSub,
	})
	members := g.channelsLocked()
	g.mu.Unlock()

	if changed || subsChanged {
		c.opts.Logger.Info("consumer group changed", "group", r.Group, "client", r.Channel.ClientID,
			"addr", r.Channel.Peer.RemoteAddr(), "members", len(members), "subscriptionsChanged", subsChanged)
		if r.Notify && r.MessageModel != body.Broadcasting {
			c.notify(r.Group, members)
		}
	}
	return fingerprintChanged
}

// cost is about what the entry keeps.
func (r *Registration) cost() int64 {
	const code, tag = 8, 32
	n := entryCost + len(r.Group) + len(r.Channel.ClientID)
	for i := range r.Subscriptions {
		s := &r.Subscriptions[i]
		n += entryCost + len(s.Topic) + len(s.ExpressionType) + 2*len(s.SubString) + tag*len(s.TagsSet) + code*len(s.CodeSet)
		for _, t := range s.TagsSet {
			n += len(t)
		}
	}
	return int64(n)
}

// joinLocked REQUIRES: g.mu. It reports whether the connection is new. A connection
// is charged with what it said of each of its groups last; one that leaves the
// subscriptions out has said them before.
func (g *Group) joinLocked(r *Registration, now int64) bool {
	ch, cost := r.Channel, r.cost()
	old := g.channels[ch.Peer]
	if old == nil {
		g.channels[ch.Peer] = ch
		ch.charge(cost)
		return true
	}
	if old.ClientID != ch.ClientID {
		g.channels[ch.Peer] = ch
		old.charge(0)
		ch.charge(cost)
		return false
	}
	old.seen.Store(now)
	if !r.WithoutSub || cost > old.cost {
		old.charge(cost)
	}
	return false
}

// merge gives the subscriptions of the newest heartbeat: topics it does not name
// are dropped, an entry is replaced only by a greater subVersion.
func merge(old map[string]*body.SubscriptionData, list []body.SubscriptionData) (next map[string]*body.SubscriptionData, changed bool) {
	next = make(map[string]*body.SubscriptionData, len(list))
	for i := range list {
		sub := &list[i]
		filter.Prepare(sub)
		was := old[sub.Topic]
		switch {
		case was == nil:
			changed = true
		case sub.SubVersion <= was.SubVersion:
			sub = was
		}
		next[sub.Topic] = sub
	}
	for topic := range old {
		if next[topic] == nil {
			changed = true
		}
	}
	return next, changed
}

// Unregister takes a connection out of a group (UNREGISTER_CLIENT, 35).
func (c *Consumers) Unregister(group string, peer Peer, notify bool) {
	if g := c.Find(group); g != nil {
		c.leave(g, notify, peer)
	}
}

// Closed takes a closed connection out of its groups. What it does grows with
// these groups alone.
func (c *Consumers) Closed(peer Peer) {
	c.mu.RLock()
	groups := maps.Clone(c.peers[peer])
	c.mu.RUnlock()
	for _, g := range groups {
		c.leave(g, true, peer)
	}
}

// Sweep drops channels that were silent too long, closes their connections, and
// forgets subscriptions of pulls that were not used for long.
func (c *Consumers) Sweep() {
	now := c.opts.Clock.NowMillis()
	for _, g := range c.All() {
		for _, ch := range c.leave(g, true, g.silent(now-c.opts.Expiry.Milliseconds())...) {
			c.opts.Logger.Warn("consumer channel expired", "group", g.Name, "client", ch.ClientID, "addr", ch.Peer.RemoteAddr())
			ch.Peer.Close()
		}
	}
	c.sweepPulled(now)
}

// silent lists the connections that were last heard of before a time in ms.
func (g *Group) silent(before int64) (peers []Peer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for peer, ch := range g.channels {
		if ch.LastSeen() < before {
			peers = append(peers, peer)
		}
	}
	return peers
}

// leave removes channels and drops the group when they were the last.
func (c *Consumers) leave(g *Group, notify bool, peers ...Peer) (gone []*Channel) {
	if len(peers) == 0 {
		return nil
	}
	c.mu.Lock()
	g.mu.Lock()
	for _, peer := range peers {
		if ch := g.channels[peer]; ch != nil {
			delete(g.channels, peer)
			ch.charge(0)
			gone = append(gone, ch)
		}
		if of := c.peers[peer]; of[g.Name] == g {
			delete(of, g.Name)
			if len(of) == 0 {
				delete(c.peers, peer)
			}
		}
	}
	if len(g.channels) == 0 && c.groups[g.Name] == g {
		delete(c.groups, g.Name)
	}
	var members []*Channel
	if len(gone) > 0 {
		members = slices.Collect(maps.Values(g.channels))
	}
	g.mu.Unlock()
	c.mu.Unlock()
	if len(gone) > 0 {
		c.opts.Logger.Info("consumer group changed", "group", g.Name, "left", len(gone), "members", len(members))
		if notify && g.View().MessageModel != body.Broadcasting {
			c.notify(g.Name, members)
		}
	}
	return gone
}

// notify sends code 40 to the members; an answer is not expected and a member
// that cannot be reached will be found dead by its connection.
func (c *Consumers) notify(group string, members []*Channel) {
	if c.opts.Notify != nil && !c.opts.Notify() {
		return
	}
	for _, ch := range members {
		err := ch.Peer.Oneway(&wire.Outgoing{
			Code:   int32(protocol.NotifyConsumerIDsChanged.Code),
			Header: &header.NotifyConsumerIdsChangedRequest{ConsumerGroup: wire.Some(group)},
		}, nil)
		if err != nil {
			c.opts.Logger.Debug("notify consumer ids changed", "group", group, "addr", ch.Peer.RemoteAddr(), "err", err)
		}
	}
}

// All gives the live groups, sorted by name.
func (c *Consumers) All() []*Group {
	c.mu.RLock()
	out := make([]*Group, 0, len(c.groups))
	for _, g := range c.groups {
		out = append(out, g)
	}
	c.mu.RUnlock()
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// Subscription gives what a group wants of a topic, from heartbeats or else from
// its pulls, or nil.
func (c *Consumers) Subscription(group, topic string) *body.SubscriptionData {
	if g := c.Find(group); g != nil {
		if s := g.View().Subscription(topic); s != nil {
			return s
		}
	}
	return c.pulledOf(group, topic)
}

// GroupsOf lists the live groups that subscribe to a topic, sorted.
func (c *Consumers) GroupsOf(topic string) []string {
	var out []string
	for _, g := range c.All() {
		if g.View().Subscription(topic) != nil {
			out = append(out, g.Name)
		}
	}
	return out
}
