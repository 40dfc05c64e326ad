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
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/merlinmq/merlin/cmd/internal/tune"
	"github.com/merlinmq/merlin/cmd/merlin/bench"
	"github.com/merlinmq/merlin/conformance/suite"
)

// shutdownTimeout bounds the wait for requests under way when the process ends.
const shutdownTimeout = 30 * time.Second

func main() {
	suite.Child() // a conformance case may start this program to kill it
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
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
	if command == "conformance" {
		return runConformance(ctx, args, out, errOut)
	}
	if command == "bench" {
		return bench.Run(ctx, args, out, errOut)
	}
	flags := flag.NewFlagSet("merlin "+command, flag.ContinueOnError)
	flags.SetOutput(errOut)
	o := options{}
	flags.StringVar(&o.host, "host", "127.0.0.1", "address to listen on and to tell clients")
	flags.IntVar(&o.namesrvPort, "namesrv-port", 9876, "port of the name server, 0 for a free one")
	flags.IntVar(&o.brokerPort, "broker-port", 10911, "port of the broker, 0 for a free one")
	flags.StringVar(&o.data, "data", "merlin-data", "directory of the store and the small files")
	flags.StringVar(&o.brokerConf, "c", "", "broker.conf to read for all other settings")
	flags.BoolVar(&o.verbose, "v", false, "log more")
	flags.Usage = func() { usage(errOut, flags) }
	if err := flags.Parse(args); err != nil {
		if err == flag.ErrHelp {
			return nil
		}
		return err
	}
	switch command {
	case "serve":
		return serve(ctx, o, out, errOut)
	case "demo":
		return runDemo(ctx, out, errOut)
	default:
		usage(errOut, flags)
		return fmt.Errorf("unknown command %q", command)
	}
}

func usage(w io.Writer, flags *flag.FlagSet) {
	fmt.Fprintln(w, `Merlin: a name server and a broker that speak RocketMQ, in one process.

  merlin [flags]    serve until interrupted
  merlin demo       serve on free ports, send and read messages, and end
  merlin conformance -n host:port [-vs host:port] [flags]
                    run the conformance cases against any RocketMQ cluster
  merlin bench send|pull|tail|soak|limit [flags]
                    measure any RocketMQ broker, or the machine's own limit

Flags:`)
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
		s.names.Addr(), s.broker.Addr(), o.data, s.names.Addr())
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
	s, err := start(options{host: "127.0.0.1", data: dir}, errOut)
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
