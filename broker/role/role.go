// Package role says what a broker is at the moment, a master or a slave and of whom, and
// keeps the list of its services, which follow that: some run in every role, those that
// change what is stored run while the broker is a master. Nothing else asks "am I the
// master".
//
// It owns no goroutine. Lock: Services.mu, under which services are started, stopped,
// paused and resumed, one change at a time; nothing that serves requests takes it.
package role

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// Kind is the role of a broker (BrokerRole).
type Kind uint8

// Kinds.
const (
	AsyncMaster Kind = iota // ASYNC_MASTER
	SyncMaster              // SYNC_MASTER
	Slave                   // SLAVE
)

var kinds = [...]string{AsyncMaster: "ASYNC_MASTER", SyncMaster: "SYNC_MASTER", Slave: "SLAVE"}

// String is RocketMQ's name.
func (k Kind) String() string { return kinds[k] }

// Snapshot is a role that a broker has, or had: a value that does not change.
type Snapshot struct {
	BrokerID int64 // 0 for a master
	Kind     Kind
	// Epoch counts the masters of the set (masterEpoch); 0 without a controller.
	Epoch int32
	// Master is the address of the master of a slave, "" while there is none.
	Master string
}

// Parse gives the role that the settings brokerRole and brokerId stand for.
func Parse(brokerRole string, brokerID int64) (Snapshot, error) {
	at := slices.Index(kinds[:], brokerRole)
	if at < 0 {
		return Snapshot{}, fmt.Errorf("role: brokerRole %q", brokerRole)
	}
	return Snapshot{BrokerID: brokerID, Kind: Kind(at)}, nil
}

// IsMaster says whether the broker takes messages of clients.
func (s Snapshot) IsMaster() bool { return s.Kind != Slave }

// Service is something that runs from the start of a broker to its shutdown. Each
// function may be nil: there is nothing to do then.
type Service struct {
	Name  string
	Start func() error
	// Stop ends it and waits until it has ended, ctx being the bound; what it keeps is
	// written then.
	Stop func(ctx context.Context) error
	// Pause and Resume make it one of a master: it is paused while the broker is a slave.
	// Pause returns when nothing of it is under way, and nothing begins before Resume,
	// or before Start if the broker was a slave until then.
	Pause, Resume func()
}

// state of a service.
type state uint8

const (
	idle    state = iota // it waits for the role, or for the start
	running              // and has to be stopped
	paused               // it was running
)

// Services are the services of a broker, in the order in which they start; they stop
// in the opposite one. The zero value has none.
type Services struct {
	mu      sync.Mutex // guards list and states, and keeps changes apart; see the package doc
	list    []Service
	states  []state
	begun   bool
	current atomic.Pointer[Snapshot]
}

// ErrStopped: the services were stopped, or not started, so that no role can be taken.
var ErrStopped = errors.New("role: the services do not run")

// Add adds a service. After Start there is nobody to start it.
func (s *Services) Add(sv Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list, s.states = append(s.list, sv), append(s.states, idle)
}

// Started adds a service that runs already and only has to be stopped.
func (s *Services) Started(sv Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list, s.states = append(s.list, sv), append(s.states, running)
}

// Role is the role of the broker, that of Start or of the last Become. It takes no lock.
func (s *Services) Role() Snapshot {
	if r := s.current.Load(); r != nil {
		return *r
	}
	return Snapshot{}
}

// Start starts the services that run in a role, in their order. When one cannot start
// the error names it; Stop stops those before it.
func (s *Services) Start(r Snapshot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current.Store(&r)
	for i := range s.list {
		if s.states[i] == idle && (r.IsMaster() || s.list[i].Pause == nil) {
			if err := s.start(i); err != nil {
				return err
			}
		}
	}
	s.begun = true
	return nil
}

// start REQUIRES: s.mu.
func (s *Services) start(i int) error {
	if f := s.list[i].Start; f != nil {
		if err := f(); err != nil {
			return fmt.Errorf("start %s: %w", s.list[i].Name, err)
		}
	}
	s.states[i] = running
	return nil
}

// Become takes another role: services of a master are paused, the last one first, or
// resumed in their order. A role of an older epoch is refused. While services are
// paused, Role is still the master's, and when they are resumed it is already.
func (s *Services) Become(r Snapshot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun {
		return ErrStopped
	}
	if was := s.Role(); r.Epoch < was.Epoch {
		return fmt.Errorf("role: epoch %d is older than %d, which this broker has", r.Epoch, was.Epoch)
	}
	if !r.IsMaster() {
		for i := len(s.list) - 1; i >= 0; i-- {
			if s.list[i].Pause != nil && s.states[i] == running {
				s.list[i].Pause()
				s.states[i] = paused
			}
		}
		s.current.Store(&r)
		return nil
	}
	s.current.Store(&r)
	for i := range s.list {
		switch s.states[i] {
		case paused:
			s.list[i].Resume()
			s.states[i] = running
		case idle:
			if err := s.start(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// Stop stops what runs or is paused, the last service first, whatever errors come.
func (s *Services) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = false
	var errs []error
	for i := len(s.list) - 1; i >= 0; i-- {
		if s.states[i] != idle && s.list[i].Stop != nil {
			if err := s.list[i].Stop(ctx); err != nil {
				errs = append(errs, fmt.Errorf("stop %s: %w", s.list[i].Name, err))
			}
		}
		s.states[i] = idle
	}
	s.list, s.states = nil, nil
	return errors.Join(errs...)
}
