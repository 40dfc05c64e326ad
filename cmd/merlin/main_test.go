package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/cmd/internal/cli"
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

func TestRun_WrongCommandLines(t *testing.T) {
	for _, args := range [][]string{{"frobnicate"}, {"-no-such-flag"}, {"-c"}, {"-v", "foo"}, {"demo", "foo"}} {
		var out, errOut output
		err := run(t.Context(), args, &out, &errOut)
		require.Error(t, err, args)
		require.Equal(t, 2, exitCode(err), args)
		require.ErrorContains(t, err, "merlin -h lists what there is")
		require.Empty(t, out.String()+errOut.String(), "it is said once, by main")
	}
}

func TestRun_HelpAndVersion(t *testing.T) {
	for want, args := range map[string][]string{"merlin demo": {"-h"}, "no flags": {"demo", "-h"}, "speaks RocketMQ 5.3.3": {"-version"}} {
		var out, errOut output
		require.NoError(t, run(t.Context(), args, &out, &errOut))
		require.Contains(t, out.String(), want)
		require.Empty(t, errOut.String())
	}
}

// What nobody gave does not win over the file, and what is printed is used.
func TestSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "broker.conf")
	text := "brokerName=mine\nlistenPort=1234\nbindAddress=10.0.0.1\nbrokerIP1=10.0.0.2\nstorePathRootDir=/mine\nnamesrvAddr=other:1\n"
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	of := func(o options) map[string]string {
		o.host, o.brokerPort = or(o.host, "127.0.0.1"), 10911
		f, err := readConf(o)
		require.NoError(t, err)
		return settings(o, f, "/data", "ns:9876")
	}
	require.Equal(t, map[string]string{"namesrvAddr": "ns:9876;other:1"}, of(options{brokerConf: file, given: map[string]bool{"c": true}}))
	require.Equal(t, map[string]string{"namesrvAddr": "ns:9876;other:1", "listenPort": "10911", "storePathRootDir": "/data/store", "storePathCommitLog": "/data/store/commitlog"},
		of(options{brokerConf: file, given: map[string]bool{"broker-port": true, "data": true}}))
	set := of(options{host: "0.0.0.0", given: map[string]bool{"host": true}})
	require.Equal(t, "0.0.0.0", set["bindAddress"])
	require.Equal(t, cli.Address(), set["brokerIP1"], "nobody reaches 0.0.0.0")
	require.Equal(t, "merlin", set["brokerName"])
	require.Equal(t, "/data/store", set["storePathRootDir"])
}

func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func TestServe_SaysTheAddressAndTheDirectoryThatItUses(t *testing.T) {
	var out, errOut output
	dir := t.TempDir()
	file := filepath.Join(dir, "broker.conf")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, "storePathRootDir=%s/mine\nbindAddress=127.0.0.1\nbrokerIP1=127.0.0.1\nlistenPort=0\nmappedFileSizeCommitLog=1048576\n", dir), 0o600))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"-namesrv-port", "0", "-c", file, "-logDir", filepath.Join(dir, "logs")}, &out, &errOut)
	}()
	require.Eventually(t, func() bool { return strings.Contains(out.String(), "ready") }, 20*time.Second, time.Millisecond)
	cancel()
	require.NoError(t, <-done)
	require.Contains(t, out.String(), "data         "+dir+"/mine\n")
	require.FileExists(t, filepath.Join(dir, "mine", "checkpoint"))
	require.FileExists(t, filepath.Join(dir, "logs", "merlin.log"))
	require.Empty(t, errOut.String())
}
