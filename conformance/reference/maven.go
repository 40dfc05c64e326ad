package reference

import (
	"context"
	_ "embed" // the pom is part of the program, so that it works outside a checkout
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// V5 and V4 are the server versions that the tests compare with: the target,
// and the last 4.9 whose server jars are published.
const (
	V5 = "5.3.3"
	V4 = "4.9.7"
)

//go:embed pom.xml
var pom []byte

// ErrNoJava says that java or mvn is not on the path.
var ErrNoJava = errors.New("java and mvn are needed")

// Available returns nil when Java servers can be started here, else an error
// that wraps ErrNoJava.
func Available() error {
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w: %v", ErrNoJava, err)
		}
	}
	return nil
}

// Strict says whether a missing tool must fail a test instead of skipping it:
// when MERLIN_CI=1.
func Strict() bool { return os.Getenv("MERLIN_CI") == "1" }

// Need skips the test where Java is missing and fails it when Strict.
func Need(t testing.TB) {
	t.Helper()
	if err := Available(); err != nil {
		Skip(t, "NOT COMPARED WITH JAVA: %v", err)
	}
}

// Skip skips the test, and fails it when Strict: no case may go missing there.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if Strict() {
		t.Fatalf("MERLIN_CI=1: "+format, args...)
	}
	t.Skipf(format, args...)
}

// CacheDir returns the directory that keeps what Maven built or fetched for
// the conformance tests: MERLIN_JAVA_CACHE, else below the user's cache
// directory, else below the temporary one.
func CacheDir() string {
	if d := os.Getenv("MERLIN_JAVA_CACHE"); d != "" {
		return d
	}
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	return filepath.Join(base, "merlin-conformance")
}

// Jars returns the directory with the jars of the Java servers and tools of
// version, fetching them first when it is not complete.
func Jars(ctx context.Context, version string) (string, error) {
	dir := filepath.Join(CacheDir(), "servers-"+version)
	return dir, Fill(dir, pom, func(file, target string) error {
		return Maven(ctx, "-f", file, "dependency:copy-dependencies",
			"-Drocketmq.version="+version, "-DoutputDirectory="+target)
	})
}

// Fill makes dir complete: when its marker is there already and was made from
// the same input, nothing is done; otherwise fill is called with a file that
// holds input and an empty directory. Processes that fill one directory wait
// for each other.
func Fill(dir string, input []byte, fill func(file, target string) error) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	unlock, err := lockFile(dir + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	marker := dir + ".complete"
	if b, err := os.ReadFile(marker); err == nil && string(b) == string(input) {
		if _, err := os.Stat(dir); err == nil {
			return nil
		}
	}
	if err := errors.Join(os.RemoveAll(dir), os.RemoveAll(marker), os.MkdirAll(dir, 0o755)); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "merlin-maven-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	file := filepath.Join(work, "pom.xml")
	if err := os.WriteFile(file, input, 0o644); err != nil {
		return err
	}
	if err := fill(file, dir); err != nil {
		return err
	}
	return os.WriteFile(marker, input, 0o644)
}

// Maven runs mvn, first offline (seconds) and, when that fails, online.
func Maven(ctx context.Context, args ...string) error {
	args = append([]string{"-q", "-B"}, args...)
	if exec.CommandContext(ctx, "mvn", append([]string{"-o"}, args...)...).Run() == nil {
		return nil
	}
	out, err := exec.CommandContext(ctx, "mvn", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mvn %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil
}

// ClassPath returns the Java class path made of all jars of a directory, sorted.
func ClassPath(dir string) (string, error) {
	jars, err := filepath.Glob(filepath.Join(dir, "*.jar"))
	if err != nil {
		return "", err
	}
	if len(jars) == 0 {
		return "", fmt.Errorf("no jars in %s", dir)
	}
	return strings.Join(jars, string(os.PathListSeparator)), nil
}
