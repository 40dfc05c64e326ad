package hostile

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/cluster"
	"github.com/merlinmq/merlin/conformance/probe"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

var (
	attackTime = flag.Duration("attack", time.Second, "how long each attack lasts; 0 leaves them out")
	only       = flag.String("only", "", "run only attacks whose name contains this")
)

// memoryLimit is what a server under attack may have; goLimit is told to it, as an
// operator would in a container of that size.
const (
	memoryLimit = 512 << 20
	goLimit     = "340MiB"
)

// raid is one kind of attack: conns connections, each of which sends what frames
// gives, again and again, and comes back when it is thrown out.
type raid struct {
	name  string
	conns int
	// frames gives what connection i sends in its n-th turn; nil means that it
	// waits from then on.
	frames func(i, n int) []byte
	reads  bool // it takes the answers
	again  bool // it closes after each turn
	names  bool // against the name server, too
}

// packet encodes a request.
func packet(code protocol.Code, flags int32, h wire.FieldEncoder, body []byte, ext ...wire.Field) []byte {
	o := wire.Outgoing{Code: int32(code), Opaque: 1, Flag: flags, Header: h, Ext: ext, Version: 479}
	return append(wire.AppendHead(nil, &o, len(body)), body...)
}

// attack runs a raid until ctx is done and gives how often it was thrown out.
func (r *raid) attack(ctx context.Context, addr string) int64 {
	var wg sync.WaitGroup
	var ended atomic.Int64
	for i := range r.conns {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if r.connection(ctx, addr, i) != nil {
					ended.Add(1)
				}
				if !r.again && !pause(ctx.Done(), 50*time.Millisecond) {
					return
				}
			}
		})
	}
	wg.Wait()
	return ended.Load()
}

// connection is the life of one connection.
func (r *raid) connection(ctx context.Context, addr string, i int) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	if r.reads {
		go func() { _, _ = io.Copy(io.Discard, c) }()
	}
	for n := 0; ctx.Err() == nil; n++ {
		b := r.frames(i, n)
		if b == nil {
			return trickle(c, ctx.Done())
		}
		if err := write(c, b); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if r.again {
			return nil
		}
	}
	return nil
}

