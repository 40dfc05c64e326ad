package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/merlinmq/merlin/conformance/probe"
)

// offsets are what a group committed. They only ever rise.
type offsets struct {
	mu   sync.Mutex      // guards what follows
	sent map[Queue]int64 // the last that was sent
	kept map[Queue]int64 // what the broker had after the last start
}

func newOffsets() *offsets { return &offsets{sent: map[Queue]int64{}, kept: map[Queue]int64{}} }

// sending notes an offset before it is sent; false for one that does not rise.
func (o *offsets) sending(q Queue, offset int64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if offset <= o.sent[q] {
		return false
	}
	o.sent[q] = offset
	return true
}

// check compares what the broker answers after a start with what stood on the
// disk before (nil: not known) and with what was committed.
func (o *offsets) check(q Queue, disk map[Queue]int64, now int64) []Violation {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []Violation
	bad := func(format string, args ...any) {
		out = append(out, Violation{Offset, q, group, fmt.Sprintf(format, args...)})
	}
	now = max(now, 0) // -1: none
	if now > o.sent[q] {
		bad("the broker has %d, no more than %d was committed", now, o.sent[q])
	}
	if now < o.kept[q] {
		bad("the broker has %d, it had %d after an earlier start", now, o.kept[q])
	}
	if disk != nil && now != disk[q] {
		bad("the broker has %d, %d stood on the disk", now, disk[q])
	}
	o.kept[q] = now
	return out
}

// fileOffsets reads consumerOffset.json; nil when there is none yet.
func fileOffsets(store string, queues []Queue) (map[Queue]int64, error) {
	data, err := os.ReadFile(filepath.Join(store, "config", "consumerOffset.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var f struct {
		Table map[string]map[int32]int64 `json:"offsetTable"`
	}
	if err := probe.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("crash: consumerOffset.json: %w", err)
	}
	out := map[Queue]int64{}
	for _, q := range queues {
		out[q] = f.Table[q.Topic+"@"+group][q.ID]
	}
	return out, nil
}

// checkOffsets asks the broker for what the group committed.
func (r *Rig) checkOffsets(disk map[Queue]int64) ([]Violation, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	var out []Violation
	for _, q := range r.steady {
		now, err := probe.Offset(ctx, r.cluster.BrokerAddr(), group, q.Topic, int(q.ID))
		if err != nil {
			return out, err
		}
		out = append(out, r.offsets.check(q, disk, now)...)
	}
	return out, nil
}
