package calls

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/merlinmq/merlin/protocol/wire"
)

// version533 is the MQVersion ordinal of 5.3.3.
const version533 = 479

// errClosed says that the server ended the connection instead of answering.
var errClosed = errors.New("the server closed the connection")

// client is one connection that asks, and answers what the server asks.
type client struct {
	conn   net.Conn
	pushes chan *wire.Command // what the server asked, in order; the rest is dropped when it is full
	done   chan struct{}      // closed when the connection has ended

	mu      sync.Mutex
	opaque  int32
	waiting map[int32]chan *wire.Command
	reply   func(*wire.Command) (*wire.Outgoing, []byte)
}

// dial connects. reply makes the answer to a request of the server; nil, or a
// nil answer, answers nothing.
func dial(ctx context.Context, addr string, reply func(*wire.Command) (*wire.Outgoing, []byte)) (*client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, pushes: make(chan *wire.Command, 64), done: make(chan struct{}),
		waiting: map[int32]chan *wire.Command{}, reply: reply}
	go c.read()
	return c, nil
}

// close ends the connection and waits for its reader.
func (c *client) close() {
	_ = c.conn.Close()
	<-c.done
}

func (c *client) read() {
	defer close(c.done)
	for {
		cmd, err := readFrame(c.conn)
		if err != nil {
			return
		}
		if cmd.IsResponse() {
			c.mu.Lock()
			ch := c.waiting[cmd.Opaque]
			delete(c.waiting, cmd.Opaque)
			c.mu.Unlock()
			if ch != nil {
				ch <- cmd
			}
			continue
		}
		c.pushed(cmd)
	}
}

func (c *client) pushed(cmd *wire.Command) {
	select {
	case c.pushes <- cmd:
	default:
	}
	if c.reply == nil || cmd.IsOneway() {
		return
	}
	if o, body := c.reply(cmd); o != nil {
		o.Opaque, o.Flag, o.Version = cmd.Opaque, wire.FlagResponse, version533
		_ = c.write(o, body)
	}
}

func readFrame(r io.Reader) (*wire.Command, error) {
	var word [4]byte
	if _, err := io.ReadFull(r, word[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(word[:])
	if n > wire.MaxFrame {
		return nil, fmt.Errorf("a frame of %d bytes", n)
	}
	frame := make([]byte, n)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	var c wire.Command
	if err := wire.Decode(frame, &c); err != nil {
		return nil, err
	}
	return &c, nil
}

func (c *client) write(o *wire.Outgoing, body []byte) error {
	_, err := c.conn.Write(append(wire.AppendHead(nil, o, len(body)), body...))
	return err
}

// ask sends a request and waits for its answer until ctx ends: then the answer
// is nil. The error is errClosed or that of the connection.
func (c *client) ask(ctx context.Context, o *wire.Outgoing, body []byte) (*wire.Command, error) {
	ch := make(chan *wire.Command, 1)
	c.mu.Lock()
	c.opaque++
	o.Opaque = c.opaque
	c.waiting[o.Opaque] = ch
	c.mu.Unlock()
	if err := c.write(o, body); err != nil {
		return nil, errClosed
	}
	select {
	case a := <-ch:
		return a, nil
	case <-c.done:
		select {
		case a := <-ch:
			return a, nil
		default:
			return nil, errClosed
		}
	case <-ctx.Done():
		return nil, nil
	}
}

// await returns the next request of the server that has the code, nil when none
// came in time.
func (c *client) await(ctx context.Context, code int32, limit time.Duration) *wire.Command {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case p := <-c.pushes:
			if p.Code == code {
				return p
			}
		case <-c.done:
			return nil
		case <-ctx.Done():
			return nil
		case <-timer.C:
			return nil
		}
	}
}
