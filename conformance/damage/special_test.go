package damage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/cluster"
	"github.com/merlinmq/merlin/conformance/internal/storeclient"
	"github.com/merlinmq/merlin/conformance/probe"
	"github.com/merlinmq/merlin/protocol/message"
)

// special is one broker that a test fills, kills and starts.
type special struct {
	t    *testing.T
	c    cluster.Cluster
	cl   *storeclient.Client
	r    *rand.Rand
	sent map[string]string // key → queue and offset
}

func startSpecial(t *testing.T, more map[string]string, topics ...string) *special {
	settings := conf()
	for k, v := range more {
		settings[k] = v
	}
	s := &special{t: t, c: cluster.Merlin().StartT(t, cluster.Options{BrokerConf: settings}),
		r: rand.New(rand.NewPCG(*seed, 2)), sent: map[string]string{}}
	s.cl = storeclient.New(s.c.BrokerAddr())
	t.Cleanup(func() { s.cl.Close() })
	for _, topic := range topics {
		s.put(topic)
	}
	return s
}

func (s *special) put(topic string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	require.NoError(s.t, probe.PutTopic(ctx, s.c.BrokerAddr(), topic, 2))
}

func (s *special) drop(topic string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	require.NoError(s.t, probe.DropTopic(ctx, s.c.NameServer(), s.c.BrokerAddr(), topic))
}

// send sends a message and notes that it was acknowledged.
func (s *special) send(q storeclient.Queue, m storeclient.Message) storeclient.Stored {
	s.t.Helper()
	at, err := s.cl.Send(q, m)
	require.NoError(s.t, err)
	for _, p := range m.Properties {
		if p[0] == message.PropertyKeys {
			s.sent[p[1]] = fmt.Sprint(q, " ", at.QueueOffset)
		}
	}
	return at
}

// many sends n ordinary messages to the queues of topics in turns.
func (s *special) many(name string, n int, topics ...string) {
	s.t.Helper()
	for i := range n {
		s.send(storeclient.Queue{Topic: topics[i%len(topics)], ID: int32(i / len(topics) % 2)}, ordinary(name, i, s.r))
	}
}

// reopen kills the broker, changes its directory and starts it.
func (s *special) reopen(change func(dir string)) {
	s.t.Helper()
	require.NoError(s.t, s.c.KillBroker())
	if change != nil {
		change(s.c.StoreDir())
	}
	require.NoError(s.t, s.c.StartBroker())
	s.cl.Close()
	s.cl = storeclient.New(s.c.BrokerAddr())
}

// whole requires that every acknowledged message of the topics is there, once, at
// its offset, but for those that may be gone.
func (s *special) whole(mayGo map[string]bool, topics ...string) {
	s.t.Helper()
	there := map[string]string{}
	for _, topic := range topics {
		for id := range int32(2) {
			q := storeclient.Queue{Topic: topic, ID: id}
			r, err := s.cl.ReadQueue(q, "*")
			require.NoError(s.t, err)
			require.NoError(s.t, r.Why)
			require.Empty(s.t, r.Stuck, "offsets of %v stop a consumer", q)
			for _, f := range r.Found {
				require.NotContains(s.t, there, f.Key(), "twice")
				there[f.Key()] = fmt.Sprint(q, " ", f.QueueOffset)
			}
		}
	}
	var lost []string
	for key, at := range s.sent {
		if there[key] != at && !mayGo[key] {
			lost = append(lost, fmt.Sprintf("%s: %s, now %q", key, at, there[key]))
		}
	}
	slices.Sort(lost)
	require.Empty(s.t, lost, "%d acknowledged, %d there, %d lost", len(s.sent), len(there), len(lost))
}

// output is what the broker printed.
func (s *special) output() string {
	b, err := os.ReadFile(filepath.Join(filepath.Dir(s.c.StoreDir()), "broker.out"))
	require.NoError(s.t, err)
	return string(b)
}

// nuls makes messages whose properties hold NUL bytes: RocketMQ's clients and
// brokers take them.
func nuls(name string, n int, at int) storeclient.Message {
	m := storeclient.Message{Body: []byte("x"), Properties: [][2]string{{message.PropertyKeys, fmt.Sprintf("%s-%04d", name, n)}}}
	p := [2]string{name, strings.Repeat("\x00", at)}
	if at == 1 {
		p = [2]string{"\x00", strings.Repeat("v", 1+n%7)}
	}
	m.Properties = append(m.Properties, p)
	if n%2 == 0 {
		slices.Reverse(m.Properties)
	}
	return m
}

