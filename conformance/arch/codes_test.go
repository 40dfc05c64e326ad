package arch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/broker"
	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/namesrv"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// skipped reads the request codes of docs/SKIPPED.md with their names.
func skipped(t *testing.T) map[protocol.Code]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "docs", "SKIPPED.md"))
	require.NoError(t, err)
	out := map[protocol.Code]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \| (\w+) \|`).FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.Atoi(row[1])
		require.NoError(t, err)
		require.NotContains(t, out, protocol.Code(n), "listed twice")
		out[protocol.Code(n)] = row[2]
	}
	require.NotEmpty(t, out)
	return out
}

// servers starts both servers on free ports.
func servers(t *testing.T) (names *namesrv.Server, b *broker.Broker) {
	t.Helper()
	names, err := namesrv.New(namesrv.Options{Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	require.NoError(t, names.Start())
	dir := t.TempDir()
	text := fmt.Sprintf("brokerName=b\nbindAddress=127.0.0.1\nbrokerIP1=127.0.0.1\nbrokerIP2=127.0.0.1\nlistenPort=0\nstorePathRootDir=%s\nstorePathCommitLog=%s/commitlog\nmappedFileSizeCommitLog=1048576\n", dir, dir)
	cfg, _, err := config.Parse([]byte(text), "test.conf")
	require.NoError(t, err)
	b, err = broker.New(broker.Options{Config: config.NewHolder(cfg, config.HolderOptions{}), Rand: rand.IntN})
	require.NoError(t, err)
	require.NoError(t, b.Start())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, b.Shutdown(ctx))
		require.NoError(t, names.Shutdown(ctx))
	})
	return names, b
}

// TestCodes_AreServedOrSkipped ties the table of calls, the routes of both
// servers and docs/SKIPPED.md together: each code that a server may be asked
// stands in exactly one place, and a skipped one is answered as Java answers.
func TestCodes_AreServedOrSkipped(t *testing.T) {
	names, b := servers(t)
	list := skipped(t)
	client := remoting.NewClient(remoting.ClientOptions{})
	defer client.Close()
	known := map[protocol.Code]bool{}
	for _, row := range protocol.Table() {
		known[row.Code] = true
		if row.Server&^protocol.Client == 0 {
			continue // only clients are asked
		}
		served := slices.Contains(names.Codes(), row.Code) || slices.Contains(b.Codes(), row.Code)
		name, left := list[row.Code]
		switch {
		case served && left:
			t.Errorf("%d %s is served and stands in docs/SKIPPED.md", row.Code, row.Name)
		case !served && !left:
			t.Errorf("%d %s has no route: serve it in broker/routes.go or namesrv/routes.go, or list it in docs/SKIPPED.md", row.Code, row.Name)
		case left && name != row.Name:
			t.Errorf("docs/SKIPPED.md calls %d %s, the table calls it %s", row.Code, name, row.Name)
		case left:
			refused(t, client, b.Addr(), row.Code)
			refused(t, client, names.Addr(), row.Code)
		}
	}
	for code := range list {
		if !known[code] {
			t.Errorf("docs/SKIPPED.md lists %d, which the table does not have", code)
		}
	}
	for _, served := range [][]protocol.Code{names.Codes(), b.Codes()} {
		for _, code := range served {
			if !known[code] {
				t.Errorf("code %d is served and not in the table", code)
			}
		}
	}
}

func refused(t *testing.T, client *remoting.Client, addr string, code protocol.Code) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	a, err := client.Invoke(ctx, addr, &wire.Outgoing{Code: int32(code)}, nil)
	require.NoError(t, err)
	if protocol.ResponseCode(a.Code) != protocol.RequestCodeNotSupported || strings.TrimSpace(a.Remark) != fmt.Sprintf("request type %d not supported", code) {
		t.Errorf("%s answers %d with %d %q", addr, code, a.Code, a.Remark)
	}
}
