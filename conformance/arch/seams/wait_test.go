package seams

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/broker/hold"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store"
)

// A request that waits as POP does: for any queue of a topic and of the retry topic of
// its group, with a rule of its own for what is there already.
func TestWait_ForAWholeTopic(t *testing.T) {
	var h *hold.Service
	s, err := store.Open(store.Options{StorePathRootDir: t.TempDir(), FileSizeCommitLog: 1 << 20, FileSizeConsumeQueue: 20 * 1000,
		MaxHashSlotNum: 100, MaxIndexNum: 400, Arrived: func(a store.Arrival) { h.Arrived(a) }})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	h = hold.New(hold.Options{MaxOffset: s.MaxOffset})
	h.Start()
	defer h.Shutdown()

	host := netip.MustParseAddrPort("127.0.0.1:1")
	send := func(topic string, queue int32) {
		res := s.Put(&store.Put{Msg: message.Message{Topic: topic, QueueID: queue, Body: []byte("x"), BornHost: host, StoreHost: host}})
		require.Equal(t, store.PutOK, res.Status)
	}
	ran := make(chan string, 10)
	seen := int64(0) // messages that the consumer has had
	wait := func(name string) hold.Wait {
		return hold.Wait{
			Key: hold.Key{Topic: "T", QueueID: hold.AnyQueue}, More: []hold.Key{{Topic: "%RETRY%g", QueueID: hold.AnyQueue}},
			Due: func() bool {
				n := int64(0)
				for _, topic := range []string{"T", "%RETRY%g"} {
					for _, q := range s.QueueIDs(topic) {
						n += s.MaxOffset(topic, q)
					}
				}
				return n > seen
			},
			Timeout: time.Minute, Run: func() { ran <- name },
		}
	}
	require.True(t, h.Park(wait("a queue of the topic")))
	send("T", 3)
	require.Equal(t, "a queue of the topic", <-ran)
	seen = 1
	require.True(t, h.Park(wait("a retry")))
	send("%RETRY%g", 0)
	require.Equal(t, "a retry", <-ran)
	require.True(t, h.Park(wait("there already")))
	require.Equal(t, "there already", <-ran)
}
