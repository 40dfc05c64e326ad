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
	"github.com/apache/rocketmq-client-go/v2/producer"

	"github.com/merlinmq/merlin/conformance/probe"
)

// childEnv carries what a child process is to consume.
const childEnv = "MERLIN_SUITE_CHILD"

// childSpec says what a child does. Work is a key of childWork.
type childSpec struct{ Work, NameServer, Group, Topic, Instance string }

// childWork is what children can do; each starts it and returns.
func childWork() map[string]func(childSpec) error {
	return map[string]func(childSpec) error{
		"consume": childSpec.consume,
		"prepare": childSpec.prepare,
		"trace":   childSpec.trace,
	}
}

// Child is for programs that run the suite: in a process that the suite started
// it works until it is killed or the suite is gone and never returns; otherwise
// it returns at once.
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
	if err := childWork()[spec.Work](spec); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is gone
	os.Exit(0)
}

// prepare sends half messages whose outcome it never tells.
func (s childSpec) prepare() error {
	unknown := func(string) primitive.LocalTransactionState { return primitive.UnknowState }
	p, err := rocketmq.NewTransactionProducer(&verdicts{local: unknown, check: unknown},
		producer.WithNameServer(probe.NameServers(s.NameServer)), producer.WithGroupName(s.Group), producer.WithInstanceName(s.Instance))
	if err != nil {
		return err
	}
	if err := p.Start(); err != nil {
		return err
	}
	for _, body := range []string{"commit me", "roll me back"} {
		if _, err := p.SendMessageInTransaction(context.Background(), primitive.NewMessage(s.Topic, []byte(body))); err != nil {
			return err
		}
		fmt.Printf("0 %s\n", body)
	}
	return nil
}

// consume prints what it gets.
func (s childSpec) consume() error {
	c, err := rocketmq.NewPushConsumer(
		consumer.WithNameServer(probe.NameServers(s.NameServer)),
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

// kid is a client in a process of its own. It prints a line for each message:
// its queue and its body.
type kid struct {
	cmd *exec.Cmd

	mu     sync.Mutex      // guards what follows
	bodies []string        // in order of arrival
	queues map[string]bool // ids of the queues that messages came from
}

// Child starts a client in another process, which kill ends.
func (e *Env) Child(work, group, topic string) *kid {
	exe, err := os.Executable()
	e.NoError(err, "looking for this program")
	text, err := json.Marshal(childSpec{work, e.NameServer, group, topic, e.Name("i")})
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
