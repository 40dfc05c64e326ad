// Package seams uses the places where rooms are added to the broker, each by something
// small that runs: access control and static topics are an admission that refuses and
// one that rewrites, metrics an observer and the view, another front end a client
// inside the process, POP a request that waits for a whole topic, a slave a role in
// which deliveries pause. A seam that nothing uses does not count. It has tests only.
package seams
