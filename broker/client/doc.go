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
}

// LastSeen is the time of the last heartbeat in ms.
func (c *Channel) LastSeen() int64 { return c.seen.Load() }
