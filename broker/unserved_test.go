package broker

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
)

// Topics that a Java broker made with batch queues or as compacted: nothing is
// acknowledged into a plain queue of theirs, and consumers are not told that there is
// nothing.
func TestUnservedTopics_AreRefused(t *testing.T) {
	r := newRig(t, "")
	r.stop()
	topics := `{"topicConfigTable":{
		"batch":{"attributes":{"queue.type":"BatchCQ"},"order":false,"perm":6,"readQueueNums":4,"topicFilterType":"SINGLE_TAG","topicName":"batch","topicSysFlag":0,"writeQueueNums":4},
		"compact":{"attributes":{"cleanup.policy":"COMPACTION"},"order":false,"perm":6,"readQueueNums":4,"topicFilterType":"SINGLE_TAG","topicName":"compact","topicSysFlag":0,"writeQueueNums":4},
		"plain":{"attributes":{"queue.type":"SimpleCQ","cleanup.policy":"DELETE"},"order":false,"perm":6,"readQueueNums":4,"topicFilterType":"SINGLE_TAG","topicName":"plain","topicSysFlag":0,"writeQueueNums":4}}}`
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, "config", "topics.json"), []byte(topics), 0o600))
	r.start()

	for name, word := range map[string]string{"batch": "queue.type=BatchCQ", "compact": "cleanup.policy=COMPACTION"} {
		for what, code := range map[string]protocol.Code{"send": protocol.SendMessageV2.Code, "reply": protocol.SendReplyMessageV2.Code} {
			a := r.call(code, sendHeader(name, 1, "KEYS", "k"), []byte("m"))
			require.Equal(t, protocol.SystemError, protocol.ResponseCode(a.Code), what)
			require.Contains(t, a.Remark, word)
			require.Contains(t, a.Remark, name)
		}
		q := sendHeader(name, 1)
		q.Batch = wire.Some(true)
		a := r.call(protocol.SendBatchMessage.Code, q, []byte("m"))
		require.Equal(t, protocol.SystemError, protocol.ResponseCode(a.Code))
		require.Contains(t, a.Remark, word)
		for _, code := range []protocol.Code{protocol.PullMessage.Code, protocol.LitePullMessage.Code} {
			a := r.call(code, pullHeader(name, 1, 0, time.Second), nil)
			require.Equal(t, protocol.SystemError, protocol.ResponseCode(a.Code))
			require.Contains(t, a.Remark, word)
			var rh header.PullMessageResponse
			require.NoError(t, rh.DecodeFields(a))
			require.False(t, rh.NextBeginOffset.Set, "the consumer's offset stays")
		}
		require.Zero(t, r.store.MaxOffset(name, 1))
	}
	r.send("plain", 1, "m")
}
