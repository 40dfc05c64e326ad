// Package tune sets the Go runtime up for a broker, for the commands that are
// one.
package tune

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/merlinmq/merlin/compat/budget"
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

// Memory is how many bytes the collector may let the heap of this process have; 0
// when nothing is known. It is GOMEMLIMIT when the environment sets that. Else it is
// two thirds of what the process may use, by the machine and its control groups, and
// the collector gets it as its limit: the log's own memory, the buffers of sockets
// and the page cache have the rest.
func Memory(getenv func(string) string) int64 {
	limit := debug.SetMemoryLimit(-1)
	n := budget.Machine{ReadFile: os.ReadFile, GoLimit: limit}.Memory()
	if n > 0 && getenv("GOMEMLIMIT") == "" && limit == math.MaxInt64 {
		n = n / 3 * 2
		debug.SetMemoryLimit(n)
	}
	return n
}
