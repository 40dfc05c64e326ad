package damage

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/internal/storeclient"
	"github.com/merlinmq/merlin/protocol/message"
)

// madeUp is a store of six messages in one queue and what a broker shows of it.
func madeUp() (*History, *Outcome) {
	h := &History{Topics: map[string]string{"damage-0": "{}"}, Groups: map[string]string{group: "{}"},
		Offsets: map[string]int64{target.String(): 3}, Max: map[storeclient.Queue]int64{target: 6}}
	o := &Outcome{reads: map[storeclient.Queue]storeclient.QueueRead{}, tagged: map[storeclient.Queue]storeclient.QueueRead{},
		byKey: map[string]bool{}, After: &History{Topics: h.Topics, Groups: h.Groups, Offsets: h.Offsets},
		again: []given{{target, 6}}}
	var r storeclient.QueueRead
	for n := range int64(6) {
		s := &Sent{Queue: target, Offset: n, Phy: n * 100, Key: fmt.Sprint("k", n), Tag: tags[n%2], Raw: strings.Repeat(fmt.Sprint(n), 100)}
		h.Messages = append(h.Messages, s)
		h.End = s.end()
		r.Found = append(r.Found, record(s, s.Raw))
		o.byKey[s.Key] = true
	}
	o.reads[target], o.tagged[target] = r, r
	return h, o
}

func record(s *Sent, raw string) storeclient.Record {
	return storeclient.Record{Raw: []byte(raw), Message: message.Message{Topic: s.Queue.Topic, QueueID: s.Queue.ID, QueueOffset: s.Offset,
		PhyOffset: s.Phy, Properties: message.AppendProperty(nil, message.PropertyKeys, s.Key)}}
}

// without takes the nth message away from what is shown.
func without(o *Outcome, n int) {
	r := o.reads[target]
	r.Found = append(append([]storeclient.Record{}, r.Found[:n]...), r.Found[n+1:]...)
	o.reads[target] = r
}

const fileLine = `level=WARN msg="damage" file=/x/store/commitlog/00000000000000000000 offset=200`

// TestJudge_FindsWhatIsMadeUp: each way to be wrong is a violation, and a loss that is
// justified and said is none.
func TestJudge_FindsWhatIsMadeUp(t *testing.T) {
	row := Row{LogFirst, FlipBody, Killed}
	done := Done{Touched: []Touched{{File: logPath(0), From: 250, To: 251}}} // the third message
	for _, c := range []struct {
		name string
		bad  string // what the violation says, "" for none
		make func(o *Outcome)
	}{
		{"nothing happened", "", func(*Outcome) {}},
		{"its own bytes, and a line", "", func(o *Outcome) { without(o, 2); o.Log = []string{fileLine} }},
		{"its own bytes, and no line", "silent", func(o *Outcome) { without(o, 2) }},
		{"a line without the file", "silent", func(o *Outcome) { without(o, 2); o.Log = []string{`level=WARN msg="damage"`} }},
		{"another message", "1 messages are gone", func(o *Outcome) { without(o, 4); o.Log = []string{fileLine} }},
		{"served changed, and no line", "silent: 1 served changed", func(o *Outcome) { o.reads[target].Found[2].Raw = []byte("2") }},
		{"another one served changed", "nobody touched", func(o *Outcome) { o.reads[target].Found[1].Raw = []byte("1"); o.Log = []string{fileLine} }},
		{"twice", "sent, twice or", func(o *Outcome) {
			r := o.reads[target]
			r.Found = append(r.Found, r.Found[0])
			o.reads[target] = r
		}},
		{"an offset twice", "given out twice", func(o *Outcome) { o.again[0].offset = 5 }},
		{"a consumer is stuck", "stop a consumer", func(o *Outcome) {
			r := o.reads[target]
			r.Stuck = []int64{2}
			o.reads[target] = r
		}},
		{"not by key", "silent: 1 not by key", func(o *Outcome) { delete(o.byKey, "k1") }},
		{"not by tag", "silent: 1 not by tag", func(o *Outcome) {
			r := o.tagged[target]
			r.Found = r.Found[1:]
			o.tagged[target] = r
		}},
		{"a topic is gone", "topic damage-0 is gone", func(o *Outcome) { o.After = &History{Groups: o.After.Groups, Offsets: o.After.Offsets} }},
		{"a topic is new", "is new", func(o *Outcome) {
			o.After = &History{Topics: map[string]string{"damage-0": "{}", "damage-1": "{}"}, Groups: o.After.Groups, Offsets: o.After.Offsets}
		}},
		{"an offset went back", "was 3", func(o *Outcome) {
			o.After = &History{Topics: o.After.Topics, Groups: o.After.Groups, Offsets: map[string]int64{target.String(): 1}}
		}},
		{"sends are refused", "refused", func(o *Outcome) { o.failed = []string{"1"} }},
		{"it does not start", "does not start", func(o *Outcome) { o.Refused = "x"; o.Log = []string{fileLine} }},
		{"it does not start and says nothing", "does not name", func(o *Outcome) { o.Refused = "x" }},
		{"it died", "by itself", func(o *Outcome) { o.died = true }},
		{"a panic", "panic", func(o *Outcome) { o.Log = []string{"panic: x"} }},
	} {
		h, o := madeUp()
		o.Done = done
		c.make(o)
		got := strings.Join(Judge(row, h, o).Violations, "; ")
		if c.bad == "" {
			require.Empty(t, got, c.name)
		} else {
			require.Contains(t, got, c.bad, c.name)
		}
	}
}

// TestRows_AreTheSameForASeed: what is done to a file depends on the seed and the row
// alone.
func TestRows_AreTheSameForASeed(t *testing.T) {
	names := map[string]bool{}
	for _, r := range Rows() {
		require.False(t, names[r.String()], "%v is there twice", r)
		names[r.String()] = true
		require.Equal(t, r.random(7).Uint64(), r.random(7).Uint64())
		require.NotEqual(t, r.random(7).Uint64(), r.random(8).Uint64())
	}
	require.Greater(t, len(names), 300)
}
