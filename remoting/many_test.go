package remoting

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// dialForOthers makes the test binary a client that opens connections and keeps
// them until its input ends: server and clients in one process would need twice
// the descriptors.
func dialForOthers() bool {
	addr, n := os.Getenv("REMOTING_DIAL"), 0
	if addr == "" {
		return false
	}
	n, _ = strconv.Atoi(os.Getenv("REMOTING_CONNS"))
	var conns []net.Conn
	for range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			fmt.Println("failed", err)
			return true
		}
		conns = append(conns, c)
	}
	fmt.Println("open", len(conns))
	_, _ = io.Copy(io.Discard, os.Stdin)
	for i, c := range conns {
		_, err := c.Write(frameOf(10, int32(i), 0, "ping"))
		if err == nil {
			_, err = readFrame(c)
		}
		if err != nil {
			fmt.Println("failed", i, err)
			return true
		}
	}
	fmt.Println("answered", len(conns))
	return true
}

// 10,000 idle connections cost no goroutines and stay usable.
func TestServer_TenThousandIdleConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("opens 10,000 connections")
	}
	n := 10000
	var lim syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim))
	if int(lim.Cur) < n+500 {
		t.Logf("SCALED DOWN: the descriptor limit is %d, so %d connections instead of %d", lim.Cur, int(lim.Cur)-500, n)
		n = int(lim.Cur) - 500
	}
	s, addr := serve(t, ServerOptions{Routes: echoRoutes()})
	before := runtime.NumGoroutine()
	var m0, m1 runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m0)

	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "REMOTING_DIAL="+addr, "REMOTING_CONNS="+strconv.Itoa(n))
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	require.Equal(t, fmt.Sprint("open ", n), lines.Text())
	eventually(t, "all are in", func() bool { return len(s.Conns()) == n })
	runtime.GC()
	runtime.ReadMemStats(&m1)
	t.Logf("%d connections: %d bytes of heap each, %d more goroutines", n, (m1.HeapAlloc-m0.HeapAlloc)/uint64(n), runtime.NumGoroutine()-before)
	require.Less(t, runtime.NumGoroutine(), before+50)
	require.NoError(t, in.Close())
	require.True(t, lines.Scan())
	require.Equal(t, fmt.Sprint("answered ", n), lines.Text())
	require.NoError(t, cmd.Wait())
	eventually(t, "all are gone", func() bool { return len(s.Conns()) == 0 })
}
