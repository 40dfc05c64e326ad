package broker

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/merlinmq/merlin/broker/group"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/compat/configfile"
)

// toldNames bounds the names in one line about topics or groups.
const toldNames = 50

// tellLost says in the log what the store and the files below config/ know of and the
// file that should name it does not: topics with queues, groups with offsets, delayed
// messages. A Java broker starts without a line and makes the topics anew, with the
// number of queues that is set now. REQUIRES: nothing was written to the files yet.
func (b *Broker) tellLost(dir string) {
	if names := b.unnamedTopics(); len(names) > 0 {
		path := filepath.Join(dir, "topics.json")
		what := "topics have messages and no configuration: they are not served until they are created again, with as many queues as before"
		if b.absent(path) {
			what = "the file of the topics is gone; " + what
		}
		b.log.Error(what, "file", path, "topics", len(names), "names", shortList(names))
	}
	if path := filepath.Join(dir, "subscriptionGroup.json"); b.absent(path) {
		if groups := b.knownGroups(); len(groups) > 0 {
			b.log.Error("the file of the consumer groups is gone: groups that are made again have the settings of new ones",
				"file", path, "groups", len(groups), "names", shortList(groups))
		}
	}
	if path := filepath.Join(dir, "consumerOffset.json"); b.absent(path) {
		if groups := b.knownGroups(); len(groups) > 0 {
			b.log.Error("there is no file of the consumer offsets, but there are groups: unless they never consumed they begin again, where their clients' consumeFromWhere says",
				"file", path, "groups", len(groups), "names", shortList(groups))
		}
	}
	if path := filepath.Join(dir, "delayOffset.json"); b.absent(path) {
		if n := b.maybeDelivered(); n > 0 {
			b.log.Error("there is no file that says which delayed messages were delivered: those that were are delivered again",
				"file", path, "messages", n)
		}
	}
}

// maybeDelivered counts the delayed messages in those levels whose first one is due.
func (b *Broker) maybeDelivered() int64 {
	n := int64(0)
	for _, q := range b.store.QueueIDs(topic.Schedule) {
		from := b.store.MinOffset(topic.Schedule, q)
		// An error is told by the store, and by who delivers.
		if es, err := b.store.Entries(topic.Schedule, q, from, 1); err == nil && len(es) > 0 && es[0].TagsCode <= b.opts.Clock.NowMillis() {
			n += b.store.MaxOffset(topic.Schedule, q) - from
		}
	}
	return n
}

// absent says that there is neither the file nor its .bak.
func (b *Broker) absent(path string) bool {
	_, err := b.opts.Files.Load(path, nil, nil)
	return errors.Is(err, configfile.ErrNone)
}

// unnamedTopics are the topics that have queues with messages and no configuration,
// with the number of these queues.
func (b *Broker) unnamedTopics() []string {
	var out []string
	for _, name := range b.store.Topics() {
		if b.topics.Find(name) != nil || b.topics.IsSystem(name) {
			continue
		}
		queues := 0
		for _, q := range b.store.QueueIDs(name) {
			if b.store.MaxOffset(name, q) > b.store.MinOffset(name, q) {
				queues++
			}
		}
		if queues > 0 {
			out = append(out, fmt.Sprintf("%s (%d queues)", name, queues))
		}
	}
	return out
}

// knownGroups are the groups of clients that anything names: their settings, their
// topics for what is consumed again, their offsets.
func (b *Broker) knownGroups() []string {
	names, out := b.store.Topics(), b.offsets.Groups()
	all, _ := b.topics.All()
	for _, c := range all {
		names = append(names, c.TopicName)
	}
	for _, name := range names {
		if topic.IsRetry(name) {
			out = append(out, topic.GroupOfRetry(name))
		}
	}
	groups, _ := b.groups.All()
	for _, c := range groups {
		if !group.Builtin(c.GroupName) {
			out = append(out, c.GroupName)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// shortList joins names, not all of very many.
func shortList(names []string) string {
	if more := len(names) - toldNames; more > 0 {
		return strings.Join(names[:toldNames], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(names, ", ")
}
