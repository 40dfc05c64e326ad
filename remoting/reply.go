package remoting

import (
	"sync"
	"sync/atomic"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/wire"
)

// ReplyTo answers one request once. The zero ReplyTo sends nothing, and so does that
// of a one-way request.
type ReplyTo struct {
	t   *ticket
	gen uint32
}

// ticket is the pooled state behind a ReplyTo. gen is odd while the answer is
// owed: taking the answer makes it even, so that a second Send through a kept
// ReplyTo does nothing, even when the ticket serves another request by then.
type ticket struct {
	gen atomic.Uint32
	owed
}

// owed is what a ticket knows of its request.
type owed struct {
	ep      *endpoint
	conn    *Conn         // who is answered, or
	call    *localCall    // one of the two
	lane    *Lane         // whose place the answer gives back; nil = none
	peer    uint64        // ID of who asked
	after   func(*Answer) // see Request.OnAnswer; nil most times
	arrived int64         // ms
	code    int32
	opaque  int32
	enc     wire.Encoding
	oneway  bool
}

var tickets = sync.Pool{New: func() any { return new(ticket) }}

// newReplyTo makes what answers r in its lane. A one-way request has none unless
// somebody wants to know how it ends.
func newReplyTo(c *Conn, l *Lane, r *Request) ReplyTo {
	oneway := r.Cmd.IsOneway()
	if oneway && r.after == nil && len(c.ep.routes.observers) == 0 {
		return ReplyTo{}
	}
	t := tickets.Get().(*ticket)
	t.owed = owed{ep: c.ep, conn: c, lane: l, peer: c.id, after: r.after, arrived: r.Arrived, code: r.Cmd.Code,
		opaque: r.Cmd.Opaque, enc: r.Cmd.Encoding, oneway: oneway}
	return ReplyTo{t: t, gen: t.gen.Add(1)}
}

// Answer is what goes back for a request (RemotingCommand as a response).
type Answer struct {
	Code      protocol.ResponseCode
	Remark    string // sent when HasRemark
	HasRemark bool
	Header    wire.FieldEncoder // may be nil; encoded before Send returns
	Ext       []wire.Field      // further extFields
	Body      []byte            // copied before Send returns
	// Views are written after Body without being copied: they must not change
	// until Release is called.
	Views [][]byte
	// Release is called exactly once, when Views were written or will not be
	// written any more, from any goroutine. It must not block. It may be set
	// without Views.
	Release func()
	// At is the time of the answer in ms of the clock, for observers; 0 = they ask
	// the clock.
	At int64
}

// Refuse makes an Answer of a code and a remark.
func Refuse(code protocol.ResponseCode, remark string) *Answer {
	return &Answer{Code: code, Remark: remark, HasRemark: true}
}

// Send answers the request. Everything but Views may be reused when it returns.
// It does not block, and it may be called from any goroutine, also when the
// connection is gone. A second Send does nothing but release its views.
func (t ReplyTo) Send(a *Answer) {
	if t.t == nil || !t.t.gen.CompareAndSwap(t.gen, t.gen+1) {
		a.release()
		return
	}
	o := t.t.owed
	t.t.owed = owed{}
	tickets.Put(t.t)
	if o.after != nil {
		o.after(a)
	}
	code, at := a.Code, a.At
	switch {
	case o.oneway:
		a.release()
	case o.call != nil:
		o.call.answer(a)
	default:
		o.conn.answer(a, o.opaque, o.enc)
	}
	if rs := o.ep.routes; len(rs.observers) > 0 {
		if at == 0 {
			at = o.ep.clock.NowMillis()
		}
		rs.tell(Observation{Code: protocol.Code(o.code), Response: code, Arrived: o.arrived, Answered: at, Oneway: o.oneway, Peer: o.peer})
	}
	if o.oneway {
		return // finish gives its place back
	}
	if o.lane != nil {
		o.lane.busy.Add(-1)
	}
	o.ep.drain.done(1)
}

func (a *Answer) release() {
	if a.Release != nil {
		a.Release()
	}
}

// refuse answers a request that has no place in a lane and never had one.
func (r *Request) refuse(a *Answer) {
	code := a.Code
	if r.Cmd.IsOneway() {
		a.release()
	} else {
		r.Conn.answer(a, r.Cmd.Opaque, r.Cmd.Encoding)
	}
	if rs := r.Conn.ep.routes; len(rs.observers) > 0 {
		rs.tell(Observation{Code: protocol.Code(r.Cmd.Code), Response: code, Arrived: r.Arrived, Answered: r.Conn.ep.clock.NowMillis(),
			Oneway: r.Cmd.IsOneway(), Peer: r.Conn.id})
	}
}

// reject answers a request for which its lane has no room.
func (r *Request) reject() { r.refuse(Refuse(protocol.SystemBusy, remarkOverload)) }

// finish ends a request that has room in its lane: it answers, unless its handler has
// done that or will, and gives back the room of a one-way request, which no answer
// gives back.
func (r *Request) finish(a *Answer) {
	if a != nil {
		r.to.Send(a)
	}
	if r.Cmd.IsOneway() {
		r.route.lane.busy.Add(-1)
		r.Conn.ep.drain.done(1)
	}
}
