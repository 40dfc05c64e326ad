package remoting_test

import (
	"context"
	"fmt"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// A server with one typed handler, and a client that calls it.
func Example() {
	routes := remoting.NewRoutes()
	kv := &remoting.Lane{Name: "kv", Workers: 2, Capacity: 100}
	remoting.On(routes, protocol.GetKVConfig, kv, func(r *remoting.Request, h *header.GetKVConfigRequest) (*remoting.Answer, error) {
		if h.Key.V != "greeting" {
			return nil, protocol.Errorf(protocol.QueryNotFound, "no %s", h.Key.V)
		}
		return &remoting.Answer{Body: []byte("hello")}, nil
	})
	server := remoting.NewServer(remoting.ServerOptions{Routes: routes})
	if err := server.Start(); err != nil {
		panic(err)
	}
	client := remoting.NewClient(remoting.ClientOptions{})
	ctx := context.Background()
	for _, key := range []string{"greeting", "farewell"} {
		answer, err := client.Invoke(ctx, server.Addr().String(), &wire.Outgoing{
			Code:   int32(protocol.GetKVConfig.Code),
			Header: &header.GetKVConfigRequest{Namespace: wire.Some("demo"), Key: wire.Some(key)},
		}, nil)
		if err != nil {
			panic(err)
		}
		fmt.Println(protocol.ResponseCode(answer.Code), answer.Remark, string(answer.Body))
	}
	client.Close()
	if err := server.Shutdown(ctx); err != nil {
		panic(err)
	}
	// Output:
	// SUCCESS  hello
	// QUERY_NOT_FOUND no farewell
}
