package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// names is a set of name servers that writes down what it is asked.
type names struct {
	mu    sync.Mutex
	calls []string
	fail  map[string]bool
	order string                   // topic that the answer of a registration marks as ordered
	hang  map[string]chan struct{} // calls to the address wait until it is closed or the call is given up
	sent  []body.DataVersion       // of registrations
	head  []byte                   // of the last registration, as it is sent
}

func (n *names) Invoke(ctx context.Context, addr string, o *wire.Outgoing, b []byte) (*wire.Command, error) {
	n.mu.Lock()
	hang := n.hang[addr]
	n.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	line := fmt.Sprintf("%s %d", addr, o.Code)
	if protocol.Code(o.Code) == protocol.RegisterBroker.Code {
		var rb body.RegisterBrokerBody
		if err := body.Unmarshal(b, &rb); err != nil {
			return nil, err
		}
		n.head = wire.AppendHead(nil, o, len(b))
		n.sent = append(n.sent, rb.TopicConfigSerializeWrapper.DataVersion)
		line += fmt.Sprintf(" %d topics", len(rb.TopicConfigSerializeWrapper.TopicConfigTable))
		if c, ok := rb.TopicConfigSerializeWrapper.TopicConfigTable["T"]; ok {
			line += fmt.Sprintf(" T=%d", c.Perm)
		}
	}
	n.calls = append(n.calls, line)
	if n.fail[addr] {
		return nil, errors.New("connection refused")
	}
	answer := &wire.Command{Flag: wire.FlagResponse}
	if n.order != "" {
		answer.Body = []byte(`{"table":{"` + n.order + `":"b:4"}}`)
	}
	return answer, nil
}

func (n *names) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.calls
	n.calls = nil
	slices.Sort(out)
	return out
}

type rig struct {
	*Registrar
	names  *names
	clock  *clock.Manual
	topics *topic.Table
	config *config.Holder
}

func newRig(t *testing.T, conf string) *rig {
	cfg, _, err := config.Parse([]byte("brokerName=b\nbrokerClusterName=C\nnamesrvAddr=n1:9876;n2:9876\nautoCreateTopicEnable=false\n"+conf), "test.conf")
	require.NoError(t, err)
	r := &rig{names: &names{}, clock: clock.NewManual(time.UnixMilli(1000)), config: config.NewHolder(cfg, config.HolderOptions{})}
	r.topics, err = topic.Load(topic.Options{
		Files: configfile.NewMemory(), Path: "topics.json", Now: r.clock.NowMillis,
		Config:  func() topic.Config { return topic.Config{ClusterName: "C", BrokerName: "b", ReviveQueues: 1} },
		Changed: func(c body.TopicConfig) { r.Changed(c.TopicName) },
	})
	require.NoError(t, err)
	r.Registrar = New(Options{Client: r.names, Config: r.config, Topics: r.topics, Clock: r.clock, Addr: "127.0.0.1:10911"})
	return r
}

func (r *rig) begin(t *testing.T) {
	r.Start()
	t.Cleanup(r.Shutdown)
	r.names.take()
	require.Eventually(t, func() bool { return r.clock.Waiters() == 1 }, 5*time.Second, time.Millisecond)
}

func (r *rig) soon(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	require.Eventually(t, func() bool {
		got = append(got, r.names.take()...)
		return len(got) >= len(want)
	}, 5*time.Second, time.Millisecond, "%v", want)
	slices.Sort(got)
	require.Equal(t, want, got)
}

func TestStart_RegistersEverywhere(t *testing.T) {
	r := newRig(t, "")
	r.names.fail = map[string]bool{"n1:9876": true}
	r.Start()
	all, _ := r.topics.All()
	n := len(all)
	require.Equal(t, []string{fmt.Sprintf("n1:9876 103 %d topics", n), fmt.Sprintf("n2:9876 103 %d topics", n)}, r.names.take(),
		"a name server that is down does not keep the other from being told")
	require.Eventually(t, func() bool { return r.clock.Waiters() == 1 }, 5*time.Second, time.Millisecond)
	r.clock.Advance(10 * time.Second)
	r.soon(t, fmt.Sprintf("n1:9876 103 %d topics", n), fmt.Sprintf("n2:9876 103 %d topics", n))
	require.Eventually(t, func() bool { return r.clock.Waiters() == 1 }, 5*time.Second, time.Millisecond)
	r.clock.Advance(30 * time.Second)
	r.soon(t, fmt.Sprintf("n1:9876 103 %d topics", n), fmt.Sprintf("n2:9876 103 %d topics", n))
	r.Shutdown()
	require.Equal(t, []string{"n1:9876 104", "n2:9876 104"}, r.names.take())
}

