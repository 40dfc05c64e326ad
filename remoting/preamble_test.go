package remoting

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func proxyV2Header(command byte, src netipPort) []byte {
	b := append(bytes.Clone(proxyV2), 0x20|command, 0x11)
	b = binary.BigEndian.AppendUint16(b, 12+3)
	b = append(append(b, src.ip[:]...), 10, 0, 0, 9)
	b = binary.BigEndian.AppendUint16(b, src.port)
	b = binary.BigEndian.AppendUint16(b, 9876)
	return append(b, 4, 0, 0) // an extension
}

type netipPort struct {
	ip   [4]byte
	port uint16
}

// NettyRemotingServer.HandshakeHandler: a PROXY preamble of either version gives
// the connection the address of the client behind the proxy.
func TestServer_ProxyPreamble(t *testing.T) {
	rs := NewRoutes()
	rs.Handle(10, nil, func(r *Request) (*Answer, error) {
		return &Answer{Body: []byte(r.Conn.RemoteAddr().String())}, nil
	})
	_, addr := serve(t, ServerOptions{Routes: rs})
	for name, c := range map[string]struct {
		head string
		want string
	}{
		"v1":         {"PROXY TCP4 10.1.2.3 10.0.0.9 4321 9876\r\n", "10.1.2.3:4321"},
		"v1 six":     {"PROXY TCP6 2001:db8::1 2001:db8::2 4321 9876\r\n", "[2001:db8::1]:4321"},
		"v1 unknown": {"PROXY UNKNOWN\r\n", ""},
		"v2":         {string(proxyV2Header(1, netipPort{[4]byte{10, 9, 8, 7}, 1234})), "10.9.8.7:1234"},
		"v2 local":   {string(proxyV2Header(0, netipPort{[4]byte{10, 9, 8, 7}, 1234})), ""},
		"none":       {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			whole := dialRaw(t, addr)
			whole.send(append([]byte(c.head), frameOf(10, 1, 0, "")...))
			bytewise := dialRaw(t, addr)
			for _, b := range append([]byte(c.head), frameOf(10, 1, 0, "")...) {
				bytewise.send([]byte{b})
			}
			for _, p := range []*peerConn{whole, bytewise} {
				want := c.want
				if want == "" {
					want = p.LocalAddr().String()
				}
				require.Equal(t, want, string(p.recv().Body))
			}
		})
	}
	for _, bad := range []string{
		"PROXY TCP4 10.1.2.3\r\n", "PROXY TCP4 x y 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 99999 1\r\n",
		"PROXY " + strings.Repeat("x", 200), string(proxyV2) + "\x31\x11\x00\x00", string(proxyV2) + "\x21\x11\xff\xff",
		"\r\nnot quite",
	} {
		p := dialRaw(t, addr)
		p.send([]byte(bad))
		p.closedByPeer()
	}
}

func dialTLS(t *testing.T, addr string) *peerConn {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { raw.Close() })
	require.NoError(t, raw.SetDeadline(time.Now().Add(patience)))
	return &peerConn{tls.Client(raw, &tls.Config{InsecureSkipVerify: true}), t}
}

// Plain and TLS connections share a port (tls.server.mode=permissive).
func TestServer_TLSOnThePlainPort(t *testing.T) {
	rs := echoRoutes()
	big := make([]byte, 300<<10)
	rs.Handle(11, nil, func(r *Request) (*Answer, error) {
		to := r.To()
		go to.Send(&Answer{Body: []byte("head"), Views: [][]byte{big, []byte("tail")}})
		return nil, nil
	})
	var evs events
	s, addr := serve(t, ServerOptions{Routes: rs, TLS: SelfSigned(nil, rand.Reader), Events: evs.add, PoisonFrames: true})
	plain := dialRaw(t, addr)
	secret := dialTLS(t, addr)
	for _, p := range []*peerConn{plain, secret} {
		p.send(append(frameOf(10, 1, 0, strings.Repeat("a", 100000)), frameOf(11, 2, 0, "")...))
		require.Len(t, p.recv().Body, 100000)
		require.Len(t, p.recv().Body, 8+len(big))
	}
	n := 0
	for _, c := range s.Conns() {
		if c.TLS() {
			n++
		}
	}
	require.Equal(t, 1, n)
	proxied := dialRaw(t, addr)
	proxied.send([]byte("PROXY TCP4 10.1.2.3 10.0.0.9 4321 9876\r\n"))
	behind := &peerConn{tls.Client(proxied.Conn, &tls.Config{InsecureSkipVerify: true}), t}
	behind.send(frameOf(10, 1, 0, "x"))
	require.Equal(t, "x", string(behind.recv().Body))
	secret.Close()
	eventually(t, "its end is seen", func() bool { return evs.count(Closed) == 1 })
}

func TestServer_TLSRefused(t *testing.T) {
	_, addr := serve(t, ServerOptions{Routes: echoRoutes()})
	require.Error(t, dialTLS(t, addr).Conn.(*tls.Conn).Handshake(), "no TLS here")

	_, addr = serve(t, ServerOptions{Routes: echoRoutes(), RequireTLS: true, TLS: SelfSigned(nil, rand.Reader)})
	p := dialRaw(t, addr)
	p.send(frameOf(10, 1, 0, ""))
	p.closedByPeer()
	p = dialRaw(t, addr)
	p.send([]byte("\x16\x03\x01\x00\x04\xff\xff\xff\xff"))
	p.closedByPeer()
	q := dialTLS(t, addr)
	q.send(frameOf(10, 1, 0, "x"))
	require.Equal(t, "x", string(q.recv().Body))
}
