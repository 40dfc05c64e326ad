package bench

import (
	"syscall"
	"time"
)

// nap sleeps exactly, on a thread of its own.
func nap(d time.Duration) {
	ts := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&ts, nil) // a signal ends it early: the loop looks at the clock again
}
