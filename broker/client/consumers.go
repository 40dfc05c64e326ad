package client

import (
	"log/slog"
	"maps"
	"sort"
	"sync"
	"sync/atomic"
	"time"

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
	pulled map[string]*Group // subscriptions that came with pulls, without channels
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
	return &Consumers{opts: opts, groups: map[string]*Group{}, pulled: map[string]*Group{}}
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
// changed. It reports whether the group's last heartbeat had another
// fingerprint (IS_SUB_CHANGE of a V2 heartbeat); a new group had none.
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
	g.mu.Lock()
	c.mu.Unlock()
	old := g.View()
	fresh := len(g.channels) == 0
	fingerprintChanged = !fresh && old.Fingerprint != r.Fingerprint
	changed := g.joinLocked(r.Channel, now)
	subs, subsChanged := old.Subscriptions, false
	if !r.WithoutSub {
		subs, subsChanged = merge(old.Subscriptions, r.Subscriptions)
	}
	if subs == nil {
		subs = map[string]*body.SubscriptionData{}
	}
	g.view.Store(&View{
		ConsumeType: r.ConsumeType, MessageModel: r.MessageModel, ConsumeFromWhere: r.ConsumeFromWhere,
		Subscriptions: subs, Fingerprint: r.Fingerprint,
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

// joinLocked REQUIRES: g.mu. It reports whether the connection is new.
func (g *Group) joinLocked(ch *Channel, now int64) bool {
	old := g.channels[ch.Peer]
	if old == nil {
		g.channels[ch.Peer] = ch
		return true
	}
	if old.ClientID != ch.ClientID {
		g.channels[ch.Peer] = ch
		return false
	}
	old.seen.Store(now)
	return false
}

// merge gives the subscriptions of the newest heartbeat: topics it does not name
// are dropped, an entry is replaced only by a greater subVersion.
func merge(old map[string]*body.SubscriptionData, list []body.SubscriptionData) (next map[string]*body.SubscriptionData, changed bool) {
	next = make(map[string]*body.SubscriptionData, len(list))
	for i := range list {
		sub := &list[i]
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
		c.leave(g, notify, func(ch *Channel) bool { return ch.Peer == peer })
	}
}

// Closed takes a closed connection out of all groups.
func (c *Consumers) Closed(peer Peer) {
	for _, g := range c.All() {
		c.leave(g, true, func(ch *Channel) bool { return ch.Peer == peer })
	}
}

// Sweep drops channels that were silent too long, closes their connections, and
// forgets subscriptions of pulls that are too old.
func (c *Consumers) Sweep() {
	now := c.opts.Clock.NowMillis()
	for _, g := range c.All() {
		gone := c.leave(g, true, func(ch *Channel) bool { return now-ch.LastSeen() > c.opts.Expiry.Milliseconds() })
		for _, ch := range gone {
			c.opts.Logger.Warn("consumer channel expired", "group", g.Name, "client", ch.ClientID, "addr", ch.Peer.RemoteAddr())
			ch.Peer.Close()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, g := range c.pulled {
		v := g.View()
		kept := maps.Clone(v.Subscriptions)
		maps.DeleteFunc(kept, func(_ string, s *body.SubscriptionData) bool {
			return now-s.SubVersion > c.opts.SubscriptionExpiry.Milliseconds()
		})
		if len(kept) == 0 {
			delete(c.pulled, name)
		} else if len(kept) < len(v.Subscriptions) {
			next := *v
			next.Subscriptions = kept
			g.view.Store(&next)
		}
	}
}

// leave removes the channels that which chooses and drops the group when it was
// the last.
func (c *Consumers) leave(g *Group, notify bool, which func(*Channel) bool) (gone []*Channel) {
	c.mu.Lock()
	g.mu.Lock()
	for id, ch := range g.channels {
		if which(ch) {
			delete(g.channels, id)
			gone = append(gone, ch)
		}
	}
	if len(g.channels) == 0 && c.groups[g.Name] == g {
		delete(c.groups, g.Name)
	}
	members := g.channelsLocked()
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
	c.mu.RLock()
	g := c.pulled[group]
	c.mu.RUnlock()
	if g == nil {
		return nil
	}
	return g.View().Subscription(topic)
}

// Pulled gives the remembered subscription of a pulling consumer when its text,
// type and version are these, so that it need not be parsed again; else nil. The
// strings may alias a frame.
func (c *Consumers) Pulled(group, topic, expression, expressionType string, version int64) *body.SubscriptionData {
	c.mu.RLock()
	g := c.pulled[group]
	c.mu.RUnlock()
	if g == nil {
		return nil
	}
	s := g.View().Subscription(topic)
	if s == nil || s.SubString != expression || s.ExpressionType != expressionType || s.SubVersion != version {
		return nil
	}
	return s
}

// RememberPull keeps a subscription that came with a pull (compensation data).
func (c *Consumers) RememberPull(group string, sub *body.SubscriptionData) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.pulled[group]
	if g == nil {
		g = &Group{Name: group}
		g.view.Store(&View{ConsumeType: body.ConsumePassively, MessageModel: body.Clustering, Subscriptions: map[string]*body.SubscriptionData{}})
		c.pulled[group] = g
	}
	next := *g.View()
	next.Subscriptions = maps.Clone(next.Subscriptions)
	next.Subscriptions[sub.Topic] = sub
	g.view.Store(&next)
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
