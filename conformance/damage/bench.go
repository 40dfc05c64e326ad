package damage

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/merlinmq/merlin/conformance/cluster"
	"github.com/merlinmq/merlin/conformance/internal/storeclient"
	"github.com/merlinmq/merlin/conformance/probe"
	"github.com/merlinmq/merlin/protocol/message"
)

// Row is one damage to one kind of file of an image.
type Row struct {
	Kind   Kind
	Damage Damage
	Stop   Stop
}

// String names the row as the list of pending rows does.
func (r Row) String() string { return fmt.Sprintf("%s / %s / %s", r.Kind, r.Damage, r.Stop) }

// Rows is the whole matrix.
func Rows() []Row {
	var out []Row
	for _, k := range Kinds() {
		for _, d := range Damages() {
			for _, s := range Stops() {
				if d.fits(k) && s.fits(k, d) {
					out = append(out, Row{k, d, s})
				}
			}
		}
	}
	return out
}

// Stop is how the broker of an image ended.
type Stop string

// The ways to stop. After a pause the recovery of a killed broker begins in a later
// file than the first; before a checkpoint nothing says what is no torn tail.
const (
	Clean      Stop = "clean"
	Killed     Stop = "killed"
	AfterPause Stop = "killed after a pause"
	Unsynced   Stop = "killed before a checkpoint"
)

// Stops are all ways.
func Stops() []Stop { return []Stop{Clean, Killed, AfterPause, Unsynced} }

// fits says whether a row needs an image that was stopped so.
func (s Stop) fits(k Kind, d Damage) bool {
	switch {
	case k == Abort: // it is there after a kill only
		return (d == Delete) == (s != Clean)
	case s == AfterPause || s == Unsynced:
		return (k.log() || k.queue() || k == Checkpoint) && d != LargerSize && d != SmallerSize
	}
	return true
}

// random is the source of a row: the same whichever other rows run.
func (r Row) random(seed uint64) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(r.String()))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// Bench is one broker process that gets one directory after the other.
type Bench struct {
	c    cluster.Cluster
	java bool
	logs int64 // bytes of the broker's output that belong to earlier rows
	conf []byte
}

// NewBench takes a cluster that was started with the settings of the images, and
// stops its broker.
func NewBench(c cluster.Cluster) (*Bench, error) {
	b := &Bench{c: c, java: strings.HasPrefix(c.Name(), "java")}
	var err error
	if b.conf, err = os.ReadFile(b.file("broker.conf")); err != nil {
		return nil, err
	}
	return b, c.KillBroker()
}

func (b *Bench) file(name string) string { return filepath.Join(filepath.Dir(b.c.StoreDir()), name) }

// Place replaces the broker's directory with a copy of another one.
func (b *Bench) Place(dir string) error {
	if err := os.RemoveAll(b.c.StoreDir()); err != nil {
		return err
	}
	return os.CopyFS(b.c.StoreDir(), os.DirFS(dir))
}

// Outcome is what became of a damaged store.
type Outcome struct {
	Done    Done
	Refused string // why the broker did not start: the last lines of its output
	After   *History
	reads   map[storeclient.Queue]storeclient.QueueRead
	tagged  map[storeclient.Queue]storeclient.QueueRead
	byKey   map[string]bool // keys that the index finds
	again   []given         // offsets that new messages got
	failed  []string        // sends that were refused
	Log     []string        // what the broker printed
	died    bool
}

type given struct {
	q      storeclient.Queue
	offset int64
}

// Run copies the image, does the damage and opens it.
func (b *Bench) Run(img *Image, other string, row Row, seed uint64) (*Outcome, error) {
	if err := b.Place(img.Dir); err != nil {
		return nil, err
	}
	done, err := row.Damage.apply(b.c.StoreDir(), other, row.Kind, img.History, row.random(seed))
	if err != nil {
		return nil, fmt.Errorf("%v: %w", row, err)
	}
	o, err := b.Open(img.History, done)
	if err != nil {
		return nil, fmt.Errorf("%v, %s: %w", row, done.Text, err)
	}
	return o, nil
}

// Open starts the broker on its directory, reads all, sends to every queue and
// kills the broker. An error is one of the bench, not of the broker.
func (b *Bench) Open(h *History, done Done) (*Outcome, error) {
	o := &Outcome{Done: done}
	if err := b.setConf(done.Conf); err != nil {
		return nil, err
	}
	if fi, err := os.Stat(b.file("broker.out")); err == nil {
		b.logs = fi.Size()
	}
	err := b.c.StartBroker()
	if _, runs := b.c.BrokerProcess(); err != nil && runs {
		return nil, errors.Join(err, b.c.KillBroker())
	}
	if err != nil {
		o.Refused = err.Error()
	} else {
		err = b.look(h, o)
	}
	_, runs := b.c.BrokerProcess()
	o.died = o.Refused == "" && !runs
	if o.Refused != "" || o.died {
		err = nil
	}
	err = errors.Join(err, b.c.KillBroker())
	if o.Log, err = b.lines(err); err != nil {
		return nil, err
	}
	return o, nil
}

// setConf writes the settings of the images with changes.
func (b *Bench) setConf(changes map[string]string) error {
	lines := strings.Split(strings.TrimSpace(string(b.conf)), "\n")
	for i, l := range lines {
		name, _, _ := strings.Cut(l, "=")
		if v, ok := changes[name]; ok {
			lines[i] = name + "=" + v
		}
	}
	return os.WriteFile(b.file("broker.conf"), []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

// lines is what the broker printed for this row.
func (b *Bench) lines(err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(b.file("broker.out"))
	if err != nil {
		return nil, err
	}
	return strings.Split(string(text[min(b.logs, int64(len(text))):]), "\n"), nil
}

// look reads everything and sends one message to each queue.
func (b *Bench) look(h *History, o *Outcome) error {
	cl := storeclient.New(b.c.BrokerAddr())
	defer cl.Close()
	o.reads, o.tagged = map[storeclient.Queue]storeclient.QueueRead{}, map[storeclient.Queue]storeclient.QueueRead{}
	for _, q := range append(queues(), schedule) {
		r, err := cl.ReadQueue(q, "*")
		if err != nil {
			return err
		}
		o.reads[q] = r
		if r, err = cl.ReadQueue(q, tags[0]); err != nil {
			return err
		}
		o.tagged[q] = r
	}
	o.After = &History{}
	if err := o.After.settings(b.c); err != nil {
		return err
	}
	o.byKey = map[string]bool{}
	for _, s := range h.Messages {
		rs, err := cl.ByKey(s.Queue.Topic, s.Key)
		if err != nil && !errors.Is(err, storeclient.ErrRefused) && !errors.Is(err, message.ErrCorrupt) {
			return err
		}
		o.byKey[s.Key] = slices.ContainsFunc(rs, func(r storeclient.Record) bool { return string(r.Raw) == s.Raw })
	}
	for _, q := range queues() {
		s, err := cl.Send(q, ordinary("again", 0, rand.New(rand.NewPCG(1, 1))))
		if errors.Is(err, storeclient.ErrRefused) {
			o.failed = append(o.failed, err.Error())
			continue
		}
		if err != nil {
			return err
		}
		o.again = append(o.again, given{q, s.QueueOffset})
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	_, err := probe.Call(ctx, b.c.BrokerAddr(), probe.AllTopics, nil, nil)
	return err
}
