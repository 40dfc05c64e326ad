// Package tune sets the Go runtime up for a broker, for the commands that are
// one.
package tune

import (
	"runtime"
	"runtime/debug"
)

const (
	// gcPercent is how much garbage the collector lets come up, in parts of what
	// lives. A broker makes little of either: a low value costs next to nothing.
	gcPercent = 30
	// extraProcs are the processors beyond the machine's: while one waits in a
	// sync of the disk the others have work.
	extraProcs = 1
)

// Broker sets the collector and the number of processors, unless the environment
// (GOGC, GOMAXPROCS) says something itself.
func Broker(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + extraProcs)
	}
}
