package suite

import (
	"context"
	"fmt"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"

	"github.com/merlinmq/merlin/conformance/probe"
)

func transactionCases() []Case {
	return []Case{
		{Name: "transaction-commit", Area: Transaction, Run: transactionCommit,
			Promise: "A committed transaction message is consumed once, with its content; a rolled back one never."},
		{Name: "transaction-check", Area: Transaction, Run: transactionCheck, Limit: 3 * time.Minute,
			Promise: "The broker asks the producer for the outcome of a transaction that it did not end, and acts on the answer."},
		{Name: "transaction-other-producer", Area: Transaction, Run: transactionOtherProducer, Limit: 3 * time.Minute,
			Promise: "When the producer of an open transaction was killed, another one of its group is asked, and its answer counts."},
	}
}

// verdicts answers for local transactions by the body of their message.
type verdicts struct {
	mu      sync.Mutex // guards checked
	checked []string

	local, check func(body string) primitive.LocalTransactionState
}

// asked returns the bodies of the messages that were asked about so far.
func (v *verdicts) asked() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]string(nil), v.checked...)
}

func (v *verdicts) ExecuteLocalTransaction(m *primitive.Message) primitive.LocalTransactionState {
	return v.local(string(m.Body))
}

func (v *verdicts) CheckLocalTransaction(m *primitive.MessageExt) primitive.LocalTransactionState {
	v.mu.Lock()
	v.checked = append(v.checked, string(m.Body))
	v.mu.Unlock()
	return v.check(string(m.Body))
}

func (e *Env) transactional(v *verdicts) rocketmq.TransactionProducer {
	return e.transactionalIn(e.Name("p"), v)
}

func (e *Env) transactionalIn(group string, v *verdicts) rocketmq.TransactionProducer {
	p, err := rocketmq.NewTransactionProducer(v,
		producer.WithNameServer(probe.NameServers(e.NameServer)),
		producer.WithGroupName(group),
		producer.WithInstanceName(e.Name("i")),
	)
	e.NoError(err, "making a transaction producer")
	e.NoError(p.Start(), "starting a transaction producer")
	e.Cleanup(func() { _ = p.Shutdown() })
	return p
}

func byFirstLetter(body string) primitive.LocalTransactionState {
	switch body[0] {
	case 'c':
		return primitive.CommitMessageState
	case 'r':
		return primitive.RollbackMessageState
	}
	return primitive.UnknowState
}

func transactionCommit(ctx context.Context, e *Env) {
	topic := e.Topic(2)
	v := &verdicts{local: byFirstLetter, check: byFirstLetter}
	p := e.transactional(v)
	box := e.Push(e.Group(), topic, tag("t"), Accept)
	var want []string
	for i := range 10 {
		body := fmt.Sprintf("%cXX %d", "cr"[i%2], i)
		m := primitive.NewMessage(topic, []byte(body)).WithTag("t")
		m.WithProperty("mine", "wert")
		res, err := p.SendMessageInTransaction(ctx, m)
		e.NoError(err, "sending %s", body)
		e.Equal(byFirstLetter(body), res.State, "local state")
		if body[0] == 'c' {
			want = append(want, body)
		}
	}
	e.AwaitBodies(want, box)
	e.Steady(2*time.Second, "a rolled back message or one too many", func() (bool, string) {
		return len(box.Messages()) == len(want), difference(want, box.Bodies())
	})
	for _, m := range box.Messages() {
		e.Equal("wert", m.GetProperty("mine"), "property")
		e.Equal(topic, m.Topic, "topic")
	}
}

func transactionCheck(ctx context.Context, e *Env) {
	topic := e.Topic(1)
	unknown := func(string) primitive.LocalTransactionState { return primitive.UnknowState }
	v := &verdicts{local: unknown, check: byFirstLetter}
	p := e.transactional(v)
	box := e.Push(e.Group(), topic, All, Accept)
	for _, body := range []string{"commit me", "roll me back"} {
		_, err := p.SendMessageInTransaction(ctx, primitive.NewMessage(topic, []byte(body)))
		e.NoError(err, "sending %s", body)
	}
	e.AwaitBodies([]string{"commit me"}, box)
	e.Eventually("both were asked for", func() (bool, string) {
		asked := v.asked()
		return contains(asked, "commit me") && contains(asked, "roll me back"), fmt.Sprint(asked)
	})
	e.Steady(2*time.Second, "the rolled back message came", func() (bool, string) {
		return len(box.Messages()) == 1, fmt.Sprint(box.Bodies())
	})
}

func transactionOtherProducer(ctx context.Context, e *Env) {
	topic, group := e.Topic(1), e.Name("p")
	k := e.Child("prepare", group, topic)
	e.Eventually("two half messages of the child", func() (bool, string) {
		sent, _ := k.seen()
		return len(sent) == 2, fmt.Sprint(sent)
	})
	k.kill()
	v := &verdicts{local: byFirstLetter, check: byFirstLetter}
	other := e.transactionalIn(group, v)
	// A client tells the broker its groups when it knows a broker: with its first message.
	_, err := other.SendMessageInTransaction(ctx, primitive.NewMessage(topic, []byte("roll back mine")))
	e.NoError(err, "sending as the other producer")
	box := e.Push(e.Group(), topic, All, Accept)
	e.AwaitBodies([]string{"commit me"}, box)
	e.Eventually("both were asked for", func() (bool, string) {
		asked := v.asked()
		return contains(asked, "commit me") && contains(asked, "roll me back"), fmt.Sprint(asked)
	})
	e.Steady(2*time.Second, "the rolled back message came", func() (bool, string) {
		return len(box.Messages()) == 1, fmt.Sprint(box.Bodies())
	})
}
