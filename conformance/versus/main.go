package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/merlinmq/merlin/cmd/merlin/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench-vs-java:", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	bin, dir, heap, pattern, write, json string
	rounds                               int
	seconds                              float64
	warmup, javaWarmup                   time.Duration
	verbose                              bool
	args                                 []string // as they were given, for the document
}

func parse(args []string, errOut io.Writer) (*settings, error) {
	s := &settings{args: args}
	f := flag.NewFlagSet("bench-vs-java", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.StringVar(&s.bin, "bin", "", "directory with merlin, mqnamesrv and mqbroker (the script builds them)")
	f.StringVar(&s.dir, "dir", "", "where the temporary files go; the system's place unless told")
	f.StringVar(&s.heap, "heap", "4g", "heap of the Java broker, -Xms and -Xmx")
	f.StringVar(&s.pattern, "work", ".*", "regular expression of the whole names of the works to do: 64x1 8x32one 8x32 8x256 pull 64x1sync 8x32sync open tail 10k start (10k does all that have to do with 10,000 queues)")
	f.StringVar(&s.write, "write", "", "document whose table between the markers is replaced")
	f.StringVar(&s.json, "json", "", "file for all samples")
	f.IntVar(&s.rounds, "rounds", 5, "rounds over all servers")
	f.Float64Var(&s.seconds, "seconds", 3, "measured time of a sample")
	f.DurationVar(&s.warmup, "warmup", time.Second, "time at the start of each sample that is not counted")
	f.DurationVar(&s.javaWarmup, "java-warmup", 20*time.Second, "work of a Java broker before its first sample; half of it before those with SYNC_FLUSH")
	f.BoolVar(&s.verbose, "v", false, "show the progress of each sample")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case s.bin == "":
		return nil, errors.New("-bin is missing")
	case s.rounds < 1 || s.seconds <= 0:
		return nil, errors.New("-rounds and -seconds must be positive")
	}
	return s, nil
}

func run(ctx context.Context, args []string, out, errOut io.Writer) (err error) {
	s, err := parse(args, errOut)
	if err != nil {
		return err
	}
	wanted, err := regexp.Compile("^(" + s.pattern + ")$")
	if err != nil {
		return err
	}
	classPath, err := fetchJava(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(s.dir, "bench-vs-java-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c := &comparison{settings: s, wanted: wanted, errOut: errOut, samples: map[kind]map[string][]*result{java: {}, merlin: {}, limit: {}},
		place: &place{bin: s.bin, dir: dir, classPath: classPath, log: errOut}}
	began := time.Now()
	for c.done < s.rounds && ctx.Err() == nil {
		if c.round(ctx, c.done); ctx.Err() == nil {
			c.done++
		}
	}
	fmt.Fprintf(errOut, "%d rounds took %v\n", c.done, time.Since(began).Round(time.Second))
	return errors.Join(c.publish(out, ctx.Err() == nil), ctx.Err())
}

// publish prints the document and writes the files that were asked for. A run
// that was interrupted prints what it has and leaves the document alone.
func (c *comparison) publish(out io.Writer, complete bool) error {
	text := c.document(time.Now())
	fmt.Fprintln(out, text)
	if c.json != "" {
		data, err := json.MarshalIndent(c.samples, "", " ")
		if err == nil {
			err = os.WriteFile(c.json, data, 0o644)
		}
		if err != nil {
			return err
		}
	}
	if c.write != "" && complete {
		if err := replace(c.write, text); err != nil {
			return err
		}
	}
	if len(c.broken) > 0 {
		return fmt.Errorf("%d samples are missing, the first because of: %s", len(c.broken), c.broken[0])
	}
	return nil
}

// comparison is one run of the program.
type comparison struct {
	*settings
	place   *place
	wanted  *regexp.Regexp
	errOut  io.Writer
	done    int      // rounds
	broken  []string // why samples are missing
	rate    int      // of the open loop, known after Java's first send 64×1
	samples map[kind]map[string][]*result
}

// round runs all servers once. Java comes first in the first round, because the
// rate of the open loop is half of what it reaches. What goes wrong with one
// server is kept for the end: the other samples are worth having.
func (c *comparison) round(ctx context.Context, n int) {
	order := []kind{java, merlin, limit}
	for i := range order {
		k := order[(n+i)%len(order)]
		peak, firstOf := 0.0, len(c.samples[k]["load512"])
		for _, st := range stages(k, c.heap) {
			err := c.stage(ctx, n, k, st, &peak)
			for _, r := range c.samples[k]["load512"][firstOf:] {
				r.RoundPeak = peak
			}
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				c.broken = append(c.broken, fmt.Sprintf("round %d, %v", n+1, err))
				fmt.Fprintln(c.errOut, err)
			}
		}
	}
}

// needs says whether a work was asked for, or stands below one that was.
func (c *comparison) needs(id string) bool {
	for _, pair := range [][2]string{{"open", "64x1"}, {"10k", "8near"}, {"10k", "10kfull"}, {"start", "load512"}, {"8x256", "8x256new"}} {
		if id == pair[1] && c.wanted.MatchString(pair[0]) {
			return true
		}
	}
	return c.wanted.MatchString(id)
}

