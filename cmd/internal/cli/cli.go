// Package cli is what the programs of cmd have in common: exit codes, the log and
// its files, the version, and where the home directory is.
//
// Goroutines: one while Log is open with a directory (timberjack's, which removes
// and compresses old files), one of WithParent until its context ends. No locks.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/DeRuina/timberjack"
	"github.com/cloudwego/netpoll"

	"github.com/merlinmq/merlin/compat/version"
)

// Exit codes of the programs.
const (
	Failed = 1 // it could not do what it was asked for
	Wrong  = 2 // the command line is wrong
)

// UsageError says what is wrong with a command line.
type UsageError struct {
	Text string
	Help string // how to see the help
}

func (e *UsageError) Error() string { return e.Text + "; " + e.Help + " lists what there is" }

// Code is the exit code of an error.
func Code(err error) int {
	var u *UsageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &u):
		return Wrong
	}
	return Failed
}

// Home is the user's home directory; where the environment does not name it, as in
// many containers, that of the system's user table, else ".".
func Home(env func(string) string) string {
	if h := env("HOME"); h != "" {
		return h
	}
	if u, err := user.Current(); err == nil && u.HomeDir != "" {
		return u.HomeDir
	}
	return "."
}

// Version is one line: which Merlin this is, and which RocketMQ it is to clients.
func Version(program string) string {
	what := "(built without a version)"
	if b, ok := debug.ReadBuildInfo(); ok {
		if b.Main.Version != "" && b.Main.Version != "(devel)" {
			what = b.Main.Version
		}
		for _, s := range b.Settings {
			if s.Key == "vcs.revision" && !strings.Contains(what, s.Value[:min(12, len(s.Value))]) {
				what += " " + s.Value[:min(12, len(s.Value))]
			}
		}
		what += ", " + b.GoVersion
	}
	return fmt.Sprintf("%s: %s %s, speaks RocketMQ %s\n", program, version.Implementation, what,
		strings.ReplaceAll(strings.TrimPrefix(version.Name(version.Current), "V"), "_", "."))
}

// Log says where log lines go and which.
type Log struct {
	Level string // debug, info, warn or error; "" = info
	Dir   string // directory of the files; "" = the standard error
	MaxMB int    // size of a file before the next begins; 0 = 128
	Keep  int    // older files that are kept; 0 = 10
}

// Flags makes flags of l, called logLevel and logDir.
func (l *Log) Flags(stringVar func(p *string, name, value, usage string)) {
	stringVar(&l.Level, "logLevel", "", "least level of log lines: debug, info, warn or error")
	stringVar(&l.Dir, "logDir", "", "directory of log files; without it the log goes to the standard error")
}

// Open opens the log. name is that of the file, with .log behind it, as Java's
// programs call theirs. Lines of the network library become lines of this log.
// close flushes; the log must not be used afterwards.
func (l Log) Open(name string, errOut io.Writer) (log *slog.Logger, closeLog func(), err error) {
	level := slog.LevelInfo
	if l.Level != "" {
		if err := level.UnmarshalText([]byte(l.Level)); err != nil {
			return nil, nil, fmt.Errorf("log level %q: want debug, info, warn or error", l.Level)
		}
	}
	out, closeLog := errOut, func() {}
	if l.Dir != "" {
		if err := os.MkdirAll(l.Dir, 0o755); err != nil {
			return nil, nil, fmt.Errorf("log directory: %w", err)
		}
		f := &timberjack.Logger{
			Filename: filepath.Join(l.Dir, name+".log"), MaxSize: or(l.MaxMB, 128), MaxBackups: or(l.Keep, 10),
			Compression: "gzip", LocalTime: true, FileMode: 0o644,
		}
		if _, err := f.Write(nil); err != nil {
			return nil, nil, fmt.Errorf("log file: %w", err)
		}
		out, closeLog = f, func() { _ = f.Close() }
	}
	log = slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level}))
	netpoll.SetLoggerOutput(lines{log})
	return log, closeLog, nil
}

func or(n, def int) int {
	if n == 0 {
		return def
	}
	return n
}

// lines makes a log line of each write.
type lines struct{ log *slog.Logger }

// Write implements io.Writer.
func (l lines) Write(p []byte) (int, error) {
	l.log.Debug("network library", "says", strings.TrimSpace(string(p)))
	return len(p), nil
}

// WithParent ends the context when the program was started by "go run" and that has
// ended: it passes no SIGTERM on, and the server would go on alone.
func WithParent(ctx context.Context) context.Context {
	exe, err := os.Executable()
	if err != nil || !strings.Contains(exe, string(filepath.Separator)+"go-build") {
		return ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	parent := os.Getppid()
	go func() {
		defer cancel()
		t := time.NewTicker(200 * time.Millisecond)
		defer t.Stop()
		for os.Getppid() == parent {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	}()
	return ctx
}
