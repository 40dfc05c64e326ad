package admin

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
)

// silentPeer takes requests and answers when it is told to.
type silentPeer struct {
	fakePeer
	asked []func(*wire.Command, error)
}

func (p *silentPeer) Go(_ context.Context, _ *wire.Outgoing, _ []byte, done func(*wire.Command, error)) error {
	p.asked = append(p.asked, done)
	return nil
}

// A client that does not answer keeps no worker, and no more than so many requests
// wait for clients.
func TestForward_NoWorkerWaits(t *testing.T) {
	w := newWorld(t)
	p := &silentPeer{fakePeer: fakePeer{id: 1}}
	w.online("g", p, "c", 400, "t")
	ask := &header.GetConsumerRunningInfoRequest{ConsumerGroup: str("g"), ClientID: str("c")}
	for range maxForwards {
		a, err := w.GetConsumerRunningInfo(bare(""), ask)
		require.NoError(t, err)
		require.Nil(t, a, "the answer comes later")
	}
	_, err := w.GetConsumerRunningInfo(bare(""), ask)
	refused(t, err, protocol.SystemBusy, "1000 requests wait for clients, no further one goes on to <g> <c>")
	for i, done := range p.asked {
		if i%2 == 0 {
			done(nil, context.DeadlineExceeded)
		} else {
			done(&wire.Command{}, nil)
		}
	}
	require.Zero(t, w.forwards.Load())
}

// The same for 223, whose members are asked one after the other.
func TestForward_NoWorkerWaitsForOffsets(t *testing.T) {
	w := newWorld(t)
	p := [2]*silentPeer{{fakePeer: fakePeer{id: 1}}, {fakePeer: fakePeer{id: 2}}}
	w.online("g", p[0], "c1", 400, "t")
	w.online("g", p[1], "c2", 400, "t")
	ask := &header.GetConsumerStatusRequest{Topic: str("t"), Group: str("g")}
	for range maxForwards {
		a, err := w.InvokeBrokerToGetConsumerStatus(bare(""), ask)
		require.NoError(t, err)
		require.Nil(t, a, "the answer comes later")
	}
	_, err := w.InvokeBrokerToGetConsumerStatus(bare(""), ask)
	refused(t, err, protocol.SystemBusy, "1000 requests wait for clients, no further one goes on to the members of <g>")
	require.Equal(t, maxForwards, len(p[0].asked)+len(p[1].asked), "one member of each request at a time")
	for n := 0; n < 2*maxForwards; {
		for _, one := range p {
			asked := one.asked
			one.asked = nil
			for _, done := range asked {
				if n++; n%2 == 0 {
					done(nil, context.DeadlineExceeded)
				} else {
					done(&wire.Command{}, nil)
				}
			}
		}
	}
	require.Zero(t, w.forwards.Load())
}
