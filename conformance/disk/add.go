package disk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/merlinmq/merlin/conformance/internal/storeclient"
	"github.com/merlinmq/merlin/conformance/probe"
	"github.com/merlinmq/merlin/protocol/message"
)

// delays are the delay levels that are used, and what they wait.
var delays = map[string]time.Duration{"1": time.Second, "2": 5 * time.Second, "3": 10 * time.Second}

// add does in one hop all that a directory is used for.
func (t *Trip) add(cl *storeclient.Client) error {
	if err := t.putTopics(); err != nil {
		return err
	}
	if err := t.putGroups(); err != nil {
		return err
	}
	for range t.messages {
		if err := t.sendOne(cl); err != nil {
			return err
		}
	}
	if err := t.transactions(cl); err != nil {
		return err
	}
	if err := t.timers(cl); err != nil {
		return err
	}
	// What was acknowledged is in its queue now, and from here on in the ledger.
	err := t.until(cl, "what was sent can be read", func() (bool, error) {
		return len(t.ledger.waiting(func(e *expected) bool { return e.due.IsZero() })) == 0, nil
	})
	if err != nil {
		return err
	}
	return t.commitOffsets(cl)
}

// body of a message: random, now and then long or empty of everything but zeros.
func (t *Trip) body() []byte {
	n := 20 + t.r.IntN(600)
	if t.r.IntN(60) == 0 {
		n = 40 << 10
	}
	b := make([]byte, n)
	if t.r.IntN(30) == 0 {
		return b
	}
	for i := range b {
		b[i] = byte(t.r.Uint32())
	}
	return b
}

// zeros are properties that look like the sectors of a torn write.
var zeros = [][2]string{{"zeros", strings.Repeat("\x00", 1100)}, {"\x00", "name"}}

// hostile are properties that a client may send: none of them is a sign of damage.
var hostile = [][2]string{
	{"control", "\x03\x04\n\t\x7f"}, {"emoji 🦉", "ümläut 漢字 🪶"},
	{"long", strings.Repeat("x", 3000)}, {"=;\"'{}", "=;\"'{}\\"}, {"spaces ", " "},
}

// message makes one with a key of its own.
func (t *Trip) message() (string, storeclient.Message) {
	t.seq++
	key := fmt.Sprintf("disk-%d-%05d", t.n, t.seq)
	m := storeclient.Message{Body: t.body(), Flag: int32(t.seq), Properties: [][2]string{
		{message.PropertyUniqKey, "U" + key}, {message.PropertyKeys, key}, {message.PropertyTags, fmt.Sprint("tag", t.seq%3)},
	}}
	if t.r.IntN(4) == 0 {
		ps := hostile
		if !t.NoZeros {
			ps = append(ps, zeros...)
		}
		m.Properties = append(m.Properties, ps[t.r.IntN(len(ps))])
	}
	return key, m
}

// queue is one of those that are there from the first hop on.
func (t *Trip) queue() storeclient.Queue {
	return storeclient.Queue{Topic: fmt.Sprintf("disk-%d", t.r.IntN(3)), ID: int32(t.r.IntN(queuesPerTopic))}
}

// expect notes a message that will be in a queue.
func (t *Trip) expect(key string, e *expected) { t.ledger.pending[key] = e }

// sendOne sends one message, a batch or a delayed message.
func (t *Trip) sendOne(cl *storeclient.Client) error {
	q := t.queue()
	key, m := t.message()
	switch n := t.r.IntN(40); {
	case n == 0:
		ms := []storeclient.Message{m}
		t.expect(key, &expected{queue: q, must: true})
		for range 1 + t.r.IntN(6) {
			key, m := t.message()
			t.expect(key, &expected{queue: q, must: true})
			ms = append(ms, m)
		}
		_, err := cl.SendBatch(q, ms)
		return err
	case n == 1:
		level := fmt.Sprint(1 + t.r.IntN(len(delays)))
		m.Properties = append(m.Properties, [2]string{message.PropertyDelayLevel, level})
		t.expect(key, &expected{queue: q, must: true, due: time.Now().Add(delays[level]).Truncate(time.Millisecond)})
	default:
		t.expect(key, &expected{queue: q, must: true})
	}
	_, err := cl.Send(q, m)
	return err
}

