package config

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each key that Java knows is acted on, or refused when it promises something, or
// idle with a reason; none is two of the last two.
func TestKeys_AreClassified(t *testing.T) {
	class := map[string]string{}
	for _, p := range promises {
		require.NotNil(t, Lookup(p.key), p.key)
		require.NotEmpty(t, p.reason, p.key)
		require.NotEmpty(t, p.instead, p.key)
		class[p.key] = "promise"
	}
	for why, keys := range IdleKeys() {
		for _, k := range keys {
			require.NotNil(t, Lookup(k), k)
			require.Empty(t, class[k], "%s stands twice", k)
			require.Nil(t, fields()[k], "%s is acted on, it is not idle: %s", k, why)
			class[k] = "idle"
		}
	}
	for _, k := range Keys() {
		if fields()[k.Name] == nil {
			require.NotEmpty(t, class[k.Name], "%s is neither acted on, nor refused, nor idle with a reason", k.Name)
		}
	}
}

// docs/CONFIG.md lists every promise that is refused and every key without effect.
func TestDocumentedClasses(t *testing.T) {
	data, err := os.ReadFile("../../docs/CONFIG.md")
	require.NoError(t, err)
	var want strings.Builder
	for _, p := range promises {
		want.WriteString("* `" + p.key + "`: " + p.reason + ". " + strings.ToUpper(p.instead[:1]) + p.instead[1:] + ".\n")
	}
	require.Contains(t, string(data), "\n"+want.String())
	want.Reset()
	for _, g := range idleKeys {
		want.WriteString("* " + g.why + ": `" + strings.Join(strings.Fields(g.keys), "`, `") + "`.\n")
	}
	require.Contains(t, string(data), "\n"+want.String())
}
