package namesrv

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The keys of this server's own are read, refused when they make no sense, honoured
// and not shown unless set.
func TestBudget_Settings(t *testing.T) {
	cfg := Default(t.TempDir())
	require.NotContains(t, cfg.Text(), "merlin")
	warnings, err := cfg.Apply([]byte("merlinPeerMemoryBytes=40000\nmerlinPeerShareBytes=20000\nmerlinFrameTimeoutMillis=50\n"), "n.conf")
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.Contains(t, cfg.Text(), "merlinPeerShareBytes=20000")
	s, err := New(Options{Config: &cfg, Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	require.NoError(t, s.Start())
	t.Cleanup(func() { require.NoError(t, s.Shutdown(t.Context())) })
	for what, b := range map[string][]byte{"more than its share": append([]byte{0, 1, 0, 0}, make([]byte, 40_000)...), "too slow": {0, 0, 0, 9, 1}} {
		c, err := net.Dial("tcp", s.Addr())
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
		_, err = c.Write(b)
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 1))
		ne, timeout := err.(net.Error)
		require.False(t, timeout && ne.Timeout(), "%s is closed", what)
	}
	cfg.PeerShareBytes = -1
	_, err = New(Options{Config: &cfg, Listen: "127.0.0.1:0"})
	require.ErrorContains(t, err, "merlinPeerShareBytes")
}
