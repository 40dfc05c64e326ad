package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/merlinmq/merlin/conformance/probe"
)

// Cluster and broker name that every cluster of the tests has.
const (
	ClusterName = "DefaultCluster"
	BrokerName  = "broker-a"
)

// Launcher makes the commands that start one kind of server.
type Launcher interface {
	// Name is shown in test names: "java-5.3.3", "merlin".
	Name() string
	// NameServer returns the command of a name server with its configuration
	// file. home is a directory for whatever the program writes besides.
	NameServer(home, conf string) *exec.Cmd
	// Broker returns the command of a broker.
	Broker(home, conf string) *exec.Cmd
}

// Options of Start. Launcher is required, the rest may stay zero.
type Options struct {
	Launcher Launcher
	// BrokerLauncher starts the broker when it is of another kind than the name server.
	BrokerLauncher Launcher
	// BrokerConf is added to broker.conf and wins over what stands there.
	BrokerConf map[string]string
	// NameServerConf is added to the name server's properties.
	NameServerConf map[string]string
	// StartTimeout bounds the wait for one server; zero is a minute.
	StartTimeout time.Duration
}

// Cluster is a running name server and broker.
type Cluster struct {
	o          Options
	dir        string
	nsPort     int
	brokerPort int
	ns, broker *process
}

// Start makes a temporary directory, picks free ports, starts both servers and
// waits until the route of the cluster's own topic is there. When a port was
// taken in between, it starts once more with others.
func Start(o Options) (*Cluster, error) {
	if o.BrokerLauncher == nil {
		o.BrokerLauncher = o.Launcher
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = 3 * time.Minute // machines are slow at times; a server that ends is seen at once
	}
	c, err := start(o)
	if err != nil {
		c2, err2 := start(o)
		if err2 != nil {
			return nil, errors.Join(err, err2)
		}
		return c2, nil
	}
	return c, nil
}

func start(o Options) (*Cluster, error) {
	dir, err := os.MkdirTemp("", "merlin-conformance-")
	if err != nil {
		return nil, err
	}
	base, err := FreePorts()
	if err != nil {
		return nil, err
	}
	c := &Cluster{o: o, dir: dir, nsPort: base, brokerPort: base + 4}
	err = c.writeConf()
	if err == nil {
		err = c.StartNameServer()
	}
	if err == nil {
		err = c.StartBroker()
	}
	if err != nil {
		_ = c.Stop()
		return nil, fmt.Errorf("starting %s: %w", o.Launcher.Name(), err)
	}
	return c, nil
}

// NameServer is the address of the name server.
func (c *Cluster) NameServer() string { return fmt.Sprintf("127.0.0.1:%d", c.nsPort) }

// BrokerAddr is the address of the broker.
func (c *Cluster) BrokerAddr() string { return fmt.Sprintf("127.0.0.1:%d", c.brokerPort) }

// Dir is the directory of the cluster; store is below it.
func (c *Cluster) Dir() string { return c.dir }

// StoreDir is the broker's storePathRootDir.
func (c *Cluster) StoreDir() string { return filepath.Join(c.dir, "store") }

func (c *Cluster) writeConf() error {
	ns := map[string]string{
		"listenPort":      fmt.Sprint(c.nsPort),
		"bindAddress":     "127.0.0.1",
		"kvConfigPath":    filepath.Join(c.dir, "namesrv", "kvConfig.json"),
		"configStorePath": filepath.Join(c.dir, "namesrv", "namesrv.properties"),
	}
	broker := map[string]string{
		"brokerClusterName":       ClusterName,
		"brokerName":              BrokerName,
		"brokerId":                "0",
		"brokerIP1":               "127.0.0.1",
		"brokerIP2":               "127.0.0.1",
		"listenPort":              fmt.Sprint(c.brokerPort),
		"haListenPort":            fmt.Sprint(c.brokerPort + 1),
		"bindAddress":             "127.0.0.1",
		"namesrvAddr":             c.NameServer(),
		"storePathRootDir":        c.StoreDir(),
		"storePathCommitLog":      filepath.Join(c.StoreDir(), "commitlog"),
		"autoCreateTopicEnable":   "true",
		"mappedFileSizeCommitLog": "67108864",
		// A test machine is slow in bursts; without these the Java broker
		// refuses sends that waited for 200 ms, which no case is about.
		"waitTimeMillsInSendQueue":    "10000",
		"osPageCacheBusyTimeOutMills": "10000",
		// A name server that was restarted learns of the broker after this long
		// (milliseconds); ten seconds is the least that a broker accepts.
		"registerNameServerPeriod": "10000",
	}
	if err := writeProperties(filepath.Join(c.dir, "namesrv.conf"), ns, c.o.NameServerConf); err != nil {
		return err
	}
	return writeProperties(filepath.Join(c.dir, "broker.conf"), broker, c.o.BrokerConf)
}

func writeProperties(path string, tables ...map[string]string) error {
	all := map[string]string{}
	for _, t := range tables {
		for k, v := range t {
			all[k] = v
		}
	}
	lines := make([]string, 0, len(all))
	for k, v := range all {
		lines = append(lines, k+"="+v+"\n")
	}
	sort.Strings(lines)
	return os.WriteFile(path, []byte(strings.Join(lines, "")), 0o644)
}

