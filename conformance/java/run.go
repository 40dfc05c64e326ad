package javaclients

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Case is one case of the program, as its source declares it. Disturbs is empty,
// or what it has happen to the servers.
type Case struct{ Name, Area, Promise, Disturbs string }

// declared finds the cases in the Java sources; the word Case.V5 marks those whose
// calls the client 4.9 has not got, another one what they do to the servers.
var declared = regexp.MustCompile(`new Case\("([^"]+)",\s*"([^"]+)",\s*"([^"]+)",\s*(?:Case\.(\w+),)?`)

// disturbances are the words for what cases do to the servers.
var disturbances = map[string]string{"BROKER_RESTART": "broker restart", "BROKER_KILL": "broker kill", "NAMESERVER_RESTART": "name server restart"}

// Cases lists the cases that the program has with a client version.
func Cases(version string) ([]Case, error) {
	var cases []Case
	err := fs.WalkDir(project, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".java") {
			return err
		}
		source, err := project.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(source), -1) {
			if m[4] != "V5" || version == V5 {
				cases = append(cases, Case{Name: m[1], Area: m[2], Promise: m[3], Disturbs: disturbances[m[4]]})
			}
		}
		return err
	})
	return cases, err
}

// Result is one line of the program's output.
type Result struct {
	Case    string `json:"case"`
	Area    string `json:"area"`
	Promise string `json:"promise"`
	Status  string `json:"status"` // pass or fail
	Reason  string `json:"reason"`
	Millis  int64  `json:"ms"`
}

// Options of Run; those are required that do not say otherwise.
type Options struct {
	// ClassPath is what Build returned.
	ClassPath string
	// NameServer is host:port.
	NameServer string
	// Cases are the names of those to run.
	Cases []string
	// ID is part of all names, "jconf-ID…"; it may be empty.
	ID string
	// Broker is the name of the broker set that topics are made on; empty is the
	// first by name.
	Broker string
	// Disturb makes happen what a case wants, a Case.Disturbs, and returns when it
	// has. It is required when Cases has one that disturbs.
	Disturb func(what string) error
	// Done is called as each case ends, one at a time; nil is nothing.
	Done func(Result)
}

// Run runs cases in a process of its own and returns when it has ended. When ctx
// ends the program removes its topics and groups and stops. The error says that
// it ended without a result of every case, with its last words.
func Run(ctx context.Context, o Options) error {
	home, err := os.MkdirTemp("", "merlin-java-clients-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	cmd := command(ctx, home, &o)
	var words lastWords
	cmd.Stderr = &words
	out, err := cmd.StdoutPipe()
	in, err2 := cmd.StdinPipe()
	if err = errors.Join(err, err2); err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("the Java program: %w", err)
	}
	missing := map[string]bool{}
	for _, name := range o.Cases {
		missing[name] = true
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r struct {
			Result
			Disturb string `json:"disturb"`
		}
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			continue
		}
		if r.Disturb != "" {
			answer := "ok"
			if err := o.Disturb(r.Disturb); err != nil {
				answer, _, _ = strings.Cut(err.Error(), "\n")
			}
			fmt.Fprintln(in, answer) // when it is gone, its output ends, too
			continue
		}
		if missing[r.Case] {
			delete(missing, r.Case)
			if o.Done != nil {
				o.Done(r.Result)
			}
		}
	}
	err = cmd.Wait()
	if len(missing) > 0 || err != nil {
		return errors.Join(fmt.Errorf("the Java program ended with %d cases missing:\n%s", len(missing), words.String()), err, ctx.Err())
	}
	return nil
}

// command makes the one of the program that runs the cases. home is a directory
// for the logs and offset files of the clients.
func command(ctx context.Context, home string, o *Options) *exec.Cmd {
	cmd := Program(ctx, o.ClassPath, home, "run", o.NameServer, strings.Join(o.Cases, ","), o.ID, o.Broker)
	// It stops by itself when it is asked to, and removes what it made.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	return cmd
}

// Program returns a command of the program: "run" with a name server and the
// names of cases, or one of those that play a part in a case. home is a directory
// for the logs and offset files of the clients.
func Program(ctx context.Context, classPath, home string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "java", append([]string{"-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
		"-Duser.home=" + home, "-Drocketmq.client.localOffsetStoreDir=" + filepath.Join(home, "offsets"),
		"-Drocketmq.client.logRoot=" + home, "-cp", classPath, "merlin.conformance.Main"}, args...)...)
}

// lastWords keeps the end of what a program wrote.
type lastWords struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

const wordsKept = 4000

func (w *lastWords) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b.Write(p)
	if n := w.b.Len() - wordsKept; n > 0 {
		w.b.Next(n)
	}
	return len(p), nil
}

func (w *lastWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}
