package route

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/merlinmq/merlin/protocol/body"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Readers never see a route in the middle of a registration: all brokers of a
// topic have the permission of one registration each, and the data of the answer
// stays as it is while registrations go on.
func TestRoute_SnapshotsUnderRegistration(t *testing.T) {
	table := New(Options{})
	table.Start()
	defer table.Shutdown()
	register := func(version int64) {
		w := &body.TopicConfigAndMappingSerializeWrapper{}
		w.DataVersion.Counter = version
		w.TopicConfigTable = map[string]body.TopicConfig{}
		for i := range 50 {
			c := body.NewTopicConfig(fmt.Sprint("T", i))
			c.ReadQueueNums, c.WriteQueueNums = int32(version), int32(version)
			w.TopicConfigTable[c.TopicName] = c
		}
		_, err := table.Register(Registration{Cluster: "C", Addr: fmt.Sprint("a", version%3), Name: fmt.Sprint("b", version%3), Topics: w})
		require.NoError(t, err)
	}
	register(3)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				select {
				case <-stop:
					return
				default:
				}
				d := table.Route("T7")
				if d == nil || len(d.QueueDatas) != len(d.BrokerDatas) {
					t.Error("a route without its brokers")
					return
				}
				for _, q := range d.QueueDatas {
					if q.ReadQueueNums != q.WriteQueueNums {
						t.Error("half of a registration")
						return
					}
				}
				d.BrokerDatas[0].BrokerAddrs[9] = "the reader's own"
				d.QueueDatas[0].Perm = 0
				table.Cluster()
				table.Topics(nil)
			}
		}()
	}
	for v := int64(4); v < 300; v++ {
		register(v)
		if v%10 == 0 {
			table.WipeWritePerm("b1")
			table.Unregister(Removal{Cluster: "C", Addr: "a2", Name: "b2"})
		}
	}
	close(stop)
	wg.Wait()
	for _, b := range table.Route("T7").BrokerDatas {
		require.NotContains(t, b.BrokerAddrs, int64(9))
	}
}

func BenchmarkRoute(b *testing.B) {
	table := New(Options{})
	w := &body.TopicConfigAndMappingSerializeWrapper{}
	w.TopicConfigTable = map[string]body.TopicConfig{}
	for i := range 1000 {
		c := body.NewTopicConfig(fmt.Sprint("T", i))
		w.TopicConfigTable[c.TopicName] = c
	}
	for i := range 8 {
		_, err := table.Register(Registration{Cluster: "C", Addr: fmt.Sprint("a", i), Name: fmt.Sprint("b", i), Topics: w})
		require.NoError(b, err)
	}
	b.ReportAllocs()
	for b.Loop() {
		data, err := body.MarshalStandard(table.Route("T500"))
		if err != nil || len(data) == 0 {
			b.Fatal(err)
		}
	}
}

// The work of a registration does not grow with the brokers that are there.
func TestRegister_IsLinear(t *testing.T) {
	table := New(Options{})
	w := &body.TopicConfigAndMappingSerializeWrapper{}
	w.TopicConfigTable = map[string]body.TopicConfig{}
	for i := range 20 {
		c := body.NewTopicConfig(fmt.Sprint("T", i))
		w.TopicConfigTable[c.TopicName] = c
	}
	allocated := func(from, to int) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := from; i < to; i++ {
			name := fmt.Sprint("b", i)
			_, err := table.Register(Registration{Cluster: "C", Addr: name, Name: name, Topics: w})
			require.NoError(t, err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	first, last := allocated(0, 500), uint64(0)
	for from := 500; from < 4000; from += 500 {
		last = max(last, allocated(from, from+500))
	}
	require.Less(t, last, 6*first, "bytes for 500 brokers: the first, and the most later ones")
	require.Len(t, table.Route("T7").QueueDatas, 4000)
}

// The work for a connection that is gone does not grow with the brokers, connections
// and topics that are there: 4,000 that close one by one, each with a broker and a
// topic of its own, cost about four times what 1,000 do.
func TestDisconnected_IsLinear(t *testing.T) {
	closing := func(n int) time.Duration {
		table := New(Options{QueueCapacity: 1})
		conns := make([]*fakeConn, n)
		for i := range conns {
			conns[i] = &fakeConn{}
			name := fmt.Sprint("b", i)
			w := &body.TopicConfigAndMappingSerializeWrapper{}
			w.TopicConfigTable = map[string]body.TopicConfig{}
			for _, topic := range []string{"T", "T" + name} {
				w.TopicConfigTable[topic] = body.NewTopicConfig(topic)
			}
			_, err := table.Register(Registration{Cluster: "C", Addr: name, Name: name, Topics: w, Conn: conns[i]})
			require.NoError(t, err)
		}
		began := time.Now()
		for _, c := range conns {
			table.Disconnected(c)
			table.Remove([]Removal{<-table.removals})
		}
		took := time.Since(began)
		require.Empty(t, table.live)
		require.Empty(t, table.byConn)
		require.Empty(t, table.byBroker)
		require.Empty(t, table.topics)
		require.Empty(t, table.brokers)
		require.Empty(t, table.clusters)
		return took
	}
	var few, many time.Duration
	for try := range 5 { // a busy machine may make some of the times longer
		f, m := closing(1000), closing(4000)
		if try == 0 || f < few {
			few = f
		}
		if try == 0 || m < many {
			many = m
		}
		if many < 8*few {
			return
		}
	}
	t.Fatalf("1,000 connections took %v to close, 4,000 took %v", few, many)
}
