package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
)

// options are the flags of all kinds of work.
type options struct {
	nameServer, broker, topic string
	topics, queues, creators  int
	conns, window             int
	size, maxMessages, laps   int
	pid                       int
	count                     int64
	rate                      float64
	duration, warm, every     time.Duration
	oneway, unbatched, asJSON bool
	html, svg                 string
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
	payload   []byte
	keys      atomic.Uint64
	total     atomic.Int64 // everything, for the progress line and the plot
	marks     []mark       // total over time, written by watchProgress
	peak      float64      // of the server's anonymous memory, in MiB, written by watchProgress
	live      *live        // what a soak looks at while it runs; nil otherwise

	failMu sync.Mutex // guards failures; taken for a failure only
	fails  failures
}

// failures are the requests of the measured time that did not succeed.
type failures struct {
	count int64
	warm  int64 // failures during the warm-up
	codes map[string]int64
	first string
}

const help = `Usage: merlin bench <work> [flags]

  send    send messages: closed loop (-c connections, -w window) or open loop (-rate)
  pull    catch up: read topics from their start, a pull of every queue under way
  tail    latency from send to a long-polling consumer, at -rate
  soak    send at -rate with a consumer group that keeps up, and watch the server
  limit   serve the least that a broker could do, to see the machine's limit

"merlin bench <work> -h" lists the flags of each.`

// UsageError is returned by Run for a wrong command line.
type UsageError struct{ err error }

func (e *UsageError) Error() string { return e.err.Error() + "; merlin bench -h lists what there is" }
func (e *UsageError) Unwrap() error { return e.err }

// Run is "merlin bench"; args follow that word. It prints the report, or help to
// out, and returns an error when the flags are wrong (UsageError), when the broker
// cannot be reached, and when nothing succeeded or anything failed.
func Run(ctx context.Context, args []string, out, errOut io.Writer) error {
	if len(args) == 0 {
		return &UsageError{errors.New("bench: which work? send, pull, tail, soak or limit")}
	}
	switch args[0] {
	case "-h", "-help", "--help":
		fmt.Fprintln(out, help)
		return nil
	case "limit":
		return runLimit(ctx, args[1:], out, errOut)
	}
	b, err := newBench(args, errOut)
	if help := (*helpAsked)(nil); errors.As(err, &help) {
		_, err = io.WriteString(out, help.text)
		return err
	}
	if err != nil {
		return &UsageError{err}
	}
	report, err := b.measure(ctx)
	if err != nil {
		return err
	}
	if err := report.write(out, b.asJSON); err != nil {
		return err
	}
	if err := report.plot(b.html, b.svg); err != nil {
		return err
	}
	return report.verdict()
}

// Measure is Run for a program: it gives the report instead of printing it. A
// report with failures is no error here; the caller looks at Failed.
func Measure(ctx context.Context, args []string, errOut io.Writer) (*Report, error) {
	b, err := newBench(args, errOut)
	if err != nil {
		return nil, err
	}
	return b.measure(ctx)
}

func newBench(args []string, errOut io.Writer) (*bench, error) {
	switch args[0] {
	case "send", "pull", "tail", "soak":
	default:
		return nil, fmt.Errorf("bench: unknown work %q", args[0])
	}
	b := &bench{work: args[0], errOut: errOut, run: rand.Uint64(), fails: failures{codes: map[string]int64{}}}
	return b, b.parse(args[1:])
}

