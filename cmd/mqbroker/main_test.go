package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/cmd/internal/cli"
	"github.com/stretchr/testify/require"
)

func runIt(t *testing.T, args ...string) (out, errOut string, err error) {
	t.Helper()
	var o, e bytes.Buffer
	err = run(context.Background(), args, config.Host{Home: t.TempDir(), Name: "vm"}, &o, &e)
	return o.String(), e.String(), err
}

// Pins ServerUtil.parseCmdLine.
func TestRun_Help(t *testing.T) {
	for _, flag := range []string{"-h", "--help"} {
		out, _, err := runIt(t, flag)
		require.NoError(t, err)
		require.Equal(t, usage, out)
	}
	out, errOut, err := runIt(t, "--version")
	require.NoError(t, err)
	require.Contains(t, out, "mqbroker: Merlin")
	require.Empty(t, errOut)
}

// A mistake is said once, and nothing starts.
func TestRun_WrongCommandLines(t *testing.T) {
	for _, args := range [][]string{{"-zz"}, {"foo"}, {"-p", "foo"}, {"-n"}} {
		out, errOut, err := runIt(t, args...)
		require.Equal(t, cli.Wrong, cli.Code(err), args)
		require.ErrorContains(t, err, "mqbroker -h")
		require.Empty(t, out+errOut)
	}
	_, _, err := runIt(t, "-n", "foo")
	require.ErrorContains(t, err, "the command line: the name server address \"foo\"")
	require.Equal(t, cli.Failed, cli.Code(err))
	file := filepath.Join(t.TempDir(), "broker.conf")
	require.NoError(t, os.WriteFile(file, []byte("listenPort=1\n"), 0o600))
	_, _, err = runIt(t, "-c", file, "-n", "foo")
	require.ErrorContains(t, err, "the command line: the name server")
	_, _, err = runIt(t, "-logLevel", "loud")
	require.ErrorContains(t, err, "loud")
}

func TestRun_PrintsTheConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "broker.conf")
	require.NoError(t, os.WriteFile(file, []byte("listenPort=1234\nnope=1\ninitAuthenticationUser={\"p\":1}\nnamesrvAddr=a:1\n"), 0o600))
	out, errOut, err := runIt(t, "-c", file, "-n", "b:2", "-p")
	require.NoError(t, err)
	require.Contains(t, out, "\nlistenPort=1234\n")
	require.Contains(t, out, "\nhaListenPort=1235\n")
	require.Contains(t, out, "\nnamesrvAddr=b:2\n")
	require.Contains(t, out, "\ninitAuthenticationUser=\n")
	require.Contains(t, errOut, file+":2: unknown key nope is ignored")
	out, _, err = runIt(t, "--configFile", file, "--printImportantConfig")
	require.NoError(t, err)
	require.Contains(t, out, "\nlistenPort=1234\n")
	require.NotContains(t, out, "haListenPort")
}

func TestRun_BadFiles(t *testing.T) {
	_, _, err := runIt(t, "-c", filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
	file := filepath.Join(t.TempDir(), "broker.conf")
	require.NoError(t, os.WriteFile(file, []byte("a=1\nlistenPort=x\n"), 0o600))
	_, _, err = runIt(t, "-c", file)
	require.ErrorContains(t, err, file+":2: listenPort must be a whole number")
}

// Pins BrokerStartup.start.
func TestTip(t *testing.T) {
	c := config.Host{Name: "broker-a", NamesrvAddr: "127.0.0.1:9876"}.Default()
	require.Equal(t, "The broker[broker-a, 127.0.0.1:10911] boot success. serializeType=JSON and name server is 127.0.0.1:9876", tip(c, config.JoinAddr(c.BrokerIP1, c.ListenPort)))
	require.Equal(t, "The broker[DEFAULT_BROKER, x:1] boot success. serializeType=JSON", tip(config.Default(), "x:1"))
}

// bootLine cancels the run when the boot line was written.
type bootLine struct {
	mu     sync.Mutex
	text   bytes.Buffer
	booted context.CancelFunc
}

func (b *bootLine) Write(p []byte) (int, error) {
	b.mu.Lock()
	n, err := b.text.Write(p)
	b.mu.Unlock()
	if bytes.Contains(p, []byte("boot success")) {
		b.booted()
	}
	return n, err
}

func (b *bootLine) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestRun_ServesUntilItIsStopped(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "broker.conf")
	text := "brokerName=b\nbindAddress=127.0.0.1\nbrokerIP1=127.0.0.1\nlistenPort=0\nmappedFileSizeCommitLog=1048576\nstorePathRootDir=" + filepath.Join(dir, "store") + "\n"
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	for range 2 { // the second time on what the first one left
		ctx, cancel := context.WithCancel(context.Background())
		out := &bootLine{booted: cancel}
		var errOut bytes.Buffer
		require.NoError(t, run(ctx, []string{"-c", file}, config.Host{}, out, &errOut))
		require.Regexp(t, `^The broker\[b, 127\.0\.0\.1:\d+\] boot success\. serializeType=JSON\n$`, out.String())
		require.FileExists(t, filepath.Join(dir, "store", "config", "topics.json"))
		require.NoFileExists(t, filepath.Join(dir, "store", "abort"))
	}
}

// The log says which file is damaged and what is used of it.
func TestRun_TellsOfADamagedFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "broker.conf")
	text := "brokerName=b\nbindAddress=127.0.0.1\nbrokerIP1=127.0.0.1\nlistenPort=0\nmappedFileSizeCommitLog=1048576\nstorePathRootDir=" + filepath.Join(dir, "store") + "\n"
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	tables := filepath.Join(dir, "store", "config")
	require.NoError(t, os.MkdirAll(tables, 0o700))
	for _, f := range [][2]string{{"topics.json", "topic"}, {"subscriptionGroup.json", "group"}} {
		table := map[string]string{"topic": "topicConfigTable", "group": "subscriptionGroupTable"}[f[1]]
		entry := func(name string) string { return fmt.Sprintf("\n\t\t%q:{%q:%q}", name, f[1]+"Name", name) }
		write := func(ext string, entries ...string) {
			text := "{\n\t\"dataVersion\":{},\n\t\"" + table + "\":{" + strings.Join(entries, ",") + "\n\t}\n}"
			require.NoError(t, os.WriteFile(filepath.Join(tables, f[0]+ext), []byte(text), 0o600))
		}
		write("", entry("a"), strings.Replace(entry("b"), `"b"`, `#b"`, 1), entry("c"), entry("d"))
		write(".bak", entry("a"), entry("b"))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var errOut bytes.Buffer
	require.NoError(t, run(ctx, []string{"-c", file}, config.Host{}, &bootLine{booted: cancel}, &errOut))
	for _, name := range []string{"topics.json", "subscriptionGroup.json"} {
		path := filepath.Join(tables, name)
		require.Regexp(t, `level=ERROR msg="a file is damaged: .*" file=`+path+` .*reason=.* kept=.* read=3 unreadable=1`, errOut.String())
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, entry := range []string{"a", "b", "c", "d"} {
			require.Contains(t, string(data), "\n\t\t\""+entry+"\":{")
		}
		require.FileExists(t, path+".damaged")
	}
}
