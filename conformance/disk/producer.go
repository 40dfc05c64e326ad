package disk

import (
	"context"
	"fmt"
	"sync"

	"github.com/merlinmq/merlin/conformance/internal/storeclient"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

const producerGroup = "disk-producer"

// Outcomes of a transaction.
const (
	commit   = message.SysFlagCommit
	rollback = message.SysFlagRollback
)

// producer is a client that is asked about transactions and answers.
type producer struct {
	c    *remoting.Client
	conn *remoting.Conn

	mu       sync.Mutex       // guards what follows
	outcomes map[string]int32 // by key
	asked    map[string]int
	failed   error
}

// newProducer joins the producer group on a broker.
func newProducer(addr string, outcomes map[string]int32) (*producer, error) {
	p := &producer{outcomes: outcomes, asked: map[string]int{}}
	routes := remoting.NewRoutes()
	lane := &remoting.Lane{Name: "check", Workers: 2, Capacity: 10000}
	remoting.On(routes, protocol.CheckTransactionState, lane, p.check)
	p.c = remoting.NewClient(remoting.ClientOptions{Routes: routes})
	ctx, cancel := context.WithTimeout(context.Background(), storeclient.CallTimeout)
	defer cancel()
	var err error
	if p.conn, err = p.c.Conn(ctx, addr); err != nil {
		p.c.Close()
		return nil, err
	}
	body := fmt.Sprintf(`{"clientID":"disk@1","consumerDataSet":[],"producerDataSet":[{"groupName":%q}]}`, producerGroup)
	if err := p.call(protocol.HeartBeat.Code, &header.HeartbeatRequest{}, []byte(body)); err != nil {
		p.c.Close()
		return nil, err
	}
	return p, nil
}

func (p *producer) call(code protocol.Code, h wire.FieldEncoder, body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), storeclient.CallTimeout)
	defer cancel()
	a, err := p.conn.Invoke(ctx, &wire.Outgoing{Code: int32(code), Header: h}, body)
	if err == nil && a.Code != int32(protocol.Success) {
		err = fmt.Errorf("disk: request %d: %d %s", code, a.Code, a.Remark)
	}
	return err
}

// check answers one question of the broker (39).
func (p *producer) check(r *remoting.Request, q *header.CheckTransactionStateRequest) (*remoting.Answer, error) {
	var m message.Message
	if _, err := message.Decode(r.Cmd.Body, &m, true); err != nil {
		return nil, err
	}
	key, _ := message.Get(m.Properties, message.PropertyKeys)
	id, _ := message.Get(m.Properties, message.PropertyUniqKey)
	p.mu.Lock()
	outcome, known := p.outcomes[key]
	p.asked[key]++
	p.mu.Unlock()
	if !known {
		return nil, nil
	}
	h := &header.EndTransactionRequest{
		ProducerGroup: wire.Some(producerGroup), TranStateTableOffset: q.TranStateTableOffset, CommitLogOffset: q.CommitLogOffset,
		CommitOrRollback: wire.Some(outcome), FromTransactionCheck: wire.Some(true), MsgID: wire.Some(id), TransactionID: wire.Some(id),
	}
	if err := p.conn.Oneway(&wire.Outgoing{Code: int32(protocol.EndTransaction.Code), Header: h}, nil); err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.failed = err
	}
	return nil, nil
}

// questions is how often the broker asked about a key.
func (p *producer) questions(key string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[key]
}

func (p *producer) close() { p.c.Close() }
