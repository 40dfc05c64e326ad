// Package local calls the verbs of a broker from inside its process: requests are header
// structs, answers are header structs and records, and nothing is encoded, written or
// read on the way. What a request may do, what it is counted as and how many there may
// be at a time is as for one that comes over the network.
//
// Broker.Connect makes a Client. It is what a front end in the same process (another
// protocol, a console, a test) stands on. The package owns no goroutine and no lock.
package local

import (
	"context"
	"fmt"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/remoting"
)

// Client is one client of the broker. All methods may be called from any goroutine.
type Client struct{ conn *remoting.LocalConn }

// New makes a client of a caller, which it closes.
func New(conn *remoting.LocalConn) *Client { return &Client{conn} }

// Close makes the broker forget the client, as when a connection ends.
func (c *Client) Close() { c.conn.Close() }

// Call makes any request of the table of calls, such as protocol.QueryConsumerOffset.
// The error is that there is no answer, or that its code is not SUCCESS
// (*protocol.Error); then there is a result, too. The result must be released.
func Call[Q, R any](ctx context.Context, c *Client, call protocol.Call[Q, R], q *Q, body []byte) (*remoting.Result[R], error) {
	r, err := remoting.Call(ctx, c.conn, call, q, body)
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", call.Name, err)
	}
	return r, err
}

// Sent is the answer to a send.
type Sent struct {
	// Code is SUCCESS, or says that the message is stored but not, or not in time, where
	// it should be, too: FLUSH_DISK_TIMEOUT, FLUSH_SLAVE_TIMEOUT, SLAVE_NOT_AVAILABLE.
	Code protocol.ResponseCode
	header.SendMessageResponse
}

// Send stores a message (SEND_MESSAGE_V2, 310), or with q.Batch those of a batch
// (SEND_BATCH_MESSAGE, 320). An error says that it was not stored.
func (c *Client) Send(ctx context.Context, q *header.SendMessageRequestV2, body []byte) (Sent, error) {
	call := protocol.SendMessageV2
	if q.Batch.Or(false) {
		call = protocol.SendBatchMessage
	}
	r, err := remoting.Call(ctx, c.conn, call, q, body)
	if err == nil {
		r.Release()
		switch r.Code {
		case protocol.Success, protocol.FlushDiskTimeout, protocol.FlushSlaveTimeout, protocol.SlaveNotAvailable:
			return Sent{r.Code, r.Header}, nil
		}
		err = r.Err()
	}
	return Sent{}, fmt.Errorf("%s: %w", call.Name, err)
}

// Pulled is the answer to a pull.
type Pulled struct {
	// Code is SUCCESS when there are messages, else PULL_NOT_FOUND, PULL_RETRY_IMMEDIATELY
	// or PULL_OFFSET_MOVED.
	Code protocol.ResponseCode
	header.PullMessageResponse
	// Messages are the records. Their texts and bytes lie in the broker's memory and may
	// be read until Release.
	Messages []message.Message

	release func()
}

// Release gives the memory of the messages back. It must be called.
func (p *Pulled) Release() {
	p.Messages = nil
	p.release()
}

// Pull reads messages (PULL_MESSAGE, 11). When there are none and q allows it, it waits
// as long as q says, or until ctx ends.
func (c *Client) Pull(ctx context.Context, q *header.PullMessageRequest) (*Pulled, error) {
	r, err := remoting.Call(ctx, c.conn, protocol.PullMessage, q, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", protocol.PullMessage.Name, err)
	}
	p := &Pulled{Code: r.Code, PullMessageResponse: r.Header, release: r.Release}
	switch r.Code {
	case protocol.Success:
		err = p.decode(r.Views)
	case protocol.PullNotFound, protocol.PullRetryImmediately, protocol.PullOffsetMoved:
	default:
		err = r.Err()
	}
	if err != nil {
		p.Release()
		return nil, fmt.Errorf("%s: %w", protocol.PullMessage.Name, err)
	}
	return p, nil
}

// decode reads the records of the views; a view may have several.
func (p *Pulled) decode(views [][]byte) error {
	for _, v := range views {
		for len(v) > 0 {
			var m message.Message
			n, err := message.Decode(v, &m, false)
			if err != nil {
				return err
			}
			p.Messages, v = append(p.Messages, m), v[n:]
		}
	}
	return nil
}
