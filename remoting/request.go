package remoting

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"strings"

	"github.com/merlinmq/merlin/compat/budget"
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
	// Peer is who asks: a connection, or a caller inside the process.
	Peer Peer
	// Conn is the peer's connection, nil for callers inside the process. It is for who
	// needs more of a connection than Peer has.
	Conn *Conn
	Cmd  *wire.Command
	// Arrived is the time of the wake-up that read it, in ms of the clock.
	Arrived int64

	to    ReplyTo
	after func(*Answer) // see OnAnswer
	route *route
	own   wire.Command // what Cmd points to when the request was read in place
	size  int64        // bytes charged while it is in a pooled lane
	once  bool         // its scratch may have grown large: it is not used again
}

// Peer is who sends requests, and is asked by the server: a connection (*Conn), or a
// caller inside the process (*LocalConn). Equal peers are the same one. All methods may
// be called from any goroutine, also when the peer has gone.
type Peer interface {
	// ID is unique among the connections of a server, and among its local callers.
	ID() uint64
	// RemoteAddr is the peer's address.
	RemoteAddr() netip.AddrPort
	// Alive reports whether the peer is there as far as is known.
	Alive() bool
	// Close ends the connection; it does not wait.
	Close()
	// Account is what the server's budget charges the peer with; nil counts nothing.
	Account() *budget.Account
	// Oneway sends a request that has no answer, without waiting.
	Oneway(o *wire.Outgoing, body []byte) error
	// Invoke sends a request and waits for its answer.
	Invoke(ctx context.Context, o *wire.Outgoing, body []byte) (*wire.Command, error)
	// String is for logs.
	String() string
}

// endpoint is the server, or client, that the request came to.
func (r *Request) endpoint() *endpoint {
	if r.Conn != nil {
		return r.Conn.ep
	}
	return r.Peer.(*LocalConn).s.ep
}

// To gives the value that answers the request, from any goroutine and after the
// handler has returned.
func (r *Request) To() ReplyTo { return r.to }

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
			to.Send(r.panicked(v)) // when it was not answered before
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

// panicked is the answer to a request whose handler, or admission, panicked.
func (r *Request) panicked(v any) *Answer {
	stack := debug.Stack()
	r.endpoint().log.Error("handler panicked", "conn", r.Peer.String(), "code", r.Cmd.Code,
		"panic", fmt.Sprint(v), "stack", string(stack))
	return answerOfPanic(v, stack)
}
