// Package admin answers the requests that tools send to a broker
// (AdminBrokerProcessor): topics, groups, statistics, connections, offsets and
// configuration, one file a request. A method of Handler has the name of its row
// in package protocol.
//
// The handlers read files and wait for clients, so they belong into a pooled
// lane. The package owns no goroutine and no state but one lock, which lets one
// change of topics or groups at a time through, so that what a handler checked
// still holds when it writes.
//
// Not here, and answered REQUEST_CODE_NOT_SUPPORTED: what needs replication, a
// controller, timer messages, POP, transactions, static topics, RocksDB, cold data
// control or authentication. docs/SKIPPED.md has the codes.
package admin
