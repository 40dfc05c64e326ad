package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	javaclients "github.com/merlinmq/merlin/conformance/java"
	"github.com/merlinmq/merlin/conformance/probe"
	"github.com/merlinmq/merlin/conformance/report"
)

// errDiffers is the outcome of a conformance run that found something, and
// errNothing that of one that says nothing about the cluster.
var (
	errDiffers = errors.New("conformance: there are failed cases or differences")
	errNothing = errors.New("conformance: nothing was tested: no case applied, or all were skipped")
)

// exitError ends the program with a code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// unusable is an error with the exit code of what could not be run at all.
func unusable(err error) error { return &exitError{2, err} }

// exitCode is the process's for an error of run.
func exitCode(err error) int {
	var e *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.code
	}
	return 1
}

const conformanceUsage = `merlin conformance: does a cluster keep the promises of the RocketMQ protocol?

  merlin conformance -preflight -n host:port
  merlin conformance -n host:port[;host:port] [-vs host:port] [flags]

-n is the cluster under test, -vs a reference to compare it with: what the
reference does is what is expected. Without -vs the answers on the wire are
compared with recorded ones of Java servers 5.3.3 where the broker says that it
speaks that version. Every broker set that has a master is tested.

-preflight only reads: it lists servers and versions, what a run would create and
what would not be tested, and changes nothing. Begin with it.

The cases make topics and groups of their own, named conf-…, jconf-… and wire-…,
on every broker, and remove them from all brokers and name servers, also from
those that only the brokers know, and when they are interrupted. What stays is
printed with how to remove it. Nothing is restarted and, without -own, no
configuration is changed, no broker is registered with the name server and no KV
namespace is made. What the cluster has turned off, or does not permit, is n/a
with the reason, not a failure. An answer of a server that says that it is Merlin,
and that differs from Java's as docs/DIFFERENCES.md has it, is "on purpose".

There are no credentials and no TLS yet: on a cluster that checks access keys
nearly everything is n/a, and one that speaks only TLS cannot be reached.

Exit code: 0 something was tested, and all of it passed or is otherwise on
purpose; 1 failed cases or differences, or the run was interrupted; 2 wrong usage
or a cluster that cannot be reached; 3 nothing was tested.

Flags:
`

// javaFlag is -java, -java=5.3.3 or -java 5.3.3.
type javaFlag struct{ versions []string }

func (*javaFlag) IsBoolFlag() bool { return true }
func (j *javaFlag) String() string { return strings.Join(j.versions, ",") }
func (j *javaFlag) Set(s string) error {
	switch s {
	case "true":
		j.versions = []string{javaclients.V5, javaclients.V4}
	case "false":
		j.versions = nil
	case javaclients.V5, javaclients.V4:
		j.versions = []string{s}
	default:
		return fmt.Errorf("there are cases for the clients %s and %s", javaclients.V5, javaclients.V4)
	}
	return nil
}

type conformanceOptions struct {
	nameServer, reference, pattern string
	java                           javaFlag
	wire, json, own, preflight     bool
	junit, html, brokerPattern     string
	match, brokers                 *regexp.Regexp
}

