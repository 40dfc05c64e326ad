package cluster

import "github.com/merlinmq/merlin/remoting"

// Told calls a function when the changes so far are registered (Registrar.Told).
// The nil Told calls it at once.
type Told func(f func())

// Then calls f.
func (t Told) Then(f func()) {
	if t == nil {
		f()
		return
	}
	t(f)
}

// Answer sends the answer of a request that made a topic, later, so that who is
// answered finds the topic at the name servers. What it returns is what the
// request's handler returns. a must be its own memory.
func (t Told) Answer(r *remoting.Request, a *remoting.Answer) (*remoting.Answer, error) {
	if t == nil {
		return a, nil
	}
	to := r.To()
	t(func() { to.Send(a) })
	return nil, nil
}
