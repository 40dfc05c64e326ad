package faulty

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/wire"
)

// Action is what becomes of a frame.
type Action int

// The actions of Fault.Edit.
const (
	Pass    Action = iota // goes on byte for byte
	Changed               // goes on as the edited command
	Twice                 // goes on as the edited command, two times
	Late                  // goes on as the edited command, after Lateness
	Swallow               // does not go on; who asked is told success
)

// Lateness is how long a late frame is held back; the frames behind it overtake
// it.
const Lateness = 5 * time.Second

// Frame is one command on its way.
type Frame struct {
	// Code is the request's code, also for its answer.
	Code protocol.Code
	// ToClient says that the frame comes from the server.
	ToClient bool
	// Took is the time since the request that this frame answers; 0 for requests.
	Took time.Duration
	// Cmd may be edited; its Body may be replaced, not written to.
	Cmd *wire.Command
}

// Answer says whether the frame answers a client's request of one of the codes.
func (f *Frame) Answer(codes ...protocol.Code) bool {
	return f.ToClient && f.Cmd.IsResponse() && f.is(codes)
}

// Request says whether the frame is a client's request of one of the codes.
func (f *Frame) Request(codes ...protocol.Code) bool {
	return !f.ToClient && !f.Cmd.IsResponse() && f.is(codes)
}

func (f *Frame) is(codes []protocol.Code) bool {
	for _, c := range codes {
		if c == f.Code {
			return true
		}
	}
	return false
}

// Proxy stands before one name server and one broker.
type Proxy struct {
	fault         Fault
	names, broker net.Listener
	realAddr      string        // of the broker
	fired         atomic.Int64  // frames that the fault changed, dropped, doubled or held back
	done          chan struct{} // closed by Close

	mu     sync.Mutex // guards what follows
	open   map[net.Conn]bool
	closed bool
	wg     sync.WaitGroup
}

// New listens on two free loopback ports. The zero Fault changes nothing.
func New(nameServer, broker string, fault Fault) (*Proxy, error) {
	names, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("faulty: %w", err)
	}
	b, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		_ = names.Close()
		return nil, fmt.Errorf("faulty: %w", err)
	}
	p := &Proxy{fault: fault, names: names, broker: b, realAddr: broker,
		done: make(chan struct{}), open: map[net.Conn]bool{}}
	p.wg.Go(func() { p.accept(names, nameServer) })
	p.wg.Go(func() { p.accept(b, broker) })
	return p, nil
}

// NameServer is the address that clients get.
func (p *Proxy) NameServer() string { return p.names.Addr().String() }

// Fired is the number of frames that the fault made a difference to so far.
func (p *Proxy) Fired() int64 { return p.fired.Load() }

// Close ends all connections and waits for the goroutines. It is called once.
func (p *Proxy) Close() {
	close(p.done)
	_ = p.names.Close()
	_ = p.broker.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.open {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// keep notes a connection for Close; false when that has been called.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return false
	}
	p.open[c] = true
	return true
}

func (p *Proxy) drop(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

func (p *Proxy) accept(l net.Listener, server string) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(client, server) })
	}
}

// link is a client's connection with the one to the server behind it.
type link struct {
	proxy          *Proxy
	client, server *peer

	mu    sync.Mutex // guards asked
	asked map[int32]question
}

// question is a client's request that was not answered yet; link has them by
// opaque.
type question struct {
	code protocol.Code
	at   time.Time
}

// peer is one end; answers of the proxy itself come from the other direction's
// goroutine.
type peer struct {
	mu   sync.Mutex // serialises writes
	conn net.Conn
}

func (p *peer) write(b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.conn.Write(b)
	return err
}

func (p *Proxy) serve(client net.Conn, addr string) {
	if !p.keep(client) {
		return
	}
	defer p.drop(client)
	server, err := net.Dial("tcp", addr)
	if err != nil || !p.keep(server) {
		return
	}
	defer p.drop(server)
	l := &link{proxy: p, client: &peer{conn: client}, server: &peer{conn: server}, asked: map[int32]question{}}
	p.wg.Go(func() {
		l.pump(l.server, l.client, true)
		_ = client.Close()
	})
	l.pump(l.client, l.server, false)
}

