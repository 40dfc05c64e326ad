// Package route owns what a name server knows about brokers: which are alive,
// which clusters and broker sets they form, and which queues of which topics they
// have (RouteInfoManager). It does not know the network: connections are values
// that it compares and closes, notices go out through Options.Notify.
//
// Every value in its maps is immutable and replaced when it changes. A reader
// takes the values it needs under the read lock, which a registration holds only
// to swap them, and works on that snapshot afterwards.
//
// Start runs one goroutine that applies removals of brokers in batches and scans
// for silent ones; Shutdown ends it. The one lock, Table.mu, is a leaf: nothing is
// called while it is held.
package route
