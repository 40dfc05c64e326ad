package put

import (
	"sync"

	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/store"
)

// Store takes messages.
type Store interface {
	// PutBatch is store.Store's: the Done of each is called once, now or later.
	PutBatch(puts []*store.Put)
}

// Options configure a Pipeline.
type Options struct {
	Store  Store
	Levels Levels         // of messageDelayLevel
	Stats  *stats.Manager // nil: nothing is counted
	Clock  clock.Clock    // nil = the machine's
	// Hooks are asked after those that every pipeline has, in their order.
	Hooks []Hook
}

// Pipeline brings drafts into the store. All methods may be called from any goroutine.
type Pipeline struct {
	store Store
	stats *stats.Manager
	clock clock.Clock
	hooks []Hook
	pool  sync.Pool // *Batch
}

// New makes a pipeline.
func New(o Options) *Pipeline {
	p := &Pipeline{store: o.Store, stats: o.Stats, clock: clock.Or(o.Clock)}
	p.hooks = append([]Hook{innerBatch, o.Levels.delays}, o.Hooks...)
	p.pool.New = func() any { return &Batch{pipe: p} }
	return p
}

// Batch is drafts that go into the store together. It is for one goroutine, from
// Pipeline.Batch to Put.
type Batch struct {
	pipe *Pipeline
	puts []*store.Put
}

// Batch begins a batch.
func (p *Pipeline) Batch() *Batch { return p.pool.Get().(*Batch) }

// Add takes a draft in. One that a hook refuses is done, and its Then called, before
// Add returns.
func (b *Batch) Add(d *Draft) {
	if d.pipe = b.pipe; d.ready() {
		b.puts = append(b.puts, &d.Put)
	}
}

// Put stores the drafts in their order, together, and ends the batch. Their Then is
// called before it returns, or later by the store.
func (b *Batch) Put() {
	if len(b.puts) > 0 {
		b.pipe.store.PutBatch(b.puts)
		clear(b.puts)
		b.puts = b.puts[:0]
	}
	b.pipe.pool.Put(b)
}

// Put stores one draft and waits for it. The result is d's.
func (p *Pipeline) Put(d *Draft) *store.PutResult {
	done := make(chan struct{})
	d.Then = func(*Draft) { close(done) }
	b := p.Batch()
	b.Add(d)
	b.Put()
	<-done
	return &d.Result
}

// ready asks the hooks and writes the properties.
func (d *Draft) ready() bool {
	if len(d.Batch) == 0 {
		for _, h := range d.pipe.hooks {
			if status := h(d); status != store.PutOK {
				d.Result = store.PutResult{Status: status}
				d.done()
				return false
			}
		}
		d.Encode()
	}
	d.Done, d.Arg = final, d
	return true
}

// final is the Done of every draft's put.
func final(p *store.Put) { p.Arg.(*Draft).done() }

// done counts a draft that is stored and calls its owner.
func (d *Draft) done() {
	d.At = d.pipe.clock.NowMillis()
	if d.pipe.stats != nil && Stored(d.Result.Status) {
		d.Counts.count(d)
	}
	d.Then(d)
}