// Java wants the field (CFNotNull), and a slave would copy the log of whoever listens
// on the address that stands in it.
func TestStart_TellsNoAddressForSlaves(t *testing.T) {
	r := newRig(t, "brokerIP2=127.0.0.1\nhaListenPort=10912")
	r.begin(t)
	require.Contains(t, string(r.names.head), `"haServerAddr":""`)
	require.NotContains(t, string(r.names.head), "10912")
}

func TestChanged_IsToldAtOnceAndAlone(t *testing.T) {
	r := newRig(t, "")
	r.begin(t)
	require.NoError(t, r.topics.Put(body.NewTopicConfig("T")))
	r.soon(t, "n1:9876 103 1 topics T=6", "n2:9876 103 1 topics T=6")
}

func TestChanged_SingleTopicRegister(t *testing.T) {
	r := newRig(t, "enableSingleTopicRegister=true")
	r.begin(t)
	require.NoError(t, r.topics.Put(body.NewTopicConfig("T")))
	r.soon(t, "n1:9876 217", "n2:9876 217")
}

func TestRegister_InPieces(t *testing.T) {
	r := newRig(t, "enableSplitRegistration=true\nsplitRegistrationSize=4\nnamesrvAddr=n1:9876")
	r.Start()
	defer r.Shutdown()
	all, _ := r.topics.All()
	require.Len(t, r.names.take(), (len(all)+3)/4)
}

func TestRegister_BrokerPermissionMasksTopics(t *testing.T) {
	r := newRig(t, "brokerPermission=4")
	require.NoError(t, r.topics.Put(body.NewTopicConfig("T")))
	r.begin(t)
	r.All()
	var got []string
	require.Eventually(t, func() bool { got = append(got, r.names.take()...); return len(got) >= 2 }, 5*time.Second, time.Millisecond)
	require.Contains(t, got[0], " T=4")
}

func TestRegister_MarksOrderedTopics(t *testing.T) {
	r := newRig(t, "")
	r.names.order = "T"
	require.NoError(t, r.topics.Put(body.NewTopicConfig("T")))
	r.begin(t)
	require.True(t, r.topics.Find("T").Order)
}

func TestPeriodic_AsksFirstWithoutForceRegister(t *testing.T) {
	r := newRig(t, "forceRegister=false")
	r.begin(t)
	r.clock.Advance(10 * time.Second)
	all, _ := r.topics.All()
	// The answers say nothing of "changed", which counts as a change.
	r.soon(t, fmt.Sprintf("n1:9876 103 %d topics", len(all)), "n1:9876 322", fmt.Sprintf("n2:9876 103 %d topics", len(all)), "n2:9876 322")
}

// hang makes a name server answer nothing until the returned function is called.
func (r *rig) hang(addr string) (release func()) {
	c := make(chan struct{})
	r.names.mu.Lock()
	defer r.names.mu.Unlock()
	if r.names.hang == nil {
		r.names.hang = map[string]chan struct{}{}
	}
	r.names.hang[addr] = c
	return func() {
		r.names.mu.Lock()
		delete(r.names.hang, addr)
		r.names.mu.Unlock()
		close(c)
	}
}

// told is closed when Told calls back.
func (r *rig) told() chan struct{} {
	c := make(chan struct{})
	r.Told(func() { close(c) })
	return c
}

func closed(c chan struct{}) func() bool {
	return func() bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
}

// put makes or changes a topic.
func (r *rig) put(t *testing.T, name string) {
	t.Helper()
	require.NoError(t, r.topics.Put(body.NewTopicConfig(name)))
}

// BrokerOuterAPI.registerBrokerAll: who made a topic goes on when it is registered.
func TestTold_ComesAfterTheRegistration(t *testing.T) {
	r := newRig(t, "namesrvAddr=n1:9876")
	r.begin(t)
	require.True(t, closed(r.told())(), "nothing to wait for")
	release := r.hang("n1:9876")
	r.put(t, "T")
	c := r.told()
	r.clock.Advance(time.Second)
	require.False(t, closed(c)())
	require.Empty(t, r.names.take())
	release()
	require.Eventually(t, closed(c), 5*time.Second, time.Millisecond)
	require.Equal(t, []string{"n1:9876 103 1 topics T=6"}, r.names.take())
}

