package disk

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"sort"
	"strings"

	"github.com/merlinmq/merlin/conformance/internal/storeclient"
	"github.com/merlinmq/merlin/conformance/probe"
)

// configFiles are the files of config as they lie on the disk, read as JSON.
type configFiles map[string]any

func readConfig(store string) (configFiles, error) {
	out := configFiles{}
	names, err := filepath.Glob(filepath.Join(store, "config", "*.json"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var v any
		if probe.Unmarshal(b, &v) != nil {
			// A Java broker that was killed while it wrote: the .bak counts.
			if b, err = os.ReadFile(name + ".bak"); err != nil {
				return nil, err
			}
			if err := probe.Unmarshal(b, &v); err != nil {
				return nil, fmt.Errorf("%s and its .bak: %w", name, err)
			}
			fmt.Printf("%s cannot be read, its .bak is taken\n", filepath.Base(name))
		}
		out[filepath.Base(name)] = v
	}
	return out, nil
}

// rows is one table of a file.
func (c configFiles) rows(file, table string) map[string]any {
	m, _ := c[file].(map[string]any)
	t, _ := m[table].(map[string]any)
	return t
}

// mine says whether a topic or group is the trip's; the others are the broker's own
// and come and go with its version.
func mine(name string) bool {
	return strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(name, "%RETRY%"), "%DLQ%"), "disk-")
}

// owned are files whose content a broker keeps for itself, with what is in them;
// they are not compared.
var owned = map[string]string{
	"delayOffset.json": "how far delayed messages are; that they arrive once is compared",
}

// touched are tables that the trip itself changes: they are compared row by row.
var touched = map[string]string{
	"topics.json":            "topicConfigTable",
	"subscriptionGroup.json": "subscriptionGroupTable",
	"consumerOffset.json":    "offsetTable",
}

// unchanged compares the files that nobody asked to change; both brokers count up
// their dataVersion when they start.
func unchanged(before, after configFiles) []Problem {
	var out []Problem
	for name, was := range before {
		if touched[name] != "" || owned[name] != "" {
			continue
		}
		is, ok := after[name]
		if !ok {
			out = append(out, Problem{"config", name + " is gone"})
		} else if !reflect.DeepEqual(unversioned(was), unversioned(is)) {
			out = append(out, Problem{"config", fmt.Sprintf("%s is %s, was %s", name, text(is), text(was))})
		}
	}
	return out
}

func unversioned(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for k, v := range m {
		if k != "dataVersion" {
			out[k] = v
		}
	}
	return out
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// since5 are settings that 4.9 does not know: its broker drops them when it writes
// the file, and they are back at their defaults then.
var since5 = map[string]bool{
	"attributes": true, "consumeMessageOrderly": true, "groupRetryPolicy": true, "groupSysFlag": true,
	"consumeTimeoutMinute": true, "subscriptionDataSet": true,
}

// settings makes comparable what a broker says of a topic or a group.
func settings(row any, old bool) string {
	m, _ := row.(map[string]any)
	out := map[string]any{}
	for k, v := range m {
		if v == nil || old && since5[k] {
			continue
		}
		if s, ok := v.(map[string]any); ok && len(s) == 0 {
			continue // 4.9 writes none, 5 an empty one
		}
		out[k] = v
	}
	return text(out)
}

// compareTable compares the rows of a table that are the trip's with the ledger.
func compareTable(what string, rows map[string]any, want map[string]string, old bool) []Problem {
	var out []Problem
	for name, was := range want {
		row, ok := rows[name]
		if !ok {
			out = append(out, Problem{what, name + " is gone"})
			continue
		}
		var w any
		if err := json.Unmarshal([]byte(was), &w); err != nil {
			out = append(out, Problem{what, err.Error()})
			continue
		}
		if is, was := settings(row, old), settings(w, old); is != was {
			out = append(out, Problem{what, fmt.Sprintf("%s is %s, was %s", name, is, was)})
		}
	}
	for name := range rows {
		if _, ok := want[name]; !ok && mine(name) {
			out = append(out, Problem{what, name + " is there and was deleted or never made"})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Text < out[j].Text })
	return out
}

// offsetsOn reads the committed offsets of the trip's group.
func (c configFiles) offsetsOn() map[storeclient.Queue]int64 {
	out := map[storeclient.Queue]int64{}
	for name, row := range c.rows("consumerOffset.json", "offsetTable") {
		topic, ok := strings.CutSuffix(name, "@"+group)
		if !ok {
			continue
		}
		for id, n := range row.(map[string]any) {
			q := storeclient.Queue{Topic: topic}
			_, _ = fmt.Sscanf(id, "%d", &q.ID)
			f, _ := n.(float64)
			out[q] = int64(f)
		}
	}
	return out
}

// blanked is where an entry was, before another one.
var blanked = regexp.MustCompile(`[,}] {100,},?\s*"`)

// groupDefaults are the settings that Java's reader gives a group that names none:
// an entry that Merlin shortened leaves them out.
var groupDefaults = map[string]any{
	"brokerId": 0.0, "consumeBroadcastEnable": true, "consumeEnable": true, "consumeFromMinEnable": true, "consumeMessageOrderly": false,
	"consumeTimeoutMinute": 15.0, "groupRetryPolicy": map[string]any{"type": "CUSTOMIZED"}, "groupSysFlag": 0.0,
	"notifyConsumerIdsChangedEnable": true, "retryMaxTimes": 16.0, "retryQueueNums": 1.0, "whichBrokerWhenConsumeSlowly": 1.0,
}

// lengthened gives the groups of a file with what Merlin left out while it ran.
func lengthened(rows map[string]any) map[string]any {
	out := map[string]any{}
	for name, row := range rows {
		all := maps.Clone(groupDefaults)
		m, _ := row.(map[string]any)
		maps.Copy(all, m)
		out[name] = all
	}
	return out
}

// inPlace says what a killed Merlin should have left in its files and has not: the
// next broker is to find entries that were changed in place.
func inPlace(store string, hop int) []Problem {
	var out []Problem
	for file, long := range map[string]string{"topics.json": "", "subscriptionGroup.json": longGroup(hop)} {
		b, err := os.ReadFile(filepath.Join(store, "config", file))
		if err != nil {
			return append(out, Problem{"in place", err.Error()})
		}
		if long != "" && !strings.Contains(string(b), fmt.Sprintf("%q:{\"", long)) {
			out = append(out, Problem{"in place", file + " has no entry that is shortened"})
		}
		if !blanked.Match(b) {
			out = append(out, Problem{"in place", file + " has no entry that is blanked"})
		}
	}
	return out
}
