package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/merlinmq/merlin/broker/client"
	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/group"
	"github.com/merlinmq/merlin/broker/offset"
	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
	"github.com/merlinmq/merlin/store"
	"github.com/stretchr/testify/require"
)

// fakeStore has queues with the bounds of the map; message n was stored at 1000+n.
type fakeStore struct {
	bounds  map[body.MessageQueue][2]int64
	deleted []string
	cleaned int
	info    map[string]string
	// unreadable is the error of every read.
	unreadable error
}

func (s *fakeStore) at(t string, id int32) [2]int64 {
	return s.bounds[body.MessageQueue{Topic: t, QueueID: id}]
}
func (s *fakeStore) MinOffset(t string, id int32) int64 { return s.at(t, id)[0] }
func (s *fakeStore) MaxOffset(t string, id int32) int64 { return s.at(t, id)[1] }
func (s *fakeStore) OffsetByTime(_ string, _ int32, ts int64, _ bool) (int64, error) {
	return ts - 1000, s.unreadable
}
func (s *fakeStore) StoreTimeAt(t string, id int32, o int64) (int64, error) {
	if b := s.at(t, id); o < b[0] || o >= b[1] {
		return -1, nil
	}
	return 1000 + o, s.unreadable
}
func (s *fakeStore) EarliestStoreTime(t string, id int32) (int64, error) {
	return s.StoreTimeAt(t, id, s.MinOffset(t, id))
}
func (s *fakeStore) Entries(t string, id int32, from int64, n int) (out []store.QueueEntry, err error) {
	for o := from; o < s.MaxOffset(t, id) && len(out) < n; o++ {
		out = append(out, store.QueueEntry{PhyOffset: o * 100, Size: 100, TagsCode: o, QueueOffset: o})
	}
	return out, s.unreadable
}
func (s *fakeStore) RecordAt(phy int64) ([]byte, error) {
	if phy != 300 {
		return nil, store.ErrNoRecord
	}
	return []byte("the record"), nil
}
func (s *fakeStore) DeleteTopic(t string) error { s.deleted = append(s.deleted, t); return nil }
func (s *fakeStore) Topics() []string {
	var out []string
	for q := range s.bounds {
		out = append(out, q.Topic)
	}
	return out
}
func (s *fakeStore) MaxPhyOffset() int64                        { return 4711 }
func (s *fakeStore) RuntimeInfo() map[string]string             { return s.info }
func (s *fakeStore) CleanNow() error                            { s.cleaned++; return nil }
func (s *fakeStore) CleanExpiredQueues(func(string) bool) error { s.cleaned += 10; return nil }

type fakeDelay struct{}

func (fakeDelay) Offsets() map[int]string { return map[int]string{3: "5,9"} }
func (fakeDelay) Encode() ([]byte, error) { return []byte(`{"offsetTable":{3:5}}`), nil }

// fakePeer is a client's connection.
type fakePeer struct {
	id     uint64
	oneway []*wire.Outgoing
	bodies [][]byte
	invoke func(o *wire.Outgoing, data []byte) (*wire.Command, error)
}

func (p *fakePeer) ID() uint64 { return p.id }
func (p *fakePeer) RemoteAddr() netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr("10.1.2.3"), uint16(p.id))
}
func (p *fakePeer) Alive() bool { return true }
func (p *fakePeer) Close()      {}
func (p *fakePeer) Oneway(o *wire.Outgoing, data []byte) error {
	p.oneway, p.bodies = append(p.oneway, o), append(p.bodies, data)
	return nil
}
func (p *fakePeer) Invoke(_ context.Context, o *wire.Outgoing, data []byte) (*wire.Command, error) {
	return p.invoke(o, data)
}

