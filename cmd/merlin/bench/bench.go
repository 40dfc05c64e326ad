package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
)

// options are the flags of all kinds of work.
type options struct {
	nameServer, broker, topic string
	queues, conns, window     int
	size, maxMessages, laps   int
	pid                       int
	rate                      float64
	duration, warm            time.Duration
	oneway, unbatched, asJSON bool
}

// bench is one run.
type bench struct {
	options
	work   string
	run    uint64 // marks the messages of this run
	began  time.Time
	warmed time.Time // messages before it are not counted
	end    time.Time
	errOut io.Writer

	templates []template
	keys      atomic.Uint64
	total     atomic.Int64 // everything, for the progress line
	failed    atomic.Int64
	first     atomic.Pointer[string] // the first failure
}

const help = `Usage: merlin bench <work> [flags]

  send    send messages: closed loop (-c connections, -w window) or open loop (-rate)
  pull    read a topic again and again, one pull of every queue under way on each connection
  tail    latency from send to a long-polling consumer, at -rate
  limit   serve the least that a broker could do, to see the machine's limit`

// Run is "merlin bench"; args follow that word. It returns an error when the
// flags are wrong, when the broker cannot be reached, or when nothing succeeded.
func Run(ctx context.Context, args []string, out, errOut io.Writer) error {
	if len(args) == 0 {
		fmt.Fprintln(errOut, help)
		return errors.New("bench: which work? send, pull, tail or limit")
	}
	work, args := args[0], args[1:]
	switch work {
	case "limit":
		return runLimit(ctx, args, out, errOut)
	case "send", "pull", "tail":
	default:
		fmt.Fprintln(errOut, help)
		return fmt.Errorf("bench: unknown work %q", work)
	}
	b := &bench{work: work, errOut: errOut, run: rand.Uint64()}
	if err := b.parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	report, err := b.measure(ctx)
	if err != nil {
		return err
	}
	if err := report.write(out, b.asJSON); err != nil {
		return err
	}
	if report.Count == 0 {
		return errors.New("bench: no message succeeded")
	}
	return nil
}

func (b *bench) parse(args []string) error {
	f := flag.NewFlagSet("merlin bench "+b.work, flag.ContinueOnError)
	f.SetOutput(b.errOut)
	f.StringVar(&b.nameServer, "n", "", "name server; the broker is the first master of the topic's route")
	f.StringVar(&b.broker, "b", "", "broker, instead of -n")
	f.StringVar(&b.topic, "topic", "bench", "topic, created when it is not there")
	f.IntVar(&b.queues, "queues", 8, "queues of the topic")
	f.IntVar(&b.size, "size", 1024, "bytes of a body")
	f.IntVar(&b.pid, "pid", 0, "process of the server, for its CPU time and memory")
	f.DurationVar(&b.duration, "d", 10*time.Second, "how long to measure")
	f.BoolVar(&b.asJSON, "json", false, "print JSON instead of a table")
	conns := 1
	switch b.work {
	case "send":
		conns = 64
		f.IntVar(&b.window, "w", 1, "messages under way on a connection")
		f.BoolVar(&b.oneway, "oneway", false, "send without answers")
		f.BoolVar(&b.unbatched, "unbatched", false, "one write a message")
		f.Float64Var(&b.rate, "rate", 0, "messages a second over all connections (open loop); 0 is as fast as answers come")
		f.DurationVar(&b.warm, "warm", time.Second, "time before it that is not counted")
	case "pull":
		conns = 8
		f.IntVar(&b.maxMessages, "max", 32, "messages of a pull")
		f.IntVar(&b.laps, "laps", 0, "read each queue this often on each connection; 0 is until the time is over")
	case "tail":
		f.Float64Var(&b.rate, "rate", 2000, "messages a second over all connections")
		f.DurationVar(&b.warm, "warm", time.Second, "time before it that is not counted")
	}
	f.IntVar(&b.conns, "c", conns, "connections")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("bench: unexpected argument %q", f.Arg(0))
	}
	return b.check()
}