// pump passes frames on until one end closes.
func (l *link) pump(from, to *peer, toClient bool) {
	in := bufio.NewReader(from.conn)
	for {
		raw, err := readFrame(in)
		if err != nil {
			return
		}
		out, back, action := l.edit(raw, toClient)
		if action == Late {
			l.proxy.wg.Go(func() { l.later(to, out) })
			continue
		}
		if out != nil && to.write(out) != nil {
			return
		}
		if back != nil && from.write(back) != nil {
			return
		}
	}
}

// later writes a frame after Lateness, or never when the proxy is closed before.
func (l *link) later(to *peer, frame []byte) {
	timer := time.NewTimer(Lateness)
	defer timer.Stop()
	select {
	case <-timer.C:
		_ = to.write(frame)
	case <-l.proxy.done:
	}
}

func readFrame(in io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(in, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > wire.MaxFrame {
		return nil, fmt.Errorf("faulty: a frame of %d bytes", n)
	}
	raw := make([]byte, 4+n)
	copy(raw, size[:])
	_, err := io.ReadFull(in, raw[4:])
	return raw, err
}

// edit returns what goes on and what goes back in place of raw.
func (l *link) edit(raw []byte, toClient bool) (out, back []byte, action Action) {
	var c wire.Command
	if wire.Decode(raw[4:], &c) != nil {
		return raw, nil, Pass // what is no frame is the server's to refuse
	}
	f := &Frame{Code: protocol.Code(c.Code), ToClient: toClient, Cmd: &c}
	l.mu.Lock()
	switch {
	case !toClient && !c.IsResponse() && !c.IsOneway():
		l.asked[c.Opaque] = question{f.Code, time.Now()}
	case toClient && c.IsResponse():
		if q, ok := l.asked[c.Opaque]; ok {
			f.Code, f.Took = q.code, time.Since(q.at)
			delete(l.asked, c.Opaque)
		} else {
			f.Code = 0 // the second answer to a doubled request
		}
	}
	l.mu.Unlock()
	if f.Answer(protocol.GetRouteInfoByTopic.Code, protocol.GetBrokerClusterInfo.Code) {
		real, ours := []byte(`"`+l.proxy.realAddr+`"`), []byte(`"`+l.proxy.broker.Addr().String()+`"`)
		c.Body = bytes.ReplaceAll(c.Body, real, ours)
		raw = encode(&c)
	}
	if action = l.harm(f); action == Pass {
		return raw, nil, Pass
	}
	l.proxy.fired.Add(1)
	switch {
	case action == Twice:
		return slices.Concat(encode(&c), encode(&c)), nil, action
	case action != Swallow:
		return encode(&c), nil, action
	case c.IsOneway() || c.IsResponse():
		return nil, nil, action
	}
	return nil, encode(&wire.Command{Opaque: c.Opaque, Flag: wire.FlagResponse, Version: c.Version, Encoding: c.Encoding}), action
}

// harm lets the fault edit the frame. A change that left the frame as it was is
// none.
func (l *link) harm(f *Frame) Action {
	if l.proxy.fault.Edit == nil {
		return Pass
	}
	before := encode(f.Cmd)
	action := l.proxy.fault.Edit(f)
	if action == Changed && bytes.Equal(before, encode(f.Cmd)) {
		return Pass
	}
	return action
}

func encode(c *wire.Command) []byte {
	out := wire.AppendHead(nil, &wire.Outgoing{Code: c.Code, Language: c.Language, Version: c.Version, Opaque: c.Opaque,
		Flag: c.Flag, Remark: c.Remark, HasRemark: c.HasRemark, Ext: c.Ext, Encoding: c.Encoding}, len(c.Body))
	return append(out, c.Body...)
}
