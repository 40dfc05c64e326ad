// Package calls asks a cluster every request there is, over raw sockets, and
// writes down what it answers: code, remark, header fields and body. A case is
// one promise about one or a few requests, with good, missing, wrong or hostile
// arguments, in either header encoding and from clients of other ages and
// languages. What one cluster was seen to answer can be compared with another,
// field by field; the answers of a Java server 5.3.3 are recorded in the package,
// so that one cluster alone can be compared, too.
//
// What differs from run to run, names, addresses, times, ids, is replaced by
// words before it is noted. A run works on topics, groups and brokers of its own
// with random names and removes them; cases that would touch what is not theirs
// run only where Options.Own says that the cluster is the caller's.
//
// A run owns its connections, one goroutine for each that reads, one that keeps
// the run's clients alive, and the workers; all have ended when Run returns.
// Locks: client.mu guards what waits for an answer on a connection, scene.mu
// what one case has learned, run.doneMu serialises calls of Options.Done.
package calls
