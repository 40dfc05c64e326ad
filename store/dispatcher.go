package store

import (
	"fmt"

	"github.com/merlinmq/merlin/protocol/message"
)

// Dispatched is a message on its way from the log to what is built from it
// (DispatchRequest). It and its bytes are valid during the call.
type Dispatched struct {
	*message.Message
	// What the properties say; nil when they do not.
	Tags, UniqKey, Keys, DelayLevel []byte
	// Live says that the message is new: a recovery gives those that were dispatched
	// before, some of them more than once.
	Live bool
}

// Dispatcher builds something from every message of the log (CommitLogDispatcher), as
// consume queues and the index are built. All methods but the function that Checkpoint
// gives are called from one goroutine at a time, the dispatcher's or that of Open, and
// must not call the store, which waits for them.
type Dispatcher interface {
	// From is the place in the log that Dispatch wants to go on at: what it has made
	// durable ends there. Open reads the log from the lowest of all on.
	From() int64
	// Dispatch takes one message in, in the order of the log, once it is as safe as
	// consumers need it (ConfirmOffset). Messages before From, and such as came already, are
	// passed over by it. After an error it is called again with the same message, and
	// nothing is accepted meanwhile.
	Dispatch(m *Dispatched) error
	// Checkpoint prepares what was built so far, between two messages; commit makes it
	// durable, from another goroutine, beside Dispatch. The checkpoint of the store is
	// written when the commits of all have worked.
	Checkpoint() (commit func() error, err error)
	// Truncate forgets what was built of messages that end behind a place: the log was
	// cut there. It is called by Open.
	Truncate(end int64) error
}

// dispatchFunc is one of the two that the store brings with it, whose durable state
// recovery and checkpoint know themselves.
type dispatchFunc func(m *Dispatched) error

// builders are what every message goes through, in their order.
func (d *dispatcher) builders() []dispatchFunc {
	out := []dispatchFunc{d.queued, d.indexed}
	for _, o := range d.s.o.Dispatchers {
		out = append(out, o.Dispatch)
	}
	return out
}

// checkpoints prepares the others. REQUIRES: the dispatcher, between two messages.
func (s *Store) checkpoints() (commit func() error, err error) {
	var commits []func() error
	for _, o := range s.o.Dispatchers {
		c, err := o.Checkpoint()
		if err != nil {
			return nil, fmt.Errorf("store: checkpoint: %w", err)
		}
		commits = append(commits, c)
	}
	return func() error {
		for _, c := range commits {
			if err := c(); err != nil {
				return fmt.Errorf("store: checkpoint: %w", err)
			}
		}
		return nil
	}, nil
}
