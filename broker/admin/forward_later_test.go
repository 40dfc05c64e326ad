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
