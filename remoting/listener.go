package remoting

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
)

// listener accepts for netpoll. netpoll's own listener duplicates the descriptor
// and closes it twice, which may hit a file that was opened in between; gives
// every connection the address of the listener as its local address; and cannot
// stop to accept while its connections live on.
type listener struct {
	ln     *net.TCPListener
	fd     int
	closed atomic.Bool
	// room says whether another connection may come in.
	room func() bool
}

func listen(address string, ln net.Listener, room func() bool) (*listener, error) {
	if ln == nil {
		var err error
		if ln, err = net.Listen("tcp", address); err != nil {
			return nil, fmt.Errorf("remoting: %w", err)
		}
	}
	t, ok := ln.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("remoting: a %T is no TCP listener", ln)
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("remoting: %w", err)
	}
	l := &listener{ln: t, room: room}
	// The descriptor stays open as long as ln, which belongs to l now.
	if err := raw.Control(func(fd uintptr) { l.fd = int(fd) }); err != nil {
		return nil, fmt.Errorf("remoting: %w", err)
	}
	return l, nil
}

// Accept takes one connection; (nil, nil) says that there is none.
func (l *listener) Accept() (net.Conn, error) {
	if l.closed.Load() {
		return nil, nil
	}
	fd, sa, err := accept(l.fd)
	if err != nil {
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.EINTR) ||
			l.closed.Load() {
			return nil, nil
		}
		return nil, err
	}
	if !l.room() {
		_ = syscall.Close(fd)
		return nil, nil
	}
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	s := &socket{fd: fd, remote: tcpAddr(sa)}
	if own, err := syscall.Getsockname(fd); err == nil {
		s.local = tcpAddr(own)
	} else {
		s.local = l.ln.Addr().(*net.TCPAddr)
	}
	return s, nil
}

// stop refuses new connections and keeps the descriptor, which netpoll still
// knows by its number.
func (l *listener) stop() {
	if l.closed.CompareAndSwap(false, true) {
		_ = syscall.Shutdown(l.fd, syscall.SHUT_RD)
	}
}

func (l *listener) Close() error {
	l.closed.Store(true)
	return l.ln.Close()
}

func (l *listener) Addr() net.Addr { return l.ln.Addr() }
func (l *listener) Fd() int        { return l.fd }

// socket hands an accepted descriptor to netpoll, which reads and writes it
// itself: of net.Conn only the addresses and the descriptor are asked for.
type socket struct {
	net.Conn
	fd            int
	local, remote *net.TCPAddr
}

func (s *socket) Fd() int              { return s.fd }
func (s *socket) LocalAddr() net.Addr  { return s.local }
func (s *socket) RemoteAddr() net.Addr { return s.remote }

func tcpAddr(sa syscall.Sockaddr) *net.TCPAddr {
	switch a := sa.(type) {
	case *syscall.SockaddrInet4:
		return &net.TCPAddr{IP: append(net.IP(nil), a.Addr[:]...), Port: a.Port}
	case *syscall.SockaddrInet6:
		return &net.TCPAddr{IP: append(net.IP(nil), a.Addr[:]...), Port: a.Port}
	}
	return &net.TCPAddr{}
}
