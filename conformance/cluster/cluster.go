package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/merlinmq/merlin/conformance/internal/servers"
	"github.com/merlinmq/merlin/conformance/reference"
)

// Cluster is a name server and one broker that a test may also disturb.
type Cluster interface {
	// Name is the kind: "merlin", "java-5.3.3".
	Name() string
	// NameServer and BrokerAddr are host:port.
	NameServer() string
	BrokerAddr() string
	// StoreDir is the broker's storePathRootDir.
	StoreDir() string
	// RestartBroker stops the broker as an operator does and starts it again.
	RestartBroker() error
	// CrashBroker kills the broker with SIGKILL and starts it again.
	CrashBroker() error
	// KillBroker and StopBroker are the first half of CrashBroker and
	// RestartBroker, StartBroker is the second; LaunchBroker does not wait until
	// the broker is ready.
	KillBroker() error
	StopBroker() error
	StartBroker() error
	LaunchBroker() error
	// UseBroker makes the next start of the broker one of kind k, over the same
	// configuration file and the same directory.
	UseBroker(k Kind) error
	// BrokerProcess is the process id of the broker that was started last, and
	// whether it still runs.
	BrokerProcess() (pid int, runs bool)
	// NameServerProcess is the same for the name server.
	NameServerProcess() (pid int, runs bool)
	// RestartNameServer stops the name server and starts it again.
	RestartNameServer() error
	// Logs are the last lines of both servers.
	Logs() string
	// Stop ends the servers and removes their files.
	Stop() error
}

// Kind is a sort of cluster that can be started.
type Kind struct {
	Name string
	// Need skips or fails the test when this kind cannot be started here.
	Need func(testing.TB)
	// launcher makes the commands; it may build or fetch programs first.
	launcher func(context.Context) (servers.Launcher, error)
	// broker makes those of the broker when it is of another kind.
	broker func(context.Context) (servers.Launcher, error)
}

// Options for a start; the zero value is the plain cluster.
type Options struct {
	// BrokerConf and NameServerConf are added to the configuration files.
	BrokerConf, NameServerConf map[string]string
}

// Merlin is the checkout under test.
func Merlin() Kind {
	return Kind{Name: "merlin", Need: needMerlin, launcher: buildMerlin}
}

// Java is the reference of the given version.
func Java(version string) Kind {
	return Kind{Name: "java-" + version, Need: reference.Need,
		launcher: func(ctx context.Context) (servers.Launcher, error) { return reference.NewLauncher(ctx, version) }}
}

// Mixed is a Java name server with Merlin's broker, or the other way round:
// what a cluster is while it is being migrated.
func Mixed(nameServer, broker Kind) Kind {
	return Kind{Name: nameServer.Name + "+" + broker.Name,
		Need:     func(t testing.TB) { nameServer.Need(t); broker.Need(t) },
		launcher: nameServer.launcher, broker: broker.launcher}
}

// Kinds returns the clusters that every case runs against: Merlin and the Java
// target version. MERLIN_CLUSTERS names others, separated by commas: merlin,
// java, java4, java+merlin, merlin+java.
func Kinds() []Kind {
	java := Java(reference.V5)
	known := map[string]Kind{"merlin": Merlin(), "java": java, "java4": Java(reference.V4),
		"java+merlin": Mixed(java, Merlin()), "merlin+java": Mixed(Merlin(), java)}
	names := os.Getenv("MERLIN_CLUSTERS")
	if names == "" {
		names = "merlin,java"
	}
	var kinds []Kind
	for name := range strings.SplitSeq(names, ",") {
		k, ok := known[name]
		if !ok {
			panic("MERLIN_CLUSTERS: no cluster is called " + name)
		}
		kinds = append(kinds, k)
	}
	return kinds
}

