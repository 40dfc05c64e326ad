package txnkill

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

const (
	topicName   = "txnkill"
	queues      = 4
	group       = "txnkill-producer"
	callTimeout = 30 * time.Second
)

// errRefused says that the broker answered, and not with success.
var errRefused = errors.New("txnkill: refused")

// half is where a half message was stored.
type half struct{ queueOffset, phyOffset int64 }

// client is one connection to the broker, and the producer that it asks. It
// makes no other when the broker dies.
type client struct {
	c    *remoting.Client
	conn *remoting.Conn
}

// newClient connects; ask is called for each question of the broker with the
// number of the transaction and the place of its half message.
func newClient(addr string, ask func(c *client, n int64, at half)) (*client, error) {
	c := &client{}
	routes := remoting.NewRoutes()
	lane := &remoting.Lane{Name: "check", Workers: 4, Capacity: 10000}
	remoting.On(routes, protocol.CheckTransactionState, lane, func(r *remoting.Request, q *header.CheckTransactionStateRequest) (*remoting.Answer, error) {
		var m message.Message
		if _, err := message.Decode(r.Cmd.Body, &m, true); err != nil {
			return nil, err
		}
		n, _ := numberOf(&m)
		ask(c, n, half{q.TranStateTableOffset.V, q.CommitLogOffset.V})
		return nil, nil
	})
	c.c = remoting.NewClient(remoting.ClientOptions{Routes: routes})
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	var err error
	if c.conn, err = c.c.Conn(ctx, addr); err != nil {
		c.close()
		return nil, err
	}
	body := fmt.Sprintf(`{"clientID":"txnkill@1","consumerDataSet":[],"producerDataSet":[{"groupName":%q}]}`, group)
	if _, err := c.call(protocol.HeartBeat.Code, &header.HeartbeatRequest{}, []byte(body)); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *client) close() { c.c.Close() }

// call sends one request. An error that is not errRefused means that there was
// no answer.
func (c *client) call(code protocol.Code, h wire.FieldEncoder, body []byte) (*wire.Command, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	a, err := c.conn.Invoke(ctx, &wire.Outgoing{Code: int32(code), Header: h}, body)
	if err == nil && a.Code != int32(protocol.Success) {
		err = fmt.Errorf("%w: request %d: %d %s", errRefused, code, a.Code, a.Remark)
	}
	return a, err
}

func keyOf(n int64) string { return "transaction-" + strconv.FormatInt(n, 10) }

func bodyOf(n int64) string { return strings.Repeat(keyOf(n)+" ", 1+int(n%40)) }

// numberOf reads the number of a message's transaction, -1 when it has none, and
// says whether it has the content that was sent.
func numberOf(m *message.Message) (n int64, whole bool) {
	key, _ := message.Get(m.Properties, message.PropertyKeys)
	n, err := strconv.ParseInt(strings.TrimPrefix(key, "transaction-"), 10, 64)
	if err != nil {
		return -1, false
	}
	return n, string(m.Body) == bodyOf(n)
}

// send sends the half message of transaction n (310).
func (c *client) send(n int64) (half, error) {
	var ps []byte
	for _, p := range [][2]string{{message.PropertyKeys, keyOf(n)}, {message.PropertyUniqKey, keyOf(n)},
		{message.PropertyTransactionPrepared, "true"}, {message.PropertyProducerGroup, group}} {
		ps = message.AppendProperty(ps, p[0], p[1])
	}
	a, err := c.call(protocol.SendMessageV2.Code, &header.SendMessageRequestV2{
		ProducerGroup: wire.Some(group), Topic: wire.Some(topicName), DefaultTopic: wire.Some("TBW102"),
		DefaultTopicQueueNums: wire.Some(int32(queues)), QueueID: wire.Some(int32(n % queues)),
		SysFlag: wire.Some(message.SysFlagPrepared), BornTimestamp: wire.Some(time.Now().UnixMilli()),
		Flag: wire.Some(int32(0)), Properties: wire.Some(string(ps)),
	}, []byte(bodyOf(n)))
	if err != nil {
		return half{}, err
	}
	var r header.SendMessageResponse
	if err := r.DecodeFields(a); err != nil {
		return half{}, err
	}
	_, phy, err := message.ParseOffsetMessageID(r.MsgID.V)
	return half{r.QueueOffset.V, phy}, err
}

// end tells the outcome of transaction n (37) and waits for the answer.
func (c *client) end(n int64, at half, outcome int32, asked bool) error {
	_, err := c.call(protocol.EndTransaction.Code, &header.EndTransactionRequest{
		ProducerGroup: wire.Some(group), TranStateTableOffset: wire.Some(at.queueOffset), CommitLogOffset: wire.Some(at.phyOffset),
		CommitOrRollback: wire.Some(outcome), FromTransactionCheck: wire.Some(asked),
		MsgID: wire.Some(keyOf(n)), TransactionID: wire.Some(keyOf(n)),
	}, nil)
	return err
}

// readAll reads the topic from its first to its last message.
func (c *client) readAll() ([]Found, error) {
	var out []Found
	for q := range int32(queues) {
		for offset := int64(0); ; {
			got, next, err := c.pull(q, offset)
			if err != nil {
				return nil, err
			}
			out = append(out, got...)
			if next <= offset {
				break
			}
			offset = next
		}
	}
	return out, nil
}

// pull answers next = offset at the end of the queue.
func (c *client) pull(queue int32, offset int64) (found []Found, next int64, err error) {
	const subscription = 4
	a, err := c.call(protocol.PullMessage.Code, &header.PullMessageRequest{
		ConsumerGroup: wire.Some("txnkill-reader"), Topic: wire.Some(topicName), QueueID: wire.Some(queue), QueueOffset: wire.Some(offset),
		MaxMsgNums: wire.Some(int32(32)), SysFlag: wire.Some(int32(subscription)), CommitOffset: wire.Some(int64(0)),
		SuspendTimeoutMillis: wire.Some(int64(0)), Subscription: wire.Some("*"), SubVersion: wire.Some(int64(1)),
	}, nil)
	if a != nil && protocol.ResponseCode(a.Code) == protocol.PullNotFound {
		return nil, offset, nil
	}
	if err != nil {
		return nil, 0, err
	}
	var r header.PullMessageResponse
	if err := r.DecodeFields(a); err != nil {
		return nil, 0, err
	}
	for b := a.Body; len(b) > 0; {
		var m message.Message
		size, err := message.Decode(b, &m, true)
		if err != nil {
			return nil, 0, fmt.Errorf("txnkill: queue %d at %d: %w", queue, offset, err)
		}
		n, whole := numberOf(&m)
		found = append(found, Found{n, whole && m.Topic == topicName && m.QueueID == queue})
		b = b[size:]
	}
	return found, r.NextBeginOffset.V, nil
}
