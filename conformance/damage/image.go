package damage

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/merlinmq/merlin/conformance/cluster"
	"github.com/merlinmq/merlin/conformance/internal/storeclient"
	"github.com/merlinmq/merlin/conformance/probe"
	"github.com/merlinmq/merlin/protocol/message"
)

// Sizes of the files: so small that a few hundred messages make many.
const (
	segmentSize   = 16 << 10
	queueFileSize = 20 * 40
	indexSlots    = 200
	indexEntries  = 240
)

const (
	messages = 400
	group    = "damage-group"
	soon     = 20 * time.Second // bounds waits for what the broker does every second
	callTime = 30 * time.Second
)

// gone is a topic that is deleted when it has got its messages.
const gone = "damage-gone"

// target is the queue whose files are damaged.
var target = storeclient.Queue{Topic: "damage-0", ID: 0}

// queues are all queues that get messages.
func queues() []storeclient.Queue {
	var out []storeclient.Queue
	for _, topic := range []string{"damage-0", "damage-1"} {
		for id := range int32(2) {
			out = append(out, storeclient.Queue{Topic: topic, ID: id})
		}
	}
	return out
}

// schedule is the queue of the delay level that no test lives to see.
var schedule = storeclient.Queue{Topic: "SCHEDULE_TOPIC_XXXX", ID: 17}

// conf are the settings of the broker that makes an image, and of those that open
// it.
func conf() map[string]string {
	return map[string]string{
		"flushDiskType": "SYNC_FLUSH", "mappedFileSizeCommitLog": strconv.Itoa(segmentSize),
		"mappedFileSizeConsumeQueue": strconv.Itoa(queueFileSize),
		"maxHashSlotNum":             strconv.Itoa(indexSlots), "maxIndexNum": strconv.Itoa(indexEntries),
		"flushConsumeQueueThoroughInterval": "300", "flushConsumerOffsetInterval": "200", "flushDelayOffsetInterval": "200",
		// The disk of a test machine may be as full as it is.
		"diskMaxUsedSpaceRatio": "95", "cleanFileForciblyEnable": "false",
	}
}

// Image is the directory of a broker at rest.
type Image struct {
	Dir     string
	Stop    Stop
	History *History
}

// pause is longer than the doubt that recovery has about store times, 3 s.
const pause = 3200 * time.Millisecond

// loader makes the content of an image.
type loader struct {
	c    cluster.Cluster
	cl   *storeclient.Client
	r    *rand.Rand
	name string // its messages' keys begin so
	stop Stop
}

// load sends to a fresh broker what an image consists of.
func (l *loader) load() error {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	for _, topic := range []string{"damage-0", "damage-1", gone, "damage-last"} {
		if err := probe.PutTopic(ctx, l.c.BrokerAddr(), topic, 2); err != nil {
			return err
		}
	}
	for _, g := range []string{group, "damage-other", "damage-last"} {
		if err := probe.PutGroup(ctx, l.c.BrokerAddr(), g, 1, 7); err != nil {
			return err
		}
	}
	if err := l.sendAll(); err != nil {
		return err
	}
	if err := probe.DropTopic(ctx, l.c.NameServer(), l.c.BrokerAddr(), gone); err != nil {
		return err
	}
	for round := range int64(2) { // so that the file and its .bak differ a little
		for i, q := range queues() {
			if err := l.cl.Commit(group, q, 10+int64(i)+round); err != nil {
				return err
			}
		}
		if err := onDisk(l.c, 10+round); err != nil {
			return err
		}
	}
	return nil
}

