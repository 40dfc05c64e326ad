// Package cluster gives the conformance tests the clusters that they run
// against: Merlin, built from this checkout, and the Java reference.
//
// A Cluster owns child processes and a temporary directory and belongs to one
// test. Merlin runs as its own programs mqnamesrv and mqbroker with the very
// configuration files that Java gets, so that a kill -9 is a real one; they are
// built once a test process, with the race detector when the test has it. The
// package has no goroutines and no locks of its own. Test code only.
package cluster
