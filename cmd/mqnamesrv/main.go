// Command mqnamesrv is the name server, with the options of the Java one:
//
//	mqnamesrv [-c <arg>] [-h] [-n <arg>] [-p]
//
// and three of its own: --version, --logLevel and --logDir. It logs to standard
// error, answers SIGINT and SIGTERM with a clean end, and needs no ROCKETMQ_HOME. -n
// is accepted and has no effect, as in Java. Exit code: 0; 1 when it could not do
// what it was asked for; 2 when the command line is wrong.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/merlinmq/merlin/cmd/internal/cli"
	"github.com/merlinmq/merlin/cmd/internal/tune"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/namesrv"
	"github.com/merlinmq/merlin/remoting"
)

const usage = `usage: mqnamesrv [-c <arg>] [-h] [-n <arg>] [-p]
 -c,--configFile <arg>    Name server config properties file
 -h,--help                Print help
 -n,--namesrvAddr <arg>   Name server address list, eg: '192.168.0.1:9876;192.168.0.2:9876'
 -p,--printConfigItem     Print all config items
    --logDir <arg>        Directory of log files (namesrv.log), else the log goes to the standard error
    --logLevel <arg>      debug, info, warn or error; info unless given
    --version             Print the version
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(cli.WithParent(ctx), env{
		args: os.Args[1:], home: cli.Home(os.Getenv), rocketmqHome: os.Getenv("ROCKETMQ_HOME"),
		read: os.ReadFile, files: configfile.OS(), out: os.Stdout, err: os.Stderr,
	}))
}

// env is what the program takes from the machine.
type env struct {
	args               []string
	home, rocketmqHome string
	read               func(string) ([]byte, error)
	files              configfile.Files
	out, err           io.Writer
}

// flags are the options of the command line.
type flags struct {
	config               string
	print, help, version bool
	log                  cli.Log
}

// parse reads the command line as Java's DefaultParser does: short and long
// names, the value behind a blank or "=".
func parse(args []string) (f flags, err error) {
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		if !strings.HasPrefix(name, "-") { // Java ignores it
			return f, fmt.Errorf("unknown argument %q", args[i])
		}
		switch strings.TrimPrefix(strings.TrimPrefix(name, "-"), "-") {
		case "h", "help":
			f.help = true
			continue
		case "p", "printConfigItem":
			f.print = true
			continue
		case "version":
			f.version = true
			continue
		case "c", "configFile", "n", "namesrvAddr", "logDir", "logLevel":
		default:
			//lint:ignore ST1005 Java's words
			return f, fmt.Errorf("Unrecognized option: %s", args[i])
		}
		if !joined {
			if i++; i >= len(args) {
				//lint:ignore ST1005 Java's words
				return f, fmt.Errorf("Missing argument for option: %s", strings.TrimLeft(name, "-"))
			}
			value = args[i]
		}
		switch strings.TrimLeft(name, "-") {
		case "c", "configFile":
			f.config = value
		case "logDir":
			f.log.Dir = value
		case "logLevel":
			f.log.Level = value
		}
	}
	return f, nil
}

// run is the program; the result is its exit code.
func run(ctx context.Context, e env) int {
	f, err := parse(e.args)
	if err != nil {
		fmt.Fprintf(e.err, "mqnamesrv: %v; mqnamesrv -h lists what there is\n", err)
		return cli.Wrong
	}
	if f.help {
		fmt.Fprint(e.out, usage)
		return 0
	}
	if f.version {
		fmt.Fprint(e.out, cli.Version("mqnamesrv"))
		return 0
	}
	cfg := namesrv.Default(e.home)
	cfg.RocketmqHome = e.rocketmqHome
	if f.config != "" {
		var warned []string
		data, err := e.read(f.config)
		if err == nil {
			warned, err = cfg.Apply(data, f.config)
		}
		for _, w := range warned {
			fmt.Fprintln(e.err, "warning:", w)
		}
		if err != nil {
			fmt.Fprintln(e.err, "mqnamesrv:", err)
			return cli.Failed
		}
		// Later changes go back to the same file.
		cfg.ConfigStorePath = f.config
		fmt.Fprintf(e.out, "load config properties file OK, %s\n", f.config)
	}
	if f.print {
		fmt.Fprint(e.out, cfg.Text())
		return 0
	}
	return serve(ctx, e, f.log, &cfg)
}

// serve runs the name server until ctx ends.
func serve(ctx context.Context, e env, l cli.Log, cfg *namesrv.Config) int {
	log, closeLog, err := l.Open("namesrv", e.err)
	if err != nil {
		fmt.Fprintln(e.err, "mqnamesrv:", err)
		return cli.Failed
	}
	defer closeLog()
	s, err := namesrv.New(namesrv.Options{
		Config: cfg, Logger: log, Files: e.files, Memory: tune.Memory(os.Getenv),
		// TLS and plain connections share the port, as with Java's defaults.
		Server: remoting.ServerOptions{TLS: remoting.SelfSigned(clock.Real(), rand.Reader)},
	})
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		fmt.Fprintln(e.err, "mqnamesrv:", err)
		return cli.Failed
	}
	_, port, _ := net.SplitHostPort(s.Addr())
	fmt.Fprintf(e.out, "The Name Server boot success. serializeType=JSON, address %s:%s\n", cfg.BindAddress, port)
	<-ctx.Done()
	wait := 5 * time.Second
	if cfg.EnableShutdownGracefully {
		wait = time.Duration(cfg.ShutdownWaitTimeSeconds) * time.Second
	}
	end, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	if err := s.Shutdown(end); err != nil {
		log.Warn("the end was not clean", "err", err)
	}
	return 0
}