// sendAll sends the messages.
func (l *loader) sendAll() error {
	qs := queues()
	qs = append(qs, qs...)
	qs = append(qs, qs...)
	qs = append(qs, storeclient.Queue{Topic: gone})
	paused := false
	for n := 0; n < messages; n++ {
		if l.stop == AfterPause && n > messages*3/4 && !paused {
			time.Sleep(pause)
			paused = true
		}
		q := qs[n%len(qs)]
		m := ordinary(l.name, n, l.r)
		switch {
		case n%40 == 7:
			m.Properties = append(m.Properties, [2]string{message.PropertyDelayLevel, "18"})
		case n%80 == 9 && q.Topic != gone: // it would come after the deletion, and stay, as in Java
			m.Properties = append(m.Properties, [2]string{message.PropertyDelayLevel, "1"})
		case n%30 == 3:
			ms := []storeclient.Message{m, ordinary(l.name, n+1, l.r), ordinary(l.name, n+2, l.r)}
			n += len(ms) - 1
			if _, err := l.cl.SendBatch(q, ms); err != nil {
				return err
			}
			continue
		}
		if _, err := l.cl.Send(q, m); err != nil {
			return err
		}
	}
	return nil
}

// ordinary makes the n-th message.
func ordinary(name string, n int, r *rand.Rand) storeclient.Message {
	key := fmt.Sprintf("%s-%04d", name, n)
	body := make([]byte, 400+r.IntN(900))
	for i := range body {
		body[i] = byte(r.Uint32())
	}
	return storeclient.Message{Body: body, Flag: int32(n), Properties: [][2]string{
		{message.PropertyKeys, key}, {message.PropertyUniqKey, "uniq-" + key}, {message.PropertyTags, tags[n%len(tags)]},
		{"a", strings.Repeat("v", 20+r.IntN(60))},
	}}
}

var tags = []string{"red", "green"}

// onDisk waits until the broker has written its offsets, among them this one.
func onDisk(c cluster.Cluster, want int64) error {
	return poll("the offsets are on the disk", func() (bool, error) {
		b, err := os.ReadFile(filepath.Join(c.StoreDir(), "config", "consumerOffset.json"))
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		var v struct {
			Table map[string]map[string]int64 `json:"offsetTable"`
		}
		if err == nil && probe.Unmarshal(b, &v) != nil {
			return false, nil
		}
		return v.Table[queues()[0].Topic+"@"+group]["0"] == want, err
	})
}

// poll waits for something that is about to be so.
func poll(what string, done func() (bool, error)) error {
	for end := time.Now().Add(soon); ; time.Sleep(20 * time.Millisecond) {
		switch ok, err := done(); {
		case err != nil:
			return fmt.Errorf("damage: %s: %w", what, err)
		case ok:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("damage: %s: not in %v", what, soon)
		}
	}
}

