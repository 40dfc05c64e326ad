package suite

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

// childEnv carries what a child process is to consume.
const childEnv = "MERLIN_SUITE_CHILD"

type childSpec struct{ NameServer, Group, Topic, Instance string }

// Child is for programs that run the suite: in a process that the suite started
// to be killed it consumes until then and never returns; otherwise it returns
// at once.
func Child() {
	text := os.Getenv(childEnv)
	if text == "" {
		return
	}
	var spec childSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	quietClient()
	if err := spec.consume(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is gone
	os.Exit(0)
}

func (s childSpec) consume() error {
	c, err := rocketmq.NewPushConsumer(
		consumer.WithNameServer(primitive.NamesrvAddr{s.NameServer}),
		consumer.WithGroupName(s.Group),
		consumer.WithInstance(s.Instance),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	)
	if err != nil {
		return err
	}
	var mu sync.Mutex // keeps lines whole
	err = c.Subscribe(s.Topic, All, func(_ context.Context, ms ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range ms {
			fmt.Printf("%d %s\n", m.Queue.QueueId, m.Body)
		}
		return consumer.ConsumeSuccess, nil
	})
	if err != nil {
		return err
	}
	return c.Start()
}

// kid is a consumer in a process of its own.
type kid struct {
	cmd *exec.Cmd

	mu     sync.Mutex      // guards what follows
	bodies []string        // in order of arrival
	queues map[string]bool // ids of the queues that messages came from
}

// Child starts a push consumer of the group in another process, which Kill ends.
func (e *Env) Child(group, topic string) *kid {
	exe, err := os.Executable()
	e.NoError(err, "looking for this program")
	text, err := json.Marshal(childSpec{e.NameServer, group, topic, e.Name("i")})
	e.NoError(err, "describing the child")
	k := &kid{cmd: exec.Command(exe), queues: map[string]bool{}}
	k.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	k.cmd.Stderr = os.Stderr
	out, err := k.cmd.StdoutPipe()
	e.NoError(err, "a pipe")
	_, err = k.cmd.StdinPipe() // closed by the kernel when this process ends
	e.NoError(err, "a pipe")
	e.NoError(k.cmd.Start(), "starting the child")
	e.Cleanup(k.kill)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			queue, body, _ := strings.Cut(lines.Text(), " ")
			k.mu.Lock()
			k.bodies = append(k.bodies, body)
			k.queues[queue] = true
			k.mu.Unlock()
		}
	}()
	return k
}

func (k *kid) seen() (bodies []string, queues int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]string(nil), k.bodies...), len(k.queues)
}

// kill ends the child with SIGKILL: no goodbye to the broker.
func (k *kid) kill() {
	_ = k.cmd.Process.Kill()
	_ = k.cmd.Wait()
}
