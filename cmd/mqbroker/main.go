// Command mqbroker is the broker with the flags of RocketMQ's mqbroker script:
//
//	mqbroker [-c broker.conf] [-n host:port;host:port] [-p | -m] [-h]
//
// and three of its own: -version, -logLevel and -logDir. It reads an unmodified
// broker.conf. Warnings about it and, without -logDir, the log go to the standard
// error. It serves until SIGINT or SIGTERM and then stops cleanly. Exit code: 0; 1
// when it could not do what it was asked for; 2 when the command line is wrong.
package main

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/merlinmq/merlin/broker"
	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/cmd/internal/cli"
	"github.com/merlinmq/merlin/cmd/internal/tune"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/remoting"
)

const usage = `usage: mqbroker [-c <arg>] [-h] [-m] [-n <arg>] [-p]
 -c,--configFile <arg>       Broker config properties file
 -h,--help                   Print help
 -m,--printImportantConfig   Print important config item
 -n,--namesrvAddr <arg>      Name server address list, eg: '192.168.0.1:9876;192.168.0.2:9876'
 -p,--printConfigItem        Print all config item
    --logDir <arg>           Directory of log files (broker.log), else the log goes to the standard error
    --logLevel <arg>         debug, info, warn or error; info unless given
    --version                Print the version
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	tune.Broker(os.Getenv)
	if err := run(cli.WithParent(ctx), os.Args[1:], thisHost(os.Getenv), os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "mqbroker:", err)
		stop()
		os.Exit(cli.Code(err))
	}
}

// flags are the parsed command line.
type flags struct {
	configFile, namesrvAddr   string
	printAll, printMain, help bool
	version                   bool
	log                       cli.Log
}

func parseFlags(args []string) (flags, error) {
	var f flags
	set := flag.NewFlagSet("mqbroker", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, name := range []string{"c", "configFile"} {
		set.StringVar(&f.configFile, name, "", "")
	}
	for _, name := range []string{"n", "namesrvAddr"} {
		set.StringVar(&f.namesrvAddr, name, "", "")
	}
	for _, name := range []string{"p", "printConfigItem"} {
		set.BoolVar(&f.printAll, name, false, "")
	}
	for _, name := range []string{"m", "printImportantConfig"} {
		set.BoolVar(&f.printMain, name, false, "")
	}
	for _, name := range []string{"h", "help"} {
		set.BoolVar(&f.help, name, false, "")
	}
	set.BoolVar(&f.version, "version", false, "")
	f.log.Flags(set.StringVar)
	err := set.Parse(args)
	if err == nil && set.NArg() > 0 {
		err = fmt.Errorf("unknown argument %q", set.Arg(0))
	}
	if err != nil {
		return f, &cli.UsageError{Text: err.Error(), Help: "mqbroker -h"}
	}
	return f, nil
}

// run is main without the process around it.
func run(ctx context.Context, args []string, host config.Host, out, errOut io.Writer) error {
	f, err := parseFlags(args)
	if err != nil {
		return err
	}
	if f.help {
		fmt.Fprint(out, usage)
		return nil
	}
	if f.version {
		fmt.Fprint(out, cli.Version("mqbroker"))
		return nil
	}
	cfg, err := load(f, host, errOut)
	if err != nil {
		return err
	}
	if f.printAll || f.printMain {
		printConfig(out, cfg, !f.printAll)
		return nil
	}
	return serve(ctx, f, cfg, out, errOut)
}

// load reads the file; -n wins over it.
func load(f flags, host config.Host, errOut io.Writer) (*config.Config, error) {
	var data []byte
	name := "the command line"
	if f.configFile != "" {
		var err error
		name = f.configFile
		if data, err = os.ReadFile(f.configFile); err != nil {
			return nil, err
		}
	}
	override := map[string]string{}
	if f.namesrvAddr != "" {
		override["namesrvAddr"] = f.namesrvAddr
	}
	cfg, warnings, err := host.Parse(data, name, override)
	for _, w := range warnings {
		fmt.Fprintln(errOut, "warning:", w)
	}
	return cfg, err
}

// printConfig prints key=value lines: all keys, or those that Java marks as
// important.
func printConfig(out io.Writer, cfg *config.Config, important bool) {
	for _, k := range config.Keys() {
		if important && !k.Important {
			continue
		}
		v, _ := cfg.Value(k.Name)
		if k.Secret() {
			v = ""
		}
		fmt.Fprintf(out, "%s=%s\n", k.Name, v)
	}
}

func serve(ctx context.Context, f flags, cfg *config.Config, out, errOut io.Writer) error {
	log, closeLog, err := f.log.Open("broker", errOut)
	if err != nil {
		return err
	}
	defer closeLog()
	b, err := broker.New(broker.Options{
		Config:  config.NewHolder(cfg, config.HolderOptions{File: f.configFile, Files: configfile.OS(), Logger: log}),
		Logger:  log,
		Rand:    rand.IntN,
		Process: os.Getpid(),
		Memory:  tune.Memory(os.Getenv),
		TLS:     remoting.SelfSigned(clock.Real(), cryptorand.Reader),
	})
	if err != nil {
		return err
	}
	err = b.Start()
	if err == nil {
		fmt.Fprintln(out, tip(cfg, b.Addr()))
		<-ctx.Done()
		log.Info("the broker stops")
	}
	wait, cancel := context.WithTimeout(context.Background(), time.Duration(cfg.ShutdownWaitTimeSeconds)*time.Second)
	defer cancel()
	return errors.Join(err, b.Shutdown(wait))
}

// tip is the line that BrokerStartup prints and scripts wait for.
func tip(cfg *config.Config, addr string) string {
	s := fmt.Sprintf("The broker[%s, %s] boot success. serializeType=JSON", cfg.BrokerName, addr)
	if strings.TrimSpace(cfg.NamesrvAddr) != "" {
		s += " and name server is " + cfg.NamesrvAddr
	}
	return s
}
