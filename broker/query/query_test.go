package query

import (
	"errors"
	"testing"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
	"github.com/merlinmq/merlin/store"
	"github.com/stretchr/testify/require"
)

type fakeStore struct {
	asked  int
	found  store.QueryResult
	upper  bool
	minMax [2]int64
	// unreadable is the error of every read.
	unreadable error
}

func (s *fakeStore) Query(_, _ string, limit int, _, _ int64) (store.QueryResult, error) {
	s.asked = limit
	return s.found, s.unreadable
}

func (s *fakeStore) RecordAt(phy int64) ([]byte, error) {
	if phy != 100 {
		return nil, store.ErrNoRecord
	}
	return []byte("record"), s.unreadable
}

func (s *fakeStore) OffsetByTime(_ string, _ int32, ts int64, upper bool) (int64, error) {
	s.upper = upper
	return ts / 10, s.unreadable
}
func (s *fakeStore) MinOffset(string, int32) int64                  { return s.minMax[0] }
func (s *fakeStore) MaxOffset(string, int32) int64                  { return s.minMax[1] }
func (s *fakeStore) EarliestStoreTime(string, int32) (int64, error) { return -1, s.unreadable }

func newHandler(s *fakeStore) *Handler {
	return New(Deps{Config: config.NewHolder(config.Default(), config.HolderOptions{}), Store: s})
}

func request(ext ...wire.Field) *remoting.Request {
	return &remoting.Request{Cmd: &wire.Command{Ext: ext}}
}

// Pins QueryMessageProcessor.queryMessage.
func TestMessage(t *testing.T) {
	s := &fakeStore{}
	h := newHandler(s)
	q := header.QueryMessageRequest{Topic: wire.Some("t"), Key: wire.Some("k"), MaxNum: wire.Some[int32](1000), BeginTimestamp: wire.Some[int64](0), EndTimestamp: wire.Some[int64](9)}
	s.found.LastUpdateTime, s.found.LastUpdatePhyOffset = 7, 8
	a, err := h.Message(request(), &q)
	require.NoError(t, err)
	require.Equal(t, protocol.QueryNotFound, a.Code)
	require.Equal(t, "can not find message, maybe time range not correct", a.Remark)
	require.Equal(t, &header.QueryMessageResponse{IndexLastUpdateTimestamp: wire.Some[int64](0), IndexLastUpdatePhyoffset: wire.Some[int64](0)}, a.Header)
	require.Equal(t, 64, s.asked, "maxMsgsNumBatch bounds the answer")

	s.found.Records = [][]byte{[]byte("one"), []byte("two")}
	a, err = h.Message(request(wire.Field{Key: "_UNIQUE_KEY_QUERY", Value: "true"}), &q)
	require.NoError(t, err)
	require.Equal(t, protocol.Success, a.Code)
	require.Equal(t, s.found.Records, a.Views)
	require.Equal(t, &header.QueryMessageResponse{IndexLastUpdateTimestamp: wire.Some[int64](7), IndexLastUpdatePhyoffset: wire.Some[int64](8)}, a.Header)
	require.Equal(t, 32, s.asked, "defaultQueryMaxNum of a unique key")

	q.BeginTimestamp.Set = false
	_, err = h.Message(request(), &q)
	require.Equal(t, protocol.SystemError, protocol.CodeOf(err))
}

// Pins QueryMessageProcessor.viewMessageById.
func TestView(t *testing.T) {
	h := newHandler(&fakeStore{})
	a, err := h.View(request(), &header.ViewMessageRequest{Offset: wire.Some[int64](100)})
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("record")}, a.Views)
	_, err = h.View(request(), &header.ViewMessageRequest{Offset: wire.Some[int64](55)})
	require.Equal(t, protocol.Errorf(protocol.SystemError, "can not find message by the offset, 55"), err)
	_, err = h.View(request(), &header.ViewMessageRequest{})
	require.Error(t, err)
}

// Pins AdminBrokerProcessor.searchOffsetByTimestamp, getMaxOffset, getMinOffset
// and getEarliestMsgStoretime as a 5.3.3 broker answers them, also for an unknown
// queue.
func TestOffsets(t *testing.T) {
	s := &fakeStore{minMax: [2]int64{3, 9}}
	h := newHandler(s)
	topic, id := wire.Some("t"), wire.Some[int32](0)
	a, err := h.Search(request(), &header.SearchOffsetRequest{Topic: topic, QueueID: id, Timestamp: wire.Some[int64](50), BoundaryType: wire.Some(header.Upper)})
	require.NoError(t, err)
	require.Equal(t, &header.SearchOffsetResponse{Offset: wire.Some[int64](5)}, a.Header)
	require.True(t, s.upper)
	a, err = h.Search(request(), &header.SearchOffsetRequest{Topic: topic, QueueID: id, Timestamp: wire.Some[int64](-10)})
	require.NoError(t, err)
	require.Equal(t, &header.SearchOffsetResponse{Offset: wire.Some[int64](0)}, a.Header)
	require.False(t, s.upper)
	a, err = h.MaxOffset(request(), &header.GetMaxOffsetRequest{Topic: topic, QueueID: id})
	require.NoError(t, err)
	require.Equal(t, &header.GetMaxOffsetResponse{Offset: wire.Some[int64](9)}, a.Header)
	require.False(t, a.HasRemark)
	s.minMax = [2]int64{-1, -1}
	a, err = h.MinOffset(request(), &header.GetMinOffsetRequest{Topic: topic, QueueID: id})
	require.NoError(t, err)
	require.Equal(t, &header.GetMinOffsetResponse{Offset: wire.Some[int64](0)}, a.Header)
	require.True(t, a.HasRemark)
	a, err = h.EarliestStoreTime(request(), &header.GetEarliestMsgStoretimeRequest{Topic: topic, QueueID: id})
	require.NoError(t, err)
	require.Equal(t, &header.GetEarliestMsgStoretimeResponse{Timestamp: wire.Some[int64](-1)}, a.Header)
	_, err = h.MaxOffset(request(), &header.GetMaxOffsetRequest{Topic: topic})
	require.Equal(t, protocol.SystemError, protocol.CodeOf(err))
}

// A read that fails is an answer of its own, not "none": SYSTEM_ERROR with the
// reason, as the answer to an exception in Java.
func TestReads_ThatFailSaySo(t *testing.T) {
	h := newHandler(&fakeStore{unreadable: errors.New("store: read failed: input/output error")})
	topic, id, at := wire.Some("t"), wire.Some[int32](0), wire.Some[int64](100)
	for name, ask := range map[string]func() error{
		"message": func() error {
			_, err := h.Message(request(), &header.QueryMessageRequest{Topic: topic, Key: wire.Some("k"), MaxNum: id, BeginTimestamp: at, EndTimestamp: at})
			return err
		},
		"view": func() error { _, err := h.View(request(), &header.ViewMessageRequest{Offset: at}); return err },
		"search": func() error {
			_, err := h.Search(request(), &header.SearchOffsetRequest{Topic: topic, QueueID: id, Timestamp: at})
			return err
		},
		"earliest": func() error {
			_, err := h.EarliestStoreTime(request(), &header.GetEarliestMsgStoretimeRequest{Topic: topic, QueueID: id})
			return err
		},
	} {
		err := ask()
		require.ErrorContains(t, err, "read failed", name)
		require.Equal(t, protocol.SystemError, protocol.CodeOf(err), name)
	}
}
