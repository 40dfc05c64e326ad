package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/wire"
)

const (
	readBuffer = 256 << 10
	// callTimeout bounds a single call and the wait for the last answers.
	callTimeout = 10 * time.Second
)

// conn is one socket. Reading and writing may be two goroutines.
type conn struct {
	net.Conn
	r   *bufio.Reader
	in  []byte // the frame read last, reused
	out []byte // frames not written yet, of the writer
}

// answer is one frame read; head and body are valid until the next read.
type answer struct {
	code   int64
	opaque int32
	head   []byte
	body   []byte
	frame  []byte
}

// dial connects. The connection is closed when ctx ends.
func dial(ctx context.Context, addr string) (*conn, func(), error) {
	nc, err := (&net.Dialer{Timeout: callTimeout}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, nil, fmt.Errorf("bench: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	c := &conn{Conn: nc, r: bufio.NewReaderSize(nc, readBuffer)}
	return c, func() { stop(); _ = nc.Close() }, nil
}

// flush writes what was put.
func (c *conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.Write(c.out)
	c.out = c.out[:0]
	return err
}

// readFrame reads one frame into buf, which it grows up to the longest legal one.
func readFrame(r *bufio.Reader, buf []byte) ([]byte, error) {
	p, err := r.Peek(4)
	if err != nil {
		return buf, err
	}
	size := int(binary.BigEndian.Uint32(p))
	if size < 4 || size > wire.MaxFrame {
		return buf, fmt.Errorf("bench: a frame of %d bytes", size)
	}
	if cap(buf) < 4+size {
		buf = make([]byte, 4+size, 2*(4+size))
	}
	buf = buf[:4+size]
	_, err = io.ReadFull(r, buf)
	return buf, err
}

// split finds code, opaque, header and body of a frame with a JSON header.
func split(frame []byte) (a answer, err error) {
	if len(frame) < 8 {
		return a, fmt.Errorf("bench: a frame of %d bytes", len(frame))
	}
	word := binary.BigEndian.Uint32(frame[4:])
	size := int(word & 0xFFFFFF)
	if word>>24 != uint32(wire.JSON) || size > len(frame)-8 {
		return a, fmt.Errorf("bench: header word %#x in a frame of %d bytes", word, len(frame))
	}
	a.frame, a.head, a.body = frame, frame[8:8+size], frame[8+size:]
	code, ok := number(a.head, `"code":`)
	opaque, ok2 := number(a.head, `"opaque":`)
	if !ok || !ok2 {
		return a, fmt.Errorf("bench: no code or opaque in the header %.200q", a.head)
	}
	a.code, a.opaque = code, int32(opaque)
	return a, nil
}

// read reads one answer.
func (c *conn) read() (a answer, err error) {
	if c.in, err = readFrame(c.r, c.in); err != nil {
		return a, err
	}
	return split(c.in)
}

// call sends one request and reads its answer; nothing else may be under way.
func (c *conn) call(code int32, h wire.FieldEncoder, into wire.FieldDecoder) ([]byte, error) {
	c.out = wire.AppendHead(c.out, &wire.Outgoing{Code: code, Opaque: firstOpaque, Version: version, Header: h}, 0)
	_ = c.SetDeadline(time.Now().Add(callTimeout))
	defer c.SetDeadline(time.Time{})
	if err := c.flush(); err != nil {
		return nil, err
	}
	a, err := c.read()
	if err != nil {
		return nil, fmt.Errorf("bench: request %d: %w", code, err)
	}
	if a.code != 0 {
		return nil, refusal(a)
	}
	if into != nil {
		var cmd wire.Command
		if err := wire.Decode(a.frame[4:], &cmd); err != nil {
			return nil, err
		}
		if err := into.DecodeFields(&cmd); err != nil {
			return nil, err
		}
	}
	return a.body, nil
}

// refusal is the error of an answer that is no success.
func refusal(a answer) error {
	var cmd wire.Command
	if err := wire.Decode(a.frame[4:], &cmd); err != nil {
		return fmt.Errorf("bench: answer %d: %w", a.code, err)
	}
	return fmt.Errorf("bench: the broker answered %d %s: %s", a.code, protocol.ResponseCode(a.code), cmd.Clone().Remark)
}
