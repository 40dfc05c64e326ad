package cli

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// Pins NetworkUtil.getLocalInetAddress.
func TestLocalAddress(t *testing.T) {
	for want, in := range map[string][]string{
		"127.0.0.1":     {"127.0.0.1", "::1"},
		"203.0.113.7":   {"10.0.0.1", "203.0.113.7", "198.51.100.1", "2001:db8::1"},
		"192.168.1.1":   {"10.0.0.1", "192.168.1.1", "127.0.0.1"},
		"[2001:db8::1]": {"fe80::1", "2001:db8::1"},
		"[fe80::1]":     {"fe80::1%eth0", "fd00::1"},
	} {
		var addrs []netip.Addr
		for _, s := range in {
			addrs = append(addrs, netip.MustParseAddr(s))
		}
		require.Equal(t, want, localAddress(addrs))
	}
}
