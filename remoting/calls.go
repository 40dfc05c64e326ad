package remoting

import (
	"context"
	"fmt"
	"sync"

	"github.com/merlinmq/merlin/protocol/wire"
)

// calls are the requests of this side that have no answer yet (responseTable).
type calls struct {
	mu    sync.Mutex // guards what follows; a leaf
	limit int
	last  int32
	table map[int32]*call
	ended bool
}

// call is one of them. done is called by whoever takes it out of the table.
type call struct {
	done     func(*wire.Command, error)
	deadline int64 // ms
}

func (cs *calls) nextOpaque() int32 {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.last++
	return cs.last
}

// add enters a call under a new opaque.
func (cs *calls) add(k *call) (int32, error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.ended {
		return 0, ErrClosed
	}
	if len(cs.table) >= cs.limit {
		return 0, ErrBusy
	}
	if cs.table == nil {
		cs.table = map[int32]*call{}
	}
	cs.last++
	for cs.table[cs.last] != nil { // it has gone round
		cs.last++
	}
	cs.table[cs.last] = k
	return cs.last, nil
}

// take removes a call; nil when it was taken before.
func (cs *calls) take(opaque int32) *call {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	k := cs.table[opaque]
	delete(cs.table, opaque)
	return k
}

// expire fails the calls whose deadline is over.
func (cs *calls) expire(now int64) {
	var late []*call
	cs.mu.Lock()
	for op, k := range cs.table {
		if k.deadline <= now {
			late = append(late, k)
			delete(cs.table, op)
		}
	}
	cs.mu.Unlock()
	for _, k := range late {
		k.done(nil, fmt.Errorf("%w: %w", ErrTimeout, context.DeadlineExceeded))
	}
}

// failAll ends every call and refuses new ones.
func (cs *calls) failAll(err error) {
	cs.mu.Lock()
	table := cs.table
	cs.table, cs.ended = nil, true
	cs.mu.Unlock()
	for _, k := range table {
		k.done(nil, err)
	}
}
