package protocol

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
)

func TestTable_RowsAreWhole(t *testing.T) {
	seen := map[Code]bool{}
	decoder := reflect.TypeFor[wire.FieldDecoder]()
	encoder := reflect.TypeFor[wire.FieldEncoder]()
	for _, r := range Table() {
		require.False(t, seen[r.Code], r.Name)
		seen[r.Code] = true
		require.NotEmpty(t, r.Name)
		require.NotZero(t, r.Server, r.Name)
		require.NotZero(t, r.Direction, r.Name)
		require.Contains(t, "ABCD", string(r.Tier), r.Name)
		for _, typ := range []reflect.Type{r.Request, r.Response} {
			require.True(t, reflect.PointerTo(typ).Implements(decoder), "%s %v", r.Name, typ)
			require.True(t, reflect.PointerTo(typ).Implements(encoder), "%s %v", r.Name, typ)
		}
	}
	require.Len(t, seen, 163)
}

func TestTable_KnownRows(t *testing.T) {
	require.Equal(t, Code(310), SendMessageV2.Code)
	require.Equal(t, "SEND_MESSAGE_V2", SendMessageV2.Code.String())
	require.Equal(t, reflect.TypeFor[header.SendMessageRequestV2](), SendMessageV2.Request)
	require.Equal(t, reflect.TypeFor[header.SendMessageResponse](), SendMessageV2.Response)
	require.Equal(t, ActionPub, SendMessageV2.ACLAction)
	require.Equal(t, ResourceTopic, SendMessageV2.ACLResource)
	require.Equal(t, ToServer|ToClient, GetConsumerRunningInfo.Direction)
	require.Equal(t, ToClient, CheckTransactionState.Direction)
	require.Equal(t, reflect.TypeFor[header.None](), HeartBeat.Response)
	require.Equal(t, ActionPub|ActionSub, HeartBeat.ACLAction)
	require.Equal(t, reflect.TypeFor[header.None](), ViewMessageByID.Response)
	require.Equal(t, reflect.TypeFor[header.GetConsumerListByGroupResponse](), GetConsumerListByGroup.Response)
	require.Equal(t, ResourceTopic|ResourceGroup, PullMessage.ACLResource)
	require.Equal(t, "4711", Code(4711).String())
}

func TestError(t *testing.T) {
	err := fmt.Errorf("send: %w", Errorf(TopicNotExist, "topic[%s] not exist", "T"))
	require.Equal(t, TopicNotExist, CodeOf(err))
	require.Equal(t, SystemError, CodeOf(errors.New("x")))
	require.Equal(t, Success, CodeOf(nil))
	require.ErrorIs(t, err, &Error{Code: TopicNotExist})
	require.NotErrorIs(t, err, &Error{Code: SystemBusy})
	require.Equal(t, "TOPIC_NOT_EXIST: topic[T] not exist", Errorf(TopicNotExist, "topic[%s] not exist", "T").Error())
	require.Equal(t, "NO_PERMISSION", (&Error{Code: NoPermission}).Error())
	require.Equal(t, "9999", ResponseCode(9999).String())
}

// A row knows the headers of its request and answer.
func ExampleCall() {
	fmt.Println(SendMessageV2.Code, int32(SendMessageV2.Code), SendMessageV2.Request)
	// Output: SEND_MESSAGE_V2 310 header.SendMessageRequestV2
}

// The fields are those that Java marks with @RocketMQResource, under the keys they have
// on the wire, and every kind of resource that a field names stands in the rule of its
// row, when it has one.
func TestTable_ACLFields(t *testing.T) {
	require.Equal(t, []ACLField{{Key: "b", Resource: ResourceTopic}}, RowOf(SendMessageV2.Code).ACLFields)
	require.Equal(t, []ACLField{{Key: "consumerGroup", Resource: ResourceGroup}, {Key: "topic", Resource: ResourceTopic}}, PullMessage.ACLFields)
	require.Empty(t, HeartBeat.ACLFields)
	require.Nil(t, RowOf(4711))
	n := 0
	for _, r := range Table() {
		keys := map[string]bool{}
		v := reflect.New(r.Request)
		for _, f := range encoded(t, v) {
			keys[f] = true
		}
		for _, f := range r.ACLFields {
			n++
			require.True(t, keys[f.Key], "%s has no field %s", r.Name, f.Key)
			if r.ACLAction != ActionNone {
				require.NotZero(t, r.ACLResource&f.Resource, "%s %s", r.Name, f.Key)
			}
		}
	}
	require.Greater(t, n, 80)
	require.Equal(t, []string{"a", "b"}, slices.Collect(ACLField{Separator: ";"}.Names("a; b;;")))
	require.Equal(t, []string{"a;b"}, slices.Collect(ACLField{}.Names("a;b")))
}

// encoded gives the keys that a header with all fields set has on the wire.
func encoded(t *testing.T, v reflect.Value) (keys []string) {
	t.Helper()
	setAll(v.Elem())
	frame := wire.AppendHead(nil, &wire.Outgoing{Header: v.Interface().(wire.FieldEncoder)}, 0)
	var c wire.Command
	require.NoError(t, wire.Decode(frame[4:], &c))
	for _, f := range c.Ext {
		keys = append(keys, f.Key)
	}
	return keys
}

// setAll marks all fields of a header as there.
func setAll(v reflect.Value) {
	for i := range v.NumField() {
		f := v.Field(i)
		if f.Kind() != reflect.Struct {
			continue
		}
		if set := f.FieldByName("Set"); set.IsValid() && set.Kind() == reflect.Bool {
			set.SetBool(true)
			continue
		}
		setAll(f)
	}
}
