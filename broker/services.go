package broker

import (
	"context"
	"fmt"

	"github.com/merlinmq/merlin/broker/role"
)

// Role is what the broker is: a master, until it becomes something else.
func (b *Broker) Role() role.Snapshot { return b.services.Role() }

// Become lets the broker take another role: deliveries and transaction checks pause
// while it is a slave. It fails before Start and after Shutdown.
func (b *Broker) Become(r role.Snapshot) error { return b.services.Become(r) }

// addState lists what New has opened, for Shutdown: it stops last, the store first.
func (b *Broker) addState() {
	files := func(name string, persist func() error) {
		b.services.Started(role.Service{Name: name, Stop: func(context.Context) error { return persist() }})
	}
	files("groups", func() error { return b.groups.Persist() })
	files("topics", func() error { return b.topics.Persist() })
	files("consumer offsets", func() error { return b.offsets.Persist() })
	files("delay offsets", func() error { return b.delay.Persist() }) // after the deliveries are on disk
	files("store", func() error { return b.store.Close() })
	files("settings of the store", func() error { b.unfollow(); return nil })
}

// addServices lists what runs from Start to Shutdown. What stands lower may use what
// stands higher, also while it stops: the name servers are told first, parked requests
// are answered, requests under way are finished, and so on upwards.
func (b *Broker) addServices() {
	add := func(name string, start, stop func()) {
		b.services.Add(role.Service{Name: name, Start: nilError(start), Stop: func(context.Context) error { stop(); return nil }})
	}
	add("client", nil, b.client.Close)
	add("statistics", b.stats.Start, b.stats.Shutdown)
	b.services.Add(role.Service{Name: "transactions", Start: nilError(b.txn.Start), Pause: b.txn.Pause, Resume: b.txn.Start,
		Stop: func(context.Context) error { b.txn.Shutdown(); return nil }})
	add("housekeeping", b.startHousekeeping, b.stopHousekeeping)
	b.services.Add(role.Service{Name: "deliveries", Start: nilError(b.delay.Start), Pause: b.delay.Pause, Resume: b.delay.Start,
		Stop: func(context.Context) error { b.delay.Shutdown(); return nil }})
	b.services.Add(role.Service{Name: "calls inside the process", Stop: b.inside.Shutdown})
	if b.fast != nil {
		b.services.Add(role.Service{Name: "the fast port", Start: b.fast.Start, Stop: b.fast.Shutdown})
	}
	b.services.Add(role.Service{Name: "the port", Start: b.server.Start, Stop: b.server.Shutdown})
	add("parked requests", b.hold.Start, b.hold.Shutdown)
	add("registration", b.registrar.Start, b.registrar.Shutdown)
}

func nilError(f func()) func() error {
	if f == nil {
		return nil
	}
	return func() error { f(); return nil }
}

// startHousekeeping begins to drop silent clients and to write offsets.
func (b *Broker) startHousekeeping() {
	b.done.Add(1)
	go b.housekeeping()
}

func (b *Broker) stopHousekeeping() {
	close(b.stop)
	b.done.Wait()
}

func (b *Broker) housekeeping() {
	defer b.done.Done()
	sweep := b.opts.Clock.NewTicker(housekeepingEvery)
	defer sweep.Stop()
	persist := b.opts.Clock.NewTicker(b.opts.Config.Get().FlushConsumerOffsetInterval.Duration())
	defer persist.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-sweep.C():
			b.consumers.Sweep()
			b.producers.Sweep()
			b.locks.Sweep()
		case <-persist.C():
			if err := b.offsets.Persist(); err != nil {
				b.log.Error("consumer offsets not written", "err", err)
			}
		}
	}
}

// Shutdown stops the services in the order opposite to that of their list: the name
// servers are told, parked requests are answered, requests under way are finished,
// deliveries and housekeeping end, the store is flushed and closed, the small files
// are written. ctx bounds the wait for requests.
func (b *Broker) Shutdown(ctx context.Context) error {
	if err := b.services.Stop(ctx); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	return nil
}
