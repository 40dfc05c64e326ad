package remoting

import (
	"github.com/merlinmq/merlin/protocol"
)

// Admission looks at a request before its lane takes it: before its header is decoded
// and anything is copied or allocated for it, whichever way it is dispatched. It sees
// Peer, the command as it came (the extFields and the body, which is what clients
// sign) and Arrived.
//
// What it returns refuses the request: the peer gets it as the answer, and no handler
// sees the request. With nil the next admission is asked, and the handler after the
// last. An admission may change the extFields (wire.Command.Set, Remove), for those
// that come after it and for the handler, and may ask to see the answer
// (Request.OnAnswer). It must not change the code: the route is found already.
//
// It runs in the goroutine that read the request and must not block; several may run
// at a time. A panic refuses the request.
type Admission func(r *Request) *Answer

// Admit adds an admission, which is asked after those that were added before. Like
// the routes, admissions must be complete before a server starts with them. A table
// without any costs requests nothing.
func (rs *Routes) Admit(a Admission) { rs.admissions = append(rs.admissions, a) }

// OnAnswer lets f change the answer of the request before it is sent, in the
// goroutine that sends it; of several, the one that was added last is called first.
// It belongs to admissions. f is not called when the request is refused before a
// handler sees it, and for one-way requests it sees what nobody is sent.
func (r *Request) OnAnswer(f func(*Answer)) {
	if inner := r.after; inner != nil {
		outer := f
		f = func(a *Answer) {
			outer(a)
			inner(a)
		}
	}
	r.after = f
}

// admitted asks the admissions and answers when one of them refuses.
func (r *Request) admitted(rs *Routes) bool {
	a := r.ask(rs)
	if a == nil {
		return true
	}
	r.after = nil
	r.refuse(a)
	return false
}

func (r *Request) ask(rs *Routes) (a *Answer) {
	defer func() {
		if v := recover(); v != nil {
			a = r.panicked(v)
		}
	}()
	for _, ask := range rs.admissions {
		if a := ask(r); a != nil {
			return a
		}
	}
	return nil
}

// Observation is what became of one request.
type Observation struct {
	Code     protocol.Code // as it came, also when no route has it
	Response protocol.ResponseCode
	// Arrived is the time of the wake-up that read the request, Answered that of the
	// answer, both in ms of the clock.
	Arrived, Answered int64
	// Oneway requests are sent no answer; Response is what it would have been.
	Oneway bool
	// Peer is the ID of who asked, so that counters can be spread.
	Peer uint64
}

// Observer is told of every request that came and was answered, now or late, or
// refused, in the goroutine that answers; of one-way requests, when they are done. It
// must not block and should take no lock and no memory: it is called for every send.
// Requests that get no answer, because the server shuts down, are not told.
type Observer func(o Observation)

// Observe adds an observer. Like the routes, observers must be complete before a
// server starts with them.
func (rs *Routes) Observe(o Observer) { rs.observers = append(rs.observers, o) }

// tell tells the observers.
func (rs *Routes) tell(o Observation) {
	for _, f := range rs.observers {
		f(o)
	}
}
