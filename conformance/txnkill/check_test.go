package txnkill

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// nth returns the number of the first transaction of a plan.
func nth(p Plan) int64 {
	for n := int64(0); ; n++ {
		if PlanOf(n) == p {
			return n
		}
	}
}

// kept is a history in which all went well, one transaction of each plan.
func kept() (*History, []Found) {
	h := NewHistory()
	var found []Found
	for _, p := range []Plan{Commit, Rollback, CommitWhenAsked, RollbackWhenAsked, CommitAtLast} {
		n := nth(p)
		h.Sent(n)
		h.Stored(n)
		for range p.asks() {
			h.Asked(n)
		}
		h.Ended(n)
		if p.Commits() {
			found = append(found, Found{n, true})
		}
	}
	return h, found
}

func TestCheck_IsContentWithWhatWasPromised(t *testing.T) {
	h, found := kept()
	h.Sent(nth(Commit) + 800) // never acknowledged, never there
	h.Read(found)
	r := h.Check()
	require.Empty(t, r.Violations)
	require.Equal(t, &Report{Transactions: 5, Committed: 3, Found: 3, RolledBack: 2, LeftOpen: 3, Asked: 3, Checks: 4}, r)
}

func TestCheck_SeesEachViolation(t *testing.T) {
	for kind, harm := range map[Kind]func(h *History, found []Found) []Found{
		Lost:       func(_ *History, f []Found) []Found { return f[1:] },
		Vanished:   func(h *History, f []Found) []Found { h.Read(append(f, f[0])); return f },
		RolledBack: func(_ *History, f []Found) []Found { return append(f, Found{nth(Rollback), true}) },
		Early: func(h *History, f []Found) []Found {
			h.all[f[0].N].ended = false
			return f
		},
		NotAsked: func(h *History, f []Found) []Found {
			h.all[nth(CommitAtLast)].asked = 1 // and not again
			return f
		},
		Foreign:    func(_ *History, f []Found) []Found { return append(f, Found{-1, true}) },
		Wrong:      func(_ *History, f []Found) []Found { f[0].Whole = false; return f },
		Duplicated: func(_ *History, f []Found) []Found { return append(f, f[0]) },
	} {
		t.Run(string(kind), func(t *testing.T) {
			h, found := kept()
			h.Read(harm(h, found))
			require.Equal(t, 1, h.Check().Count(kind), "%v", h.Check().Violations)
		})
	}
}