// StartNameServer starts the name server and waits until it answers.
func (c *Cluster) StartNameServer() error {
	p, err := c.run("namesrv", c.o.Launcher.NameServer)
	if err != nil {
		return err
	}
	c.ns = p
	return c.await(p, func(ctx context.Context) error {
		_, err := probe.Do(ctx, c.NameServer(), probe.ClusterInfo, nil, nil)
		return err
	})
}

// StartBroker starts the broker and waits until it has registered and answers.
func (c *Cluster) StartBroker() error {
	if err := c.LaunchBroker(); err != nil {
		return err
	}
	return c.await(c.broker, c.Ready)
}

// LaunchBroker starts the broker and does not wait for it.
func (c *Cluster) LaunchBroker() error {
	p, err := c.run("broker", c.o.BrokerLauncher.Broker)
	if err != nil {
		return err
	}
	c.broker = p
	return nil
}

// UseBroker makes the next start of the broker one of another kind, over the same
// configuration file and the same directory.
func (c *Cluster) UseBroker(l Launcher) { c.o.BrokerLauncher = l }

// BrokerProcess is the process id of the broker that was started last, and
// whether it still runs.
func (c *Cluster) BrokerProcess() (pid int, runs bool) {
	select {
	case <-c.broker.done:
		return c.broker.cmd.Process.Pid, false
	default:
		return c.broker.cmd.Process.Pid, true
	}
}

// NameServerProcess is the same for the name server.
func (c *Cluster) NameServerProcess() (pid int, runs bool) {
	select {
	case <-c.ns.done:
		return c.ns.cmd.Process.Pid, false
	default:
		return c.ns.cmd.Process.Pid, true
	}
}

// Ready says whether the broker answers and its cluster's topic has a route.
func (c *Cluster) Ready(ctx context.Context) error {
	if _, err := probe.Do(ctx, c.BrokerAddr(), probe.TopicStats, map[string]string{"topic": ClusterName}, nil); err != nil {
		return err
	}
	_, err := probe.RouteOf(ctx, c.NameServer(), ClusterName)
	return err
}

func (c *Cluster) await(p *process, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), c.o.StartTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended: %v\n%s", p.name, p.err, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %v: %w\n%s", p.name, c.o.StartTimeout, err, p.tail())
		case <-tick.C:
		}
	}
}

// StopBroker ends the broker as an operator would (SIGTERM) and waits for it.
func (c *Cluster) StopBroker() error { return c.broker.stop(syscall.SIGTERM) }

// KillBroker ends the broker with SIGKILL.
func (c *Cluster) KillBroker() error { return c.broker.stop(syscall.SIGKILL) }

// StopNameServer ends the name server with SIGTERM and waits for it.
func (c *Cluster) StopNameServer() error { return c.ns.stop(syscall.SIGTERM) }

// Logs returns the last lines that both servers printed.
func (c *Cluster) Logs() string {
	var b strings.Builder
	for _, p := range []*process{c.ns, c.broker} {
		if p != nil {
			fmt.Fprintf(&b, "--- %s\n%s\n", p.name, p.tail())
		}
	}
	return b.String()
}

// Stop kills both servers and removes the directory. It is not a clean stop:
// a Java broker takes twenty seconds for one.
func (c *Cluster) Stop() error {
	var errs []error
	for _, p := range []*process{c.broker, c.ns} {
		if p != nil {
			errs = append(errs, p.stop(syscall.SIGKILL))
		}
	}
	errs = append(errs, os.RemoveAll(c.dir))
	return errors.Join(errs...)
}

// process is one child and its output file.
type process struct {
	name string
	cmd  *exec.Cmd
	out  string
	done chan struct{} // closed when the child has ended
	err  error         // how it ended, valid after done
}

func (c *Cluster) run(name string, command func(home, conf string) *exec.Cmd) (*process, error) {
	home := filepath.Join(c.dir, "home")
	if err := os.MkdirAll(filepath.Join(home, "conf"), 0o755); err != nil {
		return nil, err
	}
	p := &process{name: name, out: filepath.Join(c.dir, name+".out"), done: make(chan struct{})}
	p.cmd = command(home, filepath.Join(c.dir, name+".conf"))
	p.cmd.Dir = c.dir
	f, err := os.OpenFile(p.out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p.cmd.Stdout, p.cmd.Stderr = f, f
	dieWithParent(p.cmd)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// stop signals the child and waits; a child that ignores it for a minute is
// killed, which is an error.
func (p *process) stop(sig syscall.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	_ = p.cmd.Process.Signal(sig)
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	return fmt.Errorf("%s ignored signal %v for a minute\n%s", p.name, sig, p.tail())
}

func (p *process) tail() string {
	b, err := os.ReadFile(p.out)
	if err != nil {
		return err.Error()
	}
	var lines [][]byte
	for line := range bytes.Lines(b) {
		// Java's logging library tells at length how it configured itself.
		if line = bytes.TrimSpace(line); len(line) > 0 && !bytes.Contains(line, []byte(" |-INFO in ")) {
			lines = append(lines, line)
		}
	}
	if len(lines) > 60 {
		lines = lines[len(lines)-60:]
	}
	return string(bytes.Join(lines, []byte("\n")))
}
