package clients

import (
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/merlinmq/merlin/conformance/cluster"
	"github.com/merlinmq/merlin/conformance/suite"
)

// shared holds one cluster of each kind for all tests of this package.
var shared struct {
	mu       sync.Mutex // guards clusters
	clusters map[string]cluster.Cluster
}

func TestMain(m *testing.M) {
	suite.Child()
	flag.Parse()
	// Tests here wait most of the time; the default is the number of cores.
	if err := flag.Set("test.parallel", "8"); err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	code := m.Run()
	for _, c := range shared.clusters {
		if code != 0 {
			fmt.Printf("servers of %s:\n%s\n", c.Name(), c.Logs())
		}
		if err := c.Stop(); err != nil {
			fmt.Println(err)
			code = max(code, 1)
		}
	}
	cluster.Clean()
	os.Exit(code)
}

// sharedCluster returns the cluster of a kind, started on first use.
func sharedCluster(t *testing.T, k cluster.Kind) cluster.Cluster {
	t.Helper()
	k.Need(t)
	shared.mu.Lock() // also held while starting, so that it happens once
	defer shared.mu.Unlock()
	if c := shared.clusters[k.Name]; c != nil {
		return c
	}
	c, err := k.Start(cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if shared.clusters == nil {
		shared.clusters = map[string]cluster.Cluster{}
	}
	shared.clusters[k.Name] = c
	return c
}

// forEach runs a test against every kind of cluster, at the same time: most of
// it is waiting.
func forEach(t *testing.T, test func(t *testing.T, c cluster.Cluster)) {
	for _, k := range cluster.Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			test(t, sharedCluster(t, k))
		})
	}
}
