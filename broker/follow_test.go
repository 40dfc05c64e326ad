package broker

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/store"
)

// What the store can follow is hot, and what is hot reaches an open store by
// UPDATE_BROKER_CONFIG (25).
func TestStore_FollowsTheConfiguration(t *testing.T) {
	r := newRig(t, "")
	values := map[string]string{"deleteWhen": "03;07"}
	moved := 0
	for _, k := range config.Keys() {
		old, ok := r.opts.Config.Get().Value(k.Name)
		if !ok || !config.ActedOn(k.Name) {
			continue
		}
		v := values[k.Name]
		switch {
		case v != "":
		case k.Kind == config.Bool && old == "true":
			v = "false"
		case k.Kind == config.Bool:
			v = "true"
		case k.Kind == config.Int || k.Kind == config.Long:
			v = "33"
		default:
			continue
		}
		changed, _, err := config.Host{}.Parse(nil, "f", map[string]string{k.Name: v})
		if err != nil {
			continue // a promise, or out of range
		}
		var before, want store.Tunables
		storeTunables(&before, config.Default())
		storeTunables(&want, changed)
		if before == want {
			continue // not the store's
		}
		moved++
		require.True(t, config.Hot(k.Name), k.Name)
		got := r.store.Tunables()
		a := r.call(protocol.UpdateBrokerConfig.Code, nil, []byte(k.Name+"="+v+"\n"))
		require.Equal(t, int32(0), a.Code, a.Remark)
		require.Empty(t, a.Remark)
		require.NotEqual(t, got, r.store.Tunables(), k.Name)
	}
	require.Equal(t, 25, moved)
}