// guard puts a process into a control group of memoryLimit, where that is
// possible; elsewhere the peak alone is looked at.
func guard(t *testing.T, pids ...int) {
	dir := filepath.Join("/sys/fs/cgroup/memory", fmt.Sprintf("merlin-hostile-%d", os.Getpid()))
	if os.Mkdir(dir, 0o755) != nil {
		t.Log("no control group: the memory of the servers is watched only")
		return
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	for i, pid := range pids {
		own := filepath.Join(dir, strconv.Itoa(i))
		require.NoError(t, os.Mkdir(own, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(own, "memory.limit_in_bytes"), []byte(strconv.Itoa(memoryLimit)), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(own, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o600))
		t.Cleanup(func() { _ = os.Remove(own) })
	}
}

// runs reports whether a process is there and not over: one that its control group
// has ended is a zombie until somebody asks for it.
func runs(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// watch looks at the memory of processes until it is told to stop, and gives the
// most of each. It calls dead when one of them is over.
func watch(t *testing.T, stop <-chan struct{}, dead func(), pids ...int) <-chan []int64 {
	out := make(chan []int64, 1)
	go func() {
		most := make([]int64, len(pids))
		for pause(stop, 20*time.Millisecond) {
			for i, pid := range pids {
				if !runs(pid) {
					dead()
					continue
				}
				most[i] = max(most[i], anonymous(t, pid))
			}
		}
		out <- most
	}()
	return out
}

// TestAttacks_NobodyIsDisturbed: each attack, one after the other, against a
// server that has 512 MiB, beside 64 honest senders and a client that asks the
// name server. No honest request fails, nothing is killed or restarted, and memory
// stays below the limit. scripts/hostile gives each attack more time.
func TestAttacks_NobodyIsDisturbed(t *testing.T) {
	if *attackTime == 0 || testing.Short() {
		t.Skip("the attacks are left out")
	}
	t.Setenv("GOMEMLIMIT", goLimit)
	c := cluster.Merlin().StartT(t, cluster.Options{})
	broker, _ := c.BrokerProcess()
	names, _ := c.NameServerProcess()
	guard(t, broker, names)
	stored := prepareStore(t, c.BrokerAddr())
	s := startSenders(t, c.BrokerAddr())
	asked := startAsking(c.NameServer())
	s.rate(500 * time.Millisecond) // warm
	alone := s.rate(time.Second)
	var worst int64
	fmt.Printf("%-28s %-11s %6s %8s %10s %14s %7s %6s %16s\n", "attack", "at the", "conns", "thrown", "undisturbed",
		"beside (msg/s)", "normal", "failed", "RSS highest, MiB")
	for _, r := range raids(t, stored) {
		if !strings.Contains(r.name, *only) {
			continue
		}
		addr, what := c.BrokerAddr(), "broker"
		if r.names {
			addr, what = c.NameServer(), "name server"
		}
		stop := make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), *attackTime)
		peak := watch(t, stop, cancel, broker, names)
		thrown := make(chan int64, 1)
		go func() { thrown <- r.attack(ctx, addr) }()
		beside := s.rateUntil(ctx)
		n := <-thrown
		cancel()
		require.True(t, runs(broker), "the broker was ended in %s", r.name)
		require.True(t, runs(names), "the name server was ended in %s", r.name)
		recovered := s.recover(alone, func() bool { return runs(broker) && runs(names) })
		close(stop)
		most := <-peak
		worst = max(worst, most[0], most[1])
		failed := 0
		if s.failed.Load() != nil {
			failed = 1
		}
		fmt.Printf("%-28s %-11s %6d %8d %11.0f %8.0f (%3.0f%%) %4d ms %6d %7d and %4d\n",
			r.name, what, r.conns, n, alone, beside, 100*beside/alone, recovered.Milliseconds(), failed, most[0]>>20, most[1]>>20)
		require.True(t, runs(broker), "the broker was ended after %s", r.name)
		require.True(t, runs(names), "the name server was ended after %s", r.name)
		if err := s.failed.Load(); err != nil {
			require.NoError(t, *err, "an honest send failed beside %s", r.name)
		}
		require.NoError(t, asked.err(), "an honest request to the name server failed beside %s", r.name)
		require.Less(t, max(most[0], most[1]), int64(memoryLimit), "memory after %s", r.name)
	}
	require.NoError(t, s.halt(), "no sender fails")
	require.NoError(t, asked.halt())
	require.NotContains(t, c.Logs(), "panic")
	fmt.Printf("%d messages were sent beside the attacks, failed 0; highest memory %d MiB of %d\n", s.stored.Load(), worst>>20, memoryLimit>>20)
}

// asking asks a name server for a route again and again.
type asking struct {
	stop chan struct{}
	wg   sync.WaitGroup
	fail atomic.Pointer[error]
}

func startAsking(addr string) *asking {
	a := &asking{stop: make(chan struct{})}
	a.wg.Go(func() {
		c := remoting.NewClient(remoting.ClientOptions{})
		defer c.Close()
		for pause(a.stop, 10*time.Millisecond) {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			r, err := c.Invoke(ctx, addr, &wire.Outgoing{Code: int32(protocol.GetRouteInfoByTopic.Code),
				Header: &header.GetRouteInfoRequest{Topic: wire.Some("big")}}, nil)
			cancel()
			if err == nil && r.Code != 0 {
				err = fmt.Errorf("answer %d %s", r.Code, r.Remark)
			}
			if err != nil {
				a.fail.CompareAndSwap(nil, &err)
				return
			}
		}
	})
	return a
}

func (a *asking) err() error {
	if e := a.fail.Load(); e != nil {
		return *e
	}
	return nil
}

func (a *asking) halt() error {
	close(a.stop)
	a.wg.Wait()
	return a.err()
}

// prepareStore stores what the attacks ask for: messages of 4 MiB with one key. It
// gives their offsets in the log.
func prepareStore(t *testing.T, addr string) (at []int64) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, probe.PutTopic(ctx, addr, "big", 1))
	c := remoting.NewClient(remoting.ClientOptions{})
	defer c.Close()
	for range 20 {
		a, err := c.Invoke(ctx, addr, &wire.Outgoing{Code: int32(protocol.SendMessageV2.Code), Header: &header.SendMessageRequestV2{
			ProducerGroup: wire.Some("P"), Topic: wire.Some("big"), DefaultTopic: wire.Some("TBW102"), DefaultTopicQueueNums: wire.Some(int32(4)),
			QueueID: wire.Some(int32(0)), SysFlag: wire.Some(int32(0)), BornTimestamp: wire.Some(int64(1)), Flag: wire.Some(int32(0)),
			Properties: wire.Some("KEYS\x01key\x02"),
		}}, make([]byte, 4<<20-1024))
		require.NoError(t, err)
		require.Zero(t, a.Code, a.Remark)
		id, _ := a.Lookup("msgId")
		require.Greater(t, len(id), 16)
		phy, err := strconv.ParseInt(id[len(id)-16:], 16, 64)
		require.NoError(t, err)
		at = append(at, phy)
	}
	return at
}
