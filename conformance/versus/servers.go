package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/merlinmq/merlin/conformance/probe"
	"github.com/merlinmq/merlin/conformance/reference"
)

// kind is one of the servers that are compared.
type kind string

const (
	java   kind = "Java"
	merlin kind = "Merlin"
	limit  kind = "limit"
)

// needFree is what the disk must have before a server is started.
const needFree = 12 << 30

// place is where servers are started.
type place struct {
	bin       string // directory of Merlin's programs
	dir       string // temporary directory of the whole run
	classPath string // of the Java servers
	log       io.Writer
}

// how says how a server is started. The zero value is ASYNC_FLUSH.
type how struct {
	sync bool
	heap string   // of the Java broker
	args []string // of the limit
}

// server is one that runs, with what it needs.
type server struct {
	kind  kind
	addr  string
	pid   int
	took  time.Duration // from the start of the process to the first answer
	home  string
	procs []*exec.Cmd
	place *place
}

// start starts a server over fresh files and waits for its first answer.
func (p *place) start(ctx context.Context, k kind, h how) (s *server, err error) {
	free, err := settle(p.dir)
	if err != nil {
		return nil, err
	}
	if free < needFree {
		return nil, fmt.Errorf("only %d MiB are free in %s, a server may need %d", free>>20, p.dir, needFree>>20)
	}
	home, err := os.MkdirTemp(p.dir, string(k)+"-")
	if err != nil {
		return nil, err
	}
	s = &server{kind: k, home: home, place: p}
	defer func() {
		if err != nil {
			err = fmt.Errorf("starting %s: %w\n%s", k, err, s.tail())
			s.stop()
			s = nil
		}
	}()
	if k == limit {
		return s, s.startLimit(h)
	}
	return s, s.startBroker(ctx, h)
}

// startLimit serves the limit over a file of its own.
func (s *server) startLimit(h how) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	args := append([]string{"bench", "limit", "-listen", addr, "-dir", s.home}, h.args...)
	if h.sync {
		args = append(args, "-sync")
	}
	cmd := exec.Command(filepath.Join(s.place.bin, "merlin"), args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := s.run(cmd); err != nil {
		return err
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return err
	}
	s.addr, s.pid, s.took = addr, cmd.Process.Pid, time.Since(began)
	return nil
}

// startBroker starts a name server and, when that answers, the broker.
func (s *server) startBroker(ctx context.Context, h how) error {
	names, err := freeAddr()
	if err != nil {
		return err
	}
	if s.addr, err = freeAddr(); err != nil {
		return err
	}
	nsConf, brokerConf, err := s.configure(names, h)
	if err != nil {
		return err
	}
	ns, broker := s.place.merlin(s.home, nsConf, brokerConf)
	if s.kind == java {
		ns, broker = s.place.java(s.home, nsConf, brokerConf, h.heap)
	}
	if err := s.run(ns); err != nil {
		return err
	}
	if err := until(ctx, func() error {
		_, err := probe.Do(ctx, names, probe.ClusterInfo, nil, nil)
		return err
	}); err != nil {
		return fmt.Errorf("the name server: %w", err)
	}
	began := time.Now()
	if err := s.run(broker); err != nil {
		return err
	}
	s.pid = broker.Process.Pid
	if err := until(ctx, func() error { return firstAnswer(ctx, names, s.addr) }); err != nil {
		return fmt.Errorf("the broker: %w", err)
	}
	s.took = time.Since(began)
	return nil
}

// firstAnswer succeeds when a client could work: a send to a new topic is
// answered, and the name server has the route for new topics. The send comes
// first: a port that is closed costs the starting servers nothing.
func firstAnswer(ctx context.Context, names, broker string) error {
	if _, err := probe.Do(ctx, broker, 310, map[string]string{
		"a": "first", "b": "first", "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": fmt.Sprint(time.Now().UnixMilli()), "h": "0",
		"i": "UNIQ_KEY\x017F0000010001000000000000000000FF\x02WAIT\x01true\x02", "j": "0", "k": "false", "m": "false",
	}, []byte("x")); err != nil {
		return err
	}
	_, err := probe.RouteOf(ctx, names, "TBW102")
	return err
}

