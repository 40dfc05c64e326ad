package broker

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/merlinmq/merlin/broker/config"
)

// fastOffset is how far the fast (VIP) port lies below the listen port.
const fastOffset = 2

// listen opens the listen port and, two below it, the fast port. With listenPort
// 0 it looks for a pair of free ports. A fixed listen port that is taken is an
// error, and so is its fast port: clients with vipChannelEnabled would reach
// somebody else.
func listen(cfg *config.Config) (main, fast net.Listener, err error) {
	if cfg.ListenPort != 0 {
		return listenPair(cfg.BindAddress, cfg.ListenPort)
	}
	for range 20 {
		main, err = net.Listen("tcp", net.JoinHostPort(cfg.BindAddress, "0"))
		if err != nil {
			return nil, nil, fmt.Errorf("broker: listen: %w", err)
		}
		port := main.Addr().(*net.TCPAddr).Port
		fast, err = net.Listen("tcp", net.JoinHostPort(cfg.BindAddress, strconv.Itoa(port-fastOffset)))
		if err == nil {
			return main, fast, nil
		}
		err = errors.Join(err, main.Close())
	}
	return nil, nil, fmt.Errorf("broker: no two free ports: %w", err)
}

func listenPair(host string, port int) (main, fast net.Listener, err error) {
	main, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, nil, fmt.Errorf("broker: listen on port %d (listenPort): %w", port, err)
	}
	if port <= fastOffset {
		return main, nil, nil
	}
	fast, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port-fastOffset)))
	if err != nil {
		err = fmt.Errorf("broker: listen on port %d (listenPort - %d, the fast port): %w", port-fastOffset, fastOffset, err)
		return nil, nil, errors.Join(err, main.Close())
	}
	return main, fast, nil
}

// storeHost is the address in records and message ids: brokerIP1 must be, or
// resolve to, an IP address.
func storeHost(host string, port int) (netip.AddrPort, error) {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		found, rerr := net.ResolveIPAddr("ip", host)
		if rerr != nil {
			return netip.AddrPort{}, fmt.Errorf("broker: brokerIP1 %q: %w", host, rerr)
		}
		ip, _ = netip.AddrFromSlice(found.IP)
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(port)), nil
}