func (b *bench) parse(args []string) error {
	f := flag.NewFlagSet("merlin bench "+b.work, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&b.nameServer, "n", "", "name server; the broker is the first master of the topic's route")
	f.StringVar(&b.broker, "b", "", "broker, instead of -n")
	f.StringVar(&b.topic, "topic", "bench", "topic, created when it is not there")
	f.IntVar(&b.topics, "topics", 1, "number of topics; more than one are called <topic>-0, <topic>-1, ...")
	f.IntVar(&b.queues, "queues", 8, "queues of each topic")
	f.IntVar(&b.creators, "creators", 1, "connections that create the topics")
	f.IntVar(&b.size, "size", 1024, "bytes of a body")
	f.IntVar(&b.pid, "pid", 0, "process of the server, for its CPU time and memory")
	f.DurationVar(&b.duration, "d", 10*time.Second, "how long to measure")
	f.BoolVar(&b.asJSON, "json", false, "print JSON instead of a table")
	f.StringVar(&b.html, "html", "", "file for a page with plots of throughput and latency")
	f.StringVar(&b.svg, "svg", "", "file for the plots alone")
	conns := 1
	switch b.work {
	case "send":
		conns = 64
		f.IntVar(&b.window, "w", 1, "messages under way on a connection")
		f.BoolVar(&b.oneway, "oneway", false, "send without answers")
		f.BoolVar(&b.unbatched, "unbatched", false, "one write a message")
		f.Float64Var(&b.rate, "rate", 0, "messages a second over all connections (open loop); 0 is as fast as answers come")
		f.DurationVar(&b.warm, "warmup", time.Second, "time before the measurement that is not counted; a JVM needs 15 s and more")
		f.Int64Var(&b.count, "count", 0, "end after so many messages; 0 is until the time is over")
	case "pull":
		conns = 8
		f.IntVar(&b.maxMessages, "max", 32, "messages of a pull")
		f.IntVar(&b.laps, "laps", 0, "read each queue this often; 0 is until the time is over")
	case "tail":
		f.Float64Var(&b.rate, "rate", 2000, "messages a second over all connections")
		f.DurationVar(&b.warm, "warmup", time.Second, "time before the measurement that is not counted; a JVM needs 15 s and more")
	case "soak":
		conns = 4
		f.Float64Var(&b.rate, "rate", 2000, "messages a second over all connections")
		f.DurationVar(&b.every, "every", 0, "time between two samples; 0 is 5 s, or a quarter of a short -d")
	}
	f.IntVar(&b.conns, "c", conns, "connections")
	if err := f.Parse(args); err != nil {
		return helpOf(f, err)
	}
	if f.NArg() > 0 {
		return fmt.Errorf("bench: unexpected argument %q", f.Arg(0))
	}
	if b.work == "soak" && b.every == 0 {
		b.every = min(5*time.Second, b.duration/4)
	}
	return b.check()
}

// helpAsked is the outcome of -h.
type helpAsked struct{ text string }

func (*helpAsked) Error() string { return "help was asked for" }

// helpOf makes the help of -h, or says whose flags an error is about.
func helpOf(f *flag.FlagSet, err error) error {
	if !errors.Is(err, flag.ErrHelp) {
		return fmt.Errorf("bench: %w", err)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "Usage of %s:\n", f.Name())
	f.SetOutput(&text)
	f.PrintDefaults()
	return &helpAsked{text.String()}
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
	case b.topics < 1 || b.topics > 100_000 || b.topics*b.queues > 1_000_000:
		return fmt.Errorf("bench: -topics %d of %d queues is not between 1 and 1000000 queues", b.topics, b.queues)
	case b.conns < 1 || b.conns > 10000:
		return fmt.Errorf("bench: -c %d is not between 1 and 10000", b.conns)
	case b.size < 1 || b.size > 4<<20:
		return fmt.Errorf("bench: -size %d is not between 1 and 4194304", b.size)
	case b.duration <= 0:
		return fmt.Errorf("bench: -d %v is not positive", b.duration)
	case b.warm < 0:
		return fmt.Errorf("bench: -warmup %v is negative", b.warm)
	case b.rate < 0:
		return fmt.Errorf("bench: -rate %v is negative", b.rate)
	case b.count < 0:
		return fmt.Errorf("bench: -count %d is negative", b.count)
	case b.work == "send" && (b.window < 1 || b.window > 65536):
		return fmt.Errorf("bench: -w %d is not between 1 and 65536", b.window)
	case b.count > 0 && b.rate > 0:
		return errors.New("bench: -count and -rate exclude each other: an open loop ends with its time")
	case b.oneway && b.rate > 0:
		return errors.New("bench: -oneway and -rate exclude each other: a one-way send has no answer to measure")
	case b.work == "pull" && (b.maxMessages < 1 || b.maxMessages > 1024):
		return fmt.Errorf("bench: -max %d is not between 1 and 1024", b.maxMessages)
	case b.laps < 0:
		return fmt.Errorf("bench: -laps %d is negative", b.laps)
	case b.arrives() && b.rate == 0:
		return fmt.Errorf("bench: %s needs a -rate", b.work)
	case b.arrives() && b.size < stampSize:
		return fmt.Errorf("bench: %s needs a -size of at least %d", b.work, stampSize)
	case b.work == "soak" && (b.every < 100*time.Millisecond || b.every > b.duration/4):
		return fmt.Errorf("bench: -every %v is not between 100ms and a quarter of -d", b.every)
	}
	return nil
}

// arrives says whether a consumer measures the messages.
func (b *bench) arrives() bool { return b.work == "tail" || b.work == "soak" }

// settings are the flags of the run, for the report.
func (b *bench) settings() map[string]any {
	return map[string]any{
		"topic": b.topic, "topics": b.topics, "queues": b.queues, "connections": b.conns, "window": b.window, "size": b.size,
		"max": b.maxMessages, "laps": b.laps, "count": b.count, "rate": b.rate, "seconds": b.duration.Seconds(),
		"warmupSeconds": b.warm.Seconds(), "oneway": b.oneway, "unbatched": b.unbatched,
	}
}

