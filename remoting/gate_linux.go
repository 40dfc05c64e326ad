package remoting

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/cloudwego/netpoll"
)

// netpoll reads whatever comes, as fast as it comes, into memory that grows, also
// while the wake-up of the connection is busy, and it reads a connection that has
// hung up to its end at once. It has no way to stop that, to learn how much it was,
// or to bound it. A server whose memory is bounded needs all three: fifty peers that
// send three megabytes each and hang up make 150 of them otherwise, before anybody is
// asked. So this file goes below its interface, in one place: each accepted
// connection gets a gate, which stands between it and its poller.
//
// What it relies on, in the version of netpoll that go.mod names (openGate refuses
// what it does not know, and then there is no gate; TestGate_FitsNetpoll goes red, so
// that an upgrade is noticed):
//
//   - a connection keeps its operator in the field "operator", and all that it asks
//     of the poller goes through the operator's field "poll", an interface: a gate
//     put there sees it. Both are set before OnPrepare is called, and the poller
//     learns of the operator after it;
//   - the poller calls Inputs before and InputAck after each read, one operator at a
//     time; after a read of something and with nothing more from Inputs it leaves a
//     connection that hangs up alone until the next event;
//   - the poller has its epoll descriptor in the field "fd", and the word that it
//     gives to epoll for a socket is the operator's address, with the race detector
//     the socket's number.
//
// A socket stays in the epoll set while the gate is shut, only that no input is
// waited for: whatever netpoll asks about writing and closing goes on as before.
const (
	// readAhead is how much may lie in netpoll's buffers when it stops reading; what
	// one read brings comes on top. Frames may be longer: their beginnings are taken
	// out of the buffers.
	readAhead = 256 << 10
	// readOnce is the most that one read brings.
	readOnce = 128 << 10
	// goesOnBelow is how little must be left before it reads on.
	goesOnBelow = 64 << 10
	// poorReads is what a connection may keep and go on to read although the memory
	// for peers is used up.
	poorReads = 64 << 10
)

// gate is the poller that an accepted connection sees. The zero gate (nil) stands
// for a connection whose reading cannot be stopped.
type gate struct {
	netpoll.Poll // the connection's poller
	c            *Conn
	op           *netpoll.FDOperator
	fd, epoll    int
	inputs       func([][]byte) [][]byte
	ack          func(int) error

	shut atomic.Bool // nothing is read; changed under mu, by the poller alone to true

	mu     sync.Mutex // guards what follows and what epoll knows of the socket; a leaf
	in     bool       // the socket is in the epoll set
	output bool       // netpoll waits until the socket can be written
}

// fields finds what the gate goes for in a connection.
func fields(nc netpoll.Connection) (op *netpoll.FDOperator, poll *netpoll.Poll, epoll int, err error) {
	conn := reflect.ValueOf(nc)
	if conn.Kind() != reflect.Pointer || conn.Elem().Kind() != reflect.Struct {
		return nil, nil, 0, fmt.Errorf("remoting: a connection of netpoll is a %T", nc)
	}
	f := conn.Elem().FieldByName("operator")
	if !f.IsValid() || f.Type() != reflect.TypeFor[*netpoll.FDOperator]() || f.IsNil() {
		return nil, nil, 0, fmt.Errorf("remoting: a %T of netpoll has no operator", nc)
	}
	op = (*netpoll.FDOperator)(f.UnsafePointer())
	f = reflect.ValueOf(op).Elem().FieldByName("poll")
	if !f.IsValid() || f.Type() != reflect.TypeFor[netpoll.Poll]() || f.IsNil() {
		return nil, nil, 0, fmt.Errorf("remoting: an operator of netpoll has no poller")
	}
	poll = (*netpoll.Poll)(unsafe.Pointer(f.UnsafeAddr()))
	f = reflect.ValueOf(*poll)
	if f.Kind() != reflect.Pointer || f.Elem().Kind() != reflect.Struct {
		return nil, nil, 0, fmt.Errorf("remoting: a poller of netpoll is a %T", *poll)
	}
	f = f.Elem().FieldByName("fd")
	if !f.IsValid() || f.Kind() != reflect.Int || f.Int() <= 0 {
		return nil, nil, 0, fmt.Errorf("remoting: a %T of netpoll has no epoll descriptor", *poll)
	}
	return op, poll, int(f.Int()), nil
}

