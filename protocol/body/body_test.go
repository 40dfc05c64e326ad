package body

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/fastjson"
	"github.com/merlinmq/merlin/compat/version"
	"github.com/merlinmq/merlin/protocol/wire"
)

// A heartbeat as the Go client 2.1 writes it: other order, null sets.
func TestUnmarshal_HeartbeatOfGoClient(t *testing.T) {
	var h HeartbeatData
	require.NoError(t, Unmarshal([]byte(`{"clientID":"10.0.0.1@DEFAULT","producerDataSet":[{"groupName":"p"}],"consumerDataSet":[{"groupName":"c","consumeType":"CONSUME_PASSIVELY","messageModel":"CLUSTERING","consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","subscriptionDataSet":[{"ClassFilterMode":false,"Topic":"T","SubString":"a || b","Tags":{"a":true},"Codes":{"97":true},"SubVersion":7,"ExpType":"TAG"},{"classFilterMode":false,"topic":"T2","subString":"*","tagsSet":null,"codeSet":null,"subVersion":8,"expressionType":"TAG"}],"unitMode":false}]}`), &h))
	require.Len(t, h.ConsumerDataSet, 1)
	c := h.ConsumerDataSet[0]
	require.Equal(t, ConsumePassively, c.ConsumeType)
	require.Equal(t, "T", c.SubscriptionDataSet[0].Topic)
	require.Equal(t, int64(8), c.SubscriptionDataSet[1].SubVersion)
	require.Nil(t, c.SubscriptionDataSet[1].TagsSet)
}

// The C++ client sends enumerations as numbers.
func TestUnmarshal_EnumsByNumber(t *testing.T) {
	var c ConsumerData
	require.NoError(t, Unmarshal([]byte(`{"consumeType":1,"messageModel":0,"consumeFromWhere":5,"groupName":"g"}`), &c))
	require.Equal(t, ConsumerData{ConsumeType: ConsumePassively, MessageModel: Broadcasting, ConsumeFromWhere: ConsumeFromTimestamp, GroupName: "g"}, c)
}

func TestUnmarshal_MissingNamesKeepDefaults(t *testing.T) {
	var c SubscriptionGroupConfig
	require.NoError(t, Unmarshal([]byte(`{"groupName":"g","consumeEnable":false}`), &c))
	want := NewSubscriptionGroupConfig("g")
	want.ConsumeEnable = false
	require.Equal(t, want, c)
	var d TopicConfigAndQueueMapping
	require.NoError(t, Unmarshal([]byte(`{"topicName":"t","perm":4}`), &d))
	config := NewTopicConfig("t")
	config.Perm = 4
	require.Equal(t, TopicConfigAndQueueMapping{TopicConfig: config}, d)
}

func TestConnection_LanguageIsKept(t *testing.T) {
	text, err := Marshal(&Connection{ClientID: "c", Language: wire.Go, Version: 317})
	require.NoError(t, err)
	require.Equal(t, `{"clientId":"c","language":"GO","version":317}`, string(text))
	var c Connection
	require.NoError(t, Unmarshal([]byte(`{"clientId":"c"}`), &c))
	require.Equal(t, wire.LanguageUnknown, c.Language)
}

func TestTopicConfig_Text(t *testing.T) {
	c := NewTopicConfig("t")
	c.Attributes = map[string]string{"message.type": "NORMAL"}
	text, err := c.EncodeText()
	require.NoError(t, err)
	require.Equal(t, `t 16 16 6 SINGLE_TAG {"message.type":"NORMAL"}`, text)
	var d TopicConfig
	require.NoError(t, d.DecodeText(text))
	require.Equal(t, c, d)
	for _, bad := range []string{"", "t 1 2 3", "t x 2 6 SINGLE_TAG", " 1 2 6 SINGLE_TAG"} {
		require.Error(t, d.DecodeText(bad), bad)
	}
	require.NoError(t, d.DecodeText(`t 1 2 6 SINGLE_TAG {"a": "b c"}`), "Java passes over attributes with a blank")
	require.Nil(t, d.Attributes)
}

func TestDecodeRegisterBroker_BadStreams(t *testing.T) {
	for _, data := range [][]byte{nil, []byte("plain"), binary.BigEndian.AppendUint32(nil, 5)} {
		_, err := DecodeRegisterBroker(data, true, version.Current)
		require.ErrorIs(t, err, ErrRegister)
	}
	_, err := DecodeRegisterBroker([]byte("{"), false, version.Current)
	require.ErrorIs(t, err, fastjson.ErrSyntax)
}

// Clients cut this answer into strings at fixed places: the compact form counts.
func ExampleMarshal() {
	stats := ConsumeStats{OffsetTable: map[MessageQueue]OffsetWrapper{
		{Topic: "T", BrokerName: "b", QueueID: 0}: {BrokerOffset: 9, ConsumerOffset: 7}}}
	text, _ := Marshal(&stats)
	fmt.Println(string(text))
	// Output: {"consumeTps":0.0,"offsetTable":{{"brokerName":"b","queueId":0,"topic":"T"}:{"brokerOffset":9,"consumerOffset":7,"lastTimestamp":0,"pullOffset":0}}}
}

// Newer clients ask for valid JSON.
func ExampleMarshalStandard() {
	route := TopicRouteData{BrokerDatas: []BrokerData{{BrokerName: "b", Cluster: "c", BrokerAddrs: map[int64]string{0: "10.0.0.1:10911"}}}}
	text, _ := MarshalStandard(&route)
	fmt.Println(string(text))
	// Output: {"brokerDatas":[{"brokerAddrs":{"0":"10.0.0.1:10911"},"brokerName":"b","cluster":"c","enableActingMaster":false}],"filterServerTable":{},"queueDatas":[]}
}

func BenchmarkMarshal_Route(b *testing.B) {
	route := TopicRouteData{BrokerDatas: []BrokerData{{BrokerName: "b", Cluster: "c", BrokerAddrs: map[int64]string{0: "10.0.0.1:10911"}}},
		QueueDatas: []QueueData{{BrokerName: "b", ReadQueueNums: 8, WriteQueueNums: 8, Perm: 6}}}
	b.ReportAllocs()
	var dst []byte
	for b.Loop() {
		var err error
		if dst, err = Append(dst[:0], &route); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzRegisterBroker: no panic on any stream, and what was accepted reads the same
// after writing.
func FuzzRegisterBroker(f *testing.F) {
	b := RegisterBrokerBody{FilterServerList: []string{"f"}}
	b.TopicConfigSerializeWrapper.TopicConfigTable = map[string]TopicConfig{"t": NewTopicConfig("t")}
	data, err := b.EncodeCompressed()
	require.NoError(f, err)
	f.Add(data, true)
	f.Add([]byte(`{"filterServerList":[],"topicConfigSerializeWrapper":{"topicConfigTable":{"t":{"topicName":"t"}}}}`), false)
	f.Fuzz(func(t *testing.T, data []byte, compressed bool) {
		b, err := DecodeRegisterBroker(data, compressed, version.Current)
		if err != nil {
			return
		}
		text, err := Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeRegisterBroker(text, false, version.Current); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	})
}
