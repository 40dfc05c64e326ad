// Package brokertest runs a name server and a broker inside a Go test, on free
// ports of the loopback address and in a directory that goes with the test:
//
//	c := brokertest.Start(t)
//	resolver := primitive.NewPassthroughResolver([]string{c.NameServer})
//
// A test that only wants messages to be there, or to look at what arrived, needs no
// client: Cluster.Client sends and pulls inside the process.
//
// Both are the servers that production runs, so that clients, retries, delays,
// transactions and restarts behave as they do there. Several may run side by side.
// It owns no goroutine.
package brokertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/merlinmq/merlin/broker"
	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/namesrv"
	"github.com/merlinmq/merlin/remoting"
)

// shutdownTimeout bounds the wait for requests that are in work at the end.
const shutdownTimeout = 10 * time.Second

// Cluster is a name server with one broker.
type Cluster struct {
	// NameServer is the address (host:port) that clients are given.
	NameServer string
	// Broker is the address that the name server tells of the broker. It is a new
	// one after RestartBroker, unless listenPort was set.
	Broker string

	log      *slog.Logger
	settings map[string]string
	names    *namesrv.Server
	broker   *broker.Broker
	admit    []remoting.Admission
	observe  []remoting.Observer
}

// Option changes the cluster beside its settings.
type Option func(*Cluster)

// Admit lets f see every request before the broker handles it, to refuse or rewrite it.
func Admit(f remoting.Admission) Option { return func(c *Cluster) { c.admit = append(c.admit, f) } }

// Observe tells f of every request that the broker has answered.
func Observe(f remoting.Observer) Option {
	return func(c *Cluster) { c.observe = append(c.observe, f) }
}

// settings of a small broker; those of Start go over them.
var small = map[string]string{
	"brokerName": "test", "brokerIP1": "127.0.0.1", "bindAddress": "127.0.0.1", "listenPort": "0",
	"mappedFileSizeCommitLog": "16777216", "mappedFileSizeConsumeQueue": "120000", "maxHashSlotNum": "10000", "maxIndexNum": "40000",
}

// Start starts a name server and a broker that has registered with it, and stops
// both at the end of the test. Each setting is key=value as in broker.conf, for
// instance "transactionCheckInterval=1000"; the test's log has the broker's warnings.
// What cannot be started or stopped fails the test.
func Start(tb testing.TB, settings ...string) *Cluster {
	tb.Helper()
	return startIn(tb, nil, settings)
}

func startIn(tb testing.TB, options []Option, settings []string) *Cluster {
	tb.Helper()
	out := &logger{tb: tb}
	c, err := open(tb.TempDir(), slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelWarn})), options, settings)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
		out.close()
	})
	return c
}

// StartWith is Start with options beside the settings.
func StartWith(tb testing.TB, options []Option, settings ...string) *Cluster {
	tb.Helper()
	return startIn(tb, options, settings)
}

// Open is Start where there is no test: dir keeps the store, and the caller closes
// the cluster. Nothing is logged.
func Open(dir string, settings ...string) (*Cluster, error) {
	return open(dir, slog.New(slog.DiscardHandler), nil, settings)
}

func open(dir string, log *slog.Logger, options []Option, settings []string) (*Cluster, error) {
	c := &Cluster{log: log, settings: maps.Clone(small)}
	for _, o := range options {
		o(c)
	}
	c.settings["storePathRootDir"] = dir
	c.settings["storePathCommitLog"] = filepath.Join(dir, "commitlog")
	for _, s := range settings {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, fmt.Errorf("brokertest: the setting %q is not key=value", s)
		}
		c.settings[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	names, err := namesrv.New(namesrv.Options{})
	if err == nil {
		err = names.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("brokertest: name server: %w", err)
	}
	c.names, c.NameServer = names, names.Addr()
	c.settings["namesrvAddr"] = c.NameServer
	if err := c.start(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// start starts the broker on the directory of the cluster.
func (c *Cluster) start() error {
	var conf strings.Builder
	for _, key := range slices.Sorted(maps.Keys(c.settings)) {
		fmt.Fprintf(&conf, "%s=%s\n", key, strings.ReplaceAll(c.settings[key], `\`, `\\`))
	}
	cfg, warnings, err := config.Parse([]byte(conf.String()), "brokertest")
	if err != nil {
		return fmt.Errorf("brokertest: settings: %w", err)
	}
	for _, w := range warnings {
		c.log.Warn("configuration", "warning", w.String())
	}
	b, err := broker.New(broker.Options{
		Config: config.NewHolder(cfg, config.HolderOptions{}), Rand: rand.IntN, Logger: c.log,
		Admit: c.admit, Observe: c.observe,
	})
	if err != nil {
		return fmt.Errorf("brokertest: broker: %w", err)
	}
	c.broker = b
	if err := b.Start(); err != nil {
		return fmt.Errorf("brokertest: broker: %w", err)
	}
	c.Broker = b.Addr()
	return nil
}

// RestartBroker stops the broker as an operator does and starts it again on the same
// directory. Clients learn its new address from the name server.
func (c *Cluster) RestartBroker() error {
	if err := c.stopBroker(); err != nil {
		return err
	}
	return c.start()
}

func (c *Cluster) stopBroker() error {
	if c.broker == nil {
		return nil
	}
	b := c.broker
	c.broker = nil
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	return b.Shutdown(ctx)
}

// Close stops the broker, then the name server. A second call does nothing.
func (c *Cluster) Close() error {
	err := c.stopBroker()
	if c.names != nil {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		err = errors.Join(err, c.names.Shutdown(ctx))
		c.names = nil
	}
	if err != nil {
		return fmt.Errorf("brokertest: %w", err)
	}
	return nil
}

// logger writes the broker's lines into the test's log, until the test ends.
type logger struct {
	tb testing.TB

	mu     sync.Mutex // guards closed and keeps a line from coming too late
	closed bool
}

// Write implements io.Writer.
func (l *logger) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.tb.Logf("broker: %s", strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

func (l *logger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}
