package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCode(t *testing.T) {
	require.Equal(t, 0, Code(nil))
	require.Equal(t, Failed, Code(errors.New("x")))
	require.Equal(t, Wrong, Code(fmt.Errorf("x: %w", &UsageError{Text: "y", Help: "p -h"})))
}

func TestHome_WithoutTheVariable(t *testing.T) {
	require.NotEmpty(t, Home(func(string) string { return "" }))
	require.Equal(t, "/h", Home(func(string) string { return "/h" }))
}

func TestVersion(t *testing.T) {
	require.Regexp(t, `^mqbroker: Merlin .*, speaks RocketMQ 5\.3\.3\n$`, Version("mqbroker"))
}

func TestLog_FilesAreBounded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	log, end, err := Log{Dir: dir, MaxMB: 1, Keep: 2, Level: "warn"}.Open("broker", nil)
	require.NoError(t, err)
	log.Info("not this")
	for range 5 << 10 { // five files
		log.Warn(strings.Repeat("x", 1000))
	}
	end()
	es, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.LessOrEqual(t, len(es), 5) // two kept, at most two of which are just being compressed
	data, err := os.ReadFile(filepath.Join(dir, "broker.log"))
	require.NoError(t, err)
	require.Contains(t, string(data), "level=WARN")
	require.NotContains(t, string(data), "not this")
}

func TestLog_Levels(t *testing.T) {
	var out bytes.Buffer
	log, end, err := Log{}.Open("x", &out)
	require.NoError(t, err)
	defer end()
	log.Debug("hidden")
	log.Info("shown")
	require.NotContains(t, out.String(), "hidden")
	require.Contains(t, out.String(), "shown")
	n, err := lines{log}.Write([]byte("2024 netpoll says\n"))
	require.NoError(t, err)
	require.Equal(t, 18, n)
	require.NotContains(t, out.String(), "netpoll")
	_, _, err = Log{Level: "loud"}.Open("x", &out)
	require.ErrorContains(t, err, "loud")
	_, _, err = Log{Dir: "/proc/none"}.Open("x", &out)
	require.ErrorContains(t, err, "log directory")
}