// TestContent_ZerosInAProperty: a value of 1,100 NUL bytes fills sectors of the disk,
// as a torn write does. It is a client's data like any other: nothing behind it goes.
func TestContent_ZerosInAProperty(t *testing.T) {
	pend(t)
	s := startSpecial(t, map[string]string{"mappedFileSizeCommitLog": "1048576"}, "content")
	s.many("before", 10, "content")
	s.send(storeclient.Queue{Topic: "content"}, nuls("nul", 0, 1100))
	s.many("after", 1000, "content")
	s.reopen(nil)
	require.Len(t, s.sent, 1011)
	s.whole(nil, "content")
}

// TestContent_ZeroName: a property whose name is one NUL byte, so often that one is
// the only byte of the properties in its sector.
func TestContent_ZeroName(t *testing.T) {
	pend(t)
	s := startSpecial(t, map[string]string{"mappedFileSizeCommitLog": "1048576"}, "content")
	for n := range 2500 {
		s.send(storeclient.Queue{Topic: "content", ID: int32(n % 2)}, nuls("name", n, 1))
	}
	s.many("after", 10, "content")
	s.reopen(nil)
	s.whole(nil, "content")
}

// TestContent_RecordsInABody: bodies of zeros, and of bytes that look like
// records that name their own place, are no records.
func TestContent_RecordsInABody(t *testing.T) {
	pend(t)
	s := startSpecial(t, nil, "content")
	q := storeclient.Queue{Topic: "content"}
	for n := range 40 {
		s.send(q, storeclient.Message{Body: make([]byte, 1+100*n), Properties: [][2]string{{message.PropertyKeys, fmt.Sprintf("zeros-%d", n)}}})
		at := s.send(q, ordinary("model", n, s.r))
		// The next record comes right behind, with its body 88 bytes in: what a
		// client can know, it can put there.
		model, err := s.cl.ByPlace(q.Topic, at.PhyOffset)
		require.NoError(t, err)
		fake := slices.Clone(model.Raw)
		place := at.PhyOffset + int64(len(fake)) + 88
		binary.BigEndian.PutUint64(fake[28:], uint64(place))
		binary.BigEndian.PutUint64(fake[20:], uint64(at.QueueOffset+1))
		s.send(q, storeclient.Message{Body: fake, Properties: [][2]string{{message.PropertyKeys, fmt.Sprintf("fake-%d", n)}}})
	}
	s.reopen(nil)
	s.whole(nil, "content")
	// One of those that carry a record is damaged in its head: the one inside does
	// not come to life.
	require.NoError(t, checkpointedNow(s))
	m := s.find("fake-20")
	s.reopen(func(dir string) { flip(t, dir, m.PhyOffset) })
	s.whole(map[string]bool{"fake-20": true}, "content")
}

// find reads a message by its key.
func (s *special) find(key string) *storeclient.Record {
	s.t.Helper()
	rs, err := s.cl.ByKey(strings.Fields(s.sent[key])[0][:strings.LastIndexByte(strings.Fields(s.sent[key])[0], '-')], key)
	require.NoError(s.t, err)
	require.Len(s.t, rs, 1, key)
	return &rs[0]
}

// flip changes one byte of the log.
func flip(t *testing.T, dir string, phy int64) {
	t.Helper()
	path := filepath.Join(dir, logPath(phy))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[phy%segmentSize] ^= 0x10
	require.NoError(t, os.WriteFile(path, b, 0o644))
}

// checkpointedNow waits until the checkpoint covers everything. It sends a message:
// without one there may be no further checkpoint.
func checkpointedNow(s *special) error {
	s.put("tick")
	if _, err := s.cl.Send(storeclient.Queue{Topic: "tick"}, ordinary("tick", 0, s.r)); err != nil {
		return err
	}
	h := &History{}
	for key := range s.sent {
		r := s.find(key)
		h.Messages = append(h.Messages, &Sent{Raw: string(r.Raw)})
	}
	return checkpointed(s.c, h)
}

