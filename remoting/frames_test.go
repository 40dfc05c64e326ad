package remoting

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/cloudwego/netpoll"
	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol/wire"
)

// cut feeds data in pieces and gives copies of the frames that came out.
func cut(s *splitter, data []byte, piece func(left int) int) ([][]byte, error) {
	var got [][]byte
	for len(data) > 0 {
		n := min(max(1, piece(len(data))), len(data))
		p := bytes.Clone(data[:n])
		err := s.split(p, func(f []byte) error {
			got = append(got, bytes.Clone(f))
			return nil
		})
		if err != nil {
			return got, err
		}
		poison(p) // what is kept must not alias the input
		poison(s.full)
		s.done()
		data = data[n:]
	}
	return got, nil
}

func frameBytes(n int, fill byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(n))
	return append(b, bytes.Repeat([]byte{fill}, n)...)
}

func TestSplitter_AnyPieces(t *testing.T) {
	var data []byte
	var want [][]byte
	for i, n := range []int{4, 5, 100, 4, 70000, 20000, 9, 300000, 4} {
		f := frameBytes(n, byte(i+1))
		data = append(data, f...)
		want = append(want, f[4:])
	}
	for name, piece := range map[string]func(int) int{
		"one byte":   func(int) int { return 1 },
		"all":        func(left int) int { return left },
		"three":      func(int) int { return 3 },
		"kilobytes":  func(int) int { return 1024 },
		"by chance":  func(int) int { return rand.IntN(50000) },
		"around 4":   func(int) int { return 1 + rand.IntN(7) },
		"big pieces": func(int) int { return 65536 },
	} {
		t.Run(name, func(t *testing.T) {
			s := &splitter{limit: wire.MaxFrame}
			got, err := cut(s, data, piece)
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.Empty(t, s.partial)
		})
	}
}

// The limits are those of NettyDecoder: the length word counts to the 16 MiB.
func TestSplitter_RefusesBeforeItKeeps(t *testing.T) {
	for _, n := range []uint32{0, 3, wire.MaxFrame - 3, wire.MaxFrame, 1 << 31, 1<<31 - 1, 1<<32 - 1} {
		s := &splitter{limit: wire.MaxFrame}
		_, err := cut(s, append(binary.BigEndian.AppendUint32(nil, n), 1, 2, 3), func(int) int { return 1 })
		require.Error(t, err, "%d", n)
		require.LessOrEqual(t, cap(s.partial), 256<<10)
		_, err = frameSize(binary.BigEndian.AppendUint32(nil, n), wire.MaxFrame)
		require.Error(t, err)
	}
	n, err := frameSize(binary.BigEndian.AppendUint32(nil, wire.MaxFrame-4), wire.MaxFrame)
	require.NoError(t, err)
	require.Equal(t, wire.MaxFrame, n)
}

// The sender of a length word alone gets no memory for the frame it promises.
func TestSplitter_MemoryFollowsWhatCame(t *testing.T) {
	s := &splitter{limit: wire.MaxFrame}
	f := frameBytes(wire.MaxFrame-4, 7)
	_, err := cut(s, f[:40000], func(int) int { return 1000 })
	require.NoError(t, err)
	require.Len(t, s.partial, 40000)
	require.LessOrEqual(t, cap(s.partial), 256<<10)
	got, err := cut(s, f[40000:], func(int) int { return 1 << 20 })
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, f[4:], got[0])
}

// FuzzSplitter cuts arbitrary bytes in arbitrary pieces: the frames and the
// refusal must be the same as in one piece, and nothing may be invented.
func FuzzSplitter(f *testing.F) {
	f.Add(append(frameBytes(4, 1), frameBytes(9, 2)...), uint64(1))
	f.Add([]byte{0, 0, 0, 3, 1}, uint64(2))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, uint64(3))
	f.Add(frameBytes(40, 0)[:20], uint64(4))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		const limit = 1 << 12
		whole := &splitter{limit: limit}
		want, werr := cut(whole, data, func(n int) int { return n })
		rnd := rand.New(rand.NewPCG(seed, 1))
		parts := &splitter{limit: limit}
		got, gerr := cut(parts, data, func(int) int { return rnd.IntN(9) })
		require.Equal(t, want, got)
		require.Equal(t, werr == nil, gerr == nil)
		n := 0
		for _, f := range got {
			n += len(f) + 4
		}
		require.LessOrEqual(t, n, len(data))
		if gerr == nil {
			require.Len(t, parts.partial, len(data)-n)
		}
	})
}

// FuzzPreamble: what is taken off is never more than there is.
func FuzzPreamble(f *testing.F) {
	f.Add([]byte("PROXY TCP4 10.0.0.1 10.0.0.2 1234 9876\r\n\x00\x00"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add(append(bytes.Clone(proxyV2), 0x21, 0x11, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 0, 80, 1, 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, _, err := preamble(data)
		require.GreaterOrEqual(t, n, 0)
		require.LessOrEqual(t, n, len(data))
		if err != nil {
			require.Zero(t, n)
		}
	})
}

// nowhere is a connection whose output nobody takes.
type nowhere struct {
	netpoll.Connection
	out netpoll.Writer
}

func (nowhere) LocalAddr() net.Addr      { return nil }
func (nowhere) RemoteAddr() net.Addr     { return nil }
func (nowhere) IsActive() bool           { return true }
func (nowhere) Close() error             { return nil }
func (n nowhere) Writer() netpoll.Writer { return n.out }

// FuzzWake gives arbitrary bytes in arbitrary pieces to the wake-ups of a
// connection: no panic, every request is accounted for, and what is written are
// answers in good order.
func FuzzWake(f *testing.F) {
	f.Add(append(frameOf(10, 1, 0, "body"), frameOf(11, 2, 0, "x")...), uint64(1))
	f.Add(append(frameOf(11, 1, wire.FlagOneway, ""), frameOf(99, 2, 0, "")...), uint64(2))
	f.Add(frameOf(10, 1, wire.FlagResponse, ""), uint64(3))
	f.Add([]byte("PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n"), uint64(4))
	rs := echoRoutes()
	rs.HandleBatch(11, nil, func(qs []*Request) {
		for _, q := range qs {
			q.To().Send(&Answer{Ext: q.Cmd.Ext})
		}
	})
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		ep := newEndpoint(ServerOptions{Routes: rs, PoisonFrames: true}, 1)
		out := netpoll.NewLinkBuffer()
		c := newConn(ep, nowhere{out: out})
		rnd := rand.New(rand.NewPCG(seed, 1))
		for data := bytes.Clone(data); len(data) > 0; {
			n := min(1+rnd.IntN(200), len(data))
			c.wake(data[:n:n])
			data = data[n:]
		}
		require.Zero(t, ep.drain.busy.Load())
		require.Zero(t, c.out.unsent())
		written, err := out.Next(out.Len())
		require.NoError(t, err)
		s := &splitter{limit: wire.MaxFrame}
		require.NoError(t, s.split(written, func(frame []byte) error {
			var cmd wire.Command
			require.NoError(t, wire.Decode(frame, &cmd))
			require.True(t, cmd.IsResponse())
			return nil
		}))
		require.Empty(t, s.partial)
	})
}