// Start starts a cluster of this kind and waits until it is ready.
func (k Kind) Start(o Options) (Cluster, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	l, err := k.launcher(ctx)
	if err != nil {
		return nil, err
	}
	so := servers.Options{Launcher: l, NameServerConf: o.NameServerConf, BrokerConf: o.BrokerConf}
	if k.broker != nil {
		if so.BrokerLauncher, err = k.broker(ctx); err != nil {
			return nil, err
		}
	}
	c, err := servers.Start(so)
	if err != nil {
		return nil, err
	}
	return &running{Cluster: c, name: k.Name}, nil
}

// StartT starts a cluster for one test, which skips where the kind cannot run,
// and stops it at its end; the servers' last lines are logged when it failed.
func (k Kind) StartT(t testing.TB, o Options) Cluster {
	t.Helper()
	k.Need(t)
	c, err := k.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("servers of %s:\n%s", c.Name(), c.Logs())
		}
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

type running struct {
	*servers.Cluster
	name string
}

func (r *running) Name() string         { return r.name }
func (r *running) RestartBroker() error { return then(r.StopBroker, r.StartBroker) }
func (r *running) CrashBroker() error   { return then(r.KillBroker, r.StartBroker) }
func (r *running) RestartNameServer() error {
	return then(r.StopNameServer, r.StartNameServer)
}

func (r *running) UseBroker(k Kind) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	launcher := k.launcher
	if k.broker != nil {
		launcher = k.broker
	}
	l, err := launcher(ctx)
	if err == nil {
		r.Cluster.UseBroker(l)
	}
	return err
}

func then(first, second func() error) error {
	if err := first(); err != nil {
		return err
	}
	return second()
}

// errNotBuilt says that the programs are not part of this checkout.
var errNotBuilt = errors.New("cmd/mqnamesrv or cmd/mqbroker is missing")

func root() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("no source position in this build")
	}
	return filepath.Dir(filepath.Dir(filepath.Dir(file))), nil
}

func needMerlin(t testing.TB) {
	t.Helper()
	if err := sources(); err != nil {
		reference.Skip(t, "MERLIN NOT TESTED: %v", err)
	}
}

func sources() error {
	dir, err := root()
	if err != nil {
		return err
	}
	for _, name := range []string{"mqnamesrv", "mqbroker"} {
		if _, err := os.Stat(filepath.Join(dir, "cmd", name, "main.go")); err != nil {
			return fmt.Errorf("%w: %v", errNotBuilt, err)
		}
	}
	return nil
}

// merlin starts the programs of one build.
type merlin struct{ bin string }

// buildMerlin builds the two programs; Go's build cache makes the second time
// quick. MERLIN_BIN names a directory with finished programs instead.
func buildMerlin(ctx context.Context) (servers.Launcher, error) {
	if bin := os.Getenv("MERLIN_BIN"); bin != "" {
		return merlin{bin}, nil
	}
	dir, err := root()
	if err != nil {
		return nil, err
	}
	bin := filepath.Join(os.TempDir(), fmt.Sprintf("merlin-conformance-bin-%d", os.Getpid()))
	args := []string{"build", "-o", bin + string(filepath.Separator)}
	if raceEnabled {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/mqnamesrv", "./cmd/mqbroker")...)
	cmd.Dir = dir
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return nil, err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building Merlin: %w\n%s", err, out)
	}
	return merlin{bin}, nil
}

// Clean removes the programs that were built for this test process; TestMain
// calls it at the end.
func Clean() {
	_ = os.RemoveAll(filepath.Join(os.TempDir(), fmt.Sprintf("merlin-conformance-bin-%d", os.Getpid())))
}

func (merlin) Name() string { return "merlin" }

func (m merlin) NameServer(home, conf string) *exec.Cmd {
	return m.program("mqnamesrv", home, conf)
}

func (m merlin) Broker(home, conf string) *exec.Cmd { return m.program("mqbroker", home, conf) }

func (m merlin) program(name, home, conf string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(m.bin, name), "-c", conf)
	cmd.Env = append(os.Environ(), "ROCKETMQ_HOME="+home, "HOME="+home)
	return cmd
}
