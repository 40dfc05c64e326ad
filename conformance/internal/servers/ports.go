package servers

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports below 32768 are not handed out to outgoing connections by Linux, so a
// server that was stopped finds its port free when it starts again.
const (
	lowestPort  = 18000
	highestPort = 31000
	// stride is how far apart the port groups of two clusters are: a broker
	// takes listen-2 (fast), listen and listen+1 (HA).
	stride = 8
)

// FreePorts returns the first port of a run of stride ports that are all free
// on the loopback address now. Another process may take one before the caller
// does; the caller starts again with other ports then.
func FreePorts() (int, error) {
	for range 200 {
		base := lowestPort + stride*rand.IntN((highestPort-lowestPort)/stride)
		if allFree(base) {
			return base, nil
		}
	}
	return 0, fmt.Errorf("no %d free ports in a row between %d and %d", stride, lowestPort, highestPort)
}

func allFree(base int) bool {
	for p := base; p < base+stride; p++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p))
		if err != nil {
			return false
		}
		_ = l.Close()
	}
	return true
}