// timers gives a broker that has them three. Java rounds their time down to a whole
// second, and one that is due at a whole second is due the second before.
func (t *Trip) timers(cl *storeclient.Client) error {
	if !t.ledger.timers {
		return nil
	}
	for range 3 {
		q := t.queue()
		key, m := t.message()
		due := time.Now().Add(t.Timers)
		m.Properties = append(m.Properties, [2]string{"TIMER_DELIVER_MS", fmt.Sprint(due.UnixMilli())})
		t.expect(key, &expected{queue: q, timer: true, must: t.Timers < soon, due: due.Add(-time.Second).Truncate(time.Second)})
		if _, err := cl.Send(q, m); err != nil {
			return err
		}
	}
	return nil
}

// transactions sends half messages: committed, rolled back, and left open.
func (t *Trip) transactions(cl *storeclient.Client) error {
	for n := range 12 {
		q := t.queue()
		key, m := t.message()
		m.SysFlag = message.SysFlagPrepared
		m.Properties = append(m.Properties, [2]string{message.PropertyTransactionPrepared, "true"}, [2]string{message.PropertyProducerGroup, producerGroup})
		e := &expected{queue: q}
		t.expect(key, e)
		at, err := cl.Send(q, m)
		if err != nil {
			return err
		}
		switch n % 4 {
		case 0:
			e.must = true
			err = cl.EndTransaction(producerGroup, at, "U"+key, commit)
		case 1:
			e.never = true
			err = cl.EndTransaction(producerGroup, at, "U"+key, rollback)
		case 2:
			t.outcomes[key] = commit
			e.never = true // until its producer is asked
		case 3:
			t.outcomes[key] = rollback
			e.never = true
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// putTopics makes topics, changes one and deletes one.
func (t *Trip) putTopics() error {
	var names []string
	if t.n == 1 {
		names = []string{"disk-0", "disk-1", "disk-2"}
	}
	names = append(names, fmt.Sprintf("disk-hop-%d", t.n), fmt.Sprintf("disk-order-%d", t.n), fmt.Sprintf("disk-gone-%d", t.n))
	for _, name := range names {
		fields := map[string]string{"perm": "6", "order": "false", "attributes": ""}
		if strings.HasPrefix(name, "disk-order") {
			fields["order"], fields["perm"] = "true", "4"
		}
		if err := t.putTopic(name, queuesPerTopic, fields); err != nil {
			return err
		}
	}
	if t.n > 1 {
		if err := t.putTopic(fmt.Sprintf("disk-hop-%d", t.n-1), queuesPerTopic+t.n, map[string]string{"perm": "6", "order": "false", "attributes": ""}); err != nil {
			return err
		}
		gone := fmt.Sprintf("disk-gone-%d", t.n-1)
		ctx, cancel := context.WithTimeout(context.Background(), storeclient.CallTimeout)
		defer cancel()
		if err := probe.DropTopic(ctx, t.c.NameServer(), t.c.BrokerAddr(), gone); err != nil {
			return err
		}
		delete(t.ledger.topics, gone)
		for id := range int32(queuesPerTopic) {
			delete(t.ledger.queues, storeclient.Queue{Topic: gone, ID: id})
		}
	}
	if err := t.putInPlace(); err != nil {
		return err
	}
	return t.note(probe.AllTopics, "topicConfigTable", t.ledger.topics)
}

// longGroup is a name so long that Merlin writes the entry shortened. A topic's entry
// fits with any name.
func longGroup(hop int) string {
	return fmt.Sprintf("disk-long-group-%d-%s", hop, strings.Repeat("x", 90))
}

// putInPlace brings about what Merlin's files have only while it runs, and leaves
// behind when it is killed: entries without fields that are as always, entries that are
// blanked, and a name that may stand there twice.
func (t *Trip) putInPlace() error {
	ctx, cancel := context.WithTimeout(context.Background(), storeclient.CallTimeout)
	defer cancel()
	fields := map[string]string{"perm": "6", "order": "false", "attributes": ""}
	twice := fmt.Sprintf("disk-twice-%d", t.n)
	if err := t.putTopic(twice, queuesPerTopic, fields); err != nil {
		return err
	}
	if err := probe.DropTopic(ctx, t.c.NameServer(), t.c.BrokerAddr(), twice); err != nil {
		return err
	}
	if err := t.putTopic(twice, queuesPerTopic+1, fields); err != nil {
		return err
	}
	gone := fmt.Sprintf("disk-group-gone-%d", t.n)
	for _, name := range []string{gone, longGroup(t.n)} {
		if err := probe.PutGroup(ctx, t.c.BrokerAddr(), name, 1, 3+t.n); err != nil {
			return err
		}
	}
	return probe.DropGroup(ctx, t.c.BrokerAddr(), gone)
}

func (t *Trip) putTopic(name string, queues int, fields map[string]string) error {
	ctx, cancel := context.WithTimeout(context.Background(), storeclient.CallTimeout)
	defer cancel()
	all := map[string]string{"topic": name, "defaultTopic": "TBW102", "readQueueNums": fmt.Sprint(queues), "writeQueueNums": fmt.Sprint(queues),
		"topicFilterType": "SINGLE_TAG", "topicSysFlag": "0"}
	for k, v := range fields {
		all[k] = v
	}
	if _, err := probe.Call(ctx, t.c.BrokerAddr(), probe.CreateTopic, all, nil); err != nil {
		return err
	}
	for id := range int32(queuesPerTopic) {
		q := storeclient.Queue{Topic: name, ID: id}
		if _, ok := t.ledger.queues[q]; !ok {
			t.ledger.queues[q] = nil
		}
	}
	return nil
}

// note takes what the broker now says of the trip's topics or groups as what must
// stay.
func (t *Trip) note(code int, table string, into map[string]string) error {
	rows, err := t.ask(code, table)
	if err != nil {
		return err
	}
	for name, row := range rows {
		if mine(name) {
			b, err := json.Marshal(row)
			if err != nil {
				return err
			}
			into[name] = string(b)
		}
	}
	return nil
}

// putGroups makes a group with settings of its own and changes that of the hop
// before.
func (t *Trip) putGroups() error {
	ctx, cancel := context.WithTimeout(context.Background(), storeclient.CallTimeout)
	defer cancel()
	names := []string{fmt.Sprintf("disk-group-%d", t.n)}
	if t.n == 1 {
		names = append(names, group)
	} else {
		names = append(names, fmt.Sprintf("disk-group-%d", t.n-1))
	}
	for i, name := range names {
		if err := probe.PutGroup(ctx, t.c.BrokerAddr(), name, 1+i, 3+t.n); err != nil {
			return err
		}
	}
	if err := t.note(probe.AllGroups, "subscriptionGroupTable", t.ledger.groups); err != nil {
		return err
	}
	return t.note(probe.AllTopics, "topicConfigTable", t.ledger.topics) // %RETRY%
}

// commitOffsets commits in every queue a place that rises from hop to hop.
func (t *Trip) commitOffsets(cl *storeclient.Client) error {
	for q, have := range t.ledger.queues {
		if !strings.HasPrefix(q.Topic, "disk-") || len(have) == 0 {
			continue
		}
		at := int64(len(have) - t.r.IntN(2))
		if at <= t.ledger.offsets[q] {
			continue
		}
		if err := cl.Commit(group, q, at); err != nil {
			return err
		}
		t.ledger.offsets[q] = at
	}
	return nil
}

// killBusy kills the broker while messages are on their way: each may be there or
// not.
func (t *Trip) killBusy(cl *storeclient.Client) error {
	stop := time.AfterFunc(time.Duration(20+t.r.IntN(400))*time.Millisecond, func() { _ = t.c.KillBroker() })
	defer stop.Stop()
	for {
		key, m := t.message()
		q := t.queue()
		e := &expected{queue: q}
		t.expect(key, e)
		_, err := cl.Send(q, m)
		if errors.Is(err, storeclient.ErrRefused) {
			return err
		}
		if err != nil {
			break
		}
		e.must = true
	}
	return t.c.KillBroker()
}
