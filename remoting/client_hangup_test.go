package remoting

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A connection that the peer resets while it is being made is gone, too: Close
// does not wait for it.
func TestClient_CloseAfterPeerHungUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			_ = nc.(*net.TCPConn).SetLinger(0)
			_ = nc.Close()
		}
	}()
	for range 1000 {
		c := NewClient(ClientOptions{})
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_, _ = c.Conn(ctx, l.Addr().String())
		cancel()
		done := make(chan struct{})
		go func() { c.Close(); close(done) }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatal("Close hangs")
		}
	}
}
