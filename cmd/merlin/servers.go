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

	"github.com/merlinmq/merlin/broker"
	"github.com/merlinmq/merlin/broker/config"
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
}

// servers are the two servers of this process.
type servers struct {
	names  *namesrv.Server
	broker *broker.Broker
}

// start starts the name server, then the broker that registers with it.
func start(o options, logTo io.Writer) (*servers, error) {
	level := slog.LevelWarn
	if o.verbose {
		level = slog.LevelInfo
	}
	log := slog.New(slog.NewTextHandler(logTo, &slog.HandlerOptions{Level: level}))
	data, err := filepath.Abs(o.data)
	if err != nil {
		return nil, err
	}
	memory := tune.Memory(os.Getenv) // the two servers share the process
	names, err := startNames(o, data, memory/2, log)
	if err != nil {
		return nil, err
	}
	b, err := startBroker(o, data, names.Addr(), memory/2, log)
	if err != nil {
		return nil, errors.Join(err, shutdown(names.Shutdown))
	}
	return &servers{names: names, broker: b}, nil
}

func startNames(o options, data string, memory int64, log *slog.Logger) (*namesrv.Server, error) {
	cfg := namesrv.Default(data)
	names, err := namesrv.New(namesrv.Options{
		Config: &cfg, Listen: net.JoinHostPort(o.host, strconv.Itoa(o.namesrvPort)), Logger: log, Files: configfile.OS(),
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

func startBroker(o options, data, nameServer string, memory int64, log *slog.Logger) (*broker.Broker, error) {
	var text []byte
	name := "the built-in settings"
	if o.brokerConf != "" {
		var err error
		name = o.brokerConf
		if text, err = os.ReadFile(o.brokerConf); err != nil {
			return nil, err
		}
	}
	home, _ := os.UserHomeDir()
	host := config.Host{Address: o.host, Home: home, RocketMQHome: os.Getenv("ROCKETMQ_HOME")}
	cfg, warnings, err := host.Parse(text, name, settings(o, data, nameServer))
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		log.Warn("configuration", "warning", w.String())
	}
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

// settings are what the flags say. They win over a broker.conf, but for the
// store of one that names its own.
func settings(o options, data, nameServer string) map[string]string {
	set := map[string]string{
		"bindAddress": o.host, "brokerIP1": o.host, "brokerIP2": o.host,
		"listenPort": strconv.Itoa(o.brokerPort), "namesrvAddr": nameServer,
	}
	if o.brokerConf == "" {
		store := filepath.Join(data, "store")
		set["brokerName"] = "merlin"
		set["storePathRootDir"], set["storePathCommitLog"] = store, filepath.Join(store, "commitlog")
	}
	return set
}

// stop stops the broker, then the name server.
func (s *servers) stop() error {
	return errors.Join(shutdown(s.broker.Shutdown), shutdown(s.names.Shutdown))
}

func shutdown(f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	return f(ctx)
}
