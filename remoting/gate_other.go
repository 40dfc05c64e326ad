//go:build !linux

package remoting

import "errors"

// gate would stop netpoll from reading, see gate_linux.go: elsewhere the watchdog
// closes connections with more than MaxInput.
type gate struct{}

func openGate(*Conn) (*gate, error) {
	return nil, errors.New("remoting: reading cannot be stopped on this system")
}

func (*gate) relax()      {}
func (*gate) holds() bool { return false }
func (*gate) left() bool  { return false }
