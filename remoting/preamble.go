package remoting

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A frame's first byte is 0, because frames are shorter than 16 MiB. Anything
// else at the start of a connection is a PROXY preamble, a TLS handshake, or
// wrong.
const (
	tlsHandshake = 0x16
	// maxPreamble is the longest PROXY preamble: version 2 with its addresses and
	// extensions. Longer ones are refused.
	maxPreamble = 4096
)

var (
	proxyV1 = []byte("PROXY ")
	proxyV2 = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

// errShort says that more bytes are needed to decide.
var errShort = errors.New("remoting: incomplete preamble")

// begin looks at the first bytes of a connection: it takes off a PROXY preamble,
// starts TLS, or refuses. It gives the plain bytes that follow, nil when there
// are none yet or nobody needs them any more. A TLS connection lives inside this
// call, as a goroutine of its own, until it ends.
func (c *Conn) begin(p []byte) []byte {
	in := &c.in
	if len(in.head) > 0 {
		in.head = append(in.head, p...)
		p = in.head
	}
	n, remote, err := preamble(p)
	if err == errShort && len(p) <= maxPreamble {
		if len(in.head) == 0 {
			in.head = append([]byte(nil), p...)
			in.began = c.ep.clock.NowMillis()
			c.setDue()
		}
		return nil
	}
	if err != nil {
		c.fail(err)
		return nil
	}
	if remote.IsValid() {
		c.remote.Store(&remote)
	}
	p = p[n:]
	if len(p) == 0 {
		// The preamble came alone: what follows it decides. A second preamble is
		// taken as well; nobody gains anything by it.
		in.head = nil
		return nil
	}
	if in.began != 0 {
		in.began = 0
		c.due.Store(0)
	}
	in.fresh, in.head = false, nil
	switch {
	case p[0] == tlsHandshake:
		c.serveTLS(p)
		return nil
	case c.ep.needTLS:
		c.fail(errors.New("a plain connection, and only TLS is served (tls.server.mode=enforcing)"))
		return nil
	}
	return p
}

// preamble reads a PROXY preamble of either version at the start of p: its size
// and the address that it names. Without one the size is 0.
func preamble(p []byte) (int, netip.AddrPort, error) {
	switch {
	case len(p) == 0:
		return 0, netip.AddrPort{}, errShort
	case p[0] == 0 || p[0] == tlsHandshake:
		return 0, netip.AddrPort{}, nil
	case bytes.HasPrefix(p, proxyV1):
		return preambleV1(p)
	case bytes.HasPrefix(p, proxyV2):
		return preambleV2(p)
	case bytes.HasPrefix(proxyV1, p) || bytes.HasPrefix(proxyV2, p):
		return 0, netip.AddrPort{}, errShort
	}
	return 0, netip.AddrPort{}, fmt.Errorf("neither a frame nor TLS nor a PROXY preamble: first byte 0x%02x", p[0])
}

// preambleV1 reads "PROXY TCP4 source destination port port\r\n".
func preambleV1(p []byte) (int, netip.AddrPort, error) {
	end := bytes.Index(p, []byte("\r\n"))
	if end < 0 {
		if len(p) > 107 { // the longest line of the protocol
			return 0, netip.AddrPort{}, errors.New("bad PROXY preamble: no end of line")
		}
		return 0, netip.AddrPort{}, errShort
	}
	f := strings.Split(string(p[:end]), " ")
	if len(f) >= 2 && f[1] == "UNKNOWN" {
		return end + 2, netip.AddrPort{}, nil
	}
	if len(f) != 6 || f[1] != "TCP4" && f[1] != "TCP6" {
		return 0, netip.AddrPort{}, errors.New("bad PROXY preamble: not TCP4, TCP6 or UNKNOWN with two addresses and ports")
	}
	addr, err := netip.ParseAddr(f[2])
	if err != nil {
		return 0, netip.AddrPort{}, fmt.Errorf("bad PROXY preamble: %w", err)
	}
	port, err := strconv.ParseUint(f[4], 10, 16)
	if err != nil {
		return 0, netip.AddrPort{}, fmt.Errorf("bad PROXY preamble: %w", err)
	}
	return end + 2, netip.AddrPortFrom(addr, uint16(port)), nil
}

// preambleV2 reads the binary form: 12 bytes of signature, version and command,
// family, length 2, addresses, extensions.
func preambleV2(p []byte) (int, netip.AddrPort, error) {
	const fixed = 16
	if len(p) < fixed {
		return 0, netip.AddrPort{}, errShort
	}
	if p[12]>>4 != 2 {
		return 0, netip.AddrPort{}, fmt.Errorf("bad PROXY preamble: version %d", p[12]>>4)
	}
	size := fixed + int(binary.BigEndian.Uint16(p[14:]))
	if size > maxPreamble {
		return 0, netip.AddrPort{}, fmt.Errorf("bad PROXY preamble: %d bytes, limit %d", size, maxPreamble)
	}
	if len(p) < size {
		return 0, netip.AddrPort{}, errShort
	}
	var addr netip.Addr
	var port uint16
	a := p[fixed:size]
	switch local := p[12]&0xF == 0; {
	case local: // the proxy's own check: the address stays that of the connection
	case p[13] == 0x11 && len(a) >= 12:
		addr, _ = netip.AddrFromSlice(a[:4])
		port = binary.BigEndian.Uint16(a[8:])
	case p[13] == 0x21 && len(a) >= 36:
		addr, _ = netip.AddrFromSlice(a[:16])
		port = binary.BigEndian.Uint16(a[32:])
	}
	if !addr.IsValid() {
		return size, netip.AddrPort{}, nil
	}
	return size, netip.AddrPortFrom(addr.Unmap(), port), nil
}