// parseConformance reads the flags; done says that there is nothing to run.
func parseConformance(args []string, errOut io.Writer) (o conformanceOptions, done bool, err error) {
	flags := flag.NewFlagSet("merlin conformance", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.StringVar(&o.nameServer, "n", "127.0.0.1:9876", "name server of the cluster under test, or several separated by semicolons")
	flags.StringVar(&o.reference, "vs", "", "name server of the reference, or several, whose answers are the expected ones")
	flags.BoolVar(&o.preflight, "preflight", false, "only read: list servers, what a run would create and what would not be tested")
	flags.StringVar(&o.brokerPattern, "brokers", "", "regular expression that the names of the brokers to test must match (default all)")
	flags.StringVar(&o.pattern, "run", "", "regular expression that case names must match")
	flags.Var(&o.java, "java", "run the cases of the Java clients, too: "+javaclients.V5+" and "+javaclients.V4+", or the version named;\nneeds a JDK (17) and Maven on this machine")
	flags.BoolVar(&o.wire, "wire", true, "run the cases that compare answers on the wire")
	flags.BoolVar(&o.own, "own", false, "nobody else uses the clusters: also run the wire cases that change their configuration,\nregister brokers with the name server, leave KV namespaces, or touch what others use")
	flags.BoolVar(&o.json, "json", false, "write the report as JSON instead of a table")
	flags.StringVar(&o.junit, "junit", "", "also write the report as JUnit XML to this `file`")
	flags.StringVar(&o.html, "html", "", "also write the report as a page of HTML to this `file`")
	flags.Usage = func() {
		fmt.Fprint(errOut, conformanceUsage)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return o, errors.Is(err, flag.ErrHelp), err
	}
	// A version as a word of its own ends the flags: take it and go on.
	if rest := flags.Args(); len(rest) > 0 && o.java.versions != nil && o.java.Set(rest[0]) == nil {
		if err := flags.Parse(rest[1:]); err != nil {
			return o, errors.Is(err, flag.ErrHelp), err
		}
	}
	if flags.NArg() > 0 {
		return o, false, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.match, err = regexp.Compile(o.pattern); err != nil {
		return o, false, fmt.Errorf("-run: %w", err)
	}
	if o.brokers, err = regexp.Compile(o.brokerPattern); err != nil {
		return o, false, fmt.Errorf("-brokers: %w", err)
	}
	if len(probe.NameServers(o.nameServer)) == 0 {
		return o, false, errors.New("-n: no name server is given")
	}
	return o, false, nil
}

// runConformance runs the suites against one cluster, or against two at the same
// time, and writes the report.
func runConformance(ctx context.Context, args []string, out, errOut io.Writer) error {
	o, done, err := parseConformance(args, errOut)
	if done {
		return nil
	}
	if err != nil {
		return unusable(err)
	}
	if o.preflight {
		return o.look(ctx, out)
	}
	classPaths := map[string]string{}
	for _, version := range o.java.versions {
		fmt.Fprintf(errOut, "building the cases of the Java client %s\n", version)
		if classPaths[version], err = javaclients.Build(ctx, version); err != nil {
			return unusable(fmt.Errorf("-java needs a JDK (17) and Maven on this machine: %w", err))
		}
	}
	r, err := o.collect(ctx, classPaths, errOut)
	if err != nil {
		return unusable(err)
	}
	if err := o.write(r, out); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("conformance: interrupted: %w", err)
	}
	switch r.Outcome() {
	case report.SomeFailed:
		return errDiffers
	case report.NothingTested:
		return &exitError{3, errNothing}
	}
	return nil
}

// look writes what a run would do, for both clusters, and changes nothing.
func (o *conformanceOptions) look(ctx context.Context, out io.Writer) error {
	ro := o.suites()
	for i, addr := range []string{o.nameServer, o.reference} {
		if addr == "" {
			continue
		}
		ro.NameServer = addr
		plan, err := report.Preflight(ctx, ro)
		if err != nil {
			return unusable(err)
		}
		if i > 0 {
			fmt.Fprintln(out)
		}
		if err := plan.Write(out); err != nil {
			return err
		}
	}
	return nil
}

// suites says what of the suites is to run.
func (o *conformanceOptions) suites() report.Options {
	ro := report.Options{Match: o.match, Brokers: o.brokers, Go: true, Wire: o.wire, Own: o.own, Java: map[string]string{}}
	for _, version := range o.java.versions {
		ro.Java[version] = ""
	}
	return ro
}

// collect runs the suites on both clusters.
func (o *conformanceOptions) collect(ctx context.Context, classPaths map[string]string, errOut io.Writer) (*report.Report, error) {
	addrs := []string{o.nameServer}
	if o.reference != "" {
		addrs = append(addrs, o.reference)
	}
	p := newProgress(errOut)
	columns, errs := make([]*report.Column, len(addrs)), make([]error, len(addrs))
	began := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	ro := o.suites()
	ro.Java, ro.Start = classPaths, p.expect
	for i, addr := range addrs {
		ro := ro
		ro.NameServer, ro.Done = addr, func(row report.Row) { p.done(addr, row) }
		wg.Go(func() {
			if columns[i], errs[i] = report.Run(ctx, ro); errs[i] != nil {
				cancel() // the other one would be compared with nothing
			}
		})
	}
	wg.Wait()
	p.end()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	r := &report.Report{Tested: columns[0], Began: began, Took: time.Since(began)}
	if len(columns[0].Rows) == 0 {
		return nil, fmt.Errorf("no case has a name that matches %q", o.pattern)
	}
	if o.reference != "" {
		r.Reference = columns[1]
	}
	return r, nil
}

// write writes the report to out and to the files that were asked for.
func (o *conformanceOptions) write(r *report.Report, out io.Writer) error {
	write := report.WriteText
	if o.json {
		write = report.WriteJSON
	}
	err := write(out, r)
	for _, f := range []struct {
		path  string
		write func(io.Writer, *report.Report) error
	}{{o.junit, report.WriteJUnit}, {o.html, report.WriteHTML}} {
		if f.path != "" {
			err = errors.Join(err, writeFile(f.path, r, f.write))
		}
	}
	return err
}

func writeFile(path string, r *report.Report, write func(io.Writer, *report.Report) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f, r), f.Close())
}

// progress shows how far a run is: a line that is rewritten on a terminal, else
// a line for each case.
type progress struct {
	out      io.Writer
	terminal bool

	mu                   sync.Mutex // guards what follows, keeps lines whole
	total, ended, failed int
}

func newProgress(out io.Writer) *progress {
	p := &progress{out: out}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// expect adds the rows of a cluster to those that there will be.
func (p *progress) expect(rows int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total += rows
}

func (p *progress) done(cluster string, row report.Row) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended++
	failed := row.Status == "fail"
	if failed {
		p.failed++
	}
	if !p.terminal {
		fmt.Fprintf(p.out, "%3d/%d  %s  %-4s  %-11s %-44s %6.1f s\n", p.ended, p.total, cluster, row.Status, row.Suite, row.Title(), row.Took.Seconds())
		return
	}
	if failed {
		fmt.Fprintf(p.out, "\r\x1b[Kfail  %s  %s %s\n", cluster, row.Suite, row.Title())
	}
	fmt.Fprintf(p.out, "\r\x1b[K%d of %d cases, %d failed; last %s %s", p.ended, p.total, p.failed, row.Suite, row.Title())
}

func (p *progress) end() {
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
