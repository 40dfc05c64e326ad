package remoting

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/merlinmq/merlin/compat/budget"
)

// handshakeTimeout is how long a piece of a TLS handshake may take; the whole of
// it has FrameTimeout.
const handshakeTimeout = 10 * time.Second

// tlsCharge is about what a TLS session keeps: its keys and buffers, the
// goroutine, and buf of serveTLS.
const tlsCharge = 96 << 10

// secure is the TLS layer of a connection. netpoll has none: the session reads
// and writes the netpoll connection as a net.Conn, from the wake-up that saw the
// handshake, which goes on until the connection ends. Everything above sees the
// same bytes through Conn.wake as on a plain connection, and write below it.
type secure struct {
	conn *tls.Conn
	buf  []byte // output that is joined, up to joinTLS bytes; of the flusher
}

// serveTLS runs a TLS session that begins with the bytes first. They and what
// follows are read in this goroutine.
func (c *Conn) serveTLS(first []byte) {
	if c.ep.tls == nil {
		c.fail(errors.New("the peer wants TLS, and TLS is not available on this server"))
		return
	}
	cfg, err := c.ep.tls()
	if err != nil {
		c.fail(fmt.Errorf("the peer wants TLS, which cannot be set up: %w", err))
		return
	}
	c.account.Add(budget.Base, tlsCharge)
	c.in.began = c.ep.clock.NowMillis()
	c.setDue()
	under := &serialConn{Conn: c.nc, read: c.readOn, first: append([]byte(nil), first...)}
	s := &secure{conn: tls.Server(under, cfg)}
	_ = c.nc.SetReadTimeout(handshakeTimeout)
	if err := s.conn.Handshake(); err != nil {
		c.fail(fmt.Errorf("TLS handshake: %w", err))
		return
	}
	c.in.began = 0
	c.due.Store(0)
	_ = c.nc.SetReadTimeout(0)
	c.tls.Store(s)
	buf := make([]byte, 32<<10)
	for !c.dead.Load() {
		n, err := s.conn.Read(buf)
		if n > 0 {
			c.wake(buf[:n])
		}
		if err != nil {
			c.Close()
			return
		}
	}
}

// joinTLS is how much is joined at the most.
const joinTLS = 64 << 10

// write joins small pieces, so that they share a TLS record, and encrypts them.
// REQUIRES: the caller is the flusher.
func (s *secure) write(buf []byte, views []view) error {
	pos := 0
	for i := range views {
		if err := s.put(buf[pos:views[i].at]); err != nil {
			return err
		}
		pos = views[i].at
		if err := s.put(views[i].data); err != nil {
			return err
		}
	}
	if err := s.put(buf[pos:]); err != nil {
		return err
	}
	return s.flush()
}

// put joins p to what waits, or writes it when it is long.
func (s *secure) put(p []byte) error {
	if len(s.buf)+len(p) > joinTLS {
		if err := s.flush(); err != nil {
			return err
		}
	}
	if len(p) > joinTLS {
		_, err := s.conn.Write(p)
		return err
	}
	s.buf = append(s.buf, p...)
	return nil
}

func (s *secure) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	_, err := s.conn.Write(s.buf)
	s.buf = s.buf[:0]
	return err
}

// serialConn lets the session write while it reads: the answer to a key update
// comes out of a Read, and netpoll refuses two writers at once. first are the
// bytes that were taken off the connection before.
type serialConn struct {
	net.Conn
	read  func() // called after each read
	first []byte

	mu sync.Mutex // one writer at a time; held while it writes
}

func (s *serialConn) Read(p []byte) (int, error) {
	if len(s.first) > 0 {
		n := copy(p, s.first)
		s.first = s.first[n:]
		return n, nil
	}
	n, err := s.Conn.Read(p)
	s.read()
	return n, err
}

func (s *serialConn) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Conn.Write(p)
}
