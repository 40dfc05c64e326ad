package bench

import "time"

// exactBelow is up to how many senders of an open loop sleep exactly: each takes
// a thread of the machine while it sleeps.
const exactBelow = 8

// pause sleeps until due. time.Sleep is late by up to a millisecond in a process
// that has nothing else to do, because the runtime waits in epoll by whole
// milliseconds: that would be most of what a median from send to arrival shows.
func (b *bench) pause(due time.Time) {
	switch d := time.Until(due); {
	case d <= 0:
	case b.conns > exactBelow || d > time.Second:
		time.Sleep(d)
	default:
		nap(d)
	}
}