func TestTold_AHungNameServerDelaysNobody(t *testing.T) {
	r := newRig(t, "")
	r.begin(t)
	release := r.hang("n1:9876")
	r.put(t, "T")
	first := r.told()
	r.soon(t, "n2:9876 103 1 topics T=6")
	require.Never(t, closed(first), 20*time.Millisecond, time.Millisecond, "the other may still be in time")
	require.Eventually(t, func() bool { r.clock.Advance(grace); return closed(first)() }, 5*time.Second, time.Millisecond)
	for i := range 3 { // without any time
		r.put(t, fmt.Sprint("more", i))
		require.Eventually(t, closed(r.told()), 5*time.Second, time.Millisecond)
	}
	r.names.take()
	release()
	r.soon(t, "n1:9876 103 1 topics T=6", "n1:9876 103 3 topics")
	require.Eventually(t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return !r.workers["n1:9876"].late
	}, 5*time.Second, time.Millisecond, "it is waited for again")
}

func TestTold_WaitsNoLongerThanTheTimeout(t *testing.T) {
	r := newRig(t, "namesrvAddr=n1:9876\nregisterBrokerTimeoutMills=3000")
	r.begin(t)
	defer r.hang("n1:9876")()
	r.put(t, "T")
	c := r.told()
	require.Never(t, func() bool { r.clock.Advance(time.Millisecond); return closed(c)() }, 20*time.Millisecond, time.Millisecond)
	require.Eventually(t, func() bool { r.clock.Advance(3 * time.Second); return closed(c)() }, 5*time.Second, time.Millisecond)
}

func TestTold_AllFailed(t *testing.T) {
	r := newRig(t, "")
	r.begin(t)
	r.names.mu.Lock()
	r.names.fail = map[string]bool{"n1:9876": true, "n2:9876": true}
	r.names.mu.Unlock()
	r.put(t, "T")
	require.Eventually(t, closed(r.told()), 5*time.Second, time.Millisecond)
	r.names.mu.Lock()
	r.names.fail = nil
	r.names.mu.Unlock()
	r.names.take()
	r.put(t, "U")
	r.soon(t, "n1:9876 103 2 topics T=6", "n2:9876 103 2 topics T=6") // with what failed before
}

func TestTold_ShutdownCallsWhoWaits(t *testing.T) {
	r := newRig(t, "namesrvAddr=n1:9876")
	r.Start()
	defer r.hang("n1:9876")()
	r.put(t, "T")
	c := r.told()
	r.names.mu.Lock()
	r.names.hang = nil // the call that waits is given up, the last one may go through
	r.names.mu.Unlock()
	r.Shutdown()
	require.True(t, closed(c)())
	require.True(t, closed(r.told())(), "afterwards nobody waits")
}

func TestChanged_ManyGoTogether(t *testing.T) {
	r := newRig(t, "namesrvAddr=n1:9876")
	r.begin(t)
	release := r.hang("n1:9876")
	r.put(t, "T") // its call hangs
	require.Eventually(t, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.workers["n1:9876"].todo.names) == 0 }, 5*time.Second, time.Millisecond)
	for i := range 100 {
		r.put(t, fmt.Sprint("t", i))
	}
	release()
	r.soon(t, "n1:9876 103 1 topics T=6", "n1:9876 103 100 topics")
}

// RouteInfoManager takes a registration whose data version it knows for old news:
// a change must never go out with a version that went out without it.
func TestChanged_NeverWithAVersionThatIsOld(t *testing.T) {
	r := newRig(t, "namesrvAddr=n1:9876")
	r.begin(t)
	r.names.mu.Lock()
	r.names.sent = nil
	r.names.mu.Unlock()
	for range 3 { // the same version of the table, as when two changes meet
		r.Changed("SELF_TEST_TOPIC")
		require.Eventually(t, closed(r.told()), 5*time.Second, time.Millisecond)
	}
	r.names.mu.Lock()
	defer r.names.mu.Unlock()
	require.Len(t, r.names.sent, 3)
	require.NotEqual(t, r.names.sent[0], r.names.sent[1])
	require.NotEqual(t, r.names.sent[1], r.names.sent[2])
}

func TestNameServers_ChangeWhileItRuns(t *testing.T) {
	r := newRig(t, "namesrvAddr=n1:9876")
	r.begin(t)
	addrs := []string{"n2:9876"}
	r.mu.Lock()
	r.matchLocked(addrs)
	_, old := r.workers["n1:9876"]
	r.mu.Unlock()
	require.False(t, old)
	all, _ := r.topics.All()
	r.soon(t, fmt.Sprintf("n2:9876 103 %d topics", len(all)))
}
