package clients

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/cluster"
	"github.com/merlinmq/merlin/conformance/reference"
	"github.com/merlinmq/merlin/conformance/suite"
)

// mixedCases touch what passes between name server and broker, and one of each
// kind of client work.
var mixedCases = regexp.MustCompile(`^(send-sync|send-auto-create|consume-cluster|consume-member-leaves|order-selector|broadcast|retry|` +
	`offset-client-restart|route-delete|route-more-queues|admin-go|nameserver-restart-(messages|clients|offsets)|broker-kill-messages)$`)

// Half a migration works: a Java 5.3.3 broker registers with Merlin's name
// server, Merlin's broker with a Java name server, and clients work with both.
func TestMixedClusters(t *testing.T) {
	java := cluster.Java(reference.V5)
	for _, k := range []cluster.Kind{cluster.Mixed(cluster.Merlin(), java), cluster.Mixed(java, cluster.Merlin())} {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			c := k.StartT(t, cluster.Options{})
			results, err := suite.Run(context.Background(), suite.Options{NameServer: c.NameServer(), Control: c, Match: mixedCases})
			require.NoError(t, err)
			require.Len(t, results, strings.Count(mixedCases.String(), "|")+1)
			reportResults(t, results)
		})
	}
}
