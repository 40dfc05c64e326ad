package hostile

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/broker"
	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/namesrv"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// logs collects what the servers say.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// start gives the three ports of a name server and a broker.
func start(t *testing.T) (ports map[string]string, brokerAddr string, out *logs) {
	t.Helper()
	out = &logs{}
	log := slog.New(slog.NewTextHandler(out, nil))
	names, err := namesrv.New(namesrv.Options{Listen: "127.0.0.1:0", Logger: log})
	require.NoError(t, err)
	require.NoError(t, names.Start())
	dir := t.TempDir()
	text := fmt.Sprintf("brokerName=b\nbindAddress=127.0.0.1\nbrokerIP1=127.0.0.1\nbrokerIP2=127.0.0.1\nlistenPort=0\nnamesrvAddr=%s\nstorePathRootDir=%s\nstorePathCommitLog=%s/commitlog\nmappedFileSizeCommitLog=67108864\n", names.Addr(), dir, dir)
	cfg, _, err := config.Parse([]byte(text), "test.conf")
	require.NoError(t, err)
	b, err := broker.New(broker.Options{Config: config.NewHolder(cfg, config.HolderOptions{}), Rand: rand.IntN, Logger: log})
	require.NoError(t, err)
	require.NoError(t, b.Start())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		require.NoError(t, b.Shutdown(ctx))
		require.NoError(t, names.Shutdown(ctx))
	})
	host, port, err := net.SplitHostPort(b.Addr())
	require.NoError(t, err)
	n, err := strconv.Atoi(port)
	require.NoError(t, err)
	return map[string]string{
		"name server": names.Addr(), "broker": b.Addr(), "fast port": net.JoinHostPort(host, strconv.Itoa(n-2)),
	}, b.Addr(), out
}

// send sends one message and reports the failure.
func send(client *remoting.Client, addr string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	a, err := client.Invoke(ctx, addr, &wire.Outgoing{Code: int32(protocol.SendMessageV2.Code), Header: &header.SendMessageRequestV2{
		ProducerGroup: wire.Some("P"), Topic: wire.Some("T"), DefaultTopic: wire.Some("TBW102"), DefaultTopicQueueNums: wire.Some(int32(4)),
		QueueID: wire.Some(int32(0)), SysFlag: wire.Some(int32(0)), BornTimestamp: wire.Some(int64(1)), Flag: wire.Some(int32(0)),
	}}, []byte("x"))
	if err != nil {
		return err
	}
	if a.Code != 0 {
		return fmt.Errorf("answer %d %s", a.Code, a.Remark)
	}
	return nil
}

// closedSoon reports whether the server ends the connection.
func closedSoon(c net.Conn) error {
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, c)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		return fmt.Errorf("the connection is still open")
	}
	return nil // end of file or reset
}

func frame(total uint32, word uint32, rest string) []byte {
	b := binary.BigEndian.AppendUint32(nil, total)
	b = binary.BigEndian.AppendUint32(b, word)
	return append(b, rest...)
}

func random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	b[0] = 0x7f // the length of a frame no peer may send
	return b
}

// Every bad input closes its own connection with a line in the log, and a client
// that works meanwhile notices nothing.
func TestBadInput_OnEveryPort(t *testing.T) {
	ports, addr, out := start(t)
	client := remoting.NewClient(remoting.ClientOptions{})
	defer client.Close()
	require.NoError(t, send(client, addr))

	stop := make(chan struct{})
	failed := make(chan error, 1)
	var working sync.WaitGroup
	working.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := send(client, addr); err != nil {
				failed <- err
				return
			}
		}
	})
	bad := map[string][]byte{
		"garbage":             random(4096),
		"oversized frame":     frame(16<<20+1, 10, "{}"),
		"negative length":     frame(0xffffffff, 0, ""),
		"header beyond frame": frame(8, 0x00ffffff, "{}{}"),
		"unknown encoding":    frame(8, 0x09000004, "{}{}"),
		"header not JSON":     frame(8, 4, "]]]]"),
		"empty frame":         frame(4, 0, ""),
		"text protocol":       []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
	}
	for port, at := range ports {
		for what, input := range bad {
			c, err := net.Dial("tcp", at)
			require.NoError(t, err)
			before := out.count("connection closed")
			_, err = c.Write(input)
			require.NoError(t, err)
			require.NoError(t, closedSoon(c), "%s on the %s", what, port)
			require.NoError(t, c.Close())
			require.Eventually(t, func() bool { return out.count("connection closed") > before }, 10*time.Second, time.Millisecond,
				"%s on the %s leaves a line in the log", what, port)
		}
	}
	close(stop)
	working.Wait()
	select {
	case err := <-failed:
		t.Fatalf("the working client was disturbed: %v", err)
	default:
	}
	require.Zero(t, out.count("panic"), "nothing panicked")
}

// Slow and truncated frames hold nothing but their own connection, and their
// end is quiet.
func TestSlowAndTruncated_DisturbNobody(t *testing.T) {
	ports, addr, out := start(t)
	client := remoting.NewClient(remoting.ClientOptions{})
	defer client.Close()
	var slow []net.Conn
	for _, at := range ports {
		for range 200 {
			c, err := net.Dial("tcp", at)
			require.NoError(t, err)
			_, err = c.Write(frame(1<<20, 100, `{"code":310,`)) // the rest never comes
			require.NoError(t, err)
			slow = append(slow, c)
		}
	}
	for range 200 {
		require.NoError(t, send(client, addr))
	}
	for i, c := range slow {
		if i%2 == 0 { // some send a little more, some go
			_, err := c.Write([]byte(`"flag":0`))
			require.NoError(t, err)
		}
		require.NoError(t, c.Close())
	}
	for range 200 {
		require.NoError(t, send(client, addr))
	}
	require.Zero(t, out.count("panic"))
}
