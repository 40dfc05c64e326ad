package storeclient

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// CallTimeout is longer than any answer of a broker that is alive may take.
const CallTimeout = 30 * time.Second

// ErrRefused says that the broker answered, and not with success.
var ErrRefused = errors.New("storeclient: refused")

// Refusal is an answer that is not success. It wraps ErrRefused.
type Refusal struct {
	Request int32
	Code    protocol.ResponseCode
	Remark  string
}

// Error implements error.
func (r *Refusal) Error() string {
	return fmt.Sprintf("request %d was answered with %d: %s", r.Request, r.Code, r.Remark)
}

// Unwrap gives ErrRefused.
func (r *Refusal) Unwrap() error { return ErrRefused }

// Client is one connection to a broker.
type Client struct {
	c    *remoting.Client
	addr string
}

// New makes a client; the connection is made by the first call.
func New(addr string) *Client {
	return &Client{c: remoting.NewClient(remoting.ClientOptions{}), addr: addr}
}

// Close ends the connection.
func (c *Client) Close() { c.c.Close() }

// invoke sends one request and gives the answer, whatever its code.
func (c *Client) invoke(code protocol.Code, h wire.FieldEncoder, body []byte) (*wire.Command, error) {
	ctx, cancel := context.WithTimeout(context.Background(), CallTimeout)
	defer cancel()
	return c.c.Invoke(ctx, c.addr, &wire.Outgoing{Code: int32(code), Header: h}, body)
}

// call is invoke that turns every code but success into a *Refusal.
func (c *Client) call(code protocol.Code, h wire.FieldEncoder, body []byte) (*wire.Command, error) {
	a, err := c.invoke(code, h, body)
	if err == nil && a.Code != int32(protocol.Success) {
		return nil, &Refusal{int32(code), protocol.ResponseCode(a.Code), a.Remark}
	}
	return a, err
}

// Queue names one queue of the broker.
type Queue struct {
	Topic string
	ID    int32
}

// String is topic-queue.
func (q Queue) String() string { return fmt.Sprintf("%s-%d", q.Topic, q.ID) }

// Message is one message on its way. Properties are pairs of name and value in
// the order in which they are written.
type Message struct {
	Body       []byte
	Flag       int32
	SysFlag    int32
	Properties [][2]string
}

// Text is the property text of a record.
func (m Message) Text() []byte {
	var b []byte
	for _, p := range m.Properties {
		b = message.AppendProperty(b, p[0], p[1])
	}
	return b
}

// Stored is what the broker told about a message that it took.
type Stored struct {
	QueueOffset int64
	PhyOffset   int64
	MsgID       string // offset message id
}

// Send sends one message (310).
func (c *Client) Send(q Queue, m Message) (Stored, error) {
	return one(c.send(q, protocol.SendMessageV2.Code, sendHeader(q, m), m.Body))
}

func one(s []Stored, err error) (Stored, error) {
	if err != nil {
		return Stored{}, err
	}
	return s[0], nil
}

// SendBatch sends several messages in one request (320).
func (c *Client) SendBatch(q Queue, ms []Message) ([]Stored, error) {
	var body []byte
	var err error
	for _, m := range ms {
		body, err = message.AppendBatchEntry(body, message.BatchEntry{Flag: m.Flag, Body: m.Body, Properties: m.Text()})
		if err != nil {
			return nil, err
		}
	}
	h := sendHeader(q, Message{})
	h.Batch = wire.Some(true)
	s, err := c.send(q, protocol.SendBatchMessage.Code, h, body)
	if err == nil && len(s) != len(ms) {
		err = fmt.Errorf("storeclient: %d ids for a batch of %d", len(s), len(ms))
	}
	return s, err
}

func sendHeader(q Queue, m Message) *header.SendMessageRequestV2 {
	return &header.SendMessageRequestV2{
		ProducerGroup: wire.Some("storeclient"), Topic: wire.Some(q.Topic), DefaultTopic: wire.Some("TBW102"),
		DefaultTopicQueueNums: wire.Some(int32(4)), QueueID: wire.Some(q.ID), SysFlag: wire.Some(m.SysFlag),
		BornTimestamp: wire.Some(time.Now().UnixMilli()), Flag: wire.Some(m.Flag), Properties: wire.Some(string(m.Text())),
	}
}

func (c *Client) send(q Queue, code protocol.Code, h wire.FieldEncoder, body []byte) ([]Stored, error) {
	a, err := c.call(code, h, body)
	if err != nil {
		return nil, fmt.Errorf("send to %v: %w", q, err)
	}
	var r header.SendMessageResponse
	if err := r.DecodeFields(a); err != nil {
		return nil, err
	}
	var out []Stored
	for i, id := range strings.Split(r.MsgID.V, ",") {
		_, phy, err := message.ParseOffsetMessageID(id)
		if err != nil {
			return nil, fmt.Errorf("send to %v: %w", q, err)
		}
		out = append(out, Stored{r.QueueOffset.V + int64(i), phy, id})
	}
	return out, nil
}

// EndTransaction tells the outcome of a half message (37): 8 commits, 12 rolls
// back.
func (c *Client) EndTransaction(group string, at Stored, id string, outcome int32) error {
	_, err := c.call(protocol.EndTransaction.Code, &header.EndTransactionRequest{
		ProducerGroup: wire.Some(group), TranStateTableOffset: wire.Some(at.QueueOffset), CommitLogOffset: wire.Some(at.PhyOffset),
		CommitOrRollback: wire.Some(outcome), FromTransactionCheck: wire.Some(false),
		MsgID: wire.Some(id), TransactionID: wire.Some(id),
	}, nil)
	return err
}

// Commit stores the offset of a group (15).
func (c *Client) Commit(group string, q Queue, offset int64) error {
	_, err := c.call(protocol.UpdateConsumerOffset.Code, &header.UpdateConsumerOffsetRequest{
		ConsumerGroup: wire.Some(group), Topic: wire.Some(q.Topic), QueueID: wire.Some(q.ID), CommitOffset: wire.Some(offset),
	}, nil)
	return err
}
