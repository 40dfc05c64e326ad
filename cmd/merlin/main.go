// Command merlin runs a name server and a broker in one process.
//
//	merlin            serves on the default ports until it is interrupted
//	merlin demo       serves on free ports, sends and reads messages, and ends
//	merlin conformance -n host:port [-vs host:port]
//	                  runs the conformance cases against any RocketMQ cluster
//	merlin bench send|pull|tail|soak|limit
//	                  measures any RocketMQ broker, or the machine's own limit
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/merlinmq/merlin/cmd/internal/cli"
	"github.com/merlinmq/merlin/cmd/internal/tune"
	"github.com/merlinmq/merlin/cmd/merlin/bench"
	"github.com/merlinmq/merlin/conformance/suite"
)

// shutdownTimeout bounds the wait for requests under way when the process ends.
const shutdownTimeout = 30 * time.Second

func main() {
	suite.Child() // a conformance case may start this program to kill it
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(cli.WithParent(ctx), os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "merlin:", err)
		os.Exit(exitCode(err))
	}
}

// run is main without the process around it.
func run(ctx context.Context, args []string, out, errOut io.Writer) error {
	command := "serve"
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		command, args = args[0], args[1:]
	}
	switch command {
	case "conformance":
		return runConformance(ctx, args, out, errOut)
	case "bench":
		err := bench.Run(ctx, args, out, errOut)
		if usage := (*bench.UsageError)(nil); errors.As(err, &usage) {
			return unusable(err)
		}
		return err
	case "demo":
		if len(args) > 0 && isHelp(args[0]) {
			fmt.Fprintln(out, "merlin demo: serve on free ports, send and read messages, and end. It has no flags.")
			return nil
		}
		if len(args) > 0 {
			return wrong("demo takes no arguments, not %q", args[0])
		}
		return runDemo(ctx, out, errOut)
	case "serve":
		return runServe(ctx, args, out, errOut)
	}
	return wrong("unknown command %q", command)
}

func isHelp(arg string) bool { return arg == "-h" || arg == "--help" || arg == "-help" }

// wrong is an error in the command line.
func wrong(format string, args ...any) error {
	return unusable(&cli.UsageError{Text: fmt.Sprintf(format, args...), Help: "merlin -h"})
}

func runServe(ctx context.Context, args []string, out, errOut io.Writer) error {
	flags := flag.NewFlagSet("merlin", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	o := options{given: map[string]bool{}}
	flags.StringVar(&o.host, "host", "127.0.0.1", "address to listen on and to tell clients; 0.0.0.0 listens on all and tells the first usable one")
	flags.IntVar(&o.namesrvPort, "namesrv-port", 9876, "port of the name server, 0 for a free one")
	flags.IntVar(&o.brokerPort, "broker-port", 10911, "port of the broker, 0 for a free one")
	flags.StringVar(&o.data, "data", "merlin-data", "directory of the store and the small files")
	flags.StringVar(&o.brokerConf, "c", "", "broker.conf to read; flags that are given win over it")
	flags.BoolVar(&o.verbose, "v", false, "log more, as -logLevel info")
	version := flags.Bool("version", false, "print the version")
	o.log.Flags(flags.StringVar)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		usage(out, flags)
		return nil
	case err != nil:
		return wrong("%s", err)
	case flags.NArg() > 0:
		return wrong("unknown argument %q", flags.Arg(0))
	case *version:
		fmt.Fprint(out, cli.Version("merlin"))
		return nil
	}
	flags.Visit(func(f *flag.Flag) { o.given[f.Name] = true })
	return serve(ctx, o, out, errOut)
}

func usage(w io.Writer, flags *flag.FlagSet) {
	fmt.Fprintln(w, `Merlin: a name server and a broker that speak RocketMQ, in one process.

  merlin [flags]    serve until interrupted
  merlin demo       serve on free ports, send and read messages, and end
  merlin conformance -n host:port [-vs host:port] [flags]
                    run the conformance cases against any RocketMQ cluster
  merlin bench send|pull|tail|soak|limit [flags]
                    measure any RocketMQ broker, or the machine's own limit

Exit code: 0; 1 when it could not do what it was asked for; 2 when the command line is wrong.

Flags:`)
	flags.SetOutput(w)
	flags.PrintDefaults()
}

// serve runs both servers until ctx ends.
func serve(ctx context.Context, o options, out, errOut io.Writer) error {
	tune.Broker(os.Getenv)
	s, err := start(o, errOut)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "name server  %s\nbroker       %s\ndata         %s\nready: point a client at %s; stop with Ctrl-C\n",
		s.names.Addr(), s.broker.Addr(), s.data, s.reach)
	<-ctx.Done()
	fmt.Fprintln(out, "stopping")
	if err := s.stop(); err != nil {
		return err
	}
	fmt.Fprintln(out, "stopped")
	return nil
}

// runDemo serves from a temporary directory for as long as the demo takes.
func runDemo(ctx context.Context, out, errOut io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "merlin-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer os.RemoveAll(dir)
	began := time.Now()
	s, err := start(options{host: "127.0.0.1", data: dir, given: map[string]bool{}}, errOut)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Name server on %s and broker on %s, ready after %d ms.\n", s.names.Addr(), s.broker.Addr(), time.Since(began).Milliseconds())
	err = demo(ctx, out, s.names.Addr())
	if serr := s.stop(); err == nil {
		err = serr
	}
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}
