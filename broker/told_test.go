package broker

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// nameServer is a name server that answers registrations when it is told to, and
// knows the topics of those it has answered.
type nameServer struct {
	addr string

	mu    sync.Mutex // guards the rest
	held  []func()   // registrations that are not answered yet
	hold  bool
	known map[string]bool
	calls int
}

func newNameServer(t *testing.T) *nameServer {
	n := &nameServer{known: map[string]bool{}}
	routes := remoting.NewRoutes()
	lane := &remoting.Lane{Name: "all", Workers: 1}
	remoting.On(routes, protocol.RegisterBroker, lane, n.register)
	routes.Handle(protocol.UnregisterBroker.Code, lane, func(*remoting.Request) (*remoting.Answer, error) { return &remoting.Answer{}, nil })
	server := remoting.NewServer(remoting.ServerOptions{Listen: "127.0.0.1:0", Routes: routes})
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		n.setHold(false)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, server.Shutdown(ctx))
	})
	n.addr = server.Addr().String()
	return n
}

func (n *nameServer) register(r *remoting.Request, _ *header.RegisterBrokerRequest) (*remoting.Answer, error) {
	rb, err := body.DecodeRegisterBroker(r.Cmd.Body, false, r.Cmd.Version)
	if err != nil {
		return nil, err
	}
	to := r.To()
	answer := func() { // REQUIRES: n.mu
		for name := range rb.TopicConfigSerializeWrapper.TopicConfigTable {
			n.known[name] = true
		}
		to.Send(&remoting.Answer{})
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls++
	if n.hold {
		n.held = append(n.held, answer)
	} else {
		answer()
	}
	return nil, nil
}

func (n *nameServer) setHold(hold bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hold = hold
	if !hold {
		for _, f := range n.held {
			f()
		}
		n.held = nil
	}
}

func (n *nameServer) knows(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.known[name]
}

// makings are the requests that make a topic, by the topic's name.
func makings(r *rig) map[string]func() *wire.Command {
	return map[string]func() *wire.Command{
		"Admin": func() *wire.Command {
			return r.call(protocol.UpdateAndCreateTopic.Code, &header.CreateTopicRequest{
				Topic: wire.Some("Admin"), ReadQueueNums: wire.Some(int32(4)), WriteQueueNums: wire.Some(int32(4)),
				Perm: wire.Some(int32(6)), TopicFilterType: wire.Some("SINGLE_TAG"), TopicSysFlag: wire.Some(int32(0)),
			}, nil)
		},
		"%RETRY%Group": func() *wire.Command {
			hb, err := body.Marshal(&body.HeartbeatData{ClientID: "c", ConsumerDataSet: []body.ConsumerData{{
				GroupName: "Group", ConsumeType: body.ConsumePassively, MessageModel: body.Clustering,
			}}})
			require.NoError(r.t, err)
			return r.call(protocol.HeartBeat.Code, &header.HeartbeatRequest{}, hb)
		},
		"Sent": func() *wire.Command { return r.call(protocol.SendMessageV2.Code, sendHeader("Sent", 0), []byte("m")) },
	}
}

// The Java broker answers a request that makes a topic when the name servers have
// the topic (registerIncrementBrokerData waits for them): a client that asks for
// the route next finds it.
func TestTold_WhoMakesATopicIsAnsweredWhenItIsRegistered(t *testing.T) {
	for _, name := range []string{"Admin", "%RETRY%Group", "Sent"} {
		t.Run(name, func(t *testing.T) {
			n := newNameServer(t)
			r := newRig(t, "namesrvAddr="+n.addr)
			r.send("old", 0, "m")
			n.setHold(true)
			answered := make(chan *wire.Command, 1)
			go func() { answered <- makings(r)[name]() }()
			require.Eventually(t, func() bool { return r.topics.Find(name) != nil }, 5*time.Second, time.Millisecond)
			for range 50 { // nobody else is kept waiting, on the same connection
				r.send("old", 0, "m")
			}
			select {
			case <-answered:
				t.Fatal("answered before the name server knows the topic")
			default:
			}
			require.False(t, n.knows(name))
			n.setHold(false)
			a := <-answered
			require.Equal(t, protocol.Success, protocol.ResponseCode(a.Code), a.Remark)
			require.True(t, n.knows(name))
		})
	}
}

// Fifty topics one after the other: none is missing at the name server when it was
// answered.
func TestTold_EveryTopicIsKnown(t *testing.T) {
	n := newNameServer(t)
	r := newRig(t, "namesrvAddr="+n.addr)
	for i := range 50 {
		name := fmt.Sprint("T", i)
		r.send(name, 0, "m")
		require.True(t, n.knows(name), name)
	}
}

// Sends that make many topics at a time share registrations.
func TestTold_ManyTopicsShareARegistration(t *testing.T) {
	n := newNameServer(t)
	r := newRig(t, "namesrvAddr="+n.addr)
	r.send("first", 0, "m")
	n.setHold(true)
	n.mu.Lock()
	before := n.calls
	n.mu.Unlock()
	const topics = 100
	var all sync.WaitGroup
	for i := range topics {
		all.Go(func() { r.call(protocol.SendMessageV2.Code, sendHeader(fmt.Sprint("T", i), 0), []byte("m")) })
	}
	require.Eventually(t, func() bool { return r.topics.Find(fmt.Sprint("T", topics-1)) != nil }, 10*time.Second, time.Millisecond)
	require.Eventually(t, func() bool {
		made := 0
		for i := range topics {
			if r.topics.Find(fmt.Sprint("T", i)) != nil {
				made++
			}
		}
		return made == topics
	}, 10*time.Second, time.Millisecond)
	n.setHold(false)
	all.Wait()
	for i := range topics {
		require.True(t, n.knows(fmt.Sprint("T", i)))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	require.LessOrEqual(t, n.calls-before, 10, "registrations")
}

// A name server that does not answer delays nobody when another does.
func TestTold_OneHungNameServer(t *testing.T) {
	good, hung := newNameServer(t), newNameServer(t)
	r := newRig(t, "namesrvAddr="+hung.addr+";"+good.addr)
	hung.setHold(true)
	begun := time.Now()
	for i := range 20 {
		r.send(fmt.Sprint("T", i), 0, "m")
		require.True(t, good.knows(fmt.Sprint("T", i)))
	}
	require.Less(t, time.Since(begun), 5*time.Second)
}

// Without name servers nobody waits.
func TestTold_NoNameServer(t *testing.T) {
	r := newRig(t, "")
	require.Empty(t, r.opts.Config.Get().NameServers())
	for _, f := range makings(r) {
		require.Equal(t, protocol.Success, protocol.ResponseCode(f().Code))
	}
}
