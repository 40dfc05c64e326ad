package broker

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/wire"
)

// BenchmarkSend sends batches of frames over one connection and waits for all
// answers of a batch: the cost of a send with the network shared by the batch.
// The client's own cost is in it and is small.
func BenchmarkSend(b *testing.B) {
	for _, window := range []int{1, 32, 256} {
		b.Run("window="+strconv.Itoa(window), func(b *testing.B) { benchmarkSend(b, window) })
	}
}

func benchmarkSend(b *testing.B, window int) {
	t := &testing.T{}
	r := &rig{t: t, dir: b.TempDir(), extra: "mappedFileSizeCommitLog=268435456"}
	r.start()
	defer r.stop()
	c, err := net.Dial("tcp", r.Addr())
	require.NoError(b, err)
	defer c.Close()
	payload := bytes.Repeat([]byte{'x'}, 1024)
	var frames []byte
	for i := range window {
		h := sendHeader("Bench", int32(i%4), "UNIQ_KEY", "7F0000011234DEADBEEF000003E80001", "WAIT", "true", "TAGS", "TagA")
		frames = wire.AppendHead(frames, &wire.Outgoing{Code: int32(protocol.SendMessageV2.Code), Opaque: int32(i), Header: h, Version: 401}, len(payload))
		frames = append(frames, payload...)
	}
	in := make([]byte, 1<<20)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	b.ResetTimer()
	for sent := 0; sent < b.N; sent += window {
		_, err := c.Write(frames)
		require.NoError(b, err)
		for got := 0; got < window; got++ {
			_, err := io.ReadFull(c, in[:4])
			require.NoError(b, err)
			_, err = io.ReadFull(c, in[:binary.BigEndian.Uint32(in)])
			require.NoError(b, err)
		}
	}
}
