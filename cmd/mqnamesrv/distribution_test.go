package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// distribution has the files of conf/ that RocketMQ 5.3.3 ships for its servers.
const distribution = "../internal/testdata/distribution"

// verdicts are why the name server refuses its own files and the controllers' ones,
// with the number of the line; "" serves. All others are a broker's.
var verdicts = map[string]string{
	"container/2container-2m-2s/nameserver.conf":           "",
	"controller/quick-start/namesrv.conf":                  "16: enableControllerInNamesrv=true: this name server cannot keep that promise",
	"controller/cluster-3n-namesrv-plugin/namesrv-n0.conf": "20: enableControllerInNamesrv=true: this name server cannot keep that promise",
	"controller/cluster-3n-namesrv-plugin/namesrv-n1.conf": "20: enableControllerInNamesrv=true: this name server cannot keep that promise",
	"controller/cluster-3n-namesrv-plugin/namesrv-n2.conf": "20: enableControllerInNamesrv=true: this name server cannot keep that promise",
	"controller/controller-standalone.conf":                "16: controllerDLegerGroup: this is the configuration file of a controller",
	"controller/cluster-3n-independent/controller-n0.conf": "16: controllerDLegerGroup: this is the configuration file of a controller",
	"controller/cluster-3n-independent/controller-n1.conf": "16: controllerDLegerGroup: this is the configuration file of a controller",
	"controller/cluster-3n-independent/controller-n2.conf": "16: controllerDLegerGroup: this is the configuration file of a controller",
}

// Every file that RocketMQ ships either serves or is refused with file, line, key and
// reason.
func TestRun_FilesOfTheDistribution(t *testing.T) {
	seen := 0
	require.NoError(t, filepath.WalkDir(distribution, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(distribution, path)
		require.NoError(t, err)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		want, listed := verdicts[filepath.ToSlash(name)]
		if listed {
			seen++
		}
		t.Run(name, func(t *testing.T) {
			if listed && want == "" {
				serves(t, path, string(text))
				return
			}
			// Should it be taken, it is only printed.
			code, _, errs := start(context.Background(), map[string]string{path: string(text)}, "-c", path, "-p")
			require.Equal(t, 1, code)
			require.True(t, strings.HasPrefix(errs.String(), "mqnamesrv: "+path+":"+want), errs.String())
			if !listed {
				require.Regexp(t, `:\d+: \w+: this is the configuration file of a broker: give the name server its own`, errs.String())
			}
		})
		return nil
	}))
	require.Equal(t, len(verdicts), seen, "a verdict is about a file that is not there")
}

// serves starts the name server with a file, which gets no more than a free port of
// the loopback. No warning may come.
func serves(t *testing.T, path, text string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out, errs := &buffer{}, &buffer{}
	done := make(chan int, 1)
	files := map[string]string{path: text + "\nlistenPort=0\nbindAddress=127.0.0.1\n"}
	go func() { done <- run(ctx, testEnv(files, out, errs, "-c", path)) }()
	for end := time.Now().Add(10 * time.Second); !strings.Contains(out.String(), "boot success"); {
		require.True(t, time.Now().Before(end), "%s %s", out, errs)
		time.Sleep(time.Millisecond)
	}
	cancel()
	require.Zero(t, <-done)
	require.NotContains(t, errs.String(), "warning")
	require.NotContains(t, errs.String(), "level=WARN")
}
