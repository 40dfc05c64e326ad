package admintool

import (
	"bufio"
	"bytes"
	"context"
	_ "embed" // the driver is handed to the JVM as a source file
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/merlinmq/merlin/conformance/reference"
)

//go:embed AdminDriver.java
var driver []byte

// end is the line after each command's output.
const end = "\x01end"

// Tool is a running JVM with the admin tool.
type Tool struct {
	nameServer string
	dir        string
	cmd        *exec.Cmd
	in         io.WriteCloser
	out        *bufio.Reader
	log        bytes.Buffer // what the JVM says outside of commands
}

// Start starts the tool of a version (reference.V5) against a name server.
func Start(ctx context.Context, version, nameServer string) (*Tool, error) {
	l, err := reference.NewLauncher(ctx, version)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "merlin-admin-")
	if err != nil {
		return nil, err
	}
	source := filepath.Join(dir, "AdminDriver.java")
	if err := os.WriteFile(source, driver, 0o644); err != nil {
		return nil, err
	}
	t := &Tool{nameServer: nameServer, dir: dir, cmd: l.Tool(dir, source)}
	if t.in, err = t.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := t.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	t.out = bufio.NewReader(out)
	t.cmd.Stderr = &t.log
	return t, t.cmd.Start()
}

// Run runs one command, without "mqadmin" and without the name server, and
// returns what it printed.
func (t *Tool) Run(args ...string) (string, error) {
	args = append(args, "-n", t.nameServer)
	if _, err := fmt.Fprintln(t.in, strings.Join(args, "\t")); err != nil {
		return "", err
	}
	var b strings.Builder
	for {
		line, err := t.out.ReadString('\n')
		if err != nil {
			_ = t.cmd.Wait()
			return b.String(), fmt.Errorf("admin tool, %s: %w\n%s", args[0], err, t.log.String())
		}
		if strings.TrimRight(line, "\r\n") == end {
			return b.String(), nil
		}
		b.WriteString(line)
	}
}

// Close ends the JVM.
func (t *Tool) Close() error {
	err := t.cmd.Process.Kill()
	_ = t.cmd.Wait()
	if err2 := os.RemoveAll(t.dir); err == nil {
		err = err2
	}
	return err
}