// measure prepares the topics, runs the work and reports.
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
	go func() { defer close(done); b.watchProgress(stop) }()
	var r *Report
	var err error
	switch b.work {
	case "send":
		r, err = b.send(ctx)
	case "pull":
		r, err = b.pull(ctx)
	case "tail":
		r, err = b.tail(ctx)
	default:
		r, err = b.soak(ctx)
	}
	close(stop)
	<-done
	if err != nil {
		return nil, err
	}
	r.marks = b.marks
	if r.Server != nil {
		r.Server.PeakAnonMiB = max(b.peak, r.Server.AnonMiB)
	}
	r.Settings = b.settings()
	return r, nil
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
	for _, topic := range []string{b.topicName(0), "TBW102"} {
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

// topicName is the name of the i-th topic.
func (b *bench) topicName(i int) string {
	if b.topics == 1 {
		return b.topic
	}
	return b.topic + "-" + strconv.Itoa(i)
}

// slots is the number of queues of all topics.
func (b *bench) slots() int { return b.topics * b.queues }

// slot is the i-th queue of all topics. Neighbours are of different topics, so
// that a window spreads as far as it can.
func (b *bench) slot(i int) (topic string, queue int) { return b.topicName(i % b.topics), i / b.topics }

// create makes every n-th topic, from one on, over a connection of its own.
func (b *bench) create(ctx context.Context, from, n int) error {
	c, end, err := dial(ctx, b.broker)
	if err != nil {
		return err
	}
	defer end()
	queues := int32(b.queues)
	for i := from; i < b.topics; i += n {
		if _, err := c.call(codeCreateTopic, &header.CreateTopicRequest{
			Topic: wire.Some(b.topicName(i)), DefaultTopic: wire.Some("TBW102"), ReadQueueNums: wire.Some(queues), WriteQueueNums: wire.Some(queues),
			Perm: wire.Some(int32(6)), TopicFilterType: wire.Some("SINGLE_TAG"), TopicSysFlag: wire.Some(int32(0)), Order: wire.Some(false),
			Attributes: wire.Some(""),
		}, nil); err != nil {
			return fmt.Errorf("bench: create topic %s: %w", b.topicName(i), err)
		}
	}
	return nil
}

// prepare creates the topics and encodes the templates.
func (b *bench) prepare(ctx context.Context) error {
	began := time.Now()
	n := min(max(b.creators, 1), b.topics)
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- b.create(ctx, i, n) }()
	}
	var failed error
	for range n {
		failed = errors.Join(failed, <-errs)
	}
	if failed != nil {
		return failed
	}
	if b.topics > 1 {
		fmt.Fprintf(b.errOut, "%d topics of %d queues created in %.1f s\n", b.topics, b.queues, time.Since(began).Seconds())
	}
	b.payload = make([]byte, b.size)
	for i := range b.payload {
		b.payload[i] = byte('a' + i%26)
	}
	for i := range b.slots() {
		topic, queue := b.slot(i)
		t, err := newTemplate(topic, queue, b.size, b.oneway)
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

// fail counts a failure under a name and keeps the first.
func (b *bench) fail(name string, err error) {
	b.failMu.Lock()
	defer b.failMu.Unlock()
	f := &b.fails
	if f.first == "" {
		f.first = err.Error()
	}
	if time.Now().Before(b.warmed) {
		f.warm++
		return
	}
	f.count++
	f.codes[name]++
}

// lost counts messages that nothing more was heard of.
func (b *bench) lost(name string, n int64) {
	b.failMu.Lock()
	defer b.failMu.Unlock()
	if n <= 0 {
		return
	}
	b.fails.count += n
	b.fails.codes[name] += n
	if b.fails.first == "" {
		b.fails.first = name
	}
}

// broken counts a connection that ended with an error.
func (b *bench) broken(err error) {
	if err != nil {
		b.fail("connection", err)
	}
}

// failed copies what failed so far.
func (b *bench) failed() failures {
	b.failMu.Lock()
	defer b.failMu.Unlock()
	f := b.fails
	f.codes = map[string]int64{}
	for k, v := range b.fails.codes {
		f.codes[k] = v
	}
	return f
}

// plot writes the files that were asked for.
func (r *Report) plot(html, svg string) error {
	if html != "" {
		if err := os.WriteFile(html, r.page(), 0o644); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	if svg != "" {
		if err := os.WriteFile(svg, r.drawing(), 0o644); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	return nil
}
