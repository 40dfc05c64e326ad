package remoting

import (
	"sync/atomic"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/wire"
)

// goAwayAbove is the newest client version that does not understand GO_AWAY
// (V5_3_1).
const goAwayAbove = 475

// drainState counts the requests in work of a server and says what becomes of
// new ones while it shuts down.
type drainState struct {
	busy   atomic.Int64
	mode   atomic.Int32 // serving, draining, drainingGoAway
	zeroed chan struct{}
}

const (
	serving        = 0
	draining       = 1
	drainingGoAway = 2
)

func (d *drainState) add(n int64) { d.busy.Add(n) }

func (d *drainState) done(n int64) {
	if d.busy.Add(-n) == 0 && d.mode.Load() != serving {
		select {
		case d.zeroed <- struct{}{}:
		default:
		}
	}
}

// admit says whether a request is handled. While the server shuts down it is
// not: it is dropped, as it would be a moment later with the connection, or told
// to go away when the client understands that. Clients that do not are served to
// the end. A code without a route gets its usual answer, as in Java.
func (d *drainState) admit(c *Conn, cmd *wire.Command, unknown bool) bool {
	switch d.mode.Load() {
	case serving:
		return true
	case draining:
		return false
	}
	if unknown || cmd.Version <= goAwayAbove {
		return true
	}
	if !cmd.IsOneway() {
		c.answer(Refuse(protocol.GoAway, remarkGoAway), cmd.Opaque, cmd.Encoding)
	}
	return false
}