// TestTopic_DeletedStaysDeleted: a topic that was deleted is not there after a kill,
// neither its name nor, when it is made again, its messages; its queues begin at 0.
func TestTopic_DeletedStaysDeleted(t *testing.T) {
	pend(t)
	s := startSpecial(t, nil, "kept", "deleted")
	s.many("gone", 60, "deleted")
	clear(s.sent)
	s.many("kept", 60, "kept")
	s.drop("deleted")
	s.reopen(nil)
	s.whole(nil, "kept")
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	a, err := probe.Call(ctx, s.c.BrokerAddr(), probe.AllTopics, nil, nil)
	require.NoError(t, err)
	require.NotContains(t, string(a.Body), `"deleted"`)
	require.NoDirExists(t, filepath.Join(s.c.StoreDir(), "consumequeue", "deleted"))
	s.put("deleted")
	for id := range int32(2) {
		_, high, err := s.cl.Bounds(storeclient.Queue{Topic: "deleted", ID: id})
		require.NoError(t, err)
		require.Zero(t, high, "the queue begins with messages of its earlier life")
	}
	s.many("new", 10, "deleted")
	s.reopen(nil)
	s.whole(nil, "kept", "deleted")
}

// TestDamage_OldestByteAndADeletedTopic: one byte flipped in the oldest file, one
// topic deleted, a kill: 400 messages in 27 files, and all but one are there.
func TestDamage_OldestByteAndADeletedTopic(t *testing.T) {
	pend(t)
	s := startSpecial(t, nil, "kept", "deleted")
	s.many("first", 5, "kept")
	s.many("gone", 10, "deleted")
	for key := range s.sent {
		if strings.HasPrefix(key, "gone") {
			delete(s.sent, key)
		}
	}
	s.many("kept", 385, "kept")
	m := s.find("first-0002")
	require.NoError(t, checkpointedNow(s))
	s.drop("deleted")
	es, err := os.ReadDir(filepath.Join(s.c.StoreDir(), "commitlog"))
	require.NoError(t, err)
	require.Greater(t, len(es), 20)
	s.reopen(func(dir string) { flip(t, dir, m.PhyOffset+100) })
	s.whole(map[string]bool{"first-0002": true}, "kept")
	require.Contains(t, s.output(), "commitlog/00000000000000000000")
}

// TestClock_BackThenKilled: after a checkpoint the clock went back by an hour, then
// came messages, then a kill that lost what consume queues held in memory. The
// start finds them all, and no offset is given out twice.
func TestClock_BackThenKilled(t *testing.T) {
	pend(t)
	for _, step := range []int64{-3600_000, +3600_000} {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			s := startSpecial(t, nil, "clock", "quiet")
			s.many("before", 100, "clock")
			s.many("quiet", 2, "quiet")
			require.NoError(t, checkpointedNow(s))
			path := filepath.Join(s.c.StoreDir(), "checkpoint")
			old, err := os.ReadFile(path)
			require.NoError(t, err)
			first := max(s.find("before-0099").PhyOffset, s.find("quiet-0001").PhyOffset)
			s.many("last", 2, "quiet") // nothing behind it says that the queue lacks one
			s.many("after", 100, "clock")
			require.NoError(t, checkpointedNow(s)) // the other queues are on the disk
			s.reopen(func(dir string) {
				require.NoError(t, os.WriteFile(path, old, 0o644))
				require.NoError(t, restamp(dir, first+1, step))
				for id := range 2 {
					require.NoError(t, forget(filepath.Join(dir, "consumequeue", "quiet", fmt.Sprint(id)), first+1))
				}
				if step > 0 { // and back again
					require.NoError(t, restamp(dir, s.middle(dir), -2*step))
				}
			})
			s.whole(nil, "clock", "quiet")
			for id := range int32(2) {
				at := s.send(storeclient.Queue{Topic: "quiet", ID: id}, ordinary("again", int(id), s.r))
				require.EqualValues(t, 2, at.QueueOffset)
			}
		})
	}
}

// middle is a place in the middle of what came last.
func (s *special) middle(dir string) int64 {
	es, err := os.ReadDir(filepath.Join(dir, "commitlog"))
	require.NoError(s.t, err)
	return int64(len(es)-3) * segmentSize
}

// restamp moves the store times of all records from a place on by ms. No checksum
// covers them: the bytes are those of a broker whose clock was so.
func restamp(dir string, from, ms int64) error {
	return eachRecord(dir, func(phy int64, rec []byte) bool {
		if phy >= from {
			binary.BigEndian.PutUint64(rec[56:], uint64(int64(binary.BigEndian.Uint64(rec[56:]))+ms))
		}
		return phy >= from
	})
}

