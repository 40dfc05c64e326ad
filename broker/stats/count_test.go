package stats

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSent_FollowsTheDeletionOfATopic(t *testing.T) {
	m := New(Options{Cluster: "C"})
	_, ok := m.Lookup(BrokerPutNums, "C")
	require.False(t, ok, "nothing was counted")
	m.Sent("T", 1, 3, 300, 7)
	m.Sent("T", 2, 1, 100, 9)
	m.Sent("TT", 1, 1, 10, 1)
	value := func(name, key string) int64 {
		it, ok := m.Lookup(name, key)
		if !ok {
			return -1
		}
		return it.Value()
	}
	require.EqualValues(t, 4, value(TopicPutNums, "T"))
	require.EqualValues(t, 400, value(TopicPutSize, "T"))
	require.EqualValues(t, 7, value(TopicPutLatency, "1@T"))
	require.EqualValues(t, 9, value(TopicPutLatency, "2@T"))
	require.EqualValues(t, 5, value(BrokerPutNums, "C"))
	m.TopicDeleted("T")
	require.EqualValues(t, -1, value(TopicPutNums, "T"))
	m.Sent("T", 1, 2, 20, 5)
	require.EqualValues(t, 2, value(TopicPutNums, "T"), "it counts anew")
	require.EqualValues(t, 5, value(TopicPutLatency, "1@T"))
	require.EqualValues(t, 1, value(TopicPutNums, "TT"))
	require.EqualValues(t, 7, m.Totals().PutNow, "what was sent to the deleted one counts on")
}

func TestSent_BeyondTheBoundNothingIsKept(t *testing.T) {
	m := New(Options{Cluster: "C", MaxItems: 4})
	for i := range int32(100) {
		m.Sent("T", i, 1, 1, 1)
	}
	require.Len(t, m.sends, 1)
	it, _ := m.Lookup(TopicPutNums, "T")
	require.EqualValues(t, 100, it.Value())
}
