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
	clients map[string]*Channel // by client id
	next    int                 // round robin of Pick
}

// NewProducers makes an empty registry.
func NewProducers(c clock.Clock, logger *slog.Logger) *Producers {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Producers{clock: clock.Or(c), logger: logger, groups: map[string]map[Peer]*Channel{}, clients: map[string]*Channel{}}
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
		return
	}
	g[ch.Peer] = ch
	p.clients[ch.ClientID] = ch
	p.logger.Info("producer joined", "group", group, "client", ch.ClientID, "addr", ch.Peer.RemoteAddr())
}

// Unregister takes a connection out of a group.
func (p *Producers) Unregister(group string, peer Peer) {
	p.remove(func(g string, ch *Channel) bool { return g == group && ch.Peer == peer })
}

// Closed takes a closed connection out of all groups.
func (p *Producers) Closed(peer Peer) {
	p.remove(func(_ string, ch *Channel) bool { return ch.Peer == peer })
}

// Sweep drops channels that were silent too long and closes their connections.
func (p *Producers) Sweep() {
	now := p.clock.NowMillis()
	for _, ch := range p.remove(func(_ string, ch *Channel) bool { return now-ch.LastSeen() > producerExpiry.Milliseconds() }) {
		p.logger.Warn("producer channel expired", "client", ch.ClientID, "addr", ch.Peer.RemoteAddr())
		ch.Peer.Close()
	}
}

func (p *Producers) remove(which func(group string, ch *Channel) bool) (gone []*Channel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, g := range p.groups {
		for id, ch := range g {
			if !which(name, ch) {
				continue
			}
			delete(g, id)
			gone = append(gone, ch)
			if p.clients[ch.ClientID] == ch {
				delete(p.clients, ch.ClientID)
			}
		}
		if len(g) == 0 {
			delete(p.groups, name)
		}
	}
	return gone
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
