package crash

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	producers  = 6                // of these the last two send batches
	batchers   = 2                //
	batchSize  = 8                // messages
	pace       = time.Millisecond // between two sends of a producer
	longBody   = 20 << 10
	group      = "crash-consumer"
	holdingFor = 200 * time.Millisecond // a consumer's long poll
)

// load is what runs against the broker between a start and a kill.
type load struct {
	rig     *Rig
	killing atomic.Bool // from now on errors are the kill's
	stop    chan struct{}
	first   chan struct{} // closed with the first acknowledgement
	once    sync.Once
	wg      sync.WaitGroup

	mu     sync.Mutex // guards errors
	errors []error
}

// startLoad starts producers, consumers and the maker of a topic.
func (r *Rig) startLoad() *load {
	l := &load{rig: r, stop: make(chan struct{}), first: make(chan struct{})}
	for p := range producers {
		seed := r.rand.Uint64()
		l.wg.Go(func() { l.produce(p, seed) })
	}
	for c := range consumers {
		l.wg.Go(func() { l.consume(c) })
	}
	made := fmt.Sprintf("crash-made-%d", r.cycle)
	wait := time.Duration(r.rand.Int64N(int64(r.o.longest())))
	l.wg.Go(func() { l.makeTopic(made, wait) })
	return l
}

// halt ends the load and gives the errors that the kill does not explain.
func (l *load) halt() error {
	close(l.stop)
	l.wg.Wait()
	return errors.Join(l.errors...)
}

// failed notes an error unless the broker is being killed; the caller ends.
func (l *load) failed(err error) {
	if l.killing.Load() && !errors.Is(err, errRefused) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errors = append(l.errors, err)
}

// wait is false when the load has to end.
func (l *load) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.stop:
		return false
	}
}

// produce sends one request after the other until the broker is gone.
func (l *load) produce(p int, seed uint64) {
	c := newClient(l.rig.cluster.BrokerAddr())
	defer c.close()
	r := rand.New(rand.NewPCG(seed, uint64(p)))
	n := 1
	if p >= producers-batchers {
		n = batchSize
	}
	for l.wait(l.rig.o.pace()) {
		if err := l.send(c, p, l.rig.steady[r.IntN(len(l.rig.steady))], n, r); err != nil {
			l.failed(err)
			return
		}
		l.once.Do(func() { close(l.first) })
	}
}

// send sends n messages in one request and notes what happened to them.
func (l *load) send(c *client, p int, q Queue, n int, r *rand.Rand) error {
	es := make([]entry, n)
	for i := range es {
		seq := l.rig.seq.Add(1)
		es[i] = entry{key: fmt.Sprintf("p%d-%d", p, seq), body: body(r)}
		l.rig.history.Send(Sent{Key: es[i].key, Queue: q, Producer: p, Seq: seq, Sum: es[i].sum()})
	}
	offset, phys, err := c.send(q, es)
	if errors.Is(err, errLate) {
		return nil // nothing is promised
	}
	if err != nil {
		return err
	}
	for i, e := range es {
		l.rig.history.Ack(e.key, offset+int64(i), phys[i])
	}
	return nil
}

// body is random: 10 to 1,000 bytes, now and then 20 KiB.
func body(r *rand.Rand) []byte {
	n := 10 + r.IntN(990)
	if r.IntN(100) == 0 {
		n = longBody
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// consume follows its share of the queues and commits what it has.
func (l *load) consume(share int) {
	c := newClient(l.rig.cluster.BrokerAddr())
	defer c.close()
	for {
		for i, q := range l.rig.steady {
			if i%consumers != share {
				continue
			}
			select {
			case <-l.stop:
				return
			default:
			}
			if err := l.follow(c, q); err != nil {
				l.failed(err)
				return
			}
		}
	}
}

// follow takes what is new in one queue.
func (l *load) follow(c *client, q Queue) error {
	at := l.rig.position(q)
	got, r, err := c.pull(group, q, at, holdingFor)
	if err != nil {
		return err
	}
	for _, f := range got {
		l.rig.history.Receive(q, f)
	}
	if len(got) == 0 {
		l.rig.moveTo(q, r.NextBeginOffset.V)
		return nil
	}
	next := got[len(got)-1].Offset + 1
	l.rig.moveTo(q, next)
	if !l.rig.offsets.sending(q, next) {
		return nil // behind what was committed, after a cut
	}
	return c.commit(group, q, next)
}

// makeTopic makes a topic at some moment and sends three messages to it.
func (l *load) makeTopic(topic string, when time.Duration) {
	if !l.wait(when) {
		return
	}
	if err := l.rig.putTopic(topic); err != nil {
		l.failed(err)
		return
	}
	c := newClient(l.rig.cluster.BrokerAddr())
	defer c.close()
	r := rand.New(rand.NewPCG(1, 2))
	for range 3 {
		if err := l.send(c, producers, Queue{topic, 0}, 1, r); err != nil {
			l.failed(err)
			return
		}
	}
}
