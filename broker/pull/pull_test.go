package pull

import (
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/broker/client"
	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/group"
	"github.com/merlinmq/merlin/broker/offset"
	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/store"
)

// fakeStore answers every read in the same way.
type fakeStore struct{ answer store.GetResult }

func (s *fakeStore) Get(_ *store.GetRequest, res *store.GetResult) { *res = s.answer }
func (s *fakeStore) MinOffset(string, int32) int64                 { return 0 }
func (s *fakeStore) MaxOffset(string, int32) int64                 { return 1000 }

func newHandler(t *testing.T, s Store) *Handler {
	t.Helper()
	files, now := configfile.NewMemory(), clock.NewManual(time.UnixMilli(1_700_000_000_000))
	topics, err := topic.Load(topic.Options{Files: files, Path: "topics.json", Now: now.NowMillis,
		Config: func() topic.Config { return topic.Config{ClusterName: "c", BrokerName: "b"} }})
	require.NoError(t, err)
	topics.CreateForGroup("T", 4, topic.PermRead|topic.PermWrite, 0, false)
	groups, err := group.Load(group.Options{Files: files, Path: "groups.json", Now: now.NowMillis,
		Config: func() group.Config { return group.Config{AutoCreate: true} }})
	require.NoError(t, err)
	offsets, err := offset.Load(offset.Options{Files: files, Path: "offsets.json", Now: now.NowMillis})
	require.NoError(t, err)
	return New(Deps{
		Config: config.NewHolder(config.Default(), config.HolderOptions{}), Topics: topics, Groups: groups, Offsets: offsets,
		Consumers: client.NewConsumers(client.ConsumerOptions{Clock: now}), Store: s, Clock: now,
		Stats: stats.New(stats.Options{Clock: now, Cluster: "c", System: func(string) bool { return false }}),
	})
}

func request(at int64) *header.PullMessageRequest {
	return &header.PullMessageRequest{
		ConsumerGroup: wire.Some("G"), Topic: wire.Some("T"), QueueID: wire.Some[int32](1), QueueOffset: wire.Some(at),
		MaxMsgNums: wire.Some[int32](32), SysFlag: wire.Some[int32](flagSuspend | flagSubscription), CommitOffset: wire.Some[int64](0),
		SuspendTimeoutMillis: wire.Some[int64](15000), Subscription: wire.Some("*"), ExpressionType: wire.Some("TAG"),
	}
}

// A read that fails is answered as Java answers the exception of one: SYSTEM_ERROR,
// upon which clients ask again after a pause, for the same offset. It is not parked,
// carries no offset, and the broker remembers none.
func TestPull_AReadThatFails(t *testing.T) {
	for _, cause := range []error{syscall.EIO, store.ErrClosed} {
		s := &fakeStore{answer: store.GetResult{Status: store.ReadFailed, Err: cause, Next: 7, Max: 1000}}
		h := newHandler(t, s)
		p := peer{addr: netip.MustParseAddrPort("127.0.0.1:1"), code: protocol.PullMessage.Code}
		for _, first := range []bool{true, false} {
			a, match := h.serve(p, request(7), first)
			require.Equal(t, protocol.SystemError, a.Code)
			require.Contains(t, a.Remark, cause.Error())
			require.Nil(t, match, "nothing to park with")
			rh := a.Header.(*header.PullMessageResponse)
			require.False(t, rh.NextBeginOffset.Set || rh.MinOffset.Set || rh.MaxOffset.Set)
			require.EqualValues(t, offset.None, h.Offsets.QueryPull("T", "G", 1))
		}
		s.answer = store.GetResult{Status: store.OffsetOverflowOne, Next: 7, Max: 7}
		a, match := h.serve(p, request(7), true)
		require.Equal(t, protocol.PullNotFound, a.Code, "%s", a.Remark)
		require.NotNil(t, match)
		require.EqualValues(t, 7, h.Offsets.QueryPull("T", "G", 1))
	}
}
