package broker

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
)

// pipeline writes all frames at once over one connection and gives the answers
// by opaque; a second answer to one request fails the test.
func pipeline(t *testing.T, addr string, frames []byte, n int) map[int32]*wire.Command {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer c.Close()
	var writing sync.WaitGroup
	writing.Go(func() {
		_, err := c.Write(frames)
		require.NoError(t, err)
	})
	defer writing.Wait()
	answers := map[int32]*wire.Command{}
	for range n {
		var size [4]byte
		_, err := io.ReadFull(c, size[:])
		require.NoError(t, err)
		frame := make([]byte, binary.BigEndian.Uint32(size[:]))
		_, err = io.ReadFull(c, frame)
		require.NoError(t, err)
		var a wire.Command
		require.NoError(t, wire.Decode(frame, &a))
		require.NotContains(t, answers, a.Opaque, "answered twice")
		answers[a.Opaque] = a.Clone()
	}
	return answers
}

// Sends of one connection go into the store together; some wait for the disk and
// some do not. Each gets its own answer, once.
func TestSend_Pipelined(t *testing.T) {
	for _, mode := range []string{"ASYNC_FLUSH", "SYNC_FLUSH"} {
		t.Run(mode, func(t *testing.T) {
			r := newRig(t, "flushDiskType="+mode)
			r.send("T", 0, "makes the topic")
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					const n = 600
					var frames []byte
					for i := range n {
						wait := "true"
						if i%3 == 0 {
							wait = "false"
						}
						queue := int32(i % 4)
						if i%50 == 0 {
							queue = 99 // refused
						}
						h := sendHeader("T", queue, "WAIT", wait, "UNIQ_KEY", "u")
						frames = wire.AppendHead(frames, &wire.Outgoing{Code: int32(protocol.SendMessageV2.Code), Opaque: int32(i), Header: h}, 1)
						frames = append(frames, 'x')
					}
					answers := pipeline(t, r.Addr(), frames, n)
					last := map[int32]int64{}
					for i := range int32(n) {
						a := answers[i]
						if i%50 == 0 {
							require.Equal(t, protocol.InvalidParameter, protocol.ResponseCode(a.Code))
							continue
						}
						require.Zero(t, a.Code, a.Remark)
						var rh header.SendMessageResponse
						require.NoError(t, rh.DecodeFields(a))
						require.Equal(t, i%4, rh.QueueID.V)
						if before, ok := last[i%4]; ok {
							require.Greater(t, rh.QueueOffset.V, before, "the order of a connection is the order of the queue")
						}
						last[i%4] = rh.QueueOffset.V
					}
				})
			}
			all.Wait()
			require.EqualValues(t, 1+4*(600-12), r.store.MaxOffset("T", 0)+r.store.MaxOffset("T", 1)+r.store.MaxOffset("T", 2)+r.store.MaxOffset("T", 3))
		})
	}
}
