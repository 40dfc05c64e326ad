package damage

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/merlinmq/merlin/store/commitlog"
)

// Kind is a kind of file of a store.
type Kind string

// The kinds.
const (
	LogFirst    Kind = "commitlog, first"
	LogMiddle   Kind = "commitlog, middle"
	LogLast     Kind = "commitlog, last"
	QueueFirst  Kind = "consumequeue, first file"
	QueueLast   Kind = "consumequeue, last file"
	QueuesAll   Kind = "consumequeue, all"
	IndexFirst  Kind = "index, first"
	IndexLast   Kind = "index, last"
	IndexAll    Kind = "index, all"
	Checkpoint  Kind = "checkpoint"
	Abort       Kind = "abort"
	Lock        Kind = "lock"
	Topics      Kind = "topics.json"
	TopicsBak   Kind = "topics.json.bak"
	TopicsBoth  Kind = "topics.json and .bak"
	Groups      Kind = "subscriptionGroup.json"
	GroupsBak   Kind = "subscriptionGroup.json.bak"
	GroupsBoth  Kind = "subscriptionGroup.json and .bak"
	Offsets     Kind = "consumerOffset.json"
	OffsetsBak  Kind = "consumerOffset.json.bak"
	OffsetsBoth Kind = "consumerOffset.json and .bak"
	Delays      Kind = "delayOffset.json"
	DelaysBak   Kind = "delayOffset.json.bak"
	DelaysBoth  Kind = "delayOffset.json and .bak"
)

// Kinds are all kinds.
func Kinds() []Kind {
	return []Kind{LogFirst, LogMiddle, LogLast, QueueFirst, QueueLast, QueuesAll, IndexFirst, IndexLast, IndexAll,
		Checkpoint, Abort, Lock, Topics, TopicsBak, TopicsBoth, Groups, GroupsBak, GroupsBoth,
		Offsets, OffsetsBak, OffsetsBoth, Delays, DelaysBak, DelaysBoth}
}

func (k Kind) log() bool   { return k == LogFirst || k == LogMiddle || k == LogLast }
func (k Kind) queue() bool { return k == QueueFirst || k == QueueLast || k == QueuesAll }
func (k Kind) index() bool { return k == IndexFirst || k == IndexLast || k == IndexAll }
func (k Kind) all() bool   { return k == QueuesAll || k == IndexAll }
func (k Kind) both() bool  { return strings.HasSuffix(string(k), " and .bak") }
func (k Kind) json() bool  { return strings.Contains(string(k), ".json") }

// paths are the files of a kind in a store, relative to its directory; none when
// the store has no such file.
func (k Kind) paths(dir string, h *History) ([]string, error) {
	name := string(k)
	switch {
	case k.log():
		phy := map[Kind]int64{LogFirst: 0, LogMiddle: h.End / 2, LogLast: h.End - 1}[k]
		return []string{logPath(phy)}, nil
	case k == QueuesAll || k == IndexAll:
		return there(dir, strings.TrimSuffix(name, ", all"))
	case k.queue():
		return nth(dir, filepath.Join("consumequeue", target.Topic, fmt.Sprint(target.ID)), k == QueueFirst, true)
	case k.index():
		return nth(dir, "index", k == IndexFirst, false)
	case k.both():
		name = "config/" + strings.TrimSuffix(name, " and .bak")
		return there(dir, name, name+".bak")
	case k.json():
		return there(dir, "config/"+name)
	}
	return there(dir, name)
}

// logPath is the log file that holds a place.
func logPath(phy int64) string {
	return filepath.Join("commitlog", commitlog.FileName(phy-phy%segmentSize))
}

func there(dir string, names ...string) ([]string, error) {
	var out []string
	for _, n := range names {
		switch _, err := os.Stat(filepath.Join(dir, n)); {
		case err == nil:
			out = append(out, n)
		case !os.IsNotExist(err):
			return nil, err
		}
	}
	return out, nil
}

// nth is the first file of a folder, or the last one; the last file of a queue may
// not have an entry yet, then it is the one before.
func nth(dir, folder string, first, queue bool) ([]string, error) {
	es, err := os.ReadDir(filepath.Join(dir, folder))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range es {
		names = append(names, filepath.Join(folder, e.Name()))
	}
	slices.Sort(names)
	switch {
	case len(names) == 0:
		return nil, nil
	case first:
		return names[:1], nil
	case queue && len(names) > 1:
		b, err := os.ReadFile(filepath.Join(dir, names[len(names)-1]))
		if err != nil {
			return nil, err
		}
		if len(b) < 20 || b[8]|b[9]|b[10]|b[11] == 0 {
			names = names[:len(names)-1]
		}
	}
	return names[len(names)-1:], nil
}
