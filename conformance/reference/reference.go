package reference

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/merlinmq/merlin/conformance/internal/servers"
)

// Launcher starts Java servers of one version.
type Launcher struct {
	version   string
	classPath string
}

// NewLauncher fetches the jars of version (V5, V4) when they are not cached yet.
func NewLauncher(ctx context.Context, version string) (*Launcher, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	dir, err := Jars(ctx, version)
	if err != nil {
		return nil, err
	}
	cp, err := ClassPath(dir)
	if err != nil {
		return nil, err
	}
	return &Launcher{version: version, classPath: cp}, nil
}

// Name implements servers.Launcher.
func (l *Launcher) Name() string { return "java-" + l.version }

// NameServer implements servers.Launcher.
func (l *Launcher) NameServer(home, conf string) *exec.Cmd {
	return l.java(home, []string{"-Xms48m", "-Xmx192m"}, "org.apache.rocketmq.namesrv.NamesrvStartup", "-c", conf)
}

// Broker implements servers.Launcher.
func (l *Launcher) Broker(home, conf string) *exec.Cmd {
	return l.java(home, []string{"-Xms256m", "-Xmx448m", "-XX:MaxDirectMemorySize=256m"},
		"org.apache.rocketmq.broker.BrokerStartup", "-c", conf)
}

// Tool returns the command of another main class of the same jars, for example
// the admin tool. home keeps its log files.
func (l *Launcher) Tool(home, mainClass string, args ...string) *exec.Cmd {
	return l.java(home, []string{"-Xmx192m"}, mainClass, args...)
}

// java starts a JVM that starts fast and stays small: the first compiler only,
// the serial collector, and everything it writes below home.
func (l *Launcher) java(home string, memory []string, mainClass string, args ...string) *exec.Cmd {
	writeLogback(home)
	a := append([]string{}, memory...)
	a = append(a, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto",
		"--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED", "--add-opens=java.base/java.nio=ALL-UNNAMED",
		"--add-opens=java.base/sun.nio.ch=ALL-UNNAMED", "--add-opens=java.base/java.util=ALL-UNNAMED",
		"-Drocketmq.home.dir="+home, "-Duser.home="+home, "-Duser.timezone=UTC", "-cp", l.classPath, mainClass)
	cmd := exec.Command("java", append(a, args...)...)
	cmd.Env = append(os.Environ(), "ROCKETMQ_HOME="+home)
	return cmd
}

// writeLogback puts the log configuration where 4.9 insists on finding it. An
// error shows as a server that does not start, with its reason.
func writeLogback(home string) {
	dir := filepath.Join(home, "conf")
	_ = os.MkdirAll(dir, 0o755)
	for _, name := range []string{"namesrv", "broker", "tools"} {
		_ = os.WriteFile(filepath.Join(dir, "logback_"+name+".xml"),
			[]byte(`<configuration><root level="OFF"/></configuration>`), 0o644)
	}
}

// Start starts a Java name server and broker of version and waits until they
// are ready. The caller stops the cluster.
func Start(version string, brokerConf map[string]string) (*servers.Cluster, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	l, err := NewLauncher(ctx, version)
	if err != nil {
		return nil, err
	}
	return servers.Start(servers.Options{Launcher: l, BrokerConf: brokerConf})
}