// openGate puts a gate before a connection that no poller knows yet.
func openGate(c *Conn) (*gate, error) {
	op, poll, epoll, err := fields(c.nc)
	if err != nil {
		return nil, err
	}
	if op.Inputs == nil || op.InputAck == nil || op.FD <= 0 {
		return nil, fmt.Errorf("remoting: the operator of a connection of netpoll is not set up")
	}
	g := &gate{Poll: *poll, c: c, op: op, fd: op.FD, epoll: epoll, inputs: op.Inputs, ack: op.InputAck}
	op.Inputs, op.InputAck = g.book, g.read
	*poll = g
	return g, nil
}

// Control is what the connection asks of its poller.
func (g *gate) Control(op *netpoll.FDOperator, ev netpoll.PollEvent) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch ev {
	case netpoll.PollReadable:
		g.in = true
	case netpoll.PollDetach:
		g.in = false
	case netpoll.PollR2RW, netpoll.PollRW2R:
		g.output = ev == netpoll.PollR2RW
		if g.in && g.shut.Load() {
			return g.watchLocked()
		}
	}
	return g.Poll.Control(op, ev)
}

// watchLocked tells epoll what to look for. REQUIRES: g.mu, g.in.
func (g *gate) watchLocked() error {
	ev := syscall.EpollEvent{Events: syscall.EPOLLERR}
	if !g.shut.Load() {
		ev.Events |= syscall.EPOLLIN | syscall.EPOLLRDHUP
	}
	if g.output {
		ev.Events |= syscall.EPOLLOUT
	}
	word := uint64(uintptr(unsafe.Pointer(g.op)))
	if raceEnabled {
		word = uint64(uint32(g.fd))
	}
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], word)
	ev.Fd, ev.Pad = int32(binary.NativeEndian.Uint32(b[:4])), int32(binary.NativeEndian.Uint32(b[4:]))
	return syscall.EpollCtl(g.epoll, syscall.EPOLL_CTL_MOD, g.fd, &ev)
}

// set shuts or opens the gate. A connection that is leaving stays as it is.
func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.in || g.shut.Load() == shut {
		return
	}
	g.shut.Store(shut)
	if err := g.watchLocked(); err != nil {
		g.shut.Store(!shut)
		g.c.ep.log.Error("the poller does not take a change", "conn", g.c.String(), "shut", shut, "err", err)
	}
}

// book gives the poller memory to read into. Nothing is read for a connection that
// this side has closed, and its poller sees it hang up.
func (g *gate) book(vs [][]byte) [][]byte {
	if g.shut.Load() || g.c.quit.Load() {
		return nil
	}
	vs = g.inputs(vs)
	if len(vs) > 0 && len(vs[0]) > readOnce {
		vs[0] = vs[0][:readOnce]
	}
	return vs
}

// read runs in the poller when n bytes have been read.
func (g *gate) read(n int) error {
	err := g.ack(n)
	if n <= 0 {
		return err
	}
	c := g.c
	left := c.nc.Reader().Len()
	if left > smallInput {
		c.noteAhead()
	}
	if left > readAhead || g.poor() {
		g.set(true)
		g.relax() // the wake-up may have taken it meanwhile
	}
	return err
}

// poor reports whether the connection keeps more than little while the memory for
// peers is used up: then it goes on when there is room again.
func (g *gate) poor() bool {
	b := g.c.ep.budget
	return g.c.account.Total() > poorReads && (b.Over() || b.Crowded())
}

// relax lets the poller read on when what it has read is nearly worked off.
func (g *gate) relax() {
	if g != nil && g.shut.Load() && g.c.nc.Reader().Len() <= goesOnBelow && !g.poor() {
		g.set(false)
	}
}

// holds reports whether there may be input that is not read on purpose.
func (g *gate) holds() bool { return g != nil && g.shut.Load() }

// left reports whether the peer has closed its side, which nobody is told of while
// the gate is shut: what has come before is still to be read.
func (g *gate) left() bool {
	if !g.holds() {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.in { // the number may be another's
		return false
	}
	v, err := syscall.GetsockoptInt(g.fd, syscall.IPPROTO_TCP, syscall.TCP_INFO)
	if err != nil {
		return false
	}
	const closed, closeWait = 7, 8
	var b [4]byte // the beginning of the structure, of which the first byte is the state
	binary.NativeEndian.PutUint32(b[:], uint32(v))
	return b[0] == closed || b[0] == closeWait
}
