//go:build !race

package brokertest_test

import (
	"context"
	"fmt"
	"os"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"

	"github.com/merlinmq/merlin/broker/brokertest"
)

// In a test it is one line, c := brokertest.Start(t); Open is for everywhere else.
func Example() {
	rlog.SetLogLevel("fatal")
	dir, err := os.MkdirTemp("", "brokertest")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	c, err := brokertest.Open(dir)
	if err != nil {
		panic(err)
	}
	defer c.Close()

	p, err := rocketmq.NewProducer(producer.WithGroupName("orders"),
		producer.WithNsResolver(primitive.NewPassthroughResolver([]string{c.NameServer})))
	if err != nil {
		panic(err)
	}
	if err := p.Start(); err != nil {
		panic(err)
	}
	defer p.Shutdown()
	res, err := p.SendSync(context.Background(), primitive.NewMessage("Orders", []byte("one beer")))
	if err != nil {
		panic(err)
	}
	fmt.Println(res.Status == primitive.SendOK, res.QueueOffset)
	// Output: true 0
}

// Messages sent and looked at without a client library, inside the process.
func ExampleCluster_Client() {
	dir, err := os.MkdirTemp("", "brokertest")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	c, err := brokertest.Open(dir)
	if err != nil {
		panic(err)
	}
	defer c.Close()

	client, err := c.Client("orders")
	if err != nil {
		panic(err)
	}
	defer client.Close()
	ctx := context.Background()
	if _, err := client.Send(ctx, "Orders", "one beer", "TAGS", "drink"); err != nil {
		panic(err)
	}
	messages, err := client.Pull(ctx, "Orders", 0)
	if err != nil {
		panic(err)
	}
	fmt.Println(messages[0].Offset, messages[0].Body, messages[0].Properties["TAGS"])
	// Output: 0 one beer drink
}
