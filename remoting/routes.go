package remoting

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/wire"
)

// Handler answers a request. With (nil, nil) it says that it will answer later
// through r.To(). A *protocol.Error gives its code and remark, any other error
// code 1 with its text. What it returns for one-way requests is not sent.
type Handler func(r *Request) (*Answer, error)

// BatchHandler answers neighbouring requests of one connection with the same
// route through r.To().Send of each, now or later. The slice and the requests
// are valid until it returns.
type BatchHandler func(rs []*Request)

type route struct {
	lane    *Lane
	handler Handler
	batch   BatchHandler
	cost    atomic.Int64 // bytes of the largest answer lately, 0 while they are small
	reads   bool         // see Routes.Reads
	large   bool         // see Routes.Large
}

// note remembers the size of a large answer, and forgets it slowly.
func (rt *route) note(a *Answer) {
	n, was := int64(len(a.Body)), rt.cost.Load()
	for _, v := range a.Views {
		n += int64(len(v))
	}
	switch {
	case n > was && n > largeAnswer:
		rt.cost.Store(n)
	case was > 0 && n < was:
		if was -= was/16 + 1; was < largeAnswer {
			was = 0
		}
		rt.cost.Store(was)
	}
}

// largeAnswer is the size from which on answers are charged while they are built.
const largeAnswer = 64 << 10

// Routes say who answers which request code. They must be complete before a
// server starts with them, and several servers may share them. The zero value is
// not usable: use NewRoutes.
type Routes struct {
	low      [1024]*route // the hot codes, without hashing
	high     map[int32]*route
	fallback *route
	fast     *Lane // of routes that name none

	typed map[protocol.Code]any // func(*Request, *Q) (*Answer, error), for callers inside the process

	admissions []Admission
	observers  []Observer
}

// NewRoutes makes an empty table: every code is answered
// REQUEST_CODE_NOT_SUPPORTED.
func NewRoutes() *Routes {
	rs := &Routes{high: map[int32]*route{}, typed: map[protocol.Code]any{}, fast: &Lane{Name: "inline", Inline: true}}
	rs.fallback = &route{lane: rs.fast, handler: notSupported}
	return rs
}

// Handle routes a code to a handler in a lane; a nil lane is an inline one of
// the table. Routing a code twice is a mistake of the program and panics.
func (rs *Routes) Handle(code protocol.Code, lane *Lane, h Handler) {
	rs.add(code, &route{lane: lane, handler: h})
}

// HandleBatch routes a code to a batch handler. In a pooled lane the batches
// have one request.
func (rs *Routes) HandleBatch(code protocol.Code, lane *Lane, h BatchHandler) {
	rs.add(code, &route{lane: lane, batch: h})
}

// HandleBatches routes several codes to one batch handler: neighbouring requests
// go to it together whichever of the codes they have.
func (rs *Routes) HandleBatches(codes []protocol.Code, lane *Lane, h BatchHandler) {
	r := &route{lane: lane, batch: h}
	for _, c := range codes {
		rs.add(c, r)
	}
}

// Reads says that requests of these codes, which must have routes, change nothing:
// when the peer has gone a pooled lane does not work on them.
func (rs *Routes) Reads(codes ...protocol.Code) {
	for _, c := range codes {
		rs.routed(c).reads = true
	}
}

// Large says that requests of these codes, which must have routes, may have answers
// of megabytes: in pooled lanes few of them are worked on at a time, also before one
// has shown how large they are.
func (rs *Routes) Large(codes ...protocol.Code) {
	for _, c := range codes {
		rs.routed(c).large = true
	}
}

func (rs *Routes) routed(c protocol.Code) *route {
	r := rs.find(int32(c))
	if r == rs.fallback {
		panic(fmt.Sprintf("remoting: code %d has no route", c))
	}
	return r
}

// Default answers the codes that have no route.
func (rs *Routes) Default(lane *Lane, h Handler) {
	if lane == nil {
		lane = rs.fast
	}
	rs.fallback = &route{lane: lane, handler: h}
}

// Codes are the routed codes in ascending order.
func (rs *Routes) Codes() []protocol.Code {
	var codes []protocol.Code
	for c, r := range rs.low {
		if r != nil {
			codes = append(codes, protocol.Code(c))
		}
	}
	for c := range rs.high {
		codes = append(codes, protocol.Code(c))
	}
	slices.Sort(codes)
	return codes
}

func (rs *Routes) add(code protocol.Code, r *route) {
	if rs.find(int32(code)) != rs.fallback {
		panic(fmt.Sprintf("remoting: code %d is routed twice", code))
	}
	if r.lane == nil {
		r.lane = rs.fast
	}
	if code >= 0 && int(code) < len(rs.low) {
		rs.low[code] = r
	} else {
		rs.high[int32(code)] = r
	}
}

func (rs *Routes) find(code int32) *route {
	if code >= 0 && int(code) < len(rs.low) {
		if r := rs.low[code]; r != nil {
			return r
		}
	} else if r := rs.high[code]; r != nil {
		return r
	}
	return rs.fallback
}

// lanes are the lanes in use, each once.
func (rs *Routes) lanes() []*Lane {
	var ls []*Lane
	add := func(r *route) {
		if r != nil && !slices.Contains(ls, r.lane) {
			ls = append(ls, r.lane)
		}
	}
	for _, r := range rs.low {
		add(r)
	}
	for _, r := range rs.high {
		add(r)
	}
	add(rs.fallback)
	return ls
}

// NotSupported is the answer to a code without a route, with Java's remark, the
// blank in front included.
func NotSupported(code int32) *Answer {
	return Refuse(protocol.RequestCodeNotSupported, fmt.Sprintf(" request type %d not supported", code))
}

func notSupported(r *Request) (*Answer, error) {
	r.endpoint().log.Warn("request code not supported", "conn", r.Peer.String(), "code", r.Cmd.Code)
	return NotSupported(r.Cmd.Code), nil
}

// On routes a call to a handler that gets the request header decoded. The header
// is reused for other requests when h has returned: h copies what it keeps, and
// its answer must not point to the header. What the header's strings point to
// lives as long as the request (see Request), so an answer that h returns may use
// them.
func On[Q, R any](rs *Routes, call protocol.Call[Q, R], lane *Lane, h func(r *Request, q *Q) (*Answer, error)) {
	rs.Handle(call.Code, lane, Typed(h))
	rs.typed[call.Code] = h
}

// OnLocal gives callers inside the process a handler of their own for a code that has
// a route: they need no batches, and have the header decoded. It must do what the
// route's handler does.
func OnLocal[Q, R any](rs *Routes, call protocol.Call[Q, R], h func(r *Request, q *Q) (*Answer, error)) {
	rs.routed(call.Code)
	rs.typed[call.Code] = h
}

// Typed makes a Handler of one that gets the request header decoded: Q's pointer
// must be a wire.FieldDecoder, or Q must have no fields.
func Typed[Q any](h func(r *Request, q *Q) (*Answer, error)) Handler {
	if _, ok := any(new(Q)).(wire.FieldDecoder); !ok {
		return func(r *Request) (*Answer, error) { return h(r, new(Q)) }
	}
	pool := sync.Pool{New: func() any { return new(Q) }}
	return func(r *Request) (*Answer, error) {
		q := pool.Get().(*Q)
		defer func() {
			// What the header points to dies with the frame.
			var zero Q
			*q = zero
			pool.Put(q)
		}()
		if err := any(q).(wire.FieldDecoder).DecodeFields(r.Cmd); err != nil {
			return nil, fmt.Errorf("header of request code %d: %w", r.Cmd.Code, err)
		}
		return h(r, q)
	}
}
