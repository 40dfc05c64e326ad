package clients

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/cluster"
	javaclients "github.com/merlinmq/merlin/conformance/java"
	"github.com/merlinmq/merlin/conformance/reference"
)

// leastJavaCases is how many results a full run must at least print: a program
// that ends early must not pass.
const leastJavaCases = 29

// The Java clients 4.9.8 and 5.3.3 see the same promises kept. MERLIN_CASE is a
// regular expression of the cases to run.
func TestJavaClients(t *testing.T) {
	reference.Need(t)
	for _, version := range []string{javaclients.V5, javaclients.V4} {
		t.Run("client-"+version, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
			defer cancel()
			classPath, err := javaclients.Build(ctx, version)
			require.NoError(t, err)
			forEach(t, func(t *testing.T, c cluster.Cluster) { runJava(t, c, classPath) })
		})
	}
}

func runJava(t *testing.T, c cluster.Cluster, classPath string) {
	pattern := os.Getenv("MERLIN_CASE")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := javaclients.Command(ctx, classPath, t.TempDir(), c.NameServer(), pattern)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	results := javaResults(t, cmd)
	for _, r := range results {
		t.Run(r.Case, func(t *testing.T) {
			t.Logf("%s: %s (%d ms)", r.Status, r.Promise, r.Millis)
			if r.Status != "pass" {
				t.Error(r.Reason)
			}
		})
	}
	if t.Failed() {
		t.Logf("the program wrote:\n%s", tail(stderr.Bytes(), 4000))
	}
	if pattern == "" {
		require.GreaterOrEqual(t, len(results), leastJavaCases, "the program ended early:\n%s", tail(stderr.Bytes(), 4000))
	}
}

func javaResults(t *testing.T, cmd *exec.Cmd) []javaclients.Result {
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var results []javaclients.Result
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var r javaclients.Result
		if json.Unmarshal(lines.Bytes(), &r) == nil && r.Case != "" {
			results = append(results, r)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the program of the Java clients: %v", err)
	}
	return results
}

func tail(b []byte, n int) []byte {
	if len(b) > n {
		return b[len(b)-n:]
	}
	return b
}