// checkpointed waits until the checkpoint covers the youngest message: what is
// damaged later is no torn tail.
func checkpointed(c cluster.Cluster, h *History) error {
	var last int64
	for _, s := range h.Messages {
		var m message.Message
		if _, err := message.Decode([]byte(s.Raw), &m, false); err != nil {
			return err
		}
		last = max(last, m.StoreTimestamp)
	}
	return poll("the checkpoint covers everything", func() (bool, error) {
		b, err := os.ReadFile(filepath.Join(c.StoreDir(), "checkpoint"))
		if errors.Is(err, os.ErrNotExist) || err == nil && len(b) < 24 {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		return int64(binary.BigEndian.Uint64(b)) >= last && int64(binary.BigEndian.Uint64(b[8:])) >= last, nil
	})
}

// Learn reads everything that a broker has: the truth for what comes later.
func Learn(c cluster.Cluster) (*History, error) {
	h := &History{Max: map[storeclient.Queue]int64{}}
	cl := storeclient.New(c.BrokerAddr())
	defer cl.Close()
	for _, q := range append(queues(), schedule) {
		r, err := cl.ReadQueue(q, "*")
		if err == nil {
			err = r.Why
		}
		if err != nil {
			return nil, err
		}
		h.Max[q] = r.Max
		for _, f := range r.Found {
			tag, _ := message.Get(f.Properties, message.PropertyTags)
			h.Messages = append(h.Messages, &Sent{q, f.QueueOffset, f.PhyOffset, f.Key(), tag, string(f.Raw)})
			h.End = max(h.End, f.PhyOffset+int64(len(f.Raw)))
		}
	}
	return h, h.settings(c)
}

// settings reads topics, groups and offsets.
func (h *History) settings(c cluster.Cluster) error {
	var err error
	if h.Topics, err = table(c, probe.AllTopics, "topicConfigTable"); err != nil {
		return err
	}
	if h.Groups, err = table(c, probe.AllGroups, "subscriptionGroupTable"); err != nil {
		return err
	}
	h.Offsets = map[string]int64{}
	for _, q := range queues() {
		ctx, cancel := context.WithTimeout(context.Background(), callTime)
		n, err := probe.Offset(ctx, c.BrokerAddr(), group, q.Topic, int(q.ID))
		cancel()
		if err != nil {
			return err
		}
		h.Offsets[q.String()] = n
	}
	return nil
}

// table asks the broker for all of something.
func table(c cluster.Cluster, code int, name string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	a, err := probe.Call(ctx, c.BrokerAddr(), code, nil, nil)
	if err != nil {
		return nil, err
	}
	all := map[string]json.RawMessage{}
	rows := map[string]json.RawMessage{}
	if err := probe.Unmarshal(a.Body, &all); err != nil {
		return nil, fmt.Errorf("answer to %d: %w", code, err)
	}
	if err := probe.Unmarshal(all[name], &rows); err != nil {
		return nil, fmt.Errorf("answer to %d: %w", code, err)
	}
	out := map[string]string{}
	for k, v := range rows {
		if strings.HasPrefix(k, "damage") { // the broker's own come and go with its version
			out[k] = string(v)
		}
	}
	return out, nil
}

// Make makes an image with a broker of its own kind: its files are copied to dir.
// name is part of all keys.
func Make(kind cluster.Kind, dir, name string, stop Stop, seed uint64) (*Image, error) {
	settings := conf()
	if stop == Unsynced {
		settings["flushConsumeQueueThoroughInterval"] = "3600000"
	}
	c, err := kind.Start(cluster.Options{BrokerConf: settings})
	if err != nil {
		return nil, err
	}
	l := &loader{c: c, cl: storeclient.New(c.BrokerAddr()), r: rand.New(rand.NewPCG(seed, 1)), name: name, stop: stop}
	img, err := l.image(dir)
	l.cl.Close()
	return img, errors.Join(err, c.Stop())
}

func (l *loader) image(dir string) (*Image, error) {
	if err := l.load(); err != nil {
		return nil, err
	}
	if err := l.delivered(); err != nil {
		return nil, err
	}
	h, err := Learn(l.c)
	if err == nil && l.stop != Unsynced {
		err = checkpointed(l.c, h)
	}
	if err == nil && l.stop != Clean {
		err = l.c.KillBroker()
	} else if err == nil {
		err = l.c.StopBroker()
	}
	if err == nil {
		err = os.CopyFS(dir, os.DirFS(l.c.StoreDir()))
	}
	if err == nil { // a deleted topic stays away
		var left []string
		if left, err = there(dir, "consumequeue/"+gone); len(left) > 0 {
			err = fmt.Errorf("damage: %s is there, and its topic was deleted", left[0])
		}
	}
	return &Image{dir, l.stop, h}, err
}

// delivered waits until all delayed messages of level 1 have arrived and the broker
// has noted that on the disk.
func (l *loader) delivered() error {
	_, want, err := l.cl.Bounds(storeclient.Queue{Topic: schedule.Topic})
	if err != nil {
		return err
	}
	return poll("the delayed messages have arrived", func() (bool, error) {
		b, err := os.ReadFile(filepath.Join(l.c.StoreDir(), "config", "delayOffset.json"))
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		var v struct {
			Table map[string]int64 `json:"offsetTable"`
		}
		if err == nil && probe.Unmarshal(b, &v) != nil {
			return false, nil
		}
		return v.Table["1"] == want, err
	})
}
