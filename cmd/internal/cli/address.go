package cli

import (
	"net"
	"net/netip"
	"os"
)

// Address is the address of this machine that clients are told, as Java chooses it.
func Address() string { return localAddress(interfaceAddrs()) }

// interfaceAddrs are the addresses of the interfaces that Java looks at: up, not
// point to point, and no bridges, whose address other machines cannot reach.
func interfaceAddrs() []netip.Addr {
	var out []netip.Addr
	ifs, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range ifs {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagPointToPoint != 0 {
			continue
		}
		if _, err := os.Stat("/sys/class/net/" + i.Name + "/bridge"); err == nil {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				out = append(out, p.Addr().Unmap())
			}
		}
	}
	return out
}

// localAddress chooses the address that clients are told, as NetworkUtil does: the
// first public IPv4 address, else the last private one, else the first public
// IPv6 address, else the first private one, else the loopback address.
func localAddress(addrs []netip.Addr) string {
	var v4, v6 []netip.Addr
	for _, a := range addrs {
		switch {
		case a.IsLoopback():
		case a.Is4():
			v4 = append(v4, a)
		default:
			v6 = append(v6, a)
		}
	}
	for _, a := range v4 {
		if !a.IsPrivate() {
			return a.String()
		}
	}
	if len(v4) > 0 {
		return v4[len(v4)-1].String()
	}
	for _, a := range v6 {
		if !a.IsPrivate() && !a.IsLinkLocalUnicast() {
			return "[" + a.WithZone("").String() + "]"
		}
	}
	if len(v6) > 0 {
		return "[" + v6[0].WithZone("").String() + "]"
	}
	return "127.0.0.1"
}
