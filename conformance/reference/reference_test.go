package reference_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/probe"
	"github.com/merlinmq/merlin/conformance/reference"
)

// The reference must come up, answer as the version it claims and keep what it
// was told over a kill; a name server that comes back knows nothing until the
// broker registers again.
func TestReference_RestartsAndKeepsTopics(t *testing.T) {
	reference.Need(t)
	for _, tc := range []struct {
		version string
		ordinal int
	}{{reference.V5, 479}, {reference.V4, 407}} {
		t.Run(tc.version, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			c, err := reference.Start(tc.version, nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, c.Stop()) }()

			a, err := probe.Do(ctx, c.NameServer(), probe.ClusterInfo, nil, nil)
			require.NoError(t, err)
			require.Equal(t, tc.ordinal, a.Version)
			masters, err := probe.Masters(ctx, c.NameServer())
			require.NoError(t, err)
			require.Equal(t, map[string]string{"broker-a": c.BrokerAddr()}, masters)

			require.NoError(t, probe.PutTopic(ctx, c.BrokerAddr(), "kept", 3))
			require.NoError(t, c.KillBroker())
			require.NoError(t, c.StartBroker())
			route, err := probe.RouteOf(ctx, c.NameServer(), "kept")
			require.NoError(t, err)
			require.Equal(t, 3, route.Queues[0].Write)

			require.NoError(t, c.StopNameServer())
			require.NoError(t, c.StartNameServer())
			_, err = probe.RouteOf(ctx, c.NameServer(), "nobody-made-this")
			require.Equal(t, probe.TopicNotExist, probe.CodeOf(err))
		})
	}
}