// eachRecord gives all records of a log to f, which says whether it changed one.
func eachRecord(dir string, f func(phy int64, rec []byte) bool) error {
	for base := int64(0); ; base += segmentSize {
		path := filepath.Join(dir, logPath(base))
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		changed := false
		for at := 0; at+8 < len(b); {
			size, magic := int(binary.BigEndian.Uint32(b[at:])), binary.BigEndian.Uint32(b[at+4:])
			if magic != message.MagicV1 && magic != message.MagicV2 {
				break
			}
			changed = f(base+int64(at), b[at:at+size]) || changed
			at += size
		}
		if changed {
			if err := os.WriteFile(path, b, 0o644); err != nil {
				return err
			}
		}
	}
}

// forget zeroes the entries of a queue that point to a place or behind it, as if
// they had never been written.
func forget(folder string, phy int64) error {
	es, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range es {
		path := filepath.Join(folder, e.Name())
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for at := 0; at+20 <= len(b); at += 20 {
			if int64(binary.BigEndian.Uint64(b[at:])) >= phy {
				clear(b[at : at+20])
			}
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// TestDamage_PropertyWithItsChecksum: with enabledAppendPropCRC a flipped byte of the
// properties is found, and the log says where.
func TestDamage_PropertyWithItsChecksum(t *testing.T) {
	pend(t)
	s := startSpecial(t, map[string]string{"enabledAppendPropCRC": "true"}, "crc")
	s.many("crc", 60, "crc")
	m := s.find("crc-0010")
	at := strings.Index(string(m.Raw), "vvvvvv")
	require.NoError(t, checkpointedNow(s))
	s.reopen(func(dir string) { flip(t, dir, m.PhyOffset+int64(at)) })
	s.whole(map[string]bool{"crc-0010": true}, "crc")
	require.Contains(t, s.output(), logPath(m.PhyOffset))
}

// pend skips a test that is known to fail and says so loudly; with -strict it runs
// like any other.
func pend(t *testing.T) {
	t.Helper()
	if why, listed := pendingTests[t.Name()]; listed && !*strict {
		fmt.Printf("PENDING: %s is not run without -strict: %s\n", t.Name(), why)
		t.Skipf("pending: %s", why)
	}
}

// TestIndex_ChainThatJavaBroke: a Java broker that goes on with an index file in
// which slots are ahead of the header ends their chains: the entry before is 0. That
// is no damage. A start after a kill must not throw away what follows and then read
// the log from a place behind it.
func TestIndex_ChainThatJavaBroke(t *testing.T) {
	pend(t)
	s := startSpecial(t, map[string]string{"maxIndexNum": "100000"}, "index")
	s.many("old", 200, "index")
	time.Sleep(pause)
	s.many("new", 200, "index")
	require.NoError(t, checkpointedNow(s))
	chain := 0
	s.reopen(func(dir string) {
		names, err := nth(dir, "index", true, false)
		require.NoError(t, err)
		path := filepath.Join(dir, names[0])
		file, err := os.ReadFile(path)
		require.NoError(t, err)
		chain = breakChain(file)
		require.Positive(t, chain)
		require.NoError(t, os.WriteFile(path, file, 0o644))
	})
	s.whole(nil, "index")
	missing := 0
	for key := range s.sent {
		rs, err := s.cl.ByKey("index", key)
		require.NoError(t, err)
		if len(rs) == 0 {
			missing++
		}
	}
	require.LessOrEqual(t, missing, chain, "%d of %d keys are not found", missing, len(s.sent))
}

// breakChain ends the chain of the first entry that has one before it, and gives
// the number of entries that are not reached any more.
func breakChain(file []byte) int {
	entry := func(n uint32) []byte { return file[40+4*indexSlots+20*n:] }
	count := binary.BigEndian.Uint32(file[36:])
	for n := uint32(1); n < count; n++ {
		before := binary.BigEndian.Uint32(entry(n)[16:])
		if before == 0 {
			continue
		}
		cut := 0
		for at := before; at != 0; at = binary.BigEndian.Uint32(entry(at)[16:]) {
			cut++
		}
		binary.BigEndian.PutUint32(entry(n)[16:], 0)
		return cut
	}
	return 0
}
