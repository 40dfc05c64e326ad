package wire

import (
	"bytes"
	"compress/zlib"
	"io"
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/version"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/message"
)

// Every body class in every form decodes into its struct, and becomes the same
// bytes again in that form.
func TestBodies_SameBytesAsJava(t *testing.T) {
	classes, n := map[string]bool{}, 0
	marshal := map[string]func(any) ([]byte, error){
		"compact": body.Marshal, "pretty": body.MarshalPretty, "standard": body.MarshalStandard}
	for _, col := range lines(t, "bodies.tsv") {
		want := bytesOf(t, col[3])
		v := newBody(col[0])
		require.NotNil(t, v, col[0])
		require.NoError(t, body.Unmarshal(want, v), "%v\n%s", col[:3], want)
		got, err := marshal[col[2]](v)
		require.NoError(t, err)
		assert.Equal(t, string(want), string(got), "%v", col[:3])
		classes[col[0]] = true
		n++
	}
	t.Logf("%d body classes, %d bodies", len(classes), n)
	require.GreaterOrEqual(t, len(classes), 84)
}

// Deflate streams differ between zlib implementations, so what they unfold to is
// compared.
func TestRegisterBroker_Compressed(t *testing.T) {
	for _, col := range lines(t, "register.tsv") {
		b, err := body.DecodeRegisterBroker(bytesOf(t, col[1]), true, version.Current)
		require.NoError(t, err)
		again, err := b.EncodeCompressed()
		require.NoError(t, err)
		z, err := zlib.NewReader(bytes.NewReader(again))
		require.NoError(t, err)
		plain, err := io.ReadAll(z)
		require.NoError(t, err)
		require.Equal(t, string(bytesOf(t, col[2])), string(plain), col[0])
		old, err := body.DecodeRegisterBroker(bytesOf(t, col[1]), true, version.V4_9_4)
		require.NoError(t, err)
		require.Nil(t, old.TopicConfigSerializeWrapper.TopicQueueMappingInfoMap)
		for cut := range len(again) - 12 { // the end and the checksum of the stream are not read, as in Java
			_, err := body.DecodeRegisterBroker(again[:cut], true, version.Current)
			require.Error(t, err, "cut at %d", cut)
		}
	}
}

// Records of the store's encoder: V1 and V2, IPv4 and IPv6 hosts, with and without
// the checksum property.
func TestRecords_SameBytesAsJava(t *testing.T) {
	n := 0
	for _, col := range lines(t, "records.tsv") {
		want := bytesOf(t, col[3])
		var m message.Message
		size, err := message.Decode(want, &m, true)
		require.NoError(t, err)
		require.Len(t, want, size)
		require.NoError(t, message.CheckCRC(want))
		require.Equal(t, col[0], strconv.Itoa(len(m.Topic)))
		require.Equal(t, col[2], message.OffsetMessageID(m.StoreHost, m.PhyOffset))
		got, err := message.Append(nil, &m)
		require.NoError(t, err)
		require.Equal(t, want, got)
		if col[1] == "crc" {
			// Without the property, and the offsets set later: the same again.
			m.Properties = m.Properties[:len(m.Properties)-20]
			q, p, ts := m.QueueOffset, m.PhyOffset, m.StoreTimestamp
			m.QueueOffset, m.PhyOffset, m.StoreTimestamp = math.MaxInt64, 0, 0
			got, err = message.AppendCRC(nil, &m)
			require.NoError(t, err)
			message.PatchOffsets(got, q, p, ts)
			message.PatchCRC(got)
			require.Equal(t, want, got)
		}
		n++
	}
	t.Logf("%d records", n)
}

func TestBatchBodies_SameBytesAsJava(t *testing.T) {
	for _, col := range lines(t, "batches.tsv") {
		want := bytesOf(t, col[1])
		var again []byte
		n := 0
		require.NoError(t, message.DecodeBatchBody(want, func(e message.BatchEntry) (err error) {
			n++
			again, err = message.AppendBatchEntry(again, e)
			return err
		}))
		require.Equal(t, want, again)
		require.Equal(t, col[0], strconv.Itoa(n))
	}
}

// The pairs that Java reads from odd texts, and the text it makes of the pairs.
func TestProperties_AsJava(t *testing.T) {
	for _, col := range lines(t, "properties.tsv") {
		ps := message.ParseProperties(bytesOf(t, col[0]))
		require.Len(t, ps, (len(col)-2)/2, "%q", bytesOf(t, col[0]))
		var sorted message.Properties
		for i := 2; i < len(col); i += 2 {
			name, value := string(bytesOf(t, col[i])), string(bytesOf(t, col[i+1]))
			got, ok := ps.Get(name)
			require.True(t, ok)
			require.Equal(t, value, got)
			sorted.Set(name, value)
		}
		require.Equal(t, string(bytesOf(t, col[1])), string(sorted.Append(nil)))
	}
}
