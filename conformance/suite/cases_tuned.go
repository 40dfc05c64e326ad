package suite

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/apache/rocketmq-client-go/v2/primitive"

	"github.com/merlinmq/merlin/conformance/probe"
)

// Tuning are the broker settings that TunedCases need: a transaction is given up
// after seconds, the system's trace topic exists, and a reset of offsets is
// passed to the consumers (220) and not made by the broker alone. Removals of half
// messages are written more often than Java asks: it asks again about what is
// not removed yet.
func Tuning() map[string]string {
	return map[string]string{"transactionCheckInterval": "2500", "transactionTimeOut": "1000", "transactionCheckMax": "3",
		"transactionOpBatchInterval": "300",
		"traceTopicEnable":           "true", "useServerSideResetOffset": "false"}
}

// TunedCases returns the cases for a broker with the settings of Tuning. Cases
// of Cases that depend on them are among them, too.
func TunedCases() []Case {
	cases := []Case{
		{Name: "transaction-limit", Area: Transaction, Run: transactionLimit,
			Promise: "A transaction whose outcome stays unknown is asked about as often as the broker is set to, and then never seen by a consumer."},
		{Name: "trace-system-topic", Area: Send, Run: traceSystemTopic,
			Promise: "Traces arrive in RMQ_SYS_TRACE_TOPIC when the broker has it."},
	}
	for _, c := range Cases() {
		switch c.Name {
		case "offset-reset-back", "offset-reset-forward":
			cases = append(cases, c)
		}
	}
	return cases
}

// givenUp is where half messages end that were asked about too often.
const givenUp = "TRANS_CHECK_MAX_TIME_TOPIC"

func transactionLimit(ctx context.Context, e *Env) {
	const most = 3 // transactionCheckMax
	topic, group := e.Topic(1), e.Name("p")
	state := byFirstLetter // of "commit" and "nobody knows"
	v := &verdicts{local: state, check: state}
	p := e.transactionalIn(group, v)
	box := e.Push(e.Group(), topic, All, Accept)
	send := func(body string) {
		_, err := p.SendMessageInTransaction(ctx, primitive.NewMessage(topic, []byte(body)))
		e.NoError(err, "sending %s", body)
	}
	// A client tells a broker its groups when it knows the broker, at its next
	// heartbeat; questions before that go nowhere and count.
	send("commit")
	e.Eventually("the producer at the broker", func() (bool, string) {
		_, err := probe.Call(ctx, e.Broker, probe.ProducersOfGroup, map[string]string{"producerGroup": group}, nil)
		return err == nil, fmt.Sprint(err)
	})
	before, _ := probe.End(ctx, e.Broker, givenUp, 0) // the first one makes the topic
	send("nobody knows")
	asked := func() (n int) {
		for _, body := range v.asked() {
			if body == "nobody knows" {
				n++
			}
		}
		return n
	}
	e.Eventually("the message in "+givenUp, func() (bool, string) {
		n, err := probe.End(ctx, e.Broker, givenUp, 0)
		return err == nil && n > before, fmt.Sprintf("end %d, error %v, asked %d times", n, err, asked())
	})
	e.Equal(most, asked(), "times that the producer was asked")
	e.Steady(6*time.Second, "asked again or delivered", func() (bool, string) {
		bodies := box.Bodies()
		return asked() == most && slices.Contains(bodies, "commit") && !slices.Contains(bodies, "nobody knows"), fmt.Sprint(v.asked(), bodies)
	})
}
