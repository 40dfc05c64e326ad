package hostile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/remoting"
)

const besideSenders = 64

// sendersEnv tells this program to be the senders, and where to.
const sendersEnv = "MERLIN_HOSTILE_SENDERS"

// senders work in closed loops, each over its own connection, in a process of
// their own: beside attackers in one process they would wait for its scheduler and
// not for the server.
type senders struct {
	stored atomic.Int64
	failed atomic.Pointer[error]
	stop   chan struct{}
	wg     sync.WaitGroup

	end io.Closer // tells the process that it is over
	cmd *exec.Cmd
}

func startSenders(t *testing.T, addr string) *senders {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), sendersEnv+"="+addr)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	s := &senders{end: in, cmd: cmd}
	t.Cleanup(func() { _ = s.halt() })
	s.wg.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if n, err := strconv.ParseInt(lines.Text(), 10, 64); err == nil {
				s.stored.Store(n)
			} else {
				err = errors.New(lines.Text())
				s.failed.CompareAndSwap(nil, &err)
			}
		}
	})
	return s
}

// beSenders is the process of the senders: it prints how many messages are stored,
// again and again, and what failed, until its input ends.
func beSenders(addr string) {
	s := &senders{stop: make(chan struct{})}
	for range besideSenders {
		s.wg.Go(func() { s.work(addr) })
	}
	s.wg.Go(func() {
		for pause(s.stop, 5*time.Millisecond) {
			fmt.Println(s.stored.Load())
		}
	})
	_, _ = io.Copy(io.Discard, os.Stdin)
	close(s.stop)
	s.wg.Wait()
	fmt.Println(s.stored.Load())
	if err := s.failed.Load(); err != nil {
		fmt.Println("failed:", strings.ReplaceAll((*err).Error(), "\n", " "))
	}
}

// work sends one message after the other.
func (s *senders) work(addr string) {
	c := remoting.NewClient(remoting.ClientOptions{})
	defer c.Close()
	for {
		select {
		case <-s.stop:
			return
		default:
		}
		if err := send(c, addr); err != nil {
			if s.failed.CompareAndSwap(nil, &err) {
				fmt.Println("failed:", strings.ReplaceAll(err.Error(), "\n", " "))
			}
			return
		}
		s.stored.Add(1)
	}
}

// rate is the messages per second over a time.
func (s *senders) rate(d time.Duration) float64 {
	n, began := s.stored.Load(), time.Now()
	time.Sleep(d) // a measurement, not a wait
	return float64(s.stored.Load()-n) / time.Since(began).Seconds()
}

// rateUntil is the messages per second until ctx is done.
func (s *senders) rateUntil(ctx context.Context) float64 {
	n, began := s.stored.Load(), time.Now()
	<-ctx.Done()
	return float64(s.stored.Load()-n) / time.Since(began).Seconds()
}

// recover gives the time until half of the undisturbed rate is reached again, while
// the servers live and no sender has failed.
func (s *senders) recover(alone float64, live func() bool) time.Duration {
	began := time.Now()
	for time.Since(began) < 20*time.Second && live() && s.failed.Load() == nil {
		if s.rate(50*time.Millisecond) >= alone/2 {
			break
		}
	}
	return time.Since(began)
}

// halt ends the senders; an error says that one of them, or their process, failed.
// It may be called more than once.
func (s *senders) halt() error {
	if s.cmd != nil {
		_ = s.end.Close()
		// Senders whose server has gone may wait for it for long.
		process := s.cmd.Process
		defer time.AfterFunc(10*time.Second, func() { _ = process.Kill() }).Stop()
		s.wg.Wait()
		if err := s.cmd.Wait(); err != nil {
			s.failed.CompareAndSwap(nil, &err)
		}
		s.cmd = nil
	}
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return nil
}
