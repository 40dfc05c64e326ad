package main

import (
	"bytes"
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// output is a buffer that two goroutines may use.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// The README's first command.
func TestDemo(t *testing.T) {
	var out, errOut output
	require.NoError(t, run(t.Context(), []string{"demo"}, &out, &errOut), errOut.String())
	text := out.String()
	require.Contains(t, text, "All 10 messages were sent and read.")
	require.Equal(t, 10, strings.Count(text, "  sent  "))
	require.Equal(t, 10, strings.Count(text, "  received  "))
}

func TestServe_SaysWhereAndStops(t *testing.T) {
	var out, errOut output
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	dir := t.TempDir()
	go func() {
		done <- run(ctx, []string{"-namesrv-port", "0", "-broker-port", "0", "-data", dir}, &out, &errOut)
	}()
	require.Eventually(t, func() bool { return strings.Contains(out.String(), "ready") }, 10*time.Second, time.Millisecond, errOut.String())
	cancel()
	require.NoError(t, <-done)
	require.Contains(t, out.String(), "stopped")
}

func TestServe_SaysThatAPortIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	var out, errOut output
	err = run(t.Context(), []string{"-namesrv-port", port, "-broker-port", "0", "-data", t.TempDir()}, &out, &errOut)
	require.ErrorContains(t, err, port)
	require.ErrorContains(t, err, "address already in use")
	err = run(t.Context(), []string{"-namesrv-port", "0", "-broker-port", port, "-data", t.TempDir()}, &out, &errOut)
	require.ErrorContains(t, err, port)
	require.ErrorContains(t, err, "listenPort")
}

func TestRun_RefusesWhatItDoesNotKnow(t *testing.T) {
	var out, errOut output
	require.ErrorContains(t, run(t.Context(), []string{"frobnicate"}, &out, &errOut), "frobnicate")
	require.Contains(t, errOut.String(), "merlin demo")
	require.Error(t, run(t.Context(), []string{"-no-such-flag"}, &out, &errOut))
	require.NoError(t, run(t.Context(), []string{"-h"}, &out, &errOut))
}
