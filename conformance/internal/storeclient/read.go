package storeclient

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
)

const (
	group       = "storeclient-reader"
	pullBatch   = 32
	longestRead = 1 << 20 // calls of one ReadQueue: it ends whatever the broker answers
)

// Record is one stored message. Raw are the bytes of the record as the broker
// served them.
type Record struct {
	message.Message
	Raw []byte
}

// Key is the KEYS property.
func (r *Record) Key() string {
	k, _ := message.Get(r.Properties, message.PropertyKeys)
	return k
}

// QueueRead is one queue, read from Min to Max.
type QueueRead struct {
	Min, Max int64
	Found    []Record
	// Stuck are the offsets at which a consumer gets neither a message nor an
	// offset to go on from, and Refused those at which it gets an error.
	Stuck, Refused []int64
	// Why is the first refusal.
	Why error
}

// Pull asks for messages from an offset on, without waiting (11). next is where
// the broker says to go on.
func (c *Client) Pull(q Queue, offset int64, tags string) (found []Record, next int64, err error) {
	const subscription = 4
	a, err := c.invoke(protocol.PullMessage.Code, &header.PullMessageRequest{
		ConsumerGroup: wire.Some(group), Topic: wire.Some(q.Topic), QueueID: wire.Some(q.ID), QueueOffset: wire.Some(offset),
		MaxMsgNums: wire.Some(int32(pullBatch)), SysFlag: wire.Some(int32(subscription)), CommitOffset: wire.Some(int64(0)),
		SuspendTimeoutMillis: wire.Some(int64(0)), Subscription: wire.Some(tags), SubVersion: wire.Some(int64(1)),
	}, nil)
	if err != nil {
		return nil, 0, err
	}
	switch protocol.ResponseCode(a.Code) {
	case protocol.Success, protocol.PullNotFound, protocol.PullOffsetMoved, protocol.PullRetryImmediately:
	default:
		return nil, 0, &Refusal{int32(protocol.PullMessage.Code), protocol.ResponseCode(a.Code), a.Remark}
	}
	var r header.PullMessageResponse
	if err := r.DecodeFields(a); err != nil {
		return nil, 0, err
	}
	found, err = records(a.Body)
	return found, r.NextBeginOffset.V, err
}

// records takes a body of stored messages apart. What follows a record that cannot
// be read is given up, as a client does.
func records(b []byte) ([]Record, error) {
	b = bytes.Clone(b)
	var out []Record
	for len(b) > 0 {
		var r Record
		n, err := message.Decode(b, &r.Message, false)
		if err != nil {
			return out, fmt.Errorf("storeclient: record %d of an answer: %w", len(out), err)
		}
		r.Raw = b[:n]
		out = append(out, r)
		b = b[n:]
	}
	return out, nil
}

// Bounds gives the first offset of a queue and the one behind its last (31, 30).
func (c *Client) Bounds(q Queue) (low, high int64, err error) {
	a, err := c.call(protocol.GetMinOffset.Code, &header.GetMinOffsetRequest{Topic: wire.Some(q.Topic), QueueID: wire.Some(q.ID)}, nil)
	if err != nil {
		return 0, 0, err
	}
	var lowest header.GetMinOffsetResponse
	if err := lowest.DecodeFields(a); err != nil {
		return 0, 0, err
	}
	h := &header.GetMaxOffsetRequest{Topic: wire.Some(q.Topic), QueueID: wire.Some(q.ID), Committed: true}
	if a, err = c.call(protocol.GetMaxOffset.Code, h, nil); err != nil {
		return 0, 0, err
	}
	var highest header.GetMaxOffsetResponse
	err = highest.DecodeFields(a)
	return lowest.Offset.V, highest.Offset.V, err
}

// ReadQueue reads one queue from its first to its last offset, as a consumer of
// these tags does. Where the broker answers an error or does not let go on, it
// notes the offset and tries the next one. An error is that of the connection.
func (c *Client) ReadQueue(q Queue, tags string) (QueueRead, error) {
	var out QueueRead
	var err error
	if out.Min, out.Max, err = c.Bounds(q); err != nil {
		if errors.Is(err, ErrRefused) {
			out.Why = err
			return out, nil
		}
		return out, err
	}
	at := max(out.Min, 0)
	for range longestRead {
		if at >= out.Max {
			return out, nil
		}
		found, next, err := c.Pull(q, at, tags)
		switch {
		case errors.Is(err, message.ErrCorrupt) && len(found) > 0:
			at = found[len(found)-1].QueueOffset + 1 // what is wrong comes next
		case errors.Is(err, ErrRefused) || errors.Is(err, message.ErrCorrupt):
			out.Refused = append(out.Refused, at)
			if out.Why == nil {
				out.Why = err
			}
			at++
		case err != nil:
			return out, fmt.Errorf("read of %v at %d: %w", q, at, err)
		case next > at:
			at = next
		case len(found) > 0:
			at = found[len(found)-1].QueueOffset + 1
		default:
			out.Stuck = append(out.Stuck, at)
			at++
		}
		out.Found = append(out.Found, found...)
	}
	return out, fmt.Errorf("read of %v: no end at offset %d of %d", q, at, out.Max)
}

// ByKey asks for the messages of a topic with a key (12).
func (c *Client) ByKey(topic, key string) ([]Record, error) {
	a, err := c.call(protocol.QueryMessage.Code, &header.QueryMessageRequest{
		Topic: wire.Some(topic), Key: wire.Some(key), MaxNum: wire.Some(int32(64)),
		BeginTimestamp: wire.Some(int64(0)), EndTimestamp: wire.Some(int64(1) << 60),
	}, nil)
	var r *Refusal
	if errors.As(err, &r) && r.Code == protocol.QueryNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return records(a.Body)
}

// ByPlace asks for the message at a place of the log (33).
func (c *Client) ByPlace(topic string, phy int64) (*Record, error) {
	a, err := c.call(protocol.ViewMessageByID.Code, &header.ViewMessageRequest{Topic: wire.Some(topic), Offset: wire.Some(phy)}, nil)
	if err != nil {
		return nil, err
	}
	rs, err := records(a.Body)
	if err != nil || len(rs) != 1 {
		return nil, fmt.Errorf("storeclient: %d records at %d: %w", len(rs), phy, err)
	}
	return &rs[0], nil
}
