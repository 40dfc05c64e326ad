package brokertest

import (
	"context"
	"sync"
	"testing"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
	"github.com/stretchr/testify/require"
)

func resolver(c *Cluster) primitive.NsResolver {
	return primitive.NewPassthroughResolver([]string{c.NameServer})
}

// client skips where the race detector would find the races of the Go client; the
// test runs without it too.
func client(t *testing.T) {
	t.Helper()
	if raceEnabled {
		t.Skip("the Go client has data races of its own")
	}
}

func send(t testing.TB, c *Cluster, topic, body string) {
	rlog.SetLogLevel("fatal")
	p, err := rocketmq.NewProducer(producer.WithNsResolver(resolver(c)), producer.WithGroupName("P"), producer.WithInstanceName(c.Broker))
	require.NoError(t, err)
	require.NoError(t, p.Start())
	defer p.Shutdown()
	res, err := p.SendSync(context.Background(), primitive.NewMessage(topic, []byte(body)))
	require.NoError(t, err)
	require.Equal(t, primitive.SendOK, res.Status)
}

func receive(t testing.TB, c *Cluster, topic string, want int) []string {
	pc, err := rocketmq.NewPushConsumer(consumer.WithNsResolver(resolver(c)), consumer.WithGroupName("C"),
		consumer.WithInstance(c.Broker), consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
	require.NoError(t, err)
	var mu sync.Mutex
	var got []string
	require.NoError(t, pc.Subscribe(topic, consumer.MessageSelector{}, func(_ context.Context, ms ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range ms {
			got = append(got, string(m.Body))
		}
		return consumer.ConsumeSuccess, nil
	}))
	require.NoError(t, pc.Start())
	defer pc.Shutdown()
	require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(got) >= want }, 30*time.Second, 10*time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	return got
}

func TestStart_AClientSendsAndReceivesOverARestart(t *testing.T) {
	client(t)
	c := Start(t, "brokerName=b-of-the-test")
	send(t, c, "T", "before")
	require.NoError(t, c.RestartBroker())
	send(t, c, "T", "after")
	require.ElementsMatch(t, []string{"before", "after"}, receive(t, c, "T", 2))
}

func TestStart_SideBySide(t *testing.T) {
	client(t)
	a, b := Start(t), Start(t)
	require.NotEqual(t, a.Broker, b.Broker)
	send(t, a, "T", "to a")
	send(t, b, "T", "to b")
	require.Equal(t, []string{"to b"}, receive(t, b, "T", 1))
}

func TestStart_ABadSettingIsAnError(t *testing.T) {
	_, err := Open(t.TempDir(), "listenPort")
	require.ErrorContains(t, err, `"listenPort" is not key=value`)
	_, err = Open(t.TempDir(), "flushDiskType=SOMETIMES")
	require.ErrorContains(t, err, "flushDiskType")
}

// BenchmarkStart is how long a test waits for its broker.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		c, err := Open(b.TempDir())
		require.NoError(b, err)
		b.StopTimer()
		require.NoError(b, c.Close())
		b.StartTimer()
	}
}
