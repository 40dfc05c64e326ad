package bench

import (
	"bufio"
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
)

// FuzzReadFrame gives the bench's reader what a peer could send: it never
// panics, takes no more memory than the longest legal frame needs, and what it
// accepts lies within the frame.
func FuzzReadFrame(f *testing.F) {
	pull := wire.AppendHead(nil, &wire.Outgoing{Opaque: firstOpaque, Flag: wire.FlagResponse, Version: version, Header: &header.PullMessageResponse{
		SuggestWhichBrokerID: wire.Some(int64(0)), NextBeginOffset: wire.Some(int64(32)), MinOffset: wire.Some(int64(0)), MaxOffset: wire.Some(int64(64)),
	}}, 8)
	f.Add(append(pull, 0, 0, 0, 8, 1, 2, 3, 4))
	f.Add(wire.AppendHead(nil, &wire.Outgoing{Code: 1, Opaque: 7, HasRemark: true, Remark: "no"}, 0))
	f.Add([]byte{0, 0, 0, 4, 0, 0, 0, 0})
	f.Add([]byte{0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 3, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReader(bytes.NewReader(data))
		var buf []byte
		var err error
		for read := 0; ; read += len(buf) {
			if buf, err = readFrame(r, buf); err != nil {
				return
			}
			require.LessOrEqual(t, cap(buf), 2*(4+wire.MaxFrame))
			require.LessOrEqual(t, read+len(buf), len(data))
			a, err := split(buf)
			if err != nil {
				continue
			}
			require.LessOrEqual(t, 8+len(a.head)+len(a.body), len(buf))
			number(a.head, `"nextBeginOffset":"`)
			n, _ := records(a.body, func(rec []byte) error { require.NotEmpty(t, rec); return nil })
			require.LessOrEqual(t, n, int64(len(a.body)/4))
			require.Error(t, refusal(a))
		}
	})
}

func TestTemplate_IsAFrame(t *testing.T) {
	tm, err := newTemplate("T", 3, 4, false)
	require.NoError(t, err)
	frame := tm.put(nil, []byte("body"), 1_234_567_890, 1_700_000_000_123, 0xABC)
	var c wire.Command
	require.NoError(t, wire.Decode(frame[4:], &c))
	require.EqualValues(t, 1_234_567_890, c.Opaque)
	require.Equal(t, "body", string(c.Body))
	var h header.SendMessageRequestV2
	require.NoError(t, h.DecodeFields(&c))
	require.EqualValues(t, 1_700_000_000_123, h.BornTimestamp.V)
	require.EqualValues(t, 3, h.QueueID.V)
	require.Contains(t, string(h.Properties.V), "UNIQ_KEY\x01"+"00000000000000000000000000000ABC")
}