// stage runs one server through its works.
func (c *comparison) stage(ctx context.Context, round int, k kind, st stage, peak *float64) error {
	var todo []work
	for _, id := range st.works {
		for _, w := range works {
			if w.id == id && c.needs(id) {
				todo = append(todo, w)
			}
		}
	}
	if len(todo) == 0 {
		return nil
	}
	s, err := c.place.start(ctx, k, st.how)
	if err != nil && ctx.Err() == nil {
		s, err = c.place.start(ctx, k, st.how) // somebody may have taken a port
	}
	if err != nil {
		return err
	}
	defer s.stop()
	if st.warm {
		if err := c.warmUp(ctx, s, st.how.sync); err != nil {
			return err
		}
	}
	for _, w := range todo {
		if w.id == "open" && c.rate == 0 {
			return errors.New("the rate of the open loop is not known: Java's send 64×1 is missing")
		}
		r, err := c.sample(ctx, s, w)
		if err != nil {
			return fmt.Errorf("%s, %s: %w\n%s", k, w.title, err, s.tail())
		}
		if !strings.HasPrefix(w.id, "10k") && w.id != "8near" {
			*peak = max(*peak, anon(r))
		}
		c.keep(round, k, w, r)
	}
	return nil
}

// keep stores a sample and shows it.
func (c *comparison) keep(round int, k kind, w work, r *result) {
	of := c.samples[k]
	of[w.id] = append(of[w.id], r)
	// What 8 queues reach is measured between the two that are compared with it.
	many, eight := of["10k"], of["8near"]
	switch {
	case w.id == "8near" && len(many) > 0:
		many[len(many)-1].Part = many[len(many)-1].Rate / r.Rate
	case w.id == "10kfull" && len(eight) > 0:
		r.Part = r.Rate / eight[len(eight)-1].Rate
	}
	line := fmt.Sprintf("round %d  %-6s  %-45s", round+1, k, w.title)
	if w.id == "start" {
		fmt.Fprintf(c.errOut, "%s  %.3f s, %.0f MiB resident\n", line, r.Started, idle(r))
		return
	}
	fmt.Fprintf(c.errOut, "%s  %9.0f/s  p50 %.3f p99 %.3f ms  %.3f s/100k  %.0f MiB anonymous", line, r.Rate, p50(r), p99(r), cpu(r), anon(r))
	if r.Failed > 0 {
		fmt.Fprintf(c.errOut, "  FAILED %d %v", r.Failed, r.Codes)
	}
	fmt.Fprintln(c.errOut)
	if k == java && w.id == "64x1" && c.rate == 0 {
		c.rate = int(math.Round(r.Rate/200) * 100)
	}
}

// sample does one work on a server that runs.
func (c *comparison) sample(ctx context.Context, s *server, w work) (*result, error) {
	if w.id == "start" {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(2 * time.Second): // what idle means
		}
		u, err := bench.UsageOf(s.pid)
		return &result{Started: s.took.Seconds(), Idle: u}, err
	}
	if w.fill != nil && s.kind != limit {
		if err := c.work(ctx, s, w.fill); err != nil {
			return nil, err
		}
	}
	args := c.expand(w.args)
	args = append(args, "-b", s.addr, "-pid", strconv.Itoa(s.pid))
	if args[0] != "pull" {
		args = append(args, "-warmup", c.warmup.String())
	}
	r, err := bench.Measure(ctx, args, c.progress())
	if err != nil {
		return nil, err
	}
	if r.Count == 0 {
		return nil, errors.New(r.FirstErr)
	}
	return &result{Report: r}, nil
}

// expand fills in what a work leaves open.
func (c *comparison) expand(args []string) []string {
	var all []string
	for _, a := range args {
		a = strings.ReplaceAll(a, "{s}", fmt.Sprintf("%gs", c.seconds))
		all = append(all, strings.ReplaceAll(a, "{rate}", strconv.Itoa(c.rate)))
	}
	return all
}

// work does something that is not measured; failures are the business of the
// samples.
func (c *comparison) work(ctx context.Context, s *server, args []string) error {
	_, err := bench.Measure(ctx, append(append([]string{}, args...), "-b", s.addr), c.progress())
	return err
}

// warmUp lets the just-in-time compiler see the paths that are measured.
func (c *comparison) warmUp(ctx context.Context, s *server, sync bool) error {
	total := c.javaWarmup.Seconds()
	parts := []struct {
		share float64
		args  string
	}{{0.4, "send -c 64 -w 1"}, {0.3, "send -c 8 -w 256"}, {0.2, "pull -c 8"}, {0.1, "tail -rate 2000"}}
	if sync {
		total /= 2
		parts = parts[:2]
		parts[0].share, parts[1].share = 0.6, 0.4
	}
	for _, p := range parts {
		args := append(words(p.args), "-topic", "warm", "-d", fmt.Sprintf("%gs", total*p.share))
		if err := c.work(ctx, s, args); err != nil {
			return fmt.Errorf("warm-up: %w", err)
		}
	}
	return nil
}

// progress is where the client's progress lines go.
func (c *comparison) progress() io.Writer {
	if c.verbose {
		return c.errOut
	}
	return io.Discard
}

func words(s string) []string { return strings.Fields(s) }
