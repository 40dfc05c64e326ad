package admin

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
)

// Pins AdminBrokerProcessor.queryCorrectionOffset and
// ConsumerOffsetManager.queryMinOffsetInAllGroup.
func TestQueryCorrectionOffset(t *testing.T) {
	w := newWorld(t)
	for id := range int32(3) {
		w.store.bounds[body.MessageQueue{Topic: "t", QueueID: id}] = [2]int64{4, 100}
	}
	for g, at := range map[string][3]int64{"a": {10, 20, 30}, "b": {9, 21, 3}, "compare": {12, 5, 50}} {
		for id, offset := range at {
			w.Offsets.Commit("t", g, int32(id), offset)
		}
	}
	w.Offsets.Commit("other", "a", 0, 1)
	ask := func(filter, compare string) string {
		q := &header.QueryCorrectionOffset{Topic: str("t"), CompareGroup: str(compare)}
		if filter != "" {
			q.FilterGroups = str(filter)
		}
		a, err := w.QueryCorrectionOffset(bare(""), q)
		return ok(t, a, err)
	}
	require.Equal(t, `{"correctionOffsets":{0:9,1:5,2:30}}`, ask("", "compare"), "b's offset in queue 2 is below the queue")
	require.Equal(t, `{"correctionOffsets":{0:9,1:20,2:30}}`, ask("compare", "compare"), "a filtered group is not compared with")
	require.Equal(t, `{"correctionOffsets":{0:9,1:5,2:9223372036854775807}}`, ask("", "b"), "all are beyond what b has in queue 2")
	require.Equal(t, `{"correctionOffsets":{0:9,1:21}}`, ask("a,compare", "b"), "a queue that nobody is left for is left out")
	require.Equal(t, `{"correctionOffsets":{0:9,1:5,2:30}}`, ask("", "unknown"))
	require.EqualValues(t, 10, w.Offsets.Query("t", "a", 0), "nothing is deleted")
	a, err := w.QueryCorrectionOffset(bare(""), &header.QueryCorrectionOffset{Topic: str("t")})
	require.Equal(t, `{"correctionOffsets":{0:9,1:5,2:30}}`, ok(t, a, err), "without a group to compare with")
	_, err = w.QueryCorrectionOffset(bare(""), &header.QueryCorrectionOffset{CompareGroup: str("g")})
	require.Equal(t, protocol.SystemError, protocol.CodeOf(err))
}
