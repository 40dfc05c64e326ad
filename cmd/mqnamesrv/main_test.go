package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/configfile"
)

// buffer may be read while the program writes.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func start(ctx context.Context, files map[string]string, args ...string) (code int, out, errs *buffer) {
	out, errs = &buffer{}, &buffer{}
	return run(ctx, testEnv(files, out, errs, args...)), out, errs
}

func testEnv(files map[string]string, out, errs *buffer, args ...string) env {
	return env{
		args: args, home: "/home", files: configfile.NewMemory(), out: out, err: errs,
		read: func(path string) ([]byte, error) {
			if text, ok := files[path]; ok {
				return []byte(text), nil
			}
			return nil, errors.New("open " + path + ": no such file")
		},
	}
}

// The texts are those of NamesrvStartup.
func TestRun_OptionsThatEndAtOnce(t *testing.T) {
	for _, args := range [][]string{{"-h"}, {"--help"}, {"-n", "x:1", "-h"}} {
		code, out, _ := start(context.Background(), nil, args...)
		require.Zero(t, code)
		require.Equal(t, usage, out.String())
	}
	code, out, _ := start(context.Background(), nil, "--version")
	require.Zero(t, code)
	require.Contains(t, out.String(), "mqnamesrv: Merlin")
}

// A mistake is said once, and nothing starts.
func TestRun_WrongCommandLines(t *testing.T) {
	for text, args := range map[string][]string{
		"Unrecognized option: -x":         {"-x"},
		"Missing argument for option: c":  {"-c"},
		`unknown argument "foo"`:          {"foo"},
		`unknown argument "c=/some/file"`: {"c=/some/file"},
	} {
		code, out, errs := start(context.Background(), nil, args...)
		require.Equal(t, 2, code)
		require.Equal(t, "mqnamesrv: "+text+"; mqnamesrv -h lists what there is\n", errs.String())
		require.Empty(t, out.String())
	}
}

func TestRun_PrintsTheConfiguration(t *testing.T) {
	files := map[string]string{"ns.conf": "listenPort=1234\n"}
	for _, args := range [][]string{{"-c", "ns.conf", "-p"}, {"--configFile=ns.conf", "--printConfigItem"}} {
		code, out, _ := start(context.Background(), files, args...)
		require.Zero(t, code)
		require.True(t, strings.HasPrefix(out.String(), "load config properties file OK, ns.conf\n"))
		require.Contains(t, out.String(), "\nlistenPort=1234\n")
		require.Contains(t, out.String(), "\nconfigStorePath=ns.conf\n")
		require.Contains(t, out.String(), "\nkvConfigPath=/home/namesrv/kvConfig.json\n")
	}
	for name, text := range map[string]string{"none": "", "bad": "listenPort=many\n"} {
		files := map[string]string{}
		if text != "" {
			files[name] = text
		}
		code, _, errs := start(context.Background(), files, "-c", name)
		require.Equal(t, 1, code)
		require.Contains(t, errs.String(), name)
	}
}

func TestRun_ServesUntilTheSignal(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	out, errs := &buffer{}, &buffer{}
	done := make(chan int, 1)
	files := map[string]string{"ns.conf": "listenPort=0\nbindAddress=127.0.0.1\n"}
	go func() { done <- run(ctx, testEnv(files, out, errs, "-c", "ns.conf")) }()
	for end := time.Now().Add(10 * time.Second); !strings.Contains(out.String(), "The Name Server boot success. serializeType=JSON, address 127.0.0.1:"); {
		require.True(t, time.Now().Before(end), "%s %s", out, errs)
		time.Sleep(time.Millisecond)
	}
	cancel()
	require.Zero(t, <-done)
}
