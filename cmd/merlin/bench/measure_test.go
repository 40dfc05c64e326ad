package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol/wire"
)

// answering serves one answer a request: code 0 to everything but sends, and to
// the n-th send what reply gives, which may take its time.
func answering(t *testing.T, reply func(n int64) int32) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var sends atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := l.Accept() // the one that creates the topic
		for ; err == nil; nc, err = l.Accept() {
			c := &conn{Conn: nc, r: bufio.NewReader(nc)}
			for {
				a, err := c.read()
				if err != nil {
					break
				}
				o := wire.Outgoing{Opaque: a.opaque, Flag: wire.FlagResponse}
				if a.code == codeSend {
					if o.Code = reply(sends.Add(1)); o.Code != 0 {
						o.HasRemark, o.Remark = true, "no"
					}
				}
				c.out = wire.AppendHead(c.out, &o, 0)
				if c.r.Buffered() == 0 && c.flush() != nil {
					break
				}
			}
			_ = nc.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

// A server that stands still for 400 ms delays every message that was due
// meanwhile, and an open loop says so; a closed loop with one message under way
// sees one slow answer.
func TestOpenLoop_HasNoCoordinatedOmission(t *testing.T) {
	const stall = 400 * time.Millisecond
	addr := answering(t, func(n int64) int32 {
		if n == 100 {
			time.Sleep(stall)
		}
		return 0
	})
	r, err := Measure(t.Context(), []string{"send", "-b", addr, "-c", "1", "-rate", "1000", "-d", "1s", "-warmup", "0", "-size", "10"}, io.Discard)
	require.NoError(t, err)
	require.Zero(t, r.Failed, r.FirstErr)
	require.GreaterOrEqual(t, r.Max, (stall - time.Millisecond).Microseconds())
	slow := int64(0)
	for _, b := range r.h.Distribution() {
		if b.From >= (stall / 4).Microseconds() {
			slow += b.Count
		}
	}
	require.GreaterOrEqual(t, slow, int64(250), "three quarters of 400 messages waited for more than a quarter of the stall")
}

func TestRun_FailuresAreNoGoodRun(t *testing.T) {
	addr := answering(t, func(n int64) int32 {
		if n%3 == 0 {
			return 2 // SYSTEM_BUSY
		}
		return 0
	})
	args := []string{"send", "-b", addr, "-c", "1", "-d", "100ms", "-warmup", "0", "-size", "10"}
	var out bytes.Buffer
	err := Run(t.Context(), args, &out, io.Discard)
	require.ErrorContains(t, err, "failed")
	require.Regexp(t, `failed +\d+ \(\d+ SYSTEM_BUSY\)`, out.String())
	r, err := Measure(t.Context(), args, io.Discard)
	require.NoError(t, err)
	require.InDelta(t, r.Count/2, r.Failed, 2)
	require.Equal(t, map[string]int64{"SYSTEM_BUSY": r.Failed}, r.Codes)
	require.ErrorContains(t, r.verdict(), "SYSTEM_BUSY")
}

func TestPlots_AreFiles(t *testing.T) {
	_, addr := servers(t)
	dir := t.TempDir()
	for work, args := range map[string][]string{
		"send": {"-c", "2", "-d", "500ms", "-warmup", "0"},
		"tail": {"-rate", "200", "-d", "300ms", "-warmup", "0"},
		"soak": {"-rate", "200", "-d", "1s", "-every", "100ms", "-pid", pid()},
	} {
		html, svg := filepath.Join(dir, work+".html"), filepath.Join(dir, work+".svg")
		require.NoError(t, Run(t.Context(), append([]string{work, "-b", addr, "-queues", "2", "-html", html, "-svg", svg}, args...), io.Discard, io.Discard))
		drawing, err := os.ReadFile(svg)
		require.NoError(t, err)
		require.Contains(t, string(drawing), "<polyline")
		require.NotContains(t, string(drawing), "NaN")
		d := xml.NewDecoder(bytes.NewReader(drawing))
		for err == nil {
			_, err = d.Token()
		}
		require.True(t, errors.Is(err, io.EOF), err)
		page, err := os.ReadFile(html)
		require.NoError(t, err)
		require.Contains(t, string(page), string(drawing), "self-contained")
	}
}

func TestSoak_KeepsUp(t *testing.T) {
	_, addr := servers(t)
	r, err := Measure(t.Context(), []string{"soak", "-b", addr, "-queues", "4", "-c", "2", "-rate", "500", "-d", "1s", "-every", "200ms", "-pid", pid()}, io.Discard)
	require.NoError(t, err)
	require.Zero(t, r.Failed, r.FirstErr)
	require.EqualValues(t, r.Soak.Sent, r.Soak.Arrived)
	require.EqualValues(t, 500, r.Soak.Sent)
	require.Zero(t, r.Soak.Lag)
	require.NotEmpty(t, r.Soak.Samples)
	require.Positive(t, r.Soak.Samples[0].FDs)
}

func pid() string { return strconv.Itoa(os.Getpid()) }

func TestSlope(t *testing.T) {
	require.InDelta(t, 2, slope([]float64{0, 1, 2}, []float64{5, 7, 9}), 1e-9)
	require.Zero(t, slope(nil, nil))
	require.Zero(t, slope([]float64{3}, []float64{4}))
}

func TestLimit_OnDisk(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	addr, done := startLimit(t, ctx, "-dir", t.TempDir(), "-log", "16", "-sync")
	bench1(t, "send", "-b", addr, "-c", "4", "-w", "2", "-d", "100ms", "-warmup", "0")
	bench1(t, "pull", "-b", addr, "-c", "2", "-d", "100ms")
	r, err := Measure(t.Context(), []string{"send", "-b", addr, "-size", "5", "-c", "1", "-d", "50ms", "-warmup", "0"}, io.Discard)
	require.NoError(t, err)
	require.Zero(t, r.Count)
	require.Contains(t, r.FirstErr, "-size")
	cancel()
	require.NoError(t, <-done)
}