// until tries until it succeeds, for a minute at most.
func until(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(4 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// configure writes the two configuration files. What is not set here has the
// default of RocketMQ 5.3.
func (s *server) configure(names string, h how) (nsConf, brokerConf string, err error) {
	_, nsPort, _ := net.SplitHostPort(names)
	_, port, _ := net.SplitHostPort(s.addr)
	ha, err := freeAddr()
	if err != nil {
		return "", "", err
	}
	_, haPort, _ := net.SplitHostPort(ha)
	flush := "ASYNC_FLUSH"
	if h.sync {
		flush = "SYNC_FLUSH"
	}
	nsConf, brokerConf = filepath.Join(s.home, "namesrv.conf"), filepath.Join(s.home, "broker.conf")
	ns := []string{"listenPort=" + nsPort, "bindAddress=127.0.0.1", "kvConfigPath=" + s.home + "/kvConfig.json", "configStorePath=" + s.home + "/namesrv.properties"}
	broker := []string{"brokerClusterName=DefaultCluster", "brokerName=broker-a", "brokerId=0", "brokerIP1=127.0.0.1", "brokerIP2=127.0.0.1",
		"listenPort=" + port, "haListenPort=" + haPort, "bindAddress=127.0.0.1", "namesrvAddr=" + names,
		"storePathRootDir=" + s.home + "/store", "storePathCommitLog=" + s.home + "/store/commitlog", "flushDiskType=" + flush}
	return nsConf, brokerConf, errors.Join(
		os.WriteFile(nsConf, []byte(strings.Join(ns, "\n")+"\n"), 0o644),
		os.WriteFile(brokerConf, []byte(strings.Join(broker, "\n")+"\n"), 0o644))
}

// merlin makes the commands of Merlin's servers.
func (p *place) merlin(home, nsConf, brokerConf string) (ns, broker *exec.Cmd) {
	ns = exec.Command(filepath.Join(p.bin, "mqnamesrv"), "-c", nsConf)
	broker = exec.Command(filepath.Join(p.bin, "mqbroker"), "-c", brokerConf)
	for _, c := range []*exec.Cmd{ns, broker} {
		c.Env = append(os.Environ(), "ROCKETMQ_HOME="+home, "HOME="+home)
	}
	return ns, broker
}

// java makes the commands of the Java servers. The broker has the flags of
// RocketMQ's runbroker.sh but for the size of the heap.
func (p *place) java(home, nsConf, brokerConf, heap string) (ns, broker *exec.Cmd) {
	common := []string{"--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED", "--add-opens=java.base/java.nio=ALL-UNNAMED",
		"--add-opens=java.base/sun.nio.ch=ALL-UNNAMED", "-Drocketmq.home.dir=" + home, "-Duser.home=" + home, "-cp", p.classPath}
	nsArgs := append([]string{"-server", "-Xms128m", "-Xmx128m", "-XX:+UseSerialGC"}, common...)
	brokerArgs := append([]string{"-server", "-Xms" + heap, "-Xmx" + heap,
		"-XX:+UseG1GC", "-XX:G1HeapRegionSize=16m", "-XX:G1ReservePercent=25", "-XX:InitiatingHeapOccupancyPercent=30", "-XX:SoftRefLRUPolicyMSPerMB=0",
		"-Xlog:gc*=info,safepoint=info:file=" + filepath.Join(home, "gc.log") + ":utctime,level,tags:filecount=5,filesize=30M",
		"-XX:-OmitStackTraceInFastThrow", "-XX:+AlwaysPreTouch", "-XX:MaxDirectMemorySize=15g", "-XX:-UseLargePages", "-XX:-UseBiasedLocking"}, common...)
	ns = exec.Command("java", append(nsArgs, "org.apache.rocketmq.namesrv.NamesrvStartup", "-c", nsConf)...)
	broker = exec.Command("java", append(brokerArgs, "org.apache.rocketmq.broker.BrokerStartup", "-c", brokerConf)...)
	for _, c := range []*exec.Cmd{ns, broker} {
		c.Env = append(os.Environ(), "ROCKETMQ_HOME="+home)
	}
	return ns, broker
}

// run starts a process whose output goes to a file of its own.
func (s *server) run(cmd *exec.Cmd) error {
	out, err := os.Create(filepath.Join(s.home, fmt.Sprintf("out-%d", len(s.procs))))
	if err != nil {
		return err
	}
	defer out.Close()
	if cmd.Stdout == nil {
		cmd.Stdout = out
	}
	cmd.Stderr = out
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	s.procs = append(s.procs, cmd)
	return nil
}

// stop kills the processes and gives back the room of their files. The names
// stay until the end of the run: ext4 passes over inodes that were freed in the
// last minutes one by one, so that a server that makes thousands of files would
// pay for those of the one before.
func (s *server) stop() {
	for i := len(s.procs) - 1; i >= 0; i-- {
		_ = s.procs[i].Process.Kill()
		_ = s.procs[i].Wait()
	}
	err := filepath.WalkDir(s.home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil && allocated(info) >= 1<<20 {
			err = os.Truncate(path, 0)
		}
		return err
	})
	if err != nil {
		fmt.Fprintln(s.place.log, err)
	}
}

// tail is the end of what the processes printed.
func (s *server) tail() string {
	var b strings.Builder
	for i := range s.procs {
		text, _ := os.ReadFile(filepath.Join(s.home, fmt.Sprintf("out-%d", i)))
		b.Write(text[max(0, len(text)-2000):])
	}
	return b.String()
}

// freeAddr gives an address that nobody listens on now. A broker also takes the
// port two below it.
func freeAddr() (string, error) {
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		below, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port-2))
		if err == nil {
			_ = below.Close()
			return fmt.Sprintf("127.0.0.1:%d", port), nil
		}
	}
	return "", errors.New("no free port with a free one two below it")
}

// fetchJava gives the class path of the Java servers.
func fetchJava(ctx context.Context) (string, error) {
	if err := reference.Available(); err != nil {
		return "", err
	}
	dir, err := reference.Jars(ctx, reference.V5)
	if err != nil {
		return "", err
	}
	return reference.ClassPath(dir)
}

// javaVersion is what java -version calls itself.
func javaVersion() string {
	out, _ := exec.Command("java", "-version").CombinedOutput()
	if m := regexp.MustCompile(`\(build ([^)]*)\)`).FindSubmatch(out); m != nil {
		return string(m[1])
	}
	return "unknown"
}
