package remoting

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/wire"
)

// Remarks of the answers that this package makes itself, word for word as
// NettyRemotingAbstract and BrokerFastFailure write them: clients and tests look
// for the words in brackets.
const (
	remarkOverload = "[OVERLOAD]system busy, start flow control for a while"
	remarkGoAway   = "please go away"
)

// Request is one request of a peer. It and everything it points to belong to the
// handler until it returns, and no longer, unless the lane is pooled: then Cmd is
// the request's own and may be kept. ReplyTo may always be kept.
type Request struct {
	Conn *Conn
	Cmd  *wire.Command
	// Arrived is the time of the wake-up that read it, in ms of the clock.
	Arrived int64

	to    ReplyTo
	route *route
	own   wire.Command // what Cmd points to when the request was read in place
	size  int64        // bytes charged while it is in a pooled lane
	once  bool         // its scratch may have grown large: it is not used again
}

// To gives the value that answers the request, from any goroutine and after the
// handler has returned.
func (r *Request) To() ReplyTo { return r.to }

// ReplyTo answers one request once. The zero ReplyTo, which one-way requests
// have, sends nothing.
type ReplyTo struct {
	t   *ticket
	gen uint32
}

// ticket is the pooled state behind a ReplyTo. gen is odd while the answer is
// owed: taking the answer makes it even, so that a second Send through a kept
// ReplyTo does nothing, even when the ticket serves another request by then.
type ticket struct {
	gen    atomic.Uint32
	conn   *Conn
	lane   *Lane
	opaque int32
	enc    wire.Encoding
}

var tickets = sync.Pool{New: func() any { return new(ticket) }}

func newReplyTo(c *Conn, l *Lane, cmd *wire.Command) ReplyTo {
	if cmd.IsOneway() {
		return ReplyTo{}
	}
	t := tickets.Get().(*ticket)
	t.conn, t.lane, t.opaque, t.enc = c, l, cmd.Opaque, cmd.Encoding
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
	c, lane := t.t.conn, t.t.lane
	opaque, enc := t.t.opaque, t.t.enc
	t.t.conn, t.t.lane = nil, nil
	tickets.Put(t.t)
	c.answer(a, opaque, enc)
	if lane != nil {
		lane.busy.Add(-1)
		c.ep.drain.done(1)
	}
}

func (a *Answer) release() {
	if a.Release != nil {
		a.Release()
	}
}

// answerOf turns what a handler returned as its error into an answer.
func answerOf(err error) *Answer {
	var pe *protocol.Error
	if errors.As(err, &pe) {
		return &Answer{Code: pe.Code, Remark: pe.Remark, HasRemark: pe.Remark != ""}
	}
	return Refuse(protocol.SystemError, oneLine(err.Error()))
}

// answerOfPanic is the answer of a handler that panicked, in the form of
// UtilAll.exceptionSimpleDesc: what went wrong, a comma, the top of the stack.
func answerOfPanic(v any, stack []byte) *Answer {
	return Refuse(protocol.SystemError, oneLine(fmt.Sprintf("%v, %s", v, panicSite(string(stack)))))
}

// panicSite is the first frame below the panic machinery, as function(file:line).
func panicSite(stack string) string {
	lines := strings.Split(stack, "\n")
	last := -1
	for i, l := range lines {
		if strings.HasPrefix(l, "panic(") {
			last = i
		}
	}
	for i := last + 2; last >= 0 && i+1 < len(lines); i += 2 {
		fn, _, _ := strings.Cut(lines[i], "(")
		if strings.HasPrefix(fn, "runtime.") {
			continue
		}
		at := strings.TrimSpace(lines[i+1])
		at, _, _ = strings.Cut(at, " ")
		return lines[i][:strings.LastIndexByte(lines[i], '(')] + "(" + at[strings.LastIndexByte(at, '/')+1:] + ")"
	}
	return "unknown place"
}

func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), " ")
}

// call runs a handler and answers what it returned.
func (r *Request) call(h Handler) {
	to := r.to
	defer func() {
		if v := recover(); v != nil {
			r.panicked(v, to)
		}
	}()
	a, err := h(r)
	if a != nil {
		r.route.note(a)
	}
	if err != nil {
		if a != nil {
			a.release()
		}
		to.Send(answerOf(err))
	} else if a != nil {
		to.Send(a)
	}
}

// panicked answers a request whose handler panicked; a request that was already
// answered stays so.
func (r *Request) panicked(v any, to ReplyTo) {
	stack := debug.Stack()
	r.Conn.ep.log.Error("handler panicked", "conn", r.Conn.String(), "code", r.Cmd.Code,
		"panic", fmt.Sprint(v), "stack", string(stack))
	to.Send(answerOfPanic(v, stack))
}