// check refuses flags that make no run.
func (b *bench) check() error {
	switch {
	case (b.nameServer == "") == (b.broker == ""):
		return errors.New("bench: give either -n (name server) or -b (broker)")
	case b.topic == "":
		return errors.New("bench: -topic is empty")
	case b.queues < 1 || b.queues > 65536:
		return fmt.Errorf("bench: -queues %d is not between 1 and 65536", b.queues)
	case b.conns < 1 || b.conns > 10000:
		return fmt.Errorf("bench: -c %d is not between 1 and 10000", b.conns)
	case b.size < 1 || b.size > 4<<20:
		return fmt.Errorf("bench: -size %d is not between 1 and 4194304", b.size)
	case b.duration <= 0:
		return fmt.Errorf("bench: -d %v is not positive", b.duration)
	case b.warm < 0:
		return fmt.Errorf("bench: -warm %v is negative", b.warm)
	case b.rate < 0:
		return fmt.Errorf("bench: -rate %v is negative", b.rate)
	case b.work == "send" && (b.window < 1 || b.window > 65536):
		return fmt.Errorf("bench: -w %d is not between 1 and 65536", b.window)
	case b.oneway && b.rate > 0:
		return errors.New("bench: -oneway and -rate exclude each other: a one-way send has no answer to measure")
	case b.work == "pull" && (b.maxMessages < 1 || b.maxMessages > 1024):
		return fmt.Errorf("bench: -max %d is not between 1 and 1024", b.maxMessages)
	case b.laps < 0:
		return fmt.Errorf("bench: -laps %d is negative", b.laps)
	case b.work == "tail" && b.rate == 0:
		return errors.New("bench: tail needs a -rate")
	case b.work == "tail" && b.size < stampSize:
		return fmt.Errorf("bench: tail needs a -size of at least %d", stampSize)
	}
	return nil
}

// measure prepares the topic, runs the work and reports.
func (b *bench) measure(ctx context.Context) (*Report, error) {
	if err := b.findBroker(ctx); err != nil {
		return nil, err
	}
	if b.work != "pull" {
		if err := b.prepare(ctx); err != nil {
			return nil, err
		}
	}
	if _, err := usage(b.pid); err != nil {
		return nil, err
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); progress(b.errOut, &b.total, stop) }()
	defer func() { close(stop); <-done }()
	switch b.work {
	case "send":
		return b.send(ctx)
	case "pull":
		return b.pull(ctx)
	default:
		return b.tail(ctx)
	}
}

// findBroker asks the name server where the broker is, when -n was given. The
// topic may not be there yet; TBW102 is on every broker that creates topics.
func (b *bench) findBroker(ctx context.Context) error {
	if b.broker != "" {
		return nil
	}
	c, end, err := dial(ctx, b.nameServer)
	if err != nil {
		return err
	}
	defer end()
	for _, topic := range []string{b.topic, "TBW102"} {
		var text []byte
		text, err = c.call(codeRoute, &header.GetRouteInfoRequest{Topic: wire.Some(topic), AcceptStandardJSONOnly: wire.Some(true)}, nil)
		if err != nil {
			continue
		}
		var route body.TopicRouteData
		if err := body.Unmarshal(text, &route); err != nil {
			return fmt.Errorf("bench: route of %s: %w", topic, err)
		}
		for _, d := range route.BrokerDatas {
			if addr := d.BrokerAddrs[0]; addr != "" {
				b.broker = addr
				return nil
			}
		}
		err = fmt.Errorf("bench: the route of %s has no master", topic)
	}
	return err
}

// prepare creates the topic and encodes the templates.
func (b *bench) prepare(ctx context.Context) error {
	c, end, err := dial(ctx, b.broker)
	if err != nil {
		return err
	}
	defer end()
	n := int32(b.queues)
	if _, err := c.call(codeCreateTopic, &header.CreateTopicRequest{
		Topic: wire.Some(b.topic), DefaultTopic: wire.Some("TBW102"), ReadQueueNums: wire.Some(n), WriteQueueNums: wire.Some(n),
		Perm: wire.Some(int32(6)), TopicFilterType: wire.Some("SINGLE_TAG"), TopicSysFlag: wire.Some(int32(0)), Order: wire.Some(false),
		Attributes: wire.Some(""),
	}, nil); err != nil {
		return fmt.Errorf("bench: create topic %s: %w", b.topic, err)
	}
	payload := make([]byte, b.size)
	for i := range payload {
		payload[i] = byte('a' + i%26)
	}
	for q := range b.queues {
		t, err := newTemplate(b.topic, q, payload, b.oneway)
		if err != nil {
			return err
		}
		b.templates = append(b.templates, t)
	}
	return nil
}

// start sets the times of the run.
func (b *bench) start() {
	b.began = time.Now()
	b.warmed = b.began.Add(b.warm)
	b.end = b.warmed.Add(b.duration)
}

// fail counts a failure and keeps the first.
func (b *bench) fail(err error) {
	b.failed.Add(1)
	text := err.Error()
	b.first.CompareAndSwap(nil, &text)
}

// firstFailure is the text of it, or empty.
func (b *bench) firstFailure() string {
	if p := b.first.Load(); p != nil {
		return *p
	}
	return ""
}
