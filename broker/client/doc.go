// Package client knows the clients of a broker: which connections belong to
// which producer and consumer groups, what the consumer groups subscribe to, and
// which queues ordered consumers have locked. It tells the members of a consumer
// group when the group changes (NOTIFY_CONSUMER_IDS_CHANGED, 40).
//
// It owns no goroutine: the broker's housekeeping calls Sweep, the server's
// connection events call Closed. Locks: Consumers.mu, then Group.mu; Producers.mu
// and Locks.mu are leaves. Nothing is sent under a lock.
package client

import (
	"context"
	"net/netip"
	"sync/atomic"

	"github.com/merlinmq/merlin/compat/budget"
	"github.com/merlinmq/merlin/protocol/wire"
)

// Peer is the connection of a client (*remoting.Conn). Equal peers are the same
// connection.
type Peer interface {
	RemoteAddr() netip.AddrPort
	Alive() bool
	Close()
	// Oneway queues a command for the peer and does not wait.
	Oneway(o *wire.Outgoing, body []byte) error
	// Invoke sends a request to the peer and waits for its answer.
	Invoke(ctx context.Context, o *wire.Outgoing, body []byte) (*wire.Command, error)
}

// Channel is a client on one connection (ClientChannelInfo).
type Channel struct {
	Peer     Peer
	ClientID string
	Language wire.Language
	Version  int32
	seen     atomic.Int64 // ms, last heartbeat
	cost     int64        // bytes that its connection is charged with for this entry; of the registry's lock
}

// charged is a Peer whose account is charged with what the tables keep for it.
type charged interface{ Account() *budget.Account }

// entryCost is about what an entry of a table takes beside its texts.
const entryCost = 512

// charge lets the connection's account know what its entry in a group takes now; 0
// when it is taken out. REQUIRES: the lock of the registry, or of the group.
func (c *Channel) charge(cost int64) {
	if p, ok := c.Peer.(charged); ok {
		p.Account().Add(budget.Tables, cost-c.cost)
	}
	c.cost = cost
}

// LastSeen is the time of the last heartbeat in ms.
func (c *Channel) LastSeen() int64 { return c.seen.Load() }
