package crash

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	record "github.com/merlinmq/merlin/protocol/message"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// callTimeout is longer than any answer of a broker that is alive may take.
const callTimeout = 30 * time.Second

var (
	// errRefused says that the broker answered, and not with success.
	errRefused = errors.New("crash: refused")
	// errLate is FLUSH_DISK_TIMEOUT: the disk was too slow to know whether the
	// messages are kept.
	errLate = errors.New("crash: not flushed in time")
)

// client is one connection to the broker.
type client struct {
	c    *remoting.Client
	addr string
}

func newClient(addr string) *client {
	return &client{c: remoting.NewClient(remoting.ClientOptions{}), addr: addr}
}

func (c *client) close() { c.c.Close() }

// call sends one request. An error that is not errRefused means that there was
// no answer.
func (c *client) call(code protocol.Code, h wire.FieldEncoder, body []byte) (*wire.Command, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	return c.c.Invoke(ctx, c.addr, &wire.Outgoing{Code: int32(code), Header: h}, body)
}

// entry is one message on its way.
type entry struct {
	key  string
	body []byte
}

func (e entry) sum() uint32 { return crc32.ChecksumIEEE(e.body) }

func (e entry) properties() []byte {
	return record.AppendProperty(record.AppendProperty(nil, record.PropertyKeys, e.key), record.PropertyUniqKey, e.key)
}

// send sends one message (310), or several as a batch (320), and gives the
// offset of the first and the place in the log of each.
func (c *client) send(q Queue, es []entry) (offset int64, phys []int64, err error) {
	h := &header.SendMessageRequestV2{
		ProducerGroup: wire.Some("crash-producer"), Topic: wire.Some(q.Topic), DefaultTopic: wire.Some("TBW102"),
		DefaultTopicQueueNums: wire.Some(int32(4)), QueueID: wire.Some(q.ID), SysFlag: wire.Some(int32(0)),
		BornTimestamp: wire.Some(time.Now().UnixMilli()), Flag: wire.Some(int32(0)),
	}
	code, body := protocol.SendMessageV2.Code, es[0].body
	if len(es) == 1 {
		h.Properties = wire.Some(string(es[0].properties()))
	} else {
		code, body = protocol.SendBatchMessage.Code, nil
		h.Batch = wire.Some(true)
		for _, e := range es {
			if body, err = record.AppendBatchEntry(body, record.BatchEntry{Body: e.body, Properties: e.properties()}); err != nil {
				return 0, nil, err
			}
		}
	}
	a, err := c.call(code, h, body)
	if err != nil {
		return 0, nil, err
	}
	if a.Code == int32(protocol.FlushDiskTimeout) {
		return 0, nil, errLate
	}
	if a.Code != int32(protocol.Success) {
		return 0, nil, fmt.Errorf("%w: send to %v: %d %s", errRefused, q, a.Code, a.Remark)
	}
	var r header.SendMessageResponse
	if err := r.DecodeFields(a); err != nil {
		return 0, nil, err
	}
	ids := strings.Split(r.MsgID.V, ",")
	if len(ids) != len(es) || r.QueueID.V != q.ID {
		return 0, nil, fmt.Errorf("crash: %d ids for %d messages, queue %d for %d", len(ids), len(es), r.QueueID.V, q.ID)
	}
	for _, id := range ids {
		_, phy, err := record.ParseOffsetMessageID(id)
		if err != nil {
			return 0, nil, err
		}
		phys = append(phys, phy)
	}
	return r.QueueOffset.V, phys, nil
}

// pull asks for messages from offset on and waits up to hold for the first. The
// second result is where to go on, and min and max of the queue.
func (c *client) pull(group string, q Queue, offset int64, hold time.Duration) ([]Found, header.PullMessageResponse, error) {
	const suspend, subscription = 2, 4
	h := &header.PullMessageRequest{
		ConsumerGroup: wire.Some(group), Topic: wire.Some(q.Topic), QueueID: wire.Some(q.ID), QueueOffset: wire.Some(offset),
		MaxMsgNums: wire.Some(int32(32)), SysFlag: wire.Some(int32(subscription)), CommitOffset: wire.Some(int64(0)),
		SuspendTimeoutMillis: wire.Some(hold.Milliseconds()), Subscription: wire.Some("*"), SubVersion: wire.Some(int64(1)),
	}
	if hold > 0 {
		h.SysFlag.V |= suspend
	}
	var r header.PullMessageResponse
	a, err := c.call(protocol.PullMessage.Code, h, nil)
	if err != nil {
		return nil, r, err
	}
	switch protocol.ResponseCode(a.Code) {
	case protocol.Success, protocol.PullNotFound, protocol.PullOffsetMoved, protocol.PullRetryImmediately:
	default:
		return nil, r, fmt.Errorf("%w: pull of %v at %d: %d %s", errRefused, q, offset, a.Code, a.Remark)
	}
	if err := r.DecodeFields(a); err != nil {
		return nil, r, err
	}
	var out []Found
	for b := a.Body; len(b) > 0; {
		var m record.Message
		n, err := record.Decode(b, &m, true)
		if err != nil {
			return out, r, fmt.Errorf("crash: pull of %v at %d: %w", q, offset, err)
		}
		if m.Topic != q.Topic || m.QueueID != q.ID {
			return out, r, fmt.Errorf("crash: pull of %v at %d: a message of %s-%d", q, offset, m.Topic, m.QueueID)
		}
		key, _ := record.Get(m.Properties, record.PropertyKeys)
		out = append(out, Found{Key: key, Offset: m.QueueOffset, Phy: m.PhyOffset, Size: int64(n), Sum: crc32.ChecksumIEEE(m.Body)})
		b = b[n:]
	}
	return out, r, nil
}

// readQueue reads one queue from min to max.
func (c *client) readQueue(q Queue) (QueueRead, error) {
	var out QueueRead
	for offset, first := int64(0), true; ; first = false {
		got, r, err := c.pull("crash-checker", q, offset, 0)
		if err != nil {
			return out, err
		}
		if out.Max = r.MaxOffset.V; first {
			out.Min = r.MinOffset.V
			offset = out.Min
		}
		out.Found = append(out.Found, got...)
		if len(got) > 0 {
			offset = got[len(got)-1].Offset + 1
			continue
		}
		if r.NextBeginOffset.V <= offset || offset >= out.Max {
			return out, nil
		}
		offset = r.NextBeginOffset.V
	}
}

// commit stores the offset of a group (15).
func (c *client) commit(group string, q Queue, offset int64) error {
	a, err := c.call(protocol.UpdateConsumerOffset.Code, &header.UpdateConsumerOffsetRequest{
		ConsumerGroup: wire.Some(group), Topic: wire.Some(q.Topic), QueueID: wire.Some(q.ID), CommitOffset: wire.Some(offset),
	}, nil)
	if err == nil && a.Code != int32(protocol.Success) {
		err = fmt.Errorf("%w: commit of %v: %d %s", errRefused, q, a.Code, a.Remark)
	}
	return err
}
