package main

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/merlinmq/merlin/broker"
	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/cmd/internal/cli"
	"github.com/merlinmq/merlin/cmd/internal/tune"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/namesrv"
	"github.com/merlinmq/merlin/remoting"
)

// options are the flags.
type options struct {
	host        string
	namesrvPort int
	brokerPort  int
	data        string
	brokerConf  string
	verbose     bool
	log         cli.Log
	given       map[string]bool // the flags of the command line; nil: all
}

func (o *options) has(flag string) bool { return o.given == nil || o.given[flag] }

// servers are the two servers of this process.
type servers struct {
	names    *namesrv.Server
	broker   *broker.Broker
	data     string // where the broker keeps its data
	reach    string // the name server's address for clients
	closeLog func()
}

// start starts the name server, then the broker that registers with it.
func start(o options, logTo io.Writer) (s *servers, err error) {
	if o.log.Level == "" && !o.verbose {
		o.log.Level = "warn"
	}
	log, closeLog, err := o.log.Open("merlin", logTo)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			closeLog()
		}
	}()
	data, err := filepath.Abs(o.data)
	if err != nil {
		return nil, err
	}
	f, err := readConf(o)
	if err != nil {
		return nil, err
	}
	listen := o.host
	if o.brokerConf != "" && !o.has("host") {
		listen = f.cfg.BindAddress
	}
	memory := tune.Memory(os.Getenv) // the two servers share the process
	names, err := startNames(o, listen, data, memory/2, log)
	if err != nil {
		return nil, err
	}
	cfg, err := brokerConfig(o, f, data, reachable(names.Addr()), log)
	if err != nil {
		return nil, errors.Join(err, shutdown(names.Shutdown))
	}
	b, err := openBroker(o, cfg, memory/2, log)
	if err != nil {
		return nil, errors.Join(err, shutdown(names.Shutdown))
	}
	_, port, _ := net.SplitHostPort(names.Addr())
	return &servers{names: names, broker: b, data: cfg.StorePathRootDir, reach: net.JoinHostPort(cfg.BrokerIP1, port), closeLog: closeLog}, nil
}

// conf is a broker.conf as it is without the flags.
type conf struct {
	text []byte
	name string
	host config.Host
	cfg  *config.Config
}

func readConf(o options) (f conf, err error) {
	f.name = "the built-in settings"
	if o.brokerConf != "" {
		f.name = o.brokerConf
		if f.text, err = os.ReadFile(o.brokerConf); err != nil {
			return f, err
		}
	}
	f.host = config.Host{Address: cli.Address(), Home: cli.Home(os.Getenv), RocketMQHome: os.Getenv("ROCKETMQ_HOME")}
	f.cfg, _, err = f.host.Parse(f.text, f.name)
	return f, err
}

// reachable is an address at which this process reaches what listens on addr.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}

func startNames(o options, listen, data string, memory int64, log *slog.Logger) (*namesrv.Server, error) {
	cfg := namesrv.Default(data)
	names, err := namesrv.New(namesrv.Options{
		Config: &cfg, Listen: net.JoinHostPort(listen, strconv.Itoa(o.namesrvPort)), Logger: log, Files: configfile.OS(),
		Memory: memory, Server: remoting.ServerOptions{TLS: remoting.SelfSigned(clock.Real(), cryptorand.Reader)},
	})
	if err != nil {
		return nil, err
	}
	if err := names.Start(); err != nil {
		return nil, fmt.Errorf("name server: %w", err)
	}
	return names, nil
}

// startBroker starts a broker that registers with a name server.
func startBroker(o options, data, nameServer string, memory int64, log *slog.Logger) (*broker.Broker, error) {
	f, err := readConf(o)
	if err != nil {
		return nil, err
	}
	cfg, err := brokerConfig(o, f, data, nameServer, log)
	if err != nil {
		return nil, err
	}
	return openBroker(o, cfg, memory, log)
}

func brokerConfig(o options, f conf, data, nameServer string, log *slog.Logger) (*config.Config, error) {
	cfg, warnings, err := f.host.Parse(f.text, f.name, settings(o, f, data, nameServer))
	for _, w := range warnings {
		log.Warn("configuration", "warning", w.String())
	}
	return cfg, err
}

func openBroker(o options, cfg *config.Config, memory int64, log *slog.Logger) (*broker.Broker, error) {
	b, err := broker.New(broker.Options{
		Config: config.NewHolder(cfg, config.HolderOptions{File: o.brokerConf, Files: configfile.OS(), Logger: log}),
		Logger: log, Rand: rand.IntN, Process: os.Getpid(), Memory: memory, TLS: remoting.SelfSigned(clock.Real(), cryptorand.Reader),
	})
	if err != nil {
		return nil, err
	}
	if err := b.Start(); err != nil {
		return nil, errors.Join(err, shutdown(b.Shutdown))
	}
	return b, nil
}

// settings are what the flags say. Those that were given win over a broker.conf;
// without one their defaults count too. The broker always registers with the name
// server of this process, and with those of the file.
func settings(o options, f conf, data, nameServer string) map[string]string {
	set := map[string]string{"namesrvAddr": nameServer}
	if others := strings.TrimSpace(f.cfg.NamesrvAddr); others != "" {
		set["namesrvAddr"] += ";" + others
	}
	if o.brokerConf == "" || o.has("host") {
		told := o.host
		if ip := net.ParseIP(o.host); o.host == "" || ip != nil && ip.IsUnspecified() {
			told = f.host.Address // as Java chooses it: nobody reaches 0.0.0.0
		}
		set["bindAddress"], set["brokerIP1"] = o.host, told
	}
	if o.brokerConf == "" || o.has("broker-port") {
		set["listenPort"] = strconv.Itoa(o.brokerPort)
	}
	if o.brokerConf == "" {
		set["brokerName"] = "merlin"
	}
	if o.has("data") || !f.cfg.FromFile("storePathRootDir") {
		store := filepath.Join(data, "store")
		set["storePathRootDir"] = store
		if o.has("data") || !f.cfg.FromFile("storePathCommitLog") {
			set["storePathCommitLog"] = filepath.Join(store, "commitlog")
		}
	}
	return set
}

// stop stops the broker, then the name server.
func (s *servers) stop() error {
	defer s.closeLog()
	return errors.Join(shutdown(s.broker.Shutdown), shutdown(s.names.Shutdown))
}

func shutdown(f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	return f(ctx)
}
