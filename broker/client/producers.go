package client

import (
	"log/slog"
	"sort"
	"sync"
	"time"

	"github.com/merlinmq/merlin/compat/clock"
)

// producerExpiry is how long a silent producer channel stays
// (CHANNEL_EXPIRED_TIMEOUT of ProducerManager).
const producerExpiry = 120 * time.Second

// Producers are the live producer groups (ProducerManager).
type Producers struct {
	clock  clock.Clock
	logger *slog.Logger

	mu      sync.Mutex // guards the rest; a leaf
	groups  map[string]map[Peer]*Channel
	peers   map[Peer]map[string]*Channel // the same by connection and group
	clients map[string]*Channel          // by client id
	next    int                          // round robin of Pick
}

// NewProducers makes an empty registry.
func NewProducers(c clock.Clock, logger *slog.Logger) *Producers {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Producers{clock: clock.Or(c), logger: logger, groups: map[string]map[Peer]*Channel{},
		peers: map[Peer]map[string]*Channel{}, clients: map[string]*Channel{}}
}

// Register takes a heartbeat's producer entry in. ch is kept when the connection
// is new to the group.
func (p *Producers) Register(group string, ch *Channel) {
	ch.seen.Store(p.clock.NowMillis())
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.groups[group]
	if g == nil {
		g = map[Peer]*Channel{}
		p.groups[group] = g
	}
	if old := g[ch.Peer]; old != nil {
		old.seen.Store(ch.LastSeen())
		if p.clients[old.ClientID] == nil {
			p.clients[old.ClientID] = old // a newer connection of the client had the place, and is gone
		}
		return
	}
	g[ch.Peer] = ch
	ch.charge(entryCost + int64(len(group)+len(ch.ClientID)))
	if p.peers[ch.Peer] == nil {
		p.peers[ch.Peer] = map[string]*Channel{}
	}
	p.peers[ch.Peer][group] = ch
	p.clients[ch.ClientID] = ch
	p.logger.Info("producer joined", "group", group, "client", ch.ClientID, "addr", ch.Peer.RemoteAddr())
}

// Unregister takes a connection out of a group.
func (p *Producers) Unregister(group string, peer Peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.removeLocked(group, p.groups[group][peer])
}

// Closed takes a closed connection out of its groups. What it does grows with
// these groups alone.
func (p *Producers) Closed(peer Peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for group, ch := range p.peers[peer] {
		p.removeLocked(group, ch)
	}
}

// Sweep drops channels that were silent too long and closes their connections.
func (p *Producers) Sweep() {
	before := p.clock.NowMillis() - producerExpiry.Milliseconds()
	var gone []*Channel
	p.mu.Lock()
	for group, g := range p.groups {
		for _, ch := range g {
			if ch.LastSeen() < before {
				p.removeLocked(group, ch)
				gone = append(gone, ch)
			}
		}
	}
	p.mu.Unlock()
	for _, ch := range gone {
		p.logger.Warn("producer channel expired", "client", ch.ClientID, "addr", ch.Peer.RemoteAddr())
		ch.Peer.Close()
	}
}

// removeLocked takes a channel, which may be nil, out of a group. The client is
// found by its id as long as another group of the connection has it. REQUIRES: p.mu.
func (p *Producers) removeLocked(group string, ch *Channel) {
	if ch == nil {
		return
	}
	delete(p.groups[group], ch.Peer)
	ch.charge(0)
	if len(p.groups[group]) == 0 {
		delete(p.groups, group)
	}
	rest := p.peers[ch.Peer]
	delete(rest, group)
	if len(rest) == 0 {
		delete(p.peers, ch.Peer)
	}
	if p.clients[ch.ClientID] != ch {
		return
	}
	delete(p.clients, ch.ClientID)
	for _, other := range rest {
		if other.ClientID == ch.ClientID {
			p.clients[ch.ClientID] = other
			return
		}
	}
}

// Channels gives the live channels of a group.
func (p *Producers) Channels(group string) []*Channel {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.channelsLocked(group)
}

// channelsLocked REQUIRES: p.mu.
func (p *Producers) channelsLocked(group string) []*Channel {
	out := make([]*Channel, 0, len(p.groups[group]))
	for _, ch := range p.groups[group] {
		out = append(out, ch)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ClientID < out[j].ClientID })
	return out
}

// Pick gives one live channel of the group, round robin, or nil: any member may
// answer a transaction check.
func (p *Producers) Pick(group string) *Channel {
	p.mu.Lock()
	defer p.mu.Unlock()
	chs := p.channelsLocked(group)
	for range chs {
		p.next++
		if ch := chs[p.next%len(chs)]; ch.Peer.Alive() {
			return ch
		}
	}
	return nil
}

// Client gives the channel of a client id, or nil: replies go to exactly this
// client.
func (p *Producers) Client(clientID string) *Channel {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.clients[clientID]
}

// Groups lists the live producer groups, sorted.
func (p *Producers) Groups() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]string, 0, len(p.groups))
	for name := range p.groups {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}
