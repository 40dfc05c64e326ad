package disk

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/internal/storeclient"
	"github.com/merlinmq/merlin/protocol/message"
)

// TestLedger_FindsWhatIsMadeUp: each way in which a message may come by itself and
// must not is a problem.
func TestLedger_FindsWhatIsMadeUp(t *testing.T) {
	q, other := storeclient.Queue{Topic: "disk-0"}, storeclient.Queue{Topic: "disk-1"}
	now := time.UnixMilli(1_700_000_000_000)
	at := func(key string, stored time.Time) *storeclient.Record {
		return &storeclient.Record{Message: message.Message{StoreTimestamp: stored.UnixMilli(),
			Properties: message.AppendProperty(nil, message.PropertyKeys, key)}}
	}
	for _, c := range []struct {
		kind string // of the problem, "" for none
		e    *expected
		q    storeclient.Queue
		at   time.Time
		hops []string
	}{
		{"", &expected{queue: q, must: true}, q, now, []string{"a"}},
		{"", &expected{queue: q, due: now}, q, now, []string{"a"}},
		{"early", &expected{queue: q, due: now}, q, now.Add(-time.Millisecond), []string{"a"}},
		{"phantom", nil, q, now, []string{"a"}},
		{"misplaced", &expected{queue: q}, other, now, []string{"a"}},
		{"rolled back", &expected{queue: q, never: true}, q, now, []string{"a"}},
		{"twice", &expected{queue: q}, q, now, []string{"a", "b"}},
		{"twice", &expected{queue: q, due: now}, q, now, []string{"a", "b"}},
		{"", &expected{queue: q, due: now}, q, now, []string{"killed", "b"}}, // delivered again after a kill
		{"twice", &expected{queue: q}, q, now, []string{"killed", "b"}},      // nothing else is
	} {
		l := NewLedger()
		l.forgetful["killed"] = true
		if c.e != nil {
			l.pending["k"] = c.e
		}
		var got []Problem
		for _, hop := range c.hops {
			got = append(got, l.arrive(c.q, at("k", c.at), hop)...)
		}
		if c.kind == "" {
			require.Empty(t, got, "%+v", c.e)
		} else {
			require.Len(t, got, 1)
			require.Equal(t, c.kind, got[0].Kind)
		}
	}
}

// TestConfig_FindsWhatIsMadeUp: rows and files that changed are problems; what a
// broker of 4.9 cannot keep is none once one has had the directory.
func TestConfig_FindsWhatIsMadeUp(t *testing.T) {
	want := map[string]string{"disk-0": `{"perm":6,"attributes":{"a":"b"}}`}
	row := func(perm float64, attributes map[string]any) map[string]any {
		return map[string]any{"disk-0": map[string]any{"perm": perm, "attributes": attributes}, "TBW102": map[string]any{}}
	}
	require.Empty(t, compareTable("topic", row(6, map[string]any{"a": "b"}), want, false))
	require.Len(t, compareTable("topic", row(4, map[string]any{"a": "b"}), want, false), 1)
	require.Len(t, compareTable("topic", row(6, nil), want, false), 1)
	require.Empty(t, compareTable("topic", row(6, nil), want, true))
	require.Len(t, compareTable("topic", map[string]any{}, want, true), 1)
	require.Len(t, compareTable("topic", row(6, map[string]any{"a": "b"}), map[string]string{}, false), 1)

	was := configFiles{"consumerFilter.json": map[string]any{"dataVersion": 1.0, "filters": map[string]any{"a": "b"}}}
	require.Empty(t, unchanged(was, configFiles{"consumerFilter.json": map[string]any{"dataVersion": 2.0, "filters": map[string]any{"a": "b"}}}))
	require.Len(t, unchanged(was, configFiles{"consumerFilter.json": map[string]any{"filters": map[string]any{}}}), 1)
	require.Len(t, unchanged(was, configFiles{}), 1)
}