type world struct {
	*Handler
	t          *testing.T
	store      *fakeStore
	files      *configfile.Memory
	clock      *clock.Manual
	registered int
	changed    []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, store: &fakeStore{bounds: map[body.MessageQueue][2]int64{}}, files: configfile.NewMemory()}
	w.clock = clock.NewManual(time.UnixMilli(100_000))
	cfg, _, err := config.Parse([]byte("brokerName=broker-a\n"), "broker.conf")
	require.NoError(t, err)
	require.NoError(t, w.files.Save("broker.conf", []byte("# mine\nbrokerName=broker-a\n")))
	holder := config.NewHolder(cfg, config.HolderOptions{File: "broker.conf", Files: w.files, Clock: w.clock})
	now := w.clock.NowMillis
	topics, err := topic.Load(topic.Options{
		Files: w.files, Path: "topics.json", Now: now,
		Config: func() topic.Config {
			return topic.Config{ClusterName: "DefaultCluster", BrokerName: "broker-a", AutoCreateTopic: true, DefaultQueues: 8}
		},
		Changed: func(c body.TopicConfig) { w.changed = append(w.changed, c.TopicName) },
	})
	require.NoError(t, err)
	groups, err := group.Load(group.Options{
		Files: w.files, Path: "subscriptionGroup.json", Now: now,
		Config: func() group.Config { return group.Config{AutoCreate: true} },
	})
	require.NoError(t, err)
	offsets, err := offset.Load(offset.Options{Files: w.files, Path: "consumerOffset.json", Now: now})
	require.NoError(t, err)
	w.Handler = New(Deps{
		Config: holder, Topics: topics, Groups: groups, Offsets: offsets,
		Consumers: client.NewConsumers(client.ConsumerOptions{Clock: w.clock}),
		Producers: client.NewProducers(w.clock, nil),
		Stats:     stats.New(stats.Options{Clock: w.clock, Cluster: "DefaultCluster"}),
		Store:     w.store, Delay: fakeDelay{}, Clock: w.clock, Register: func() { w.registered++ },
		Addr: "127.0.0.1:10911",
	})
	return w
}

// topicOf makes a topic with two queues.
func (w *world) topicOf(name string) {
	w.t.Helper()
	c := body.NewTopicConfig(name)
	c.ReadQueueNums, c.WriteQueueNums = 2, 2
	require.NoError(w.t, w.Topics.Put(c))
}

// online registers a member of a group that subscribes to topics.
func (w *world) online(groupName string, p client.Peer, clientID string, version int32, topics ...string) {
	var subs []body.SubscriptionData
	for _, t := range topics {
		subs = append(subs, body.SubscriptionData{Topic: t, SubString: "*", ExpressionType: "TAG", SubVersion: 1})
	}
	w.Consumers.Register(client.Registration{
		Group: groupName, Channel: &client.Channel{Peer: p, ClientID: clientID, Language: wire.Java, Version: version},
		ConsumeType: body.ConsumePassively, MessageModel: body.Clustering, Subscriptions: subs,
	})
}

func bare(data string) *remoting.Request {
	return &remoting.Request{Cmd: &wire.Command{Body: []byte(data)}}
}

// refused checks a code and a remark.
func refused(t *testing.T, err error, code protocol.ResponseCode, remark string) {
	t.Helper()
	var pe *protocol.Error
	require.True(t, errors.As(err, &pe), "%v", err)
	require.Equal(t, protocol.Error{Code: code, Remark: remark}, *pe)
}

// ok checks a success and gives its body.
func ok(t *testing.T, a *remoting.Answer, err error) string {
	t.Helper()
	require.NoError(t, err)
	require.Equal(t, protocol.Success, a.Code)
	return string(a.Body)
}

func str(s string) wire.OptString { return wire.Some(s) }

// key is a queue of the fake store.
func (w *world) key(t string, id int32) body.MessageQueue {
	return body.MessageQueue{Topic: t, QueueID: id}
}

// asMap reads valid JSON.
func asMap(t *testing.T, text string) map[string]any {
	t.Helper()
	var m map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &m), text)
	return m
}
